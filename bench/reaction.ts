import { performance } from 'node:perf_hooks'
import { setTimeout as wait } from 'node:timers/promises'
import { canaryName, FLAGGER_API_VERSION, LABEL_REVISION } from '#api/names.ts'
import type { KubeObject, ObjectRef } from '#api/objects.ts'
import { createKubeClient, type KubeClient } from '#kube/client.ts'
import { loadClusterConfig } from '#kube/config.ts'

/**
 * From "the API server has stored the image change" to "the canary's pods are requested" (its Deployment holds the new revision), on the real
 * cluster with CanaryGate installed, beside what one write and its watch event take there: `bench/reaction.ts KUBECONFIG [runs]`.
 */
const TARGETS = 4
const NAMESPACE = 'canarygate-bench'
const LONGEST_RUN_MS = 60_000

export async function measureReaction(kubeconfig: string, runs: number): Promise<void> {
  const client = createKubeClient(await loadClusterConfig({ kubeconfig, now: () => performance.now() }), {
    userAgent: 'canarygate-bench', qps: 200, burst: 400, now: () => performance.now(), random: Math.random,
  })
  await client.delete({ apiVersion: 'v1', kind: 'Namespace', name: NAMESPACE })
  await until(async () => !(await client.get({ apiVersion: 'v1', kind: 'Namespace', name: NAMESPACE })), 'the old namespace is gone')
  await client.create({ apiVersion: 'v1', kind: 'Namespace', metadata: { name: NAMESPACE } })
  const names = Array.from({ length: TARGETS }, (_, index) => `app-${index}`)
  try {
    for (const name of names) await setUp(client, name)
    for (const name of names) await atRest(client, name)
    const changes: number[] = []
    const echoes: number[] = []
    while (changes.length < runs) {
      for (const name of names.slice(0, runs - changes.length)) {
        changes.push(await oneChange(client, name, changes.length))
        echoes.push(await oneEcho(client, changes.length))
      }
      for (const name of names) await atRest(client, name)
    }
    report('image change stored -> canary pods requested', changes)
    report('one write -> its own watch event', echoes)
    console.log(`ratio of the medians: ${(quantile(changes, 0.5) / quantile(echoes, 0.5)).toFixed(1)}; budget: p99 <= 150 ms`)
  } finally {
    await client.delete({ apiVersion: 'v1', kind: 'Namespace', name: NAMESPACE })
    await client.close()
  }
}

async function setUp(client: KubeClient, name: string): Promise<void> {
  const metadata = { name, namespace: NAMESPACE }
  const labels = { app: name }
  await client.create({
    apiVersion: 'apps/v1', kind: 'Deployment', metadata,
    spec: { replicas: 1, selector: { matchLabels: labels }, template: { metadata: { labels }, spec: { containers: [{ name: 'app', image: 'shop:1.0', imagePullPolicy: 'IfNotPresent', ports: [{ containerPort: 8080 }], resources: { requests: { cpu: '1m' } } }] } } },
  })
  await client.create({ apiVersion: 'v1', kind: 'Service', metadata, spec: { selector: labels, ports: [{ port: 80, targetPort: 8080 }] } })
  await client.create({
    apiVersion: FLAGGER_API_VERSION, kind: 'Canary', metadata,
    spec: { provider: 'kubernetes', targetRef: { apiVersion: 'apps/v1', kind: 'Deployment', name }, service: { port: 80, targetPort: 8080 }, skipAnalysis: true, analysis: { interval: '10s', threshold: 1, stepWeight: 50, maxWeight: 50 } },
  })
}

const atRest = (client: KubeClient, name: string): Promise<void> => until(async () => {
  const canary = await client.get({ apiVersion: FLAGGER_API_VERSION, kind: 'Canary', namespace: NAMESPACE, name })
  const phase = (canary?.['status'] as { readonly phase?: string } | undefined)?.phase
  return phase === 'Initialized' || phase === 'Succeeded'
}, `${name} is at rest`)

/** Milliseconds from the answer of the PATCH to the watch event of the canary with the new revision. */
async function oneChange(client: KubeClient, name: string, run: number): Promise<number> {
  const ref: ObjectRef = { apiVersion: 'apps/v1', kind: 'Deployment', namespace: NAMESPACE, name }
  const before = (await client.get({ ...ref, name: canaryName(name) }))?.metadata.labels?.[LABEL_REVISION]
  const seen = watchFor(client, (object) => object.metadata.name === canaryName(name) && object.metadata.labels?.[LABEL_REVISION] !== before)
  await seen.opened
  await client.patch(ref, { spec: { template: { metadata: { annotations: { 'bench/run': `${run}-${Date.now()}` } } } } }, 'strategic')
  const storedAt = performance.now()
  return Math.max(0, (await seen.at) - storedAt)
}

/** The floor on this machine: a write of our own and the event that tells of it. */
async function oneEcho(client: KubeClient, run: number): Promise<number> {
  const metadata = { name: `echo-${run}`, namespace: NAMESPACE }
  const seen = watchFor(client, (object) => object.metadata.name === 'app-0' && object.metadata.labels?.['bench/echo'] === String(run))
  await seen.opened
  const sentAt = performance.now()
  await client.patch({ apiVersion: 'apps/v1', kind: 'Deployment', namespace: metadata.namespace, name: 'app-0' }, { metadata: { labels: { 'bench/echo': String(run) } } }, 'merge')
  return (await seen.at) - sentAt
}

function watchFor(client: KubeClient, matches: (object: KubeObject) => boolean): { readonly opened: Promise<void>; readonly at: Promise<number> } {
  const stop = new AbortController()
  let isOpen = (): void => {}
  const opened = new Promise<void>((resolve) => { isOpen = resolve })
  const at = (async () => {
    const { resourceVersion } = await client.list('apps/v1', 'Deployment', { namespace: NAMESPACE, limit: 1 })
    const deadline = setTimeout(() => stop.abort(new Error('no event within a minute')), LONGEST_RUN_MS)
    try {
      for await (const event of client.watch('apps/v1', 'Deployment', { namespace: NAMESPACE, resourceVersion, signal: stop.signal, onOpen: isOpen })) {
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

async function until(isSo: () => Promise<boolean>, what: string): Promise<void> {
  const deadline = performance.now() + LONGEST_RUN_MS
  while (!(await isSo())) {
    if (performance.now() > deadline) throw new Error(`not within a minute: ${what}`)
    await wait(100)
  }
}

const quantile = (values: readonly number[], q: number): number => [...values].sort((a, b) => a - b)[Math.min(values.length - 1, Math.floor(q * values.length))] ?? Number.NaN

const report = (what: string, values: readonly number[]): void =>
  console.log(`${what}: p50 ${quantile(values, 0.5).toFixed(1)} ms, p99 ${quantile(values, 0.99).toFixed(1)} ms, max ${Math.max(...values).toFixed(1)} ms (${values.length} runs)`)

if (import.meta.main) {
  const [kubeconfig, runs = '40'] = process.argv.slice(2)
  if (!kubeconfig) throw new Error('usage: bench/reaction.ts KUBECONFIG [runs]')
  await measureReaction(kubeconfig, Number(runs))
}
