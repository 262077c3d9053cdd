import { performance } from 'node:perf_hooks'
import { get } from 'node:http'
import { setTimeout as wait } from 'node:timers/promises'
import type { CanarySpec } from '#api/canary.ts'
import { FLAGGER_API_VERSION } from '#api/names.ts'
import type { KubeObject } from '#api/objects.ts'
import { createKubeClient, type KubeClient } from '#kube/client.ts'
import { loadClusterConfig } from '#kube/config.ts'

/** What the benchmarks on the real cluster stand on: a client, a namespace that is gone afterwards, targets with Canaries, and what an agent tells of itself. */

/** `as`: a user whose name requests bear, with every right: what the agent is asked to have done is told from what users do by that name. */
export async function connect(kubeconfig: string, as?: string): Promise<KubeClient> {
  const config = await loadClusterConfig({ kubeconfig, now: () => performance.now() })
  const impersonating: typeof config = {
    ...config, credentials: async () => { const found = await config.credentials(); return { ...found, headers: { ...found.headers, 'impersonate-user': as ?? '', 'impersonate-group': 'system:masters' } } },
  }
  return createKubeClient(as === undefined ? config : impersonating, { userAgent: 'canarygate-bench', qps: 2_000, burst: 4_000, now: () => performance.now(), random: Math.random })
}

const DELETED_AT_ONCE = 40

export async function inNamespace(kubeconfig: string, name: string, measure: (client: KubeClient) => Promise<void>): Promise<void> {
  const client = await connect(kubeconfig)
  const namespace = { apiVersion: 'v1', kind: 'Namespace', name }
  try {
    await client.delete(namespace)
    await until(async () => !(await client.get(namespace)), 'the old namespace is gone', 300_000)
    await client.create({ apiVersion: 'v1', kind: 'Namespace', metadata: { name } })
    await measure(client)
  } finally {
    // First the Canaries, while their agent is there to let go of them.
    await deleteCanaries(client, name).catch((err: unknown) => console.error(err))
    await client.delete(namespace)
    await client.close()
  }
}

/** One by one: thousands in one call take longer than the API server lets a call take. */
async function deleteCanaries(client: KubeClient, namespace: string): Promise<void> {
  const { items } = await client.list(FLAGGER_API_VERSION, 'Canary', { namespace })
  const left = items.map(({ metadata }) => metadata.name)
  while (left.length > 0) {
    await Promise.all(left.splice(0, DELETED_AT_ONCE).map((name) => client.delete({ apiVersion: FLAGGER_API_VERSION, kind: 'Canary', namespace, name })))
  }
}

export type Target = { readonly replicas?: number; readonly spec?: Partial<CanarySpec> }

/** A Deployment, its Service and its Canary. */
export async function createTarget(client: KubeClient, namespace: string, name: string, { replicas = 1, spec = {} }: Target = {}): Promise<void> {
  const metadata = { name, namespace }
  const labels = { app: name }
  const container = { name: 'app', image: 'shop:1.0', imagePullPolicy: 'IfNotPresent', ports: [{ containerPort: 8080 }], readinessProbe: { httpGet: { path: '/readyz', port: 8080 }, periodSeconds: 1 }, resources: { requests: { cpu: '1m' } } }
  await client.create({
    apiVersion: 'apps/v1', kind: 'Deployment', metadata,
    spec: { replicas, selector: { matchLabels: labels }, template: { metadata: { labels }, spec: { containers: [container] } } },
  })
  await client.create({ apiVersion: 'v1', kind: 'Service', metadata, spec: { clusterIP: 'None', selector: labels, ports: [{ port: 80, targetPort: 8080 }] } })
  await client.create({
    apiVersion: FLAGGER_API_VERSION, kind: 'Canary', metadata: { ...metadata, annotations: { 'canarygate.dev/allow-short-interval': 'true' } },
    spec: {
      provider: 'kubernetes', targetRef: { apiVersion: 'apps/v1', kind: 'Deployment', name }, service: { port: 80, targetPort: 8080, headless: true },
      analysis: { interval: '10s', threshold: 2, stepWeight: 50, maxWeight: 50 }, ...spec,
    },
  })
}

export const phaseOf = (canary: KubeObject | undefined): string => (canary?.['status'] as { readonly phase?: string } | undefined)?.phase ?? ''

