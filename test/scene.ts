import { execFile, spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, readFileSync } from 'node:fs'
import { readdir, readFile, stat } from 'node:fs/promises'
import { get } from 'node:http'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { setTimeout as wait } from 'node:timers/promises'
import type { Test } from 'tap'
import type { Canary, CanarySpec } from '#api/canary.ts'
import type { KubeObject, Workload } from '#api/objects.ts'
import { createKubeClient, type KubeClient } from '#kube/client.ts'
import { loadClusterConfig } from '#kube/config.ts'

/**
 * What the tests on the real cluster stand on: the cluster, the product in it, a shop to release, its users, and eyes for all of them.
 * Every wait has a deadline, and every namespace goes when its test ends.
 */

const ROOT = new URL('..', import.meta.url).pathname
const STATE = process.env['CANARYGATE_CLUSTER_DIR'] ?? join(ROOT, '.cluster')
const BUNDLE = join(ROOT, 'dist/app/canarygate.mjs')
/** What `kubectl apply -k` and `delete -k` are given here. */
export const INSTALL = join(ROOT, 'test/cluster/install')
/** On the product's pods: what they were started with, so that they are restarted when it differs, and only then. */
const STARTED_WITH = 'canarygate.dev/started-with'
/** Longest wait for one command that does not wait for anything itself (ms). */
const COMMAND_MS = 60_000
/** Longest wait for the other files of cluster tests, and the longest that one of them may take (ms). */
const LONGEST_FILE_MS = 20 * 60_000

export type ClusterFacts = {
  readonly kubeconfig: string
  readonly kubectl: string
  readonly load: string
  readonly traefikUrl: string
  /** Where pods reach this machine. */
  readonly hostAddress: string
  readonly auditLog: string
}

const facts = existsSync(join(STATE, 'cluster.json')) ? (JSON.parse(readFileSync(join(STATE, 'cluster.json'), 'utf8')) as ClusterFacts) : undefined

/** For tap's `skip`: false, or why there is nothing to test on. */
export const skip: string | false =
  facts === undefined ? 'no cluster is up: make cluster-up' : existsSync(BUNDLE) ? false : 'the image is not built: make image'

/** The cluster; only to be asked for in tests that are not skipped. */
export function cluster(): ClusterFacts {
  if (!facts) throw new Error('no cluster is up: make cluster-up')
  return facts
}

export type Answer = { readonly code: number; readonly stdout: string; readonly stderr: string; readonly seconds: number }

type RunSettings = { readonly input?: string; readonly timeoutMs?: number; readonly env?: Readonly<Record<string, string>> }

/** Runs kubectl as a person does, and answers what the person sees. `input` goes to its standard input. */
export function run(args: readonly string[], { input, timeoutMs = COMMAND_MS, env = {} }: RunSettings = {}): Promise<Answer> {
  const startedAt = performance.now()
  return new Promise((resolve) => {
    const child = execFile(cluster().kubectl, args, { env: { ...process.env, KUBECONFIG: cluster().kubeconfig, ...env }, timeout: timeoutMs, maxBuffer: 64 << 20 }, (err, stdout, stderr) => {
      const code = err === null ? 0 : typeof err.code === 'number' ? err.code : 255
      resolve({ code, stdout: stdout.trim(), stderr: `${stderr.trim()}${err?.killed ? ` (ended after ${timeoutMs} ms)` : ''}`, seconds: (performance.now() - startedAt) / 1_000 })
    })
    child.stdin?.end(input)
  })
}

/** Runs kubectl for the test itself: what it prints, or an error. */
export async function kubectl(...args: readonly string[]): Promise<string> {
  const { code, stdout, stderr } = await run(args)
  if (code !== 0) throw new Error(`kubectl ${args.join(' ')}: exit code ${code}: ${stderr}`)
  return stdout
}

