import { test } from 'tap'
import type { KubeObject } from '#api/objects.ts'
import { controller, GATEWAY, HTTP_ROUTE } from './gateway.ts'
import { canary, cart, ingressRoute, NAMESPACE, TRAEFIK, worldWith, type World } from './world.ts'

/** Routes that are edited, deleted, refused or impossible: what comes of the run, what is told, and what the conditions say. */

const key = `${NAMESPACE}/cart`
const condition = (world: World, type: string) => world.status().conditions?.find((each) => each.type === type)
const isAt = (world: World, weight: number) => (): boolean => world.status().canaryWeight === weight && condition(world, 'Routed')?.status === 'True'
const told = (world: World, reason: string): readonly string[] => world.events().filter((text) => text.startsWith(`${reason}:`))
const remove = (world: World, apiVersion: string, kind: string) => world.fake.remove({ apiVersion, kind, namespace: NAMESPACE, name: 'cart' })

const STEPS = { analysis: { stepWeights: [20, 50] } }

async function inMidRun(world: World): Promise<void> {
  world.setImage('cart:2')
  await world.run({ until: isAt(world, 20) })
}

const routers: readonly { name: string; objects: readonly KubeObject[]; provider: 'traefik'; change: (world: World) => void }[] = [
  { name: 'our TraefikService is deleted', objects: [], provider: 'traefik', change: (world) => remove(world, TRAEFIK, 'TraefikService') },
  {
    name: 'our TraefikService is edited', objects: [], provider: 'traefik',
    change: (world) => world.edit('TraefikService', 'cart', (service) => ({ ...service, spec: { weighted: { services: [{ name: 'cart-canary', port: 80, weight: 100 }] } } })),
  },
  {
    name: 'the owner applies the IngressRoute anew', objects: [ingressRoute()], provider: 'traefik',
    change: (world) => world.edit('IngressRoute', 'cart', (route) => ({ ...route, spec: ingressRoute()['spec'] })),
  },
]
for (const { name, objects, provider, change } of routers) {
  test(`${name} in mid-run: told, put back, and the run goes on`, async (t) => {
    const world = await worldWith([...cart(), ...objects, canary({ spec: { provider }, ...STEPS })])
    await inMidRun(world)
    t.match(condition(world, 'Routed'), { status: 'True', reason: 'InForce', message: /^primary 80 %, canary 20 %/ })
    change(world)
    await world.run({ until: () => told(world, 'CanaryRoutesChanged').length > 0 })
    await world.run({ until: isAt(world, 20) })
    await world.run()
    t.equal(world.status().phase, 'Succeeded')
    t.equal(told(world, 'CanaryRoutesChanged').length, 1, world.events().join('\n'))
    t.match(condition(world, 'Routed'), { status: 'True', message: /^primary 100 %, canary 0 %/ })
    t.notOk(told(world, 'CanaryRoutesNotInForce').length)
  })
}

