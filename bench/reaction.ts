import { performance } from 'node:perf_hooks'
import { canaryName, FLAGGER_API_VERSION, LABEL_REVISION, primaryName } from '#api/names.ts'
import type { KubeObject, ObjectRef, Workload } from '#api/objects.ts'
import type { KubeClient } from '#kube/client.ts'
import { createTarget, inNamespace, phase, phaseOf, quantile, until, watchFor } from './scene.ts'

/**
 * On the real cluster with CanaryGate installed: `bench/reaction.ts KUBECONFIG [changes] [runs]`.
 * Reaction: from "the API server has stored the image change" to "the canary's pods are requested" (its Deployment holds the new revision), beside what one
 * write and its watch event take there. Run time: what a whole run takes beyond `interval x steps` and the starts of its pods.
 */
const TARGETS = 4
const NAMESPACE = 'canarygate-bench'
const LONGEST_RUN_MS = 60_000
const STEPS = { count: 2, intervalSeconds: 5 }

export async function measureReaction(kubeconfig: string, changes: number, runs: number): Promise<void> {
  await inNamespace(kubeconfig, NAMESPACE, async (client) => {
    const names = Array.from({ length: TARGETS }, (_, index) => `app-${index}`)
    for (const name of names) await createTarget(client, NAMESPACE, name, { spec: { skipAnalysis: true } })
    await createTarget(client, NAMESPACE, 'whole', { spec: { analysis: { interval: `${STEPS.intervalSeconds}s`, threshold: 1, stepWeights: [20, 50] } } })
    for (const name of [...names, 'whole']) await atRest(client, name)
    const reactions: number[] = []
    const echoes: number[] = []
    while (reactions.length < changes) {
      for (const name of names.slice(0, changes - reactions.length)) {
        reactions.push(await oneChange(client, name, reactions.length))
        echoes.push(await oneEcho(client, reactions.length))
      }
      for (const name of names) await atRest(client, name)
    }
    report('image change stored -> canary pods requested', reactions)
    report('one write -> its own watch event', echoes)
    console.log(`ratio of the medians: ${(quantile(reactions, 0.5) / quantile(echoes, 0.5)).toFixed(1)}; budget: p99 <= 150 ms`)
    const over: number[] = []
    while (over.length < runs) {
      await atRest(client, 'whole')
      over.push(await oneRun(client, 'whole', over.length))
    }
    report(`a run beyond ${STEPS.count} x ${STEPS.intervalSeconds} s and its pod starts`, over)
    console.log('budget: 1000 ms')
  })
}

/** Nothing is under way, and the last run's pods are gone: pods of another revision would first have to leave the endpoints. */
const atRest = (client: KubeClient, name: string): Promise<void> => until(async () => {
  if (!['Initialized', 'Succeeded'].includes(await phase(client, NAMESPACE, name))) return false
  const canary = await client.get<Workload>({ apiVersion: 'apps/v1', kind: 'Deployment', namespace: NAMESPACE, name: canaryName(name) })
  return (canary?.spec.replicas ?? 0) === 0 && (canary?.status?.replicas ?? 0) === 0
}, `${name} is at rest`, LONGEST_RUN_MS)

const change = (client: KubeClient, name: string, run: number): Promise<KubeObject> => client.patch(
  { apiVersion: 'apps/v1', kind: 'Deployment', namespace: NAMESPACE, name }, { spec: { template: { metadata: { annotations: { 'bench/run': `${run}-${Date.now()}` } } } } }, 'strategic',
)

/** Milliseconds from the answer of the PATCH to the watch event of the canary with the new revision. */
async function oneChange(client: KubeClient, name: string, run: number): Promise<number> {
  const ref: ObjectRef = { apiVersion: 'apps/v1', kind: 'Deployment', namespace: NAMESPACE, name: canaryName(name) }
  const before = (await client.get(ref))?.metadata.labels?.[LABEL_REVISION]
  const seen = watchFor(client, NAMESPACE, 'apps/v1', 'Deployment', (object) => object.metadata.name === canaryName(name) && object.metadata.labels?.[LABEL_REVISION] !== before)
  await seen.opened
  await change(client, name, run)
  const storedAt = performance.now()
  return Math.max(0, (await seen.at) - storedAt)
}