export async function applyYaml(...objects: readonly object[]): Promise<void> {
  const { code, stderr } = await run(['apply', '-f', '-'], { input: JSON.stringify({ apiVersion: 'v1', kind: 'List', items: objects }) })
  if (code !== 0) throw new Error(`kubectl apply: ${stderr}`)
}

let connected: Promise<KubeClient> | undefined

/** The product's own client, for looks that are too frequent for kubectl. */
export function client(): Promise<KubeClient> {
  connected ??= loadClusterConfig({ kubeconfig: cluster().kubeconfig, now: Date.now })
    .then((config) => createKubeClient(config, { userAgent: 'canarygate/test', qps: 1_000, burst: 1_000, now: () => performance.now(), random: Math.random }))
  return connected
}

/** Waits until the answer is neither undefined nor false, and returns it; an error that says what was waited for when time is up. */
export async function waitFor<T>(what: string, look: () => Promise<T | undefined | false>, seconds: number, everyMs = 200): Promise<T> {
  const endAt = performance.now() + seconds * 1_000
  for (;;) {
    const found = await look()
    if (found !== undefined && found !== false) return found
    if (performance.now() > endAt) throw new Error(`waited ${seconds} s in vain for ${what}`)
    await wait(everyMs)
  }
}

/**
 * Takes the cluster until this file's process ends: alone, or beside others that take it so, too. The kernel frees the lock, also after
 * a crash.
 */
async function takeTurn(t: Test, how: '--exclusive' | '--shared'): Promise<void> {
  const holder = spawn('flock', [how, join(STATE, 'test.lock'), 'sh', '-c', 'echo taken; exec cat'], { stdio: ['pipe', 'pipe', 'inherit'] })
  await new Promise<void>((resolve, reject) => {
    holder.stdout.once('data', () => resolve())
    holder.once('error', reject)
    holder.once('exit', () => reject(new Error('the lock of the cluster could not be taken')))
  })
  t.teardown(async () => {
    holder.stdin.end()
    if (connected) await (await connected).close()
  })
}

/** First thing in each file of cluster tests: its turn on the cluster, and the product of this working tree in it. Nobody else is there meanwhile. */
export async function begin(t: Test): Promise<void> {
  await beginAs(t, '--exclusive')
}

/** The same for files that measure how soon something happens: nothing else of the tests is on the machine, either (scripts/run-tests.ts). */
export async function beginMeasuring(t: Test): Promise<void> {
  await beginAs(t, '--exclusive')
}

/** The same for files that keep to their own namespaces and disturb nobody: several of them run side by side. */
export async function beginBesideOthers(t: Test): Promise<void> {
  await beginAs(t, '--shared')
}

async function beginAs(t: Test, how: '--exclusive' | '--shared'): Promise<void> {
  t.setTimeout(LONGEST_FILE_MS)
  if (skip) return
  await takeTurn(t, how)
  await installed()
}

/** Installs the product as the tests need it. When it is there already, nothing is restarted. */
export async function installed(): Promise<void> {
  await waitFor('an earlier uninstall to end', async () => (await (await client()).get({ apiVersion: 'v1', kind: 'Namespace', name: 'canarygate' }))?.metadata.deletionTimestamp === undefined, 60)
  await startFrom(INSTALL, ['canarygate-agent', 'canarygate-webhook'])
  await waitFor('the webhooks to be trusted', async () => {
    const { items } = JSON.parse(await kubectl('get', 'mutatingwebhookconfiguration/canarygate', 'validatingwebhookconfiguration/canarygate', '-o', 'json')) as { readonly items: readonly Configuration[] }
    return items.flatMap(({ webhooks }) => webhooks).every(({ clientConfig }) => (clientConfig.caBundle ?? '') !== '')
  }, 30)
  await waitFor('the webhook to answer', async () => (await run(['apply', '--dry-run=server', '-f', '-'], { input: JSON.stringify(HASTY_CANARY) })).stderr.includes('Warning: CanaryGate'), 30)
}

