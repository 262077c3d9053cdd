import { spawn } from 'node:child_process'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as wait } from 'node:timers/promises'
import { parse, stringify } from 'yaml'
import { FIELD_MANAGER, FLAGGER_API_VERSION, LABEL_MANAGED_BY, LABEL_ROLE, MANAGED_BY } from '#api/names.ts'
import type { KubeObject, Workload } from '#api/objects.ts'
import type { KubeClient } from '#kube/client.ts'
import { connect, createTarget, inNamespace, phase, phaseOf, quantile, spent, until, usageOf, type Usage } from './scene.ts'

/**
 * What many Canaries cost the leading agent, on the real API server: `bench/scale.ts KUBECONFIG [idle,idle,...] [active]`, after `make image`. Objects only,
 * no pods: the agents in the cluster are scaled to zero, one runs here as a process of its own, and on the test cluster the controllers are paused
 * meanwhile, so that nothing but the API server and the agent works. For the active Canaries a few lines here stand in for the controllers.
 *
 * Idle Canaries are clones of one that an agent has adopted by itself, in all objects that it made; that it then writes nothing is measured as well.
 */
const NAMESPACE = 'canarygate-scale'
const AGENT_PORT = 18_080
/** Clones are made, and the agent works, by this name: from others the webhook takes what only the agent may say. */
const AGENT_USER = 'system:serviceaccount:canarygate:canarygate-agent'
const QUIET_MS = 20_000
const AT_ONCE = 40
const STEPS = { count: 2, intervalSeconds: 10 }

export async function measureScale(kubeconfig: string, sizes: readonly number[], active: number): Promise<void> {
  await inNamespace(kubeconfig, NAMESPACE, async (client) => {
    await createTarget(client, NAMESPACE, 'model', { replicas: 0 })
    await until(async () => (await phase(client, NAMESPACE, 'model')) === 'Initialized', 'the model is adopted')
    const objects = await settledObjects(client)
    await scaleAgents(client, 0)
    const resume = pauseControllers()
    const agent = await connect(kubeconfig, AGENT_USER)
    try {
      const empty = await withAgent(kubeconfig, 1, async (look) => { await wait(5_000); return await look() })
      let made = 1
      for (const size of sizes) {
        const startedAt = performance.now()
        while (made < size) {
          const names = Array.from({ length: Math.min(AT_ONCE, size - made) }, (_, i) => `app-${made + i}`)
          await Promise.all(names.map((name) => clone(agent, objects, name)))
          made += names.length
        }
        console.log(`${size} Canaries made in ${((performance.now() - startedAt) / 1_000).toFixed(0)} s`)
        await withAgent(kubeconfig, size, (look) => report(look, empty, size))
      }
      if (active > 0) await withAgent(kubeconfig, made, (look) => measureActive(client, active, look))
    } finally {
      await agent.close()
      resume()
      await scaleAgents(client, AGENTS)
    }
  })
}

const AGENTS = 2

async function scaleAgents(client: KubeClient, replicas: number): Promise<void> {
  await client.patch({ apiVersion: 'apps/v1', kind: 'Deployment', namespace: 'canarygate', name: 'canarygate-agent' }, { spec: { replicas } }, 'merge')
  if (replicas > 0) return
  await until(async () => (await client.list('v1', 'Pod', { namespace: 'canarygate', labelSelector: 'app.kubernetes.io/component=agent' })).items.length === 0, 'the agents are gone', 60_000)
}

type Look = () => Promise<Usage>