/** The floor on this machine: a write of our own and the event that tells of it. */
async function oneEcho(client: KubeClient, run: number): Promise<number> {
  const seen = watchFor(client, NAMESPACE, 'apps/v1', 'Deployment', (object) => object.metadata.name === 'app-0' && object.metadata.labels?.['bench/echo'] === String(run))
  await seen.opened
  const sentAt = performance.now()
  await client.patch({ apiVersion: 'apps/v1', kind: 'Deployment', namespace: NAMESPACE, name: 'app-0' }, { metadata: { labels: { 'bench/echo': String(run) } } }, 'merge')
  return (await seen.at) - sentAt
}

/** A whole run: the pod starts are those that were seen, from the request for them to the readiness of all. */
async function oneRun(client: KubeClient, name: string, run: number): Promise<number> {
  const startedAt = Date.now()
  const at: { asked: number[]; ready: number[] } = { asked: [], ready: [] }
  const copies = [canaryName(name), primaryName(name)]
  const known = new Map<string, string | undefined>()
  for (const copy of copies) known.set(copy, (await client.get({ apiVersion: 'apps/v1', kind: 'Deployment', namespace: NAMESPACE, name: copy }))?.metadata.labels?.[LABEL_REVISION])
  const isNew = ({ metadata: { name: of, labels } }: KubeObject): boolean => labels?.[LABEL_REVISION] !== known.get(of)
  const watches = copies.map((copy) => ({
    asked: watchFor(client, NAMESPACE, 'apps/v1', 'Deployment', (object) => object.metadata.name === copy && isNew(object)),
    ready: watchFor(client, NAMESPACE, 'apps/v1', 'Deployment', (object) => object.metadata.name === copy && isNew(object) && isWhole(object as Workload)),
  }))
  const done = watchFor(client, NAMESPACE, FLAGGER_API_VERSION, 'Canary', (object) => object.metadata.name === name && phaseOf(object) === 'Succeeded' && isLater(object, startedAt))
  await Promise.all([done, ...watches.flatMap(({ asked, ready }) => [asked, ready])].map(({ opened }) => opened))
  await change(client, name, run)
  const begunAt = performance.now()
  for (const { asked, ready } of watches) {
    at.asked.push(await asked.at)
    at.ready.push(await ready.at)
  }
  const podStarts = at.ready.reduce((sum, readyAt, i) => sum + readyAt - (at.asked[i] ?? readyAt), 0)
  return (await done.at) - begunAt - podStarts - STEPS.count * STEPS.intervalSeconds * 1_000
}

const isWhole = ({ metadata, spec, status = {} }: Workload): boolean =>
  status.observedGeneration === metadata.generation && (spec.replicas ?? 1) > 0 && status.updatedReplicas === spec.replicas && status.availableReplicas === spec.replicas && status.replicas === spec.replicas
const isLater = (canary: KubeObject, than: number): boolean => Date.parse((canary['status'] as { readonly gate?: { readonly changedAt?: string } }).gate?.changedAt ?? '') > than

const report = (what: string, values: readonly number[]): void =>
  console.log(`${what}: p50 ${quantile(values, 0.5).toFixed(1)} ms, p99 ${quantile(values, 0.99).toFixed(1)} ms, max ${Math.max(...values).toFixed(1)} ms (${values.length} times)`)

if (import.meta.main) {
  const [kubeconfig, changes = '40', runs = '5'] = process.argv.slice(2)
  if (!kubeconfig) throw new Error('usage: bench/reaction.ts KUBECONFIG [changes] [runs]')
  await measureReaction(kubeconfig, Number(changes), Number(runs))
}