/** The load tester, beside the agent. Answers its address from outside of the cluster. */
export async function loadTesterInstalled(): Promise<string> {
  await startFrom(join(ROOT, 'manifests/loadtester'), ['flagger-loadtester'])
  return `http://${await kubectl('-n', 'canarygate', 'get', 'service', 'flagger-loadtester', '-o', 'jsonpath={.spec.clusterIP}')}`
}

/** Applies manifests, and waits for their Deployments to run the bundle of this working tree. */
async function startFrom(folder: string, deployments: readonly string[]): Promise<void> {
  const startedWith = createHash('sha256').update(await readFile(BUNDLE)).update(await kubectl('kustomize', folder)).digest('hex').slice(0, 16)
  const applied = await run(['apply', '--server-side', '--force-conflicts', '-k', folder])
  if (applied.code !== 0) throw new Error(`not installed: ${applied.stderr}`)
  const mark = JSON.stringify({ spec: { template: { metadata: { annotations: { [STARTED_WITH]: startedWith } } } } })
  for (const name of deployments) await kubectl('-n', 'canarygate', 'patch', 'deployment', name, '-p', mark)
  for (const name of deployments) {
    const { code, stdout, stderr } = await run(['-n', 'canarygate', 'rollout', 'status', `deployment/${name}`, '--timeout=90s'], { timeoutMs: 100_000 })
    if (code !== 0) throw new Error(`${name} is not ready: ${stdout} ${stderr}`)
  }
}

/** Takes the product away, all of it at once. A leaving webhook would wait for connections that are idle; nobody needs that here. */
export async function uninstalled(): Promise<void> {
  const webhooks = await kubectl('-n', 'canarygate', 'get', 'pods', '-l', 'app.kubernetes.io/component=webhook', '-o', 'jsonpath={.items[*].metadata.name}')
  await kubectl('delete', '-k', INSTALL, '--wait=false')
  await wait(3_000)
  for (const pod of webhooks.split(' ')) await processOf(pod).then((pid) => process.kill(pid, 'SIGKILL')).catch(() => {})
  await waitFor('the namespace to go', async () => (await (await client()).get({ apiVersion: 'v1', kind: 'Namespace', name: 'canarygate' })) === undefined, 120, 500)
}

type Configuration = { readonly webhooks: readonly { readonly clientConfig: { readonly caBundle?: string } }[] }

/** The webhook, and nobody else, has something to say about it. */
const HASTY_CANARY: object = {
  apiVersion: 'flagger.app/v1beta1', kind: 'Canary', metadata: { name: 'hasty', namespace: 'default' },
  spec: { targetRef: { apiVersion: 'apps/v1', kind: 'Deployment', name: 'hasty' }, service: { port: 80 }, analysis: { interval: '10s', threshold: 1, stepWeights: [50] } },
}

let namespaces = 0

/** A namespace for one test. `gated`: with the label that makes every change of an image a canary. */
export async function namespace(t: Pick<Test, 'teardown'>, { gated = true }: { gated?: boolean } = {}): Promise<string> {
  namespaces += 1
  const name = `scene-${process.pid.toString(36)}-${Date.now().toString(36)}-${namespaces}`
  const labels = { 'canarygate.dev/scene': 'true', ...(gated ? { 'canarygate.dev/gate': 'enabled' } : {}) }
  await (await client()).create({ apiVersion: 'v1', kind: 'Namespace', metadata: { name, labels } })
  t.teardown(() => kubectl('delete', 'namespace', name, '--wait=false'))
  return name
}

export type Shop = {
  readonly image?: string
  readonly replicas?: number
  /** Host of a Traefik route; none without. */
  readonly host?: string
  /** How long a leaving pod goes on answering: routers hear of it a moment late. */
  readonly preStopSeconds?: number
  readonly labels?: Readonly<Record<string, string>>
  /** Of the pods, beside where their metrics are. */
  readonly annotations?: Readonly<Record<string, string>>
  /** Goes before what the image's tag says: see test/apps/shop. */
  readonly env?: Readonly<Record<string, string>>
}