/** The product's agent, begun afresh, once it leads and has looked at every Canary. */
async function withAgent<T>(kubeconfig: string, canaries: number, use: (look: Look) => Promise<T>): Promise<T> {
  const bundle = new URL('../dist/app/canarygate.mjs', import.meta.url).pathname
  const folder = await mkdtemp(join(tmpdir(), 'canarygate-scale-'))
  const asAgent = join(folder, 'kubeconfig')
  await writeFile(asAgent, await impersonating(kubeconfig), { mode: 0o600 })
  const env = { ...process.env, KUBECONFIG: asAgent, HTTP_PORT: String(AGENT_PORT), POD_NAMESPACE: 'canarygate', POD_NAME: 'bench', LOG_LEVEL: 'error', NODE_OPTIONS: '' }
  const startedAt = performance.now()
  const child = spawn(process.execPath, [bundle, 'agent'], { env, stdio: ['ignore', 'inherit', 'inherit'] })
  const look: Look = () => usageOf(`127.0.0.1:${AGENT_PORT}`)
  try {
    await until(async () => {
      const usage = await look().catch(() => undefined)
      return usage !== undefined && usage.isLeading && usage.canaries >= canaries && usage.waiting === 0
    }, `the agent leads ${canaries} Canaries`, 180_000, 1_000)
    console.log(`an agent leads ${canaries} Canaries ${((performance.now() - startedAt) / 1_000).toFixed(1)} s after its start`)
    return await use(look)
  } finally {
    child.kill('SIGTERM')
    await new Promise((resolve) => { child.once('exit', resolve) })
    await rm(folder, { recursive: true })
  }
}

/** The same kubeconfig under the agent's name, and so with its rights. */
async function impersonating(kubeconfig: string): Promise<string> {
  const config = parse(await readFile(kubeconfig, 'utf8')) as { readonly users: readonly { readonly name: string; readonly user: object }[] }
  return stringify({ ...config, users: config.users.map(({ name, user }) => ({ name, user: { ...user, as: AGENT_USER } })) })
}

async function report(look: Look, empty: Usage, size: number): Promise<void> {
  await wait(10_000)
  const before = await look()
  await wait(QUIET_MS)
  const after = await look()
  const { cpuPercent, requests, total } = spent(before, after)
  const kib = (after.residentBytes - empty.residentBytes) / 1_024 / size
  console.log(`${size} idle Canaries: ${mib(after.residentBytes)} MiB resident, ${mib(empty.residentBytes)} with one; ${kib.toFixed(1)} KiB each; `
    + `${total} requests in ${QUIET_MS / 1_000} s ${total > 0 ? JSON.stringify([...requests]) : ''}; ${cpuPercent.toFixed(1)} % of a core`)
}

const mib = (bytes: number): string => (bytes / 2 ** 20).toFixed(0)

/** Once nobody has written for a while: clones of something unfinished would all be finished first. */
async function settledObjects(client: KubeClient): Promise<readonly KubeObject[]> {
  const versions = (objects: readonly KubeObject[]): string => objects.map(({ metadata }) => `${metadata.uid} ${metadata.resourceVersion}`).join()
  let objects = await objectsOf(client)
  await until(async () => {
    const before = versions(objects)
    objects = await objectsOf(client)
    return versions(objects) === before
  }, 'the model is at rest', 120_000, 5_000)
  return objects
}

/** All that there is of the model, as the agent made it. */
async function objectsOf(client: KubeClient): Promise<readonly KubeObject[]> {
  const kinds = [[FLAGGER_API_VERSION, 'Canary'], ['apps/v1', 'Deployment'], ['v1', 'Service'], ['apps/v1', 'ControllerRevision'], ['discovery.k8s.io/v1', 'EndpointSlice']] as const
  const lists = await Promise.all(kinds.map(async ([apiVersion, kind]) => (await client.list(apiVersion, kind, { namespace: NAMESPACE })).items.map((item) => ({ ...item, apiVersion, kind }))))
  return lists.flat()
}

