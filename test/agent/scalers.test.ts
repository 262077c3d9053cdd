import t from 'tap'
import { ANNOTATION_REPLICAS } from '#api/names.ts'
import type { KubeObject } from '#api/objects.ts'
import { canary, cart, gatedNamespace, ingressRoute, NAMESPACE, worldWith, type World } from './world.ts'

const { test } = t
const HPA = ['autoscaling/v2', 'HorizontalPodAutoscaler'] as const
const KEDA = ['keda.sh/v1alpha1', 'ScaledObject'] as const
const PAUSED = 'autoscaling.keda.sh/paused-replicas'

const hpa = (spec: object = {}): KubeObject => ({
  apiVersion: HPA[0], kind: HPA[1], metadata: { name: 'cart', namespace: NAMESPACE },
  spec: { scaleTargetRef: { apiVersion: 'apps/v1', kind: 'Deployment', name: 'cart' }, minReplicas: 2, maxReplicas: 4, behavior: { scaleDown: { stabilizationWindowSeconds: 60 } }, ...spec },
})
const byHpa = { autoscalerRef: { apiVersion: HPA[0], kind: HPA[1], name: 'cart' } } as const
const scaledObject: KubeObject = {
  apiVersion: KEDA[0], kind: KEDA[1], metadata: { name: 'cart-so', namespace: NAMESPACE },
  spec: { scaleTargetRef: { name: 'cart' }, minReplicaCount: 2, maxReplicaCount: 5, triggers: [{ type: 'prometheus', name: 'rps', metadata: { query: 'sum(requests{deployment="cart"})' } }] },
}
const byKeda = { autoscalerRef: { apiVersion: KEDA[0], kind: KEDA[1], name: 'cart-so' } } as const

const scaler = (world: World, [apiVersion, kind]: readonly [string, string], name: string): KubeObject | undefined => world.fake.object(apiVersion, kind, `${NAMESPACE}/${name}`)
const editScaler = (world: World, [apiVersion, kind]: readonly [string, string], name: string, change: object): void =>
  world.fake.edit({ apiVersion, kind, namespace: NAMESPACE, name }, (object) => ({ ...object, spec: { ...(object['spec'] as object), ...change } }))
/** What an autoscaler does. */
const scale = (world: World, name: string, replicas: number): void => world.edit('Deployment', name, (object) => ({ ...object, spec: { ...object.spec, replicas } }), 'autoscaler')
const withKeda = async (spec: object = {}): Promise<World> => {
  const world = await worldWith(cart())
  world.fake.serve(KEDA[0], KEDA[1])
  world.fake.seed(scaledObject, { apiVersion: 'apiextensions.k8s.io/v1', kind: 'CustomResourceDefinition', metadata: { name: 'scaledobjects.keda.sh' }, spec: { group: 'keda.sh' } })
  await world.pass(30_000)
  world.fake.seed(canary({ spec: { provider: 'traefik', ...byKeda, ...spec } }))
  await world.run()
  return world
}

test('an HPA: the primary and the canary get one each, and edits reach them without an analysis', async (t) => {
  const world = await worldWith([...cart(), hpa(), canary({ spec: { provider: 'traefik', ...byHpa } })])
  t.match(scaler(world, HPA, 'cart-primary'), { metadata: { ownerReferences: [{ kind: 'Canary' }] }, spec: { scaleTargetRef: { name: 'cart-primary' }, minReplicas: 2, maxReplicas: 4 } })
  t.match(scaler(world, HPA, 'cart-canary'), { spec: { scaleTargetRef: { name: 'cart-canary' } } })
  editScaler(world, HPA, 'cart', { maxReplicas: 9, behavior: undefined })
  world.edit('Canary', 'cart', (object) => ({ ...object, spec: { ...object.spec, autoscalerRef: { ...byHpa.autoscalerRef, primaryScalerReplicas: { minReplicas: 3 } } } }))
  await world.run()
  t.same(scaler(world, HPA, 'cart-primary')?.['spec'], { scaleTargetRef: { apiVersion: 'apps/v1', kind: 'Deployment', name: 'cart-primary' }, minReplicas: 3, maxReplicas: 9 })
  t.match(scaler(world, HPA, 'cart-canary')?.['spec'], { minReplicas: 2, maxReplicas: 9 })
  t.equal(world.status().phase, 'Initialized')
})

