import t from 'tap'
import type { KubeObject } from '#api/objects.ts'
import { canary, cart, imageOf, ingressRoute, NAMESPACE, TRAEFIK, worldWith, type World } from './world.ts'

const { test } = t
const asked = { gate: { baseline: {} } } as const
const backends = (world: World): unknown => {
  const route = world.fake.object(TRAEFIK, 'IngressRoute', `${NAMESPACE}/cart`) as KubeObject & { readonly spec: { readonly routes: readonly { readonly services: readonly { readonly name: string; readonly weight?: number }[] }[] } }
  return route.spec.routes.flatMap(({ services }) => services.map(({ name, weight }) => `${name} ${weight ?? ''}`.trim()))
}
const toWeight = async (world: World, weight: number): Promise<void> => {
  world.setImage('cart:2')
  await world.run({ until: () => world.status().canaryWeight === weight && world.status().gate?.routesAt !== undefined })
}

test('a run has fresh pods of the stable revision beside its canary, with the same share, and none afterwards', async (t) => {
  const world = await worldWith([...cart(), ingressRoute(), canary({ spec: { provider: 'traefik', ...asked }, analysis: { stepWeights: [20, 50] } })])
  t.equal(world.workload('cart-baseline'), undefined, 'none at rest')
  await toWeight(world, 20)
  const baseline = world.workload('cart-baseline')
  t.equal(imageOf(baseline), 'cart:1')
  t.match(baseline, {
    metadata: { labels: { 'canarygate.dev/role': 'baseline' }, ownerReferences: [{ kind: 'Canary' }] },
    spec: { replicas: 2, selector: { matchLabels: { app: 'cart', 'canarygate.dev/role': 'baseline' } }, template: { metadata: { labels: { app: 'cart' } } } },
  })
  t.equal(imageOf(world.workload('cart-canary')), 'cart:2')
  t.strictSame(backends(world), ['cart-primary 60', 'cart-baseline 20', 'cart-canary 20'])
  t.equal(world.readyBehind('cart-primary').length, 2, 'the primary is whole without it')
  t.equal(world.readyBehind('cart-baseline').length, 2)
  await world.run()
  t.equal(world.status().phase, 'Succeeded')
  t.equal(imageOf(world.workload('cart-primary')), 'cart:2')
  t.equal(world.workload('cart-baseline')?.spec.replicas, 0)
  t.strictSame(backends(world), ['cart'])
})

test('without a router it stands in the same Service, as many pods as the canary', async (t) => {
  const world = await worldWith([...cart({ replicas: 4 }), canary({ spec: { provider: 'kubernetes', ...asked }, analysis: { stepWeights: [16] } })])
  await toWeight(world, 16)
  t.equal(world.workload('cart-canary')?.spec.replicas, 1)
  t.equal(world.workload('cart-baseline')?.spec.replicas, 1)
  t.equal(world.readyBehind('cart').length, 6)
  await world.run()
  t.equal(world.workload('cart-baseline')?.spec.replicas, 0)
  t.equal(world.readyBehind('cart').length, 4)
})

test('the next revision gets fresh ones', async (t) => {
  const world = await worldWith([...cart(), canary({ spec: { provider: 'traefik', ...asked }, analysis: { interval: '5m' } })])
  await toWeight(world, 50)
  const first = world.readyBehind('cart-baseline').map(({ metadata }) => metadata.name)
  world.setImage('cart:3')
  await world.run({ until: () => world.status().canaryWeight === 50 && imageOf(world.workload('cart-canary')) === 'cart:3' })
  const second = world.readyBehind('cart-baseline').map(({ metadata }) => metadata.name)
  t.equal(second.length, 2)
  t.notOk(second.some((name) => first.includes(name)), 'none is left of those beside the revision before')
  t.equal(imageOf(world.workload('cart-baseline')), 'cart:1')
})

test('somebody\'s own workload of that name is not touched, and the way out is said', async (t) => {
  const theirs = cart({ name: 'cart-baseline', image: 'theirs:1' })
  const world = await worldWith([...cart(), ...theirs, canary({ spec: { provider: 'traefik', ...asked } })])
  world.setImage('cart:2')
  await world.run({ until: () => world.events().some((text) => text.includes('spec.gate.baseline')) })
  t.equal(imageOf(world.workload('cart-baseline')), 'theirs:1')
  t.match(world.service('cart-baseline').spec.selector, { app: 'cart-baseline' })
  t.match(world.events().join('\n'), /is not CanaryGate's, and the baseline needs its name: rename it, or remove spec\.gate\.baseline/)
  t.equal(world.status().canaryWeight, 0)
})