/** The labels of its pods, and with them the revision, stay the model's: nobody selects them, as there are no pods. */
async function clone(client: KubeClient, objects: readonly KubeObject[], name: string): Promise<void> {
  const renamed = (text: string): string => text.replace(/^model/, name)
  let owner: string | undefined
  for (const { metadata, status, ...content } of objects) {
    const { labels, annotations, ownerReferences, finalizers } = metadata
    const isCanarys = ownerReferences?.some(({ kind }) => kind === 'Canary')
    const spec = content.kind === 'Canary' ? { spec: withTarget(content['spec'], name) } : {}
    const itsLabels = Object.fromEntries(Object.entries(labels ?? {}).map(([key, value]) => [key, renamed(value)]))
    const created = await client.create({
      ...content, ...spec,
      metadata: {
        name: renamed(metadata.name), namespace: NAMESPACE, ...(finalizers ? { finalizers } : {}),
        labels: itsLabels,
        ...(annotations ? { annotations } : {}),
        ...(isCanarys && owner !== undefined ? { ownerReferences: ownerReferences?.map((reference) => ({ ...reference, name, uid: owner ?? '' })) ?? [] } : {}),
      },
    } as KubeObject, { fieldManager: labels?.[LABEL_MANAGED_BY] === MANAGED_BY ? FIELD_MANAGER : 'bench' })
    if (content.kind === 'Canary') owner = created.metadata.uid
    if (status !== undefined && (content.kind === 'Canary' || content.kind === 'Deployment')) {
      await client.patch({ apiVersion: content.apiVersion, kind: content.kind, namespace: NAMESPACE, name: created.metadata.name }, { status }, 'merge', { subresource: 'status' })
    }
  }
}

const withTarget = (spec: unknown, name: string): object => ({ ...(spec as object), targetRef: { ...(spec as { readonly targetRef: object }).targetRef, name } })

/** Runs side by side, all started in one moment. */
async function measureActive(client: KubeClient, count: number, look: Look): Promise<void> {
  const names = Array.from({ length: count }, (_, i) => `active-${i}`)
  const stop = new AbortController()
  const controllers = standIn(client, stop.signal)
  try {
    const analysis = { interval: `${STEPS.intervalSeconds}s`, threshold: 2, stepWeights: [20, 50] }
    const adoptedFrom = performance.now()
    for (let i = 0; i < count; i += AT_ONCE) await Promise.all(names.slice(i, i + AT_ONCE).map((name) => createTarget(client, NAMESPACE, name, { replicas: 2, spec: { analysis } })))
    await until(async () => (await inPhase(client, names, ['Initialized'])) === count, `${count} targets are adopted`, 240_000, 1_000)
    console.log(`${count} targets adopted in ${((performance.now() - adoptedFrom) / 1_000).toFixed(0)} s`)
    await wait(5_000)
    const before = await look()
    const began = new Map<string, number>()
    await Promise.all(names.map(async (name) => {
      await client.patch({ apiVersion: 'apps/v1', kind: 'Deployment', namespace: NAMESPACE, name }, { spec: { template: { spec: { containers: [{ name: 'app', image: 'shop:1.1' }] } } } }, 'strategic')
      began.set(name, performance.now())
    }))
    const ended = new Map<string, number>()
    await until(async () => {
      for (const canary of await canariesOf(client)) if (phaseOf(canary) === 'Succeeded' && !ended.has(canary.metadata.name)) ended.set(canary.metadata.name, performance.now())
      return ended.size === count
    }, `${count} runs are done`, 240_000, 500)
    const after = await look()
    const { cpuPercent, requests, total } = spent(before, after)
    const writes = [...requests].filter(([name]) => !/^(get|list) /.test(name))
    const steps = count * STEPS.count
    const sum = (rows: readonly (readonly [string, number])[]): number => rows.reduce((all, [, times]) => all + times, 0)
    const over = names.map((name) => ((ended.get(name) ?? 0) - (began.get(name) ?? 0)) / 1_000 - STEPS.count * STEPS.intervalSeconds)
    console.log(`${count} runs of ${STEPS.count} steps at once: ${cpuPercent.toFixed(0)} % of a core, ${mib(after.residentBytes)} MiB; ${(sum(writes) / count).toFixed(1)} writes a run from start to end, `
      + `${total - sum(writes)} reads in all; over the theoretical ${STEPS.count * STEPS.intervalSeconds} s: p50 ${quantile(over, 0.5).toFixed(1)} s, p99 ${quantile(over, 0.99).toFixed(1)} s`)
    console.log(`  of these, while weights rise: status and routes, ${(((requests.get('update canaries/status') ?? requests.get('update canaries') ?? 0)) / steps).toFixed(1)} status writes a step; all: ${JSON.stringify(Object.fromEntries(writes))}`)
  } finally {
    stop.abort()
    await controllers
  }
}