test('an IngressRoute deleted in mid-run: the condition says that nothing leads here, and one that comes back is split again', async (t) => {
  const world = await worldWith([...cart(), ingressRoute(), canary({ spec: { provider: 'traefik' }, analysis: { stepWeights: [20, 50], interval: '60s' } })])
  await inMidRun(world)
  remove(world, TRAEFIK, 'IngressRoute')
  await world.run({ until: () => /no IngressRoute/.test(condition(world, 'Routed')?.message ?? '') })
  t.match(told(world, 'CanaryRoutesChanged'), [/they are gone, or the router does not take them \(no IngressRoute of namespace shop leads to Service cart/])
  world.fake.seed(ingressRoute())
  await world.run({ until: isAt(world, 20) })
  t.match(world.fake.object(TRAEFIK, 'IngressRoute', key), { spec: { routes: [{ services: [{ name: 'cart-primary', weight: 80 }, { name: 'cart-canary', weight: 20 }] }] } })
  await world.run()
  t.equal(world.status().phase, 'Succeeded')
  t.notMatch(condition(world, 'Routed')?.message, /no IngressRoute/)
  t.same(world.fake.object(TRAEFIK, 'IngressRoute', key)?.['spec'], ingressRoute()['spec'])
})

test('a Gateway that refuses the route holds the adoption, says why in its own words, and is waited for', async (t) => {
  const world = await worldWith([...cart(), HTTP_ROUTE, canary({ spec: { provider: 'gatewayapi:v1' } })])
  const edge = controller(world, 'NotAllowedByListeners')
  await world.pass(15_000)
  t.equal(world.status().phase, 'Initializing')
  t.match(condition(world, 'Routed'), { status: 'False', reason: 'NotInForce', message: /HTTPRoute cart at Gateway edge: NotAllowedByListeners/ })
  t.match(told(world, 'CanaryRoutesNotInForce').at(-1), /NotAllowedByListeners/)
  t.ok(world.target().spec.replicas, 'the target keeps serving')
  edge.accept()
  await world.run()
  t.equal(world.status().phase, 'Initialized')
  t.match(condition(world, 'Routed'), { status: 'True' })
})

for (const { features, mirrored } of [{ features: ['HTTPRouteRequestMirror'], mirrored: true }, { features: ['HTTPRouteResponseHeaderModification'], mirrored: false }]) {
  test(`a GatewayClass with ${features.join()}: ${mirrored ? 'requests are mirrored' : 'nothing is mirrored, as it would answer 500, and the run is held with the reason'}`, async (t) => {
    const gateways = [
      { apiVersion: GATEWAY, kind: 'Gateway', metadata: { name: 'edge', namespace: NAMESPACE }, spec: { gatewayClassName: 'edge' } },
      { apiVersion: GATEWAY, kind: 'GatewayClass', metadata: { name: 'edge' }, status: { supportedFeatures: features.map((name) => ({ name })) } },
    ]
    const world = await worldWith([...cart(), ...gateways, HTTP_ROUTE, canary({ spec: { provider: 'gatewayapi:v1' }, analysis: { stepWeights: [50], mirror: true } })])
    controller(world)
    await world.run()
    world.setImage('cart:2')
    await world.pass(6_000)
    const rules = JSON.stringify(world.fake.object(GATEWAY, 'HTTPRoute', key)?.['spec'])
    t.equal(/RequestMirror/.test(rules), mirrored)
    await world.pass(60_000)
    t.equal(world.status().phase, mirrored ? 'Succeeded' : 'Progressing')
    if (!mirrored) t.match(condition(world, 'Routed'), { status: 'False', message: /GatewayClass edge does not list HTTPRouteRequestMirror: a rule that mirrors would answer 500/ })
  })
}

for (const provider of ['kubernetes', 'traefik'] as const) {
  test(`${provider}: the Service is deleted in mid-run: it is made again, and the run goes on`, async (t) => {
    const world = await worldWith([...cart(), canary({ spec: { provider }, ...STEPS })])
    world.setImage('cart:2')
    await world.run({ until: () => world.status().canaryWeight === 20 })
    remove(world, 'v1', 'Service')
    await world.run({ until: () => world.fake.object('v1', 'Service', key) !== undefined, limitMs: 20_000 })
    await world.run()
    t.equal(world.status().phase, 'Succeeded', world.events().join('\n'))
    t.ok(world.readyBehind('cart').length > 0, 'and it serves')
    if (provider === 'kubernetes') t.match(told(world, 'CanaryRoutesChanged'), [/there is no Service cart/])
  })
}

test('on plain Kubernetes status, condition and an event say what whole pods make of a weight', async (t) => {
  const world = await worldWith([...cart(), canary({ spec: { provider: 'kubernetes' }, ...STEPS })])
  await inMidRun(world)
  t.equal(condition(world, 'Routed')?.message, 'primary 80 %, canary 20 %; served by 1 canary pod as 33 %')
  t.match(world.status(), { canaryWeight: 20, gate: { effectiveWeight: 33 } })
  t.same([world.readyBehind('cart').length, world.readyBehind('cart-canary').length], [3, 1], 'as it is')
  t.same(told(world, 'CanaryWeightsRounded'), ['CanaryWeightsRounded: Weights of cart.shop are shares of whole pods: 20 % is served as 33 %; for others use more replicas, or a provider with a router'])
  world.edit('Deployment', 'cart', (target) => ({ ...target, metadata: { ...target.metadata, annotations: { ...target.metadata.annotations, 'canarygate.dev/replicas': '4' } } }))
  await world.run({ until: () => world.status().gate?.effectiveWeight !== 33 })
  t.equal(world.status().gate?.effectiveWeight, undefined, 'four pods and one are 20 %')
  await world.run()
  t.match(world.status(), { phase: 'Succeeded', gate: { effectiveWeight: undefined } })
  t.equal(told(world, 'CanaryWeightsRounded').length, 1, 'once in a run')
})

test('behind a router a weight is what it says', async (t) => {
  const world = await worldWith([...cart(), canary({ spec: { provider: 'traefik' }, ...STEPS })])
  await inMidRun(world)
  t.equal(world.status().gate?.effectiveWeight, undefined)
  t.same(told(world, 'CanaryWeightsRounded'), [])
})

test('the CRD of the router is missing: the target keeps serving, event and condition say what is missing, and once it is there it goes on', async (t) => {
  const world = await worldWith([...cart()])
  const lift = world.fake.faults.on((call) => (call.kind === 'TraefikService' && !['list', 'watch'].includes(call.verb) ? '404' : undefined))
  world.fake.seed(canary({ spec: { provider: 'traefik' } }))
  await world.pass(30_000)
  t.equal(world.status().phase, 'Initializing')
  t.match(condition(world, 'Reconciled'), { status: 'False', reason: 'NotFound', message: 'injected 404' })
  t.equal(told(world, 'CanaryNotReconciled').length, 1, 'once')
  t.ok(world.target().spec.replicas)
  lift()
  await world.run()
  t.equal(world.status().phase, 'Initialized')
  t.equal(condition(world, 'Reconciled'), undefined, 'over')
})

test('Flagger\'s condition comes first, whatever stands beside it', async (t) => {
  const world = await worldWith([...cart(), canary({ spec: { provider: 'traefik' } })])
  t.match(world.status().conditions, [{ type: 'Promoted', status: 'True' }, { type: 'Routed', status: 'True' }])
})
