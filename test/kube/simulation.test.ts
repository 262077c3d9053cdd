import { test } from 'tap'
import type { KubeObject, Workload } from '#api/objects.ts'
import { createFakeKube } from '../fake-kube.ts'
import { createFakeClock } from './fake-clock.ts'

const deployment = (replicas: number, image = 'web:1'): KubeObject => ({
  apiVersion: 'apps/v1', kind: 'Deployment', metadata: { name: 'cart', namespace: 'shop' },
  spec: { replicas, selector: { matchLabels: { app: 'cart' } }, template: { metadata: { labels: { app: 'cart' } }, spec: { containers: [{ name: 'web', image }] } } },
})
const service: KubeObject = { apiVersion: 'v1', kind: 'Service', metadata: { name: 'cart', namespace: 'shop' }, spec: { selector: { app: 'cart' }, ports: [{ name: 'http', port: 80, targetPort: 8080 }] } }
const REF = { apiVersion: 'apps/v1', kind: 'Deployment', namespace: 'shop', name: 'cart' }

function world(readiness?: (image: string) => boolean) {
  const clock = createFakeClock()
  const fake = createFakeKube({ now: clock.now })
  const simulation = fake.simulateWorkloads({ podStartMs: 1_000, clock, ...(readiness ? { readiness: ({ spec }) => readiness(spec.containers[0]?.image ?? '') } : {}) })
  const status = () => fake.object<Workload>('apps/v1', 'Deployment', 'shop/cart')?.status
  const ready = (): number => ((fake.object('discovery.k8s.io/v1', 'EndpointSlice', 'shop/cart-sim')?.['endpoints'] ?? []) as { conditions: { ready: boolean } }[]).filter(({ conditions }) => conditions.ready).length
  const pass = async (ms: number): Promise<void> => {
    await clock.advance(ms)
    simulation.tick()
  }
  return { fake, simulation, status, ready, pass }
}

test('pods of a Deployment become ready after their time, and endpoints of its Service', async (t) => {
  const { fake, status, ready, pass } = world()
  fake.seed(deployment(3), service)
  await pass(0)
  t.match(status(), { observedGeneration: 1, replicas: 3, updatedReplicas: 3, readyReplicas: 0, availableReplicas: 0 })
  t.equal(ready(), 0)
  await pass(1_000)
  t.match(status(), { readyReplicas: 3, availableReplicas: 3, conditions: [{ type: 'Available', status: 'True' }, { type: 'Progressing', reason: 'NewReplicaSetAvailable' }] })
  t.equal(ready(), 3)
})

test('a new template replaces pods without ever having fewer ready ones', async (t) => {
  const { fake, status, ready, pass } = world()
  fake.seed(deployment(2), service)
  await pass(0)
  await pass(1_000)
  fake.edit(REF, () => deployment(2, 'web:2'))
  await pass(0)
  t.match(status(), { observedGeneration: 2, replicas: 4, updatedReplicas: 2, availableReplicas: 2 })
  t.equal(ready(), 2)
  await pass(1_000)
  await pass(0)
  t.match(status(), { replicas: 2, updatedReplicas: 2, availableReplicas: 2 })
  t.ok(fake.objects('v1', 'Pod').every((pod) => JSON.stringify(pod).includes('web:2')))
})

test('a template that never becomes ready keeps the old pods and passes its deadline', async (t) => {
  const { fake, status, pass } = world((image) => image !== 'web:2')
  fake.seed(deployment(1))
  await pass(0)
  await pass(1_000)
  fake.edit(REF, () => deployment(1, 'web:2'))
  await pass(0)
  await pass(601_000)
  t.match(status(), { replicas: 2, availableReplicas: 1, conditions: [{ type: 'Available' }, { type: 'Progressing', status: 'False', reason: 'ProgressDeadlineExceeded' }] })
})

test('a Deployment scaled to nothing, or deleted, leaves nothing behind', async (t) => {
  const { fake, status, ready, pass } = world()
  fake.seed(deployment(2), service)
  await pass(0)
  await pass(1_000)
  fake.edit(REF, () => deployment(0))
  await pass(0)
  t.match(status(), { replicas: 0, readyReplicas: 0 })
  t.equal(ready(), 0)
  fake.remove(REF)
  t.same([fake.objects('apps/v1', 'ReplicaSet'), fake.objects('v1', 'Pod')], [[], []])
})

test('a settled world is not written to', async (t) => {
  const { fake, simulation, pass } = world()
  fake.seed(deployment(2), service)
  await pass(0)
  await pass(1_000)
  await pass(0)
  const versions = (): unknown[] => [...fake.objects('apps/v1', 'Deployment'), ...fake.objects('v1', 'Pod'), ...fake.objects('discovery.k8s.io/v1', 'EndpointSlice')].map(({ metadata }) => metadata.resourceVersion)
  const before = versions()
  simulation.tick()
  t.same(versions(), before)
  t.same(fake.calls, [], 'controllers are not recorded')
})

test('a DaemonSet has a pod on each node, and none where its nodeSelector fits nothing', async (t) => {
  const { fake, pass } = world()
  const daemonSet = (nodeSelector: object): KubeObject => ({ ...deployment(1), kind: 'DaemonSet', spec: { selector: { matchLabels: { app: 'cart' } }, template: { metadata: { labels: { app: 'cart' } }, spec: { containers: [{ name: 'web', image: 'web:1' }], ...nodeSelector } } } })
  fake.seed(daemonSet({}))
  await pass(0)
  await pass(1_000)
  t.match(fake.object('apps/v1', 'DaemonSet', 'shop/cart'), { status: { desiredNumberScheduled: 2, numberReady: 2, updatedNumberScheduled: 2 } })
  fake.edit({ ...REF, kind: 'DaemonSet' }, () => daemonSet({ nodeSelector: { 'flagger.app/scale-to-zero': 'true' } }))
  await pass(0)
  t.match(fake.object('apps/v1', 'DaemonSet', 'shop/cart'), { status: { desiredNumberScheduled: 0, numberReady: 0 } })
  t.same(fake.objects('v1', 'Pod'), [])
})