export async function phase(client: KubeClient, namespace: string, name: string): Promise<string> {
  return phaseOf(await client.get({ apiVersion: FLAGGER_API_VERSION, kind: 'Canary', namespace, name }))
}

export async function until(isSo: () => Promise<boolean>, what: string, longestMs = 60_000, everyMs = 100): Promise<void> {
  const deadline = performance.now() + longestMs
  while (!(await isSo())) {
    if (performance.now() > deadline) throw new Error(`not within ${longestMs / 1_000} s: ${what}`)
    await wait(everyMs)
  }
}

/** Longest wait for an event (ms): some look once a minute. */
const LONGEST_WATCH_MS = 120_000

/** The time (`performance.now`) of the first event that matches, and when the watch stands. */
export function watchFor(client: KubeClient, namespace: string, apiVersion: string, kind: string, matches: (object: KubeObject) => boolean): { readonly opened: Promise<void>; readonly at: Promise<number> } {
  const stop = new AbortController()
  let isOpen = (): void => {}
  const opened = new Promise<void>((resolve) => { isOpen = resolve })
  const at = (async () => {
    const { resourceVersion } = await client.list(apiVersion, kind, { namespace, limit: 1 })
    const deadline = setTimeout(() => stop.abort(new Error('no event within two minutes')), LONGEST_WATCH_MS)
    try {
      for await (const event of client.watch(apiVersion, kind, { namespace, resourceVersion, signal: stop.signal, onOpen: isOpen })) {
        if ('object' in event && matches(event.object)) return performance.now()
      }
    } finally {
      clearTimeout(deadline)
      stop.abort()
    }
    throw new Error('the watch ended without the event')
  })()
  return { opened, at }
}

export const quantile = (values: readonly number[], q: number): number => [...values].sort((a, b) => a - b)[Math.min(values.length - 1, Math.floor(q * values.length))] ?? Number.NaN

export type Usage = { readonly at: number; readonly isLeading: boolean; readonly waiting: number; readonly residentBytes: number; readonly cpuSeconds: number; readonly canaries: number; readonly requests: ReadonlyMap<string, number> }

/** What an agent tells of itself; requests by verb and resource, without watches and Leases. */
export async function usageOf(address: string): Promise<Usage> {
  const page = await pageOf(`http://${address}/metrics`)
  const values = (name: string): number[] => [...page.matchAll(new RegExp(`^${name}(?:\\{[^}]*\\})? (\\S+)`, 'gm'))].map(([, value]) => Number(value))
  const requests = new Map<string, number>()
  for (const [, verb = '', resource = '', times] of page.matchAll(/^canarygate_api_requests_total\{verb="(\w+)",resource="([\w./-]+)"[^}]*\} (\d+)/gm)) {
    if (verb !== 'watch' && resource !== 'leases') requests.set(`${verb} ${resource}`, (requests.get(`${verb} ${resource}`) ?? 0) + Number(times))
  }
  return {
    at: performance.now(), isLeading: values('canarygate_leader')[0] === 1, waiting: values('canarygate_queue_depth')[0] ?? 0, residentBytes: values('process_resident_memory_bytes')[0] ?? Number.NaN, cpuSeconds: values('process_cpu_seconds_total')[0] ?? Number.NaN,
    canaries: values('flagger_canary_total').reduce((sum, count) => sum + count, 0), requests,
  }
}

/** What happened between two looks at the agent. */
export function spent(before: Usage, after: Usage): { readonly cpuPercent: number; readonly requests: ReadonlyMap<string, number>; readonly total: number } {
  const requests = new Map([...after.requests].map(([name, count]) => [name, count - (before.requests.get(name) ?? 0)] as const).filter(([, count]) => count > 0))
  return { cpuPercent: ((after.cpuSeconds - before.cpuSeconds) / (after.at - before.at)) * 1e5, requests, total: [...requests.values()].reduce((a, b) => a + b, 0) }
}

const pageOf = (url: string): Promise<string> => new Promise((resolve, reject) => {
  get(url, { timeout: 10_000 }, (answer) => {
    let text = ''
    answer.setEncoding('utf8').on('data', (chunk: string) => { text += chunk }).on('end', () => resolve(text))
  }).once('error', reject).once('timeout', () => reject(new Error('no answer')))
})