/** The objects of a shop named `cart`, as its owner keeps them. */
export function shop(ns: string, { image = 'shop:1.0', replicas = 1, host, preStopSeconds = 0, labels = {}, annotations = {}, env = {} }: Shop = {}): readonly [Workload, ...KubeObject[]] {
  const container = {
    name: 'cart', image, imagePullPolicy: 'IfNotPresent',
    ports: [{ name: 'http', containerPort: 8080 }],
    readinessProbe: { httpGet: { path: '/readyz', port: 'http' }, periodSeconds: 1, timeoutSeconds: 3 },
    ...(preStopSeconds > 0 ? { lifecycle: { preStop: { sleep: { seconds: preStopSeconds } } } } : {}),
    resources: { requests: { cpu: '1m', memory: '8Mi' } },
    ...(Object.keys(env).length > 0 ? { env: Object.entries(env).map(([name, value]) => ({ name, value })) } : {}),
  }
  const deployment = {
    apiVersion: 'apps/v1', kind: 'Deployment', metadata: { name: 'cart', namespace: ns, labels: { app: 'cart', ...labels } },
    spec: {
      replicas, selector: { matchLabels: { app: 'cart' } },
      template: {
        metadata: { labels: { app: 'cart' }, annotations: { 'prometheus.io/scrape': 'true', 'prometheus.io/port': '8080', ...annotations } },
        spec: { containers: [container] },
      },
    },
  }
  const service = {
    apiVersion: 'v1', kind: 'Service', metadata: { name: 'cart', namespace: ns },
    spec: { selector: { app: 'cart' }, ports: [{ name: 'http', port: 80, targetPort: 'http' }] },
  }
  const route = {
    apiVersion: 'traefik.io/v1alpha1', kind: 'IngressRoute', metadata: { name: 'cart', namespace: ns },
    spec: { entryPoints: ['web'], routes: [{ kind: 'Rule', match: `Host(\`${host ?? ''}\`)`, services: [{ name: 'cart', port: 80 }] }] },
  }
  return [deployment as unknown as Workload, service, ...(host === undefined ? [] : [route])]
}

/** Brings a shop up and waits until it serves, through its route too: a router hears of a new one a moment late. */
export async function deployShop(ns: string, settings: Shop = {}): Promise<void> {
  await applyYaml(...shop(ns, settings))
  await waitFor('the shop to be ready', async () => (await deployment(ns, 'cart'))?.status?.readyReplicas === (settings.replicas ?? 1), 60)
  const addresses: readonly (readonly [string, string | undefined])[] =
    [[await serviceUrl(ns), undefined], ...(settings.host === undefined ? [] : [[cluster().traefikUrl, settings.host] as const])]
  for (const [url, host] of addresses) await waitFor(`${url} to answer`, () => answers(url, host), 20)
}

/** Not with `fetch`, which does not send a Host header of one's own. */
export const answers = (url: string, host: string | undefined): Promise<boolean> => new Promise((resolve) => {
  get(`${url}/`, { timeout: 2_000, agent: false, ...(host === undefined ? {} : { headers: { host } }) }, (answer) => {
    answer.resume()
    resolve(answer.statusCode === 200)
  }).on('error', () => resolve(false)).on('timeout', () => resolve(false))
})

export async function serviceUrl(ns: string, name = 'cart'): Promise<string> {
  return `http://${await kubectl('-n', ns, 'get', 'service', name, '-o', 'jsonpath={.spec.clusterIP}')}`
}