test('the counts of an HPA are not fought over, and a new canary is as big as the primary is now', async (t) => {
  const world = await worldWith([...cart(), hpa(), canary({ spec: { provider: 'traefik', ...byHpa } })])
  scale(world, 'cart-primary', 4)
  await world.run()
  t.equal(world.workload('cart-primary')?.spec.replicas, 4)
  world.setImage('cart:2')
  await world.run({ until: () => world.status().canaryWeight === 50 })
  t.equal(world.workload('cart-canary')?.spec.replicas, 4)
  scale(world, 'cart-canary', 3)
  await world.run({ until: () => world.status().phase === 'Promoting' })
  t.equal(world.workload('cart-canary')?.spec.replicas, 3)
  await world.run()
  t.equal(world.status().phase, 'Succeeded')
  t.equal(world.workload('cart-primary')?.spec.replicas, 4)
  t.equal(world.workload('cart-canary')?.spec.replicas, 0)
})

test('where pods are the weight the canary has no autoscaler, and follows what the primary has', async (t) => {
  const world = await worldWith([...cart(), hpa(), canary({ spec: { provider: 'kubernetes', ...byHpa } })])
  t.ok(scaler(world, HPA, 'cart-primary'))
  t.notOk(scaler(world, HPA, 'cart-canary'))
  scale(world, 'cart-primary', 4)
  await world.run()
  world.setImage('cart:2')
  await world.run({ until: () => world.status().canaryWeight === 50 })
  t.equal(world.workload('cart-canary')?.spec.replicas, 4)
  t.equal(world.workload('cart-primary')?.spec.replicas, 4)
})

test('an HPA that goes, or is not referred to any more, takes those of the roles along and leaves the counts', async (t) => {
  const world = await worldWith([...cart(), hpa(), canary({ spec: { provider: 'traefik', ...byHpa } })])
  scale(world, 'cart-primary', 4)
  await world.run()
  world.fake.remove({ apiVersion: HPA[0], kind: HPA[1], namespace: NAMESPACE, name: 'cart' })
  await world.run()
  t.same(world.fake.objects(...HPA), [])
  t.equal(world.workload('cart-primary')?.spec.replicas, 4)
  t.match(world.events().join(), /CanaryScalerMissing: spec.autoscalerRef: HorizontalPodAutoscaler shop\/cart not found/)
  world.fake.seed(hpa())
  await world.run()
  t.ok(scaler(world, HPA, 'cart-primary'))
  world.edit('Canary', 'cart', (object) => {
    const { autoscalerRef: _, ...spec } = object.spec
    return { ...object, spec }
  })
  await world.run()
  t.same(world.fake.objects(...HPA).map(({ metadata }) => metadata.name), ['cart'])
})

test('an HPA that a person\'s Canary does not name is told, once, with what to add', async (t) => {
  const world = await worldWith([...cart(), hpa(), canary({ spec: { provider: 'traefik' } })])
  await world.run()
  const told = () => world.events().filter((event) => event.includes('CanaryScalerMissing'))
  t.match(told(), [/HorizontalPodAutoscaler shop\/cart scales cart, which has no pods, and spec.autoscalerRef does not name it: .* add {apiVersion: autoscaling\/v2, kind: HorizontalPodAutoscaler, name: cart}/])
  t.same(world.fake.objects(...HPA).map(({ metadata }) => metadata.name), ['cart'], 'it is not taken without being named')
  world.edit('Canary', 'cart', (object) => ({ ...object, spec: { ...object.spec, ...byHpa } }))
  await world.run()
  t.ok(scaler(world, HPA, 'cart-primary'))
  t.equal(told().length, 1)
})

test('the deletion of a Canary gives the target what the primary has now, and leaves the count to the user\'s HPA', async (t) => {
  const world = await worldWith([...cart(), hpa(), canary({ spec: { provider: 'traefik', ...byHpa } })])
  scale(world, 'cart-primary', 4)
  await world.run()
  world.fake.remove({ apiVersion: 'flagger.app/v1beta1', kind: 'Canary', namespace: NAMESPACE, name: 'cart' })
  await world.run({ until: () => world.target().spec.replicas === 4 })
  scale(world, 'cart', 3)
  await world.run()
  t.equal(world.target().spec.replicas, 3)
  t.same(world.fake.objects(...HPA).map(({ metadata }) => metadata.name), ['cart'])
})