const canariesOf = async (client: KubeClient): Promise<readonly KubeObject[]> => {
  const found: KubeObject[] = []
  let next: string | undefined
  do {
    const page = await client.list(FLAGGER_API_VERSION, 'Canary', { namespace: NAMESPACE, limit: 500, ...(next ? { continue: next } : {}) })
    found.push(...page.items.filter(({ metadata }) => metadata.name.startsWith('active-')))
    next = page.continue
  } while (next)
  return found
}
const inPhase = async (client: KubeClient, names: readonly string[], phases: readonly string[]): Promise<number> =>
  (await canariesOf(client)).filter((canary) => names.includes(canary.metadata.name) && phases.includes(phaseOf(canary))).length

/** Deployments are ready as soon as they are asked for, and their Services have the addresses. */
async function standIn(client: KubeClient, signal: AbortSignal): Promise<void> {
  const { resourceVersion } = await client.list('apps/v1', 'Deployment', { namespace: NAMESPACE, limit: 1 })
  try {
    for await (const event of client.watch('apps/v1', 'Deployment', { namespace: NAMESPACE, resourceVersion, signal })) {
      if (!('object' in event) || event.type === 'DELETED' || !event.object.metadata.name.startsWith('active-')) continue
      void roll(client, event.object as Workload).catch((err: unknown) => { if (!signal.aborted) console.error(err) })
    }
  } catch (err) {
    if (!signal.aborted) throw err
  }
}

async function roll(client: KubeClient, { metadata, spec, status }: Workload): Promise<void> {
  if (status?.observedGeneration === metadata.generation) return
  const replicas = spec.replicas ?? 1
  const ref = { apiVersion: 'apps/v1', kind: 'Deployment', namespace: NAMESPACE, name: metadata.name }
  const role = metadata.labels?.[LABEL_ROLE]
  if (role !== undefined) {
    const endpoints = Array.from({ length: replicas }, (_, i) => ({ addresses: [`192.0.2.${i + 1}`], conditions: { ready: true } }))
    await client.apply({
      apiVersion: 'discovery.k8s.io/v1', kind: 'EndpointSlice', addressType: 'IPv4', endpoints,
      metadata: { name: metadata.name, namespace: NAMESPACE, labels: { 'kubernetes.io/service-name': metadata.name, [LABEL_ROLE]: role } },
    } as KubeObject, { fieldManager: 'bench', force: true })
  }
  const counts = { replicas, updatedReplicas: replicas, readyReplicas: replicas, availableReplicas: replicas }
  await client.patch(ref, { status: { observedGeneration: metadata.generation, ...counts } }, 'merge', { subresource: 'status' })
}

/** Only the test cluster can be told to; elsewhere they work along. Answers how to let them go on. */
function pauseControllers(): () => void {
  if (process.env['CANARYGATE_CLUSTER_DIR'] === undefined) {
    console.log('CANARYGATE_CLUSTER_DIR is not set: the controllers work along')
    return () => {}
  }
  const child = spawn(new URL('../test/cluster/disturb.sh', import.meta.url).pathname, ['pause', 'controllers', '900'], { stdio: ['pipe', 'inherit', 'inherit'] })
  return () => { child.stdin.end() }
}

if (import.meta.main) {
  const [kubeconfig, sizes = '1000', active = '0'] = process.argv.slice(2)
  if (!kubeconfig) throw new Error('usage: bench/scale.ts KUBECONFIG [idle,idle,...] [active]')
  await measureScale(kubeconfig, sizes.split(',').map(Number), Number(active))
}