/** A Canary as a person writes it, with steps short enough for a test. */
export function canary(ns: string, { annotations = {}, ...spec }: Partial<CanarySpec> & { readonly annotations?: Readonly<Record<string, string>> } = {}): Canary {
  return {
    apiVersion: 'flagger.app/v1beta1', kind: 'Canary',
    metadata: { name: 'cart', namespace: ns, annotations: { 'canarygate.dev/allow-short-interval': 'true', ...annotations } },
    spec: {
      targetRef: { apiVersion: 'apps/v1', kind: 'Deployment', name: 'cart' },
      service: { port: 80, targetPort: 'http' },
      progressDeadlineSeconds: 60,
      analysis: { interval: '3s', threshold: 2, stepWeights: [50] },
      ...spec,
    },
  }
}

/** A shop whose Canary has adopted it. */
export async function adoptedShop(ns: string, settings: Shop = {}, spec: Parameters<typeof canary>[1] = {}): Promise<void> {
  await deployShop(ns, settings)
  await applyYaml(canary(ns, spec))
  await reaches(ns, ['Initialized'], 120)
}

export async function deployment(ns: string, name: string): Promise<Workload | undefined> {
  return (await client()).get<Workload>({ apiVersion: 'apps/v1', kind: 'Deployment', namespace: ns, name })
}

export async function getCanary(ns: string, name = 'cart'): Promise<Canary | undefined> {
  return (await client()).get<Canary>({ apiVersion: 'flagger.app/v1beta1', kind: 'Canary', namespace: ns, name })
}

export const phase = async (ns: string, name = 'cart'): Promise<string> => (await getCanary(ns, name))?.status?.phase ?? ''

/** Waits until the Canary is in one of these phases; an error tells what happened instead. */
export async function reaches(ns: string, phases: readonly string[], seconds: number, name = 'cart'): Promise<string> {
  try {
    return await waitFor(`phase ${phases.join(' or ')}`, async () => { const now = await phase(ns, name); return phases.includes(now) && now }, seconds)
  } catch (err) {
    const told = (await events(ns)).map(({ reason, message }) => `\n  ${reason}: ${message}`).join('')
    throw new Error(`${err instanceof Error ? err.message : String(err)}; it is ${await phase(ns, name)}${told}`, { cause: err })
  }
}

export type Told = { readonly type: string; readonly reason: string; readonly message: string; readonly count: number; readonly kind: string }

/** What the product told about objects of a namespace, in order. */
export async function events(ns: string): Promise<readonly Told[]> {
  const { items } = await (await client()).list<KubeObject & EventFields>('v1', 'Event', { namespace: ns })
  return items
    .filter(({ source }) => source?.component === 'canarygate')
    .toSorted((a, b) => a.metadata.name.split('.').at(-1)?.localeCompare(b.metadata.name.split('.').at(-1) ?? '') ?? 0)
    .map(({ type, reason, message, count = 1, involvedObject }) => ({ type, reason, message, count, kind: involvedObject.kind }))
}
type EventFields = {
  readonly type: string; readonly reason: string; readonly message: string; readonly count?: number
  readonly source?: { readonly component?: string }; readonly involvedObject: { readonly kind: string }
}

export const annotationsOf = async (ns: string, name = 'cart'): Promise<Readonly<Record<string, string>>> => (await deployment(ns, name))?.metadata.annotations ?? {}

export const imageOf = async (ns: string, name: string): Promise<string | undefined> => (await deployment(ns, name))?.spec.template.spec.containers[0]?.image

export type LoadSummary = {
  readonly total: number
  readonly failed: number
  readonly dropped: number
  readonly byCode: Readonly<Record<string, number>>
  readonly byVersion: Readonly<Record<string, number>>
  /** By version and code, as `1.1 500`. */
  readonly byVersionAndCode: Readonly<Record<string, number>>
  readonly errors: Readonly<Record<string, number>>
  readonly lastError?: string
}