test('KEDA: queries ask about the role, the user\'s own is paused at 0, the canary\'s runs only while it is needed', async (t) => {
  const world = await withKeda()
  t.equal(world.status().phase, 'Initialized')
  t.match(scaler(world, KEDA, 'cart-so-primary'), { spec: { scaleTargetRef: { name: 'cart-primary' }, triggers: [{ metadata: { query: 'sum(requests{deployment="cart-primary"})' } }] } })
  t.match(scaler(world, KEDA, 'cart-so'), { metadata: { annotations: { [PAUSED]: '0' } } })
  t.match(scaler(world, KEDA, 'cart-so-canary'), { metadata: { annotations: { [PAUSED]: '0' } } })
  world.setImage('cart:2')
  await world.run({ until: () => world.status().canaryWeight === 50 })
  t.equal(scaler(world, KEDA, 'cart-so-canary')?.metadata.annotations?.[PAUSED], undefined)
  t.match(scaler(world, KEDA, 'cart-so'), { metadata: { annotations: { [PAUSED]: '0' } } })
  await world.run()
  t.equal(world.status().phase, 'Succeeded')
  t.match(scaler(world, KEDA, 'cart-so-canary'), { metadata: { annotations: { [PAUSED]: '0' } } })
})

test('KEDA: the target\'s own goes on while the target serves: before adoption, and after deletion', async (t) => {
  const world = await worldWith(cart())
  world.fake.serve(KEDA[0], KEDA[1])
  const paused: string[] = []
  world.fake.seed(scaledObject, { apiVersion: 'apiextensions.k8s.io/v1', kind: 'CustomResourceDefinition', metadata: { name: 'scaledobjects.keda.sh' }, spec: { group: 'keda.sh' } })
  await world.pass(30_000)
  world.fake.onChange((object) => {
    if (object.metadata.name === 'cart-so' && object.kind === KEDA[1] && object.metadata.annotations?.[PAUSED] !== undefined) paused.push(JSON.stringify(world.service('cart').spec.selector))
  })
  world.fake.seed(canary({ spec: { provider: 'traefik', ...byKeda } }))
  await world.run()
  t.equal(paused[0], '{"app":"cart","canarygate.dev/role":"primary"}', 'paused only when the primary serves')
  world.fake.remove({ apiVersion: 'flagger.app/v1beta1', kind: 'Canary', namespace: NAMESPACE, name: 'cart' })
  await world.run()
  t.equal(scaler(world, KEDA, 'cart-so')?.metadata.annotations?.[PAUSED], undefined)
  t.equal(world.target().spec.replicas, 2)
})

test('KEDA: given queries win', async (t) => {
  const world = await withKeda({ autoscalerRef: { ...byKeda.autoscalerRef, primaryScalerQueries: { rps: 'up' } } })
  t.match(scaler(world, KEDA, 'cart-so-primary')?.['spec'], { triggers: [{ metadata: { query: 'up' } }] })
})

test('a gated target\'s HPA is written into its Canary, also when it comes later', async (t) => {
  const gated = await worldWith([gatedNamespace(), ...cart(), ingressRoute(), hpa()])
  gated.holdImage('cart:2')
  await gated.run()
  t.match(gated.canary().spec, { autoscalerRef: { kind: HPA[1], name: 'cart' }, gate: { generated: true } })
  const later = await worldWith([gatedNamespace(), ...cart(), ingressRoute()])
  later.holdImage('cart:2')
  await later.run()
  t.notOk(later.canary().spec.autoscalerRef)
  later.fake.seed(hpa())
  await later.run()
  t.match(later.canary().spec, { autoscalerRef: { kind: HPA[1], name: 'cart' } })
  t.ok(scaler(later, HPA, 'cart-primary'))
  t.ok(later.reasons().includes('CanaryScalerFound'))
})

test('a status that an HPA writes every few seconds wakes nobody', async (t) => {
  const world = await worldWith([...cart(), hpa(), canary({ spec: { provider: 'traefik', ...byHpa } })])
  await world.pass(20_000)
  world.fake.clearCalls()
  world.fake.edit({ apiVersion: HPA[0], kind: HPA[1], namespace: NAMESPACE, name: 'cart' }, (object) => ({ ...object, status: { currentReplicas: 3 } }))
  await world.run()
  t.same(world.fake.calls.filter(({ verb }) => verb !== 'watch'), [])
  t.equal(world.target().metadata.annotations?.[ANNOTATION_REPLICAS], '2')
})
