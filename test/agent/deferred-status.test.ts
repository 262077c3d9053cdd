import t from 'tap'
import { controller, GATEWAY, HTTP_ROUTE, rulesOf } from './gateway.ts'
import { canary, cart, NAMESPACE, worldWith, type World } from './world.ts'

const { test } = t

const INTERVAL_MS = 10_000
const isAsked = (world: World, weight: number) => (): boolean => canaryWeight(world) === weight

async function inMidRun(afterMs: number): Promise<World> {
  const world = await worldWith([...cart({ replicas: 4 }), HTTP_ROUTE])
  controller(world, undefined, afterMs)
  world.fake.seed(canary({ spec: { provider: 'gatewayapi:v1' }, analysis: { stepWeights: [20, 40], interval: `${INTERVAL_MS / 1_000}s` } }))
  await world.run({ until: () => world.status().phase === 'Initialized' })
  await world.run()
  world.setImage('cart:2')
  await world.run({ until: isAsked(world, 20) })
  return world
}

/** Percent of requests that the route sends to the canary. */
function canaryWeight(world: World): number {
  const [rule] = rulesOf(world.fake.object(GATEWAY, 'HTTPRoute', `${NAMESPACE}/cart`))
  return rule?.backendRefs.find(({ name }) => name === 'cart-canary')?.weight ?? 0
}
const statusWrites = (world: World) => world.fake.writes().filter(({ kind, subresource }) => kind === 'Canary' && subresource === 'status')
const routed = (world: World) => world.status().conditions?.find(({ type }) => type === 'Routed')

test('a Gateway that takes a step after 1.5 s: one status tells that it was asked for and is in force', async (t) => {
  const world = await inMidRun(1_500)
  world.fake.clearCalls()
  await world.pass(1_400)
  t.equal(world.events().at(-1), 'CanaryAdvanced: Advance cart.shop canary weight 20', 'it is told at once')
  t.same(statusWrites(world), [])
  await world.pass(200)
  t.equal(statusWrites(world).length, 1)
  t.match(world.status(), { canaryWeight: 20 })
  t.match(routed(world), { status: 'True', reason: 'InForce' })
  await world.run()
  t.equal(world.status().phase, 'Succeeded')
})

test('a Gateway that takes longer: the status says after 2.5 s what was asked for', async (t) => {
  const world = await inMidRun(5_000)
  await world.pass(2_400)
  t.match(world.status(), { canaryWeight: 0 })
  await world.pass(200)
  t.match(world.status(), { canaryWeight: 20 })
  t.match(routed(world), { status: 'Unknown', reason: 'Asked' })
  await world.run()
  t.equal(world.status().phase, 'Succeeded')
})

test('a step that waits to be told does not hold up the way back', async (t) => {
  const world = await inMidRun(1_500)
  world.setImage('cart:1')
  await world.run({ until: isAsked(world, 0), limitMs: 200 })
  await world.run()
  t.match(world.status(), { phase: 'Failed', canaryWeight: 0 })
  t.match(world.events().at(-1), /^CanaryAborted: .* the stable revision was requested again/)
})

test('an agent that dies with a step untold: the next one decides it again, and nobody is blamed', async (t) => {
  const world = await inMidRun(1_500)
  await world.pass(500)
  world.crash()
  await world.run({ until: () => world.status().canaryWeight === 20, limitMs: INTERVAL_MS })
  await world.run()
  t.equal(world.status().phase, 'Succeeded')
  t.equal(canaryWeight(world), 0)
  t.notOk(world.reasons().includes('CanaryRoutesChanged'), world.events().join('\n'))
})