export type Load = {
  /** All answers so far, by version and code. */
  sofar(): Readonly<Record<string, number>>
  /** When a version's first answer was seen (`performance.now`), to the second. */
  firstSeenAt(version: string): number | undefined
  stop(): Promise<LoadSummary>
}

export type LoadSettings = {
  readonly url: string; readonly host?: string; readonly rate?: number; readonly keepAlive?: boolean
  /** One more, as `name: value`. */
  readonly header?: string
  /** At the longest. */
  readonly minutes?: number
}

/** Users: a steady rate of requests, from outside of the cluster. It ends by itself, whatever happens to this process. */
export function startLoad(t: Pick<Test, 'teardown'>, { url, host, rate = 60, keepAlive = true, header, minutes = 5 }: LoadSettings): Load {
  const args = ['--url', `${url}/`, '--rate', String(rate), '--duration', `${minutes}m`, '--timeline', ...(host === undefined ? [] : ['--host', host]), ...(header === undefined ? [] : ['--header', header]), ...(keepAlive ? [] : ['--no-keep-alive'])]
  const child = spawn(cluster().load, args, { stdio: ['ignore', 'pipe', 'inherit'] })
  const sum = new Map<string, number>()
  const firstSeen = new Map<string, number>()
  let last = ''
  let previous = ''
  createInterface({ input: child.stdout }).on('line', (line) => {
    if (!line.startsWith('{')) return
    previous = last
    last = line
    const second = JSON.parse(line) as LoadSummary
    for (const [key, count] of Object.entries(second.byVersionAndCode)) sum.set(key, (sum.get(key) ?? 0) + count)
    for (const version of Object.keys(second.byVersion)) if (!firstSeen.has(version)) firstSeen.set(version, performance.now() - 1_000)
  })
  const ended = new Promise<void>((resolve) => { child.once('close', () => resolve()) })
  t.teardown(() => { child.kill('SIGKILL') })
  return {
    sofar: () => Object.fromEntries(sum),
    firstSeenAt: (version) => firstSeen.get(version),
    async stop() {
      child.kill('SIGTERM')
      await ended
      return JSON.parse(last === '' ? previous : last) as LoadSummary
    },
  }
}

/** The process of a container of ours, as the host numbers it: by the name of its pod. */
export async function processOf(pod: string): Promise<number> {
  for (const entry of await readdir('/proc')) {
    if (!/^\d+$/.test(entry)) continue
    const text = (file: string): Promise<string> => readFile(`/proc/${entry}/${file}`, 'utf8').catch(() => '')
    if (!(await text('cmdline')).includes('canarygate.mjs')) continue
    if ((await text('environ')).split('\0').includes(`POD_NAME=${pod}`)) return Number(entry)
  }
  throw new Error(`no process of pod ${pod} is found`)
}

export type Request = { readonly user: string; readonly verb: string; readonly what: string; readonly at: number }

/** Requests that the API server has answered since a byte of its audit log, by users whose name begins with `user`. */
export async function auditedSince(offset: number, user: string): Promise<readonly Request[]> {
  const text = (await readFile(cluster().auditLog)).subarray(offset).toString('utf8')
  return text.split('\n').flatMap((line) => {
    if (!line.includes(user)) return []
    const entry = JSON.parse(line) as AuditEntry
    if (!entry.user.username.startsWith(user)) return []
    const { resource = '', subresource, namespace: of, name } = entry.objectRef ?? {}
    return [{ user: entry.user.username, verb: entry.verb, what: [resource, subresource, of, name].filter(Boolean).join('/') || entry.requestURI, at: Date.parse(entry.requestReceivedTimestamp) }]
  })
}
type AuditEntry = {
  readonly user: { readonly username: string }; readonly verb: string; readonly requestURI: string; readonly requestReceivedTimestamp: string
  readonly objectRef?: { readonly resource?: string; readonly subresource?: string; readonly namespace?: string; readonly name?: string }
}

export const auditSize = async (): Promise<number> => (await stat(cluster().auditLog)).size
