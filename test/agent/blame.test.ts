import t from 'tap'
import { canary, cart, ingressRoute, TRAEFIK, worldWith, type World } from './world.ts'

const { test } = t

/** A run behind Traefik, at 20 %, with a good canary. */
async function atTwenty(): Promise<World> {
  const world = await worldWith([...cart({ replicas: 4 }), ingressRoute()])
  world.fake.seed(canary({ spec: { provider: 'traefik' }, analysis: { stepWeights: [20, 40, 60], interval: '10s' } }))
  await world.run()
  world.setImage('cart:2')
  await world.run({ until: () => world.status().canaryWeight === 20 && world.status().gate?.routesAt !== undefined })
  return world
}

const weightOf = (world: World): number | undefined => {
  const [route] = world.fake.objects(TRAEFIK, 'IngressRoute')
  const spec = route?.['spec'] as { readonly routes?: readonly { readonly services: readonly { readonly name: string; readonly weight?: number }[] }[] } | undefined
  return spec?.routes?.[0]?.services.find(({ name }) => name === 'cart-canary')?.weight
}
const blamed = (world: World): number => world.reasons().filter((reason) => reason === 'CanaryRoutesChanged').length

test('a weight that was written and could not be noted is nobody else\'s doing', async (t) => {
  const world = await atTwenty()
  let refused = 0
  world.fake.faults.on(({ verb, kind, subresource }) => {
    if (verb !== 'update' || kind !== 'Canary' || subresource !== 'status' || weightOf(world) !== 40 || refused > 0) return undefined
    refused += 1
    return 'conflict'
  })
  await world.run()
  t.equal(refused, 1)
  t.same([world.status().phase, blamed(world)], ['Succeeded', 0])
})

test('nor is one that an agent wrote before it crashed', async (t) => {
  const world = await atTwenty()
  world.fake.onChange(({ kind }) => { if (kind === 'IngressRoute' && weightOf(world) === 40 && world.starts() === 1) world.crash() })
  await world.run({ until: () => !world.isAlive() })
  t.same([weightOf(world), world.status().canaryWeight], [40, 20], 'the step was not noted')
  await world.run()
  t.same([world.status().phase, blamed(world)], ['Succeeded', 0])
})

test('what a watch brings late is no change, however late', async (t) => {
  const world = await atTwenty()
  const release = world.holdWatch('IngressRoute')
  await world.pass(8_000)
  await world.run({ until: () => world.status().canaryWeight === 40 })
  await world.pass(12_000)
  t.equal(blamed(world), 0)
  release()
  await world.run()
  t.same([world.status().phase, blamed(world)], ['Succeeded', 0])
})

test('what others write is told, also where it is the way the route was before', async (t) => {
  const world = await atTwenty()
  world.edit('IngressRoute', 'cart', () => ingressRoute(), 'kubectl')
  await world.run()
  t.same([world.status().phase, blamed(world)], ['Succeeded', 1])
})
