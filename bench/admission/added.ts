import { performance } from 'node:perf_hooks'
import { FLAGGER_API_VERSION } from '#api/names.ts'
import type { Workload } from '#api/objects.ts'
import { createKubeClient, type KubeClient } from '#kube/client.ts'
import { loadClusterConfig } from '#kube/config.ts'

/**
 * What the webhook adds to an update, seen by whoever sends it: `bench/admission/added.ts KUBECONFIG [rounds]`, on a cluster with CanaryGate
 * installed. Each round sends one rehearsed change of every kind in turn, over one connection, so that the API server's own time is in all of them:
 * the same image change where no webhook is asked (an excluded namespace), where it passes, and where it is held; and a change of a label.
 */
const NAMESPACE = 'canarygate-bench-added'
/** No webhook of CanaryGate's is asked about it. */
const EXCLUDED = 'kube-public'
const NAME = 'canarygate-bench-added'
const ADOPTED_WITHIN_MS = 60_000
const BUDGET_P50_MS = 3
const BUDGET_P99_MS = 10

type Arm = { readonly name: string; readonly ref: { readonly namespace: string; readonly name: string }; patch(round: number): object; readonly isHeld: boolean }
const image = (round: number): object => ({ spec: { template: { spec: { containers: [{ name: 'app', image: `shop:1.0-${round}` }] } } } })
const ARMS: readonly [Arm, ...Arm[]] = [
  { name: 'image, no webhook asked', ref: { namespace: EXCLUDED, name: NAME }, patch: image, isHeld: false },
  { name: 'image, asked and passed', ref: { namespace: NAMESPACE, name: 'free' }, patch: image, isHeld: false },
  { name: 'image, asked and held', ref: { namespace: NAMESPACE, name: 'gated' }, patch: image, isHeld: true },
  { name: 'label, not asked', ref: { namespace: NAMESPACE, name: 'gated' }, patch: (round) => ({ metadata: { labels: { round: String(round) } } }), isHeld: false },
]

async function measure(kubeconfig: string, rounds: number): Promise<boolean> {
  const client = createKubeClient(await loadClusterConfig({ kubeconfig, now: () => performance.now() }), {
    userAgent: 'canarygate-bench', qps: 1_000, burst: 1_000, now: () => performance.now(), random: Math.random,
  })
  const times = ARMS.map((): number[] => [])
  try {
    await setUp(client)
    for (let round = 0; round < rounds; round += 1) {
      for (const [index, arm] of ARMS.entries()) {
        const startedAt = performance.now()
        const answer = await client.patch<Workload>({ apiVersion: 'apps/v1', kind: 'Deployment', ...arm.ref }, arm.patch(round), 'strategic', { dryRun: true })
        times[index]?.push(performance.now() - startedAt)
        const isHeld = answer.metadata.annotations?.['canarygate.dev/gate'] === 'pending'
        if (arm.isHeld && !isHeld) throw new Error(`${arm.name}: it was not held`)
      }
    }
  } finally {
    await client.delete({ apiVersion: 'apps/v1', kind: 'Deployment', namespace: EXCLUDED, name: NAME })
    await client.delete({ apiVersion: FLAGGER_API_VERSION, kind: 'Canary', namespace: NAMESPACE, name: 'gated' })
    await until(async () => !(await client.get({ apiVersion: FLAGGER_API_VERSION, kind: 'Canary', namespace: NAMESPACE, name: 'gated' })), 'the Canary is gone')
    await client.delete({ apiVersion: 'v1', kind: 'Namespace', name: NAMESPACE })
    await until(async () => !(await client.get({ apiVersion: 'v1', kind: 'Namespace', name: NAMESPACE })), 'the namespace is gone')
    await client.close()
  }
  return report(times)
}

async function setUp(client: KubeClient): Promise<void> {
  await client.create({ apiVersion: 'v1', kind: 'Namespace', metadata: { name: NAMESPACE } })
  for (const [namespace, name, replicas] of [[EXCLUDED, NAME, 0], [NAMESPACE, 'free', 0], [NAMESPACE, 'gated', 1]] as const) {
    const labels = { app: name }
    await client.create({
      apiVersion: 'apps/v1', kind: 'Deployment', metadata: { namespace, name },
      spec: { replicas, selector: { matchLabels: labels }, template: { metadata: { labels }, spec: { containers: [{ name: 'app', image: 'shop:1.0', imagePullPolicy: 'IfNotPresent' }] } } },
    })
  }
  await client.create({
    apiVersion: FLAGGER_API_VERSION, kind: 'Canary', metadata: { namespace: NAMESPACE, name: 'gated' },
    spec: { provider: 'kubernetes', targetRef: { apiVersion: 'apps/v1', kind: 'Deployment', name: 'gated' }, service: { port: 80 }, analysis: { interval: '30s', threshold: 1, stepWeight: 50, maxWeight: 50 } },
  })
  await until(async () => (await client.get<Workload>({ apiVersion: 'apps/v1', kind: 'Deployment', namespace: NAMESPACE, name: 'gated' }))?.metadata.annotations?.['canarygate.dev/replicas'] !== undefined, 'the target is adopted')
}

async function until(holds: () => Promise<boolean>, what: string): Promise<void> {
  const endAt = performance.now() + ADOPTED_WITHIN_MS
  while (!(await holds())) {
    if (performance.now() > endAt) throw new Error(`waited ${ADOPTED_WITHIN_MS} ms in vain until ${what}`)
    await new Promise((resolve) => { setTimeout(resolve, 100) })
  }
}

const quantile = (values: readonly number[], share: number): number => values.toSorted((a, b) => a - b)[Math.min(values.length - 1, Math.floor(values.length * share))] ?? Number.NaN

function report(times: readonly (readonly number[])[]): boolean {
  const [base = []] = times
  for (const [index, { name }] of ARMS.entries()) {
    const own = times[index] ?? []
    const added = (share: number): string => `${(quantile(own, share) - quantile(base, share) >= 0 ? '+' : '')}${(quantile(own, share) - quantile(base, share)).toFixed(2)}`
    console.log(`${name.padEnd(24)} p50 ${quantile(own, 0.5).toFixed(2)} ms (${added(0.5)})  p99 ${quantile(own, 0.99).toFixed(2)} ms (${added(0.99)})  of ${own.length}`)
  }
  const held = times[2] ?? []
  const [p50, p99] = [quantile(held, 0.5) - quantile(base, 0.5), quantile(held, 0.99) - quantile(base, 0.99)]
  if (p50 <= BUDGET_P50_MS && p99 <= BUDGET_P99_MS) return true
  console.log(`budget missed: a held change costs ${p50.toFixed(1)} ms more in the median and ${p99.toFixed(1)} ms at p99; ${BUDGET_P50_MS} and ${BUDGET_P99_MS} are allowed`)
  return false
}

const [kubeconfig, rounds = '300'] = process.argv.slice(2)
if (!kubeconfig) {
  console.error('usage: node bench/admission/added.ts KUBECONFIG [rounds]')
  process.exitCode = 2
} else if (!(await measure(kubeconfig, Number(rounds)))) process.exitCode = 1
