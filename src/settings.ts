import { readFile } from 'node:fs/promises'
import { parse } from 'yaml'
import type { CanaryAnalysis } from '#api/canary.ts'
import { parseDuration } from '#api/duration.ts'
import { loadClusterConfig, type ClusterConfig } from '#kube/config.ts'
import { destinationOf, type Destination } from '#notify/provider.ts'

/** Settings that the agent and the webhook read alike. */

type Env = Readonly<Record<string, string | undefined>>

/** As Flagger's guides begin: ten percent more each minute up to a half. */
const DEFAULT_ANALYSIS: CanaryAnalysis = { interval: '1m', threshold: 5, maxWeight: 50, stepWeight: 10 }
const DEFAULTS_FILE = '/etc/canarygate/defaults.yaml'

/** The pod's service account, or KUBECONFIG outside a cluster. */
export async function clusterConfigOf(env: Env, now: () => number): Promise<ClusterConfig> {
  return await loadClusterConfig({
    now,
    ...(env['KUBECONFIG'] ? { kubeconfig: env['KUBECONFIG'] } : {}),
    ...(env['KUBERNETES_SERVICE_HOST'] ? { inCluster: { host: env['KUBERNETES_SERVICE_HOST'], port: env['KUBERNETES_SERVICE_PORT'] ?? '443' } } : {}),
  })
}

/** Who is alerted about Canaries that name nobody, by Flagger's variables: Teams if both are given, as there. Undefined: nobody. An address that makes no sense stops the start. */
export function alertReceiverOf(env: Env): Destination | undefined {
  const [type, name, address, proxy] = env['MSTEAMS_URL']
    ? ['msteams', 'MSTEAMS_URL', env['MSTEAMS_URL'], env['MSTEAMS_PROXY_URL']] as const : ['slack', 'SLACK_URL', env['SLACK_URL'], env['SLACK_PROXY_URL']] as const
  if (!address) return undefined
  // Not shown: it may be a secret.
  if (!/^https?:$/.test(URL.canParse(address) ? new URL(address).protocol : '')) throw new Error(`${name} is no http or https URL; write it like https://hooks.example.org/services/...`)
  const { SLACK_TOKEN: token, SLACK_CHANNEL: channel, SLACK_USER: username } = env
  const found = destinationOf({
    type, address, ...(proxy ? { proxy } : {}), ...(channel ? { channel } : {}), ...(username ? { username } : {}),
  }, undefined)
  if (typeof found === 'string') throw new Error(`${name}: ${found}`)
  return type === 'slack' && token ? { ...found, secret: { token } } : found
}

/** Milliseconds of a duration like `90s`, or those when it is not set. One that makes no sense stops the start. */
export function durationOf(env: Env, name: string, ms: number): number {
  const text = env[name]
  const given = text === undefined ? ms : parseDuration(text)
  if (given === undefined) throw new Error(`${name} is "${text}", which is no duration; write it like 90s`)
  return given
}

/** A number above zero, or that one when it is not set. One that makes no sense stops the start. */
export function positiveOf(env: Env, name: string, otherwise: number): number {
  const text = env[name]
  const given = text === undefined ? otherwise : Number(text)
  if (!(given > 0 && given < Infinity)) throw new Error(`${name} is "${text}", which is no number above 0; write it like ${otherwise}`)
  return given
}

/** The analysis of Canaries that the agent writes. A file that is missing means the built-in one; one that makes no sense stops the start. */
export async function readDefaults(env: Env): Promise<CanaryAnalysis> {
  const path = env['DEFAULTS_FILE'] ?? DEFAULTS_FILE
  const text = await readFile(path, 'utf8').catch((err: unknown) => {
    if ((err as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw err
  })
  if (text === undefined) return DEFAULT_ANALYSIS
  const parsed = parse(text) as { readonly analysis?: CanaryAnalysis } | null
  if (typeof parsed?.analysis !== 'object') throw new Error(`${path}: analysis is missing; write it as in a Canary's spec.analysis`)
  return parsed.analysis
}
