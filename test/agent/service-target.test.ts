import t from 'tap'
import type { KubeObject, Service } from '#api/objects.ts'
import { canary, cart, createWorld, ingressRoute, NAMESPACE, TRAEFIK, type World } from './world.ts'

const { test } = t
const targetRef = { apiVersion: 'v1', kind: 'Service', name: 'cart' } as const

/** Two shops of the user's own, and the Service `cart` that names the one which serves. */
async function adopted(analysis: object = {}, apiVersion = 'v1'): Promise<World> {
  const world = createWorld()
  const [blue, green] = ['blue', 'green'].map((name) => cart({ name, image: `cart:${name}` })[0]) as [KubeObject, KubeObject]
  const service: KubeObject = {
    apiVersion: 'v1', kind: 'Service', metadata: { name: 'cart', namespace: NAMESPACE, labels: { team: 'green' } },
    spec: { type: 'NodePort', clusterIP: '10.0.0.7', selector: { app: 'blue' }, ports: [{ name: 'http', port: 80, targetPort: 8080, nodePort: 30_080 }, { name: 'admin', port: 81, targetPort: 8081 }] },
  }
  world.fake.seed(blue, green, service, ingressRoute())
  await world.run()
  world.fake.seed(canary({ spec: { provider: 'traefik', targetRef: { ...targetRef, apiVersion } }, analysis }))
  await world.start()
  await world.run()
  return world
}

const services = (world: World) => (world.fake.object(TRAEFIK, 'IngressRoute', `${NAMESPACE}/cart`)?.['spec'] as { readonly routes: readonly [{ readonly services: readonly object[] }] } | undefined)?.routes[0].services ?? []
const point = (world: World, app: string): void => world.edit('Service', 'cart', (object) => ({ ...object, spec: { ...object.spec, selector: { app } } }), 'kubectl')
const selectorOf = (world: World, name: string): unknown => world.service(name).spec.selector

test('a Service as target: its copies are routed to, at rest to the primary\'s, and itself is left alone', async (t) => {
  const world = await adopted()
  t.equal(world.status().phase, 'Initialized')
  t.same(selectorOf(world, 'cart-primary'), { app: 'blue' })
  t.match(world.service('cart-primary').spec, { type: 'ClusterIP', ports: [{ name: 'http', port: 80 }, { name: 'admin', port: 81 }] })
  t.notMatch(world.service('cart-primary').spec, { ports: [{ nodePort: 30_080 }] })
  t.match(services(world), [{ name: 'cart-primary' }])
  point(world, 'green')
  await world.run({ until: () => world.status().canaryWeight === 50 })
  t.match(services(world), [{ name: 'cart-primary', weight: 50 }, { name: 'cart-canary', weight: 50 }])
  t.same([selectorOf(world, 'cart-primary'), selectorOf(world, 'cart-canary')], [{ app: 'blue' }, { app: 'green' }])
  await world.run()
  t.equal(world.status().phase, 'Succeeded')
  t.same(selectorOf(world, 'cart-primary'), { app: 'green' })
  t.match(services(world), [{ name: 'cart-primary' }])
  t.same(world.service('cart').metadata, { ...world.service('cart').metadata, labels: { team: 'green' } })
  t.same(world.fake.writes().filter(({ kind, name }) => kind === 'Service' && name === 'cart'), [], 'nobody has written the user\'s own')
})

test('a Service that is worse is rolled back, and put back it is what serves', async (t) => {
  const world = await adopted({ threshold: 1, metrics: [{ name: 'request-success-rate', interval: '1m', thresholdRange: { min: 99 } }] })
  world.edit('Canary', 'cart', (object) => ({ ...object, spec: { ...object.spec, metricsServer: 'http://prometheus.test' } }))
  world.metrics.prometheus = () => 10
  point(world, 'green')
  await world.run()
  t.equal(world.status().phase, 'Failed')
  t.match(services(world), [{ name: 'cart-primary' }])
  t.same(selectorOf(world, 'cart-primary'), { app: 'blue' })
  point(world, 'blue')
  await world.run()
  t.same(world.reasons().filter((reason) => reason === 'CanaryStarted').length, 1)
})

test('deleted, its routes are as they were written, and the copies go', async (t) => {
  const world = await adopted()
  world.fake.remove({ apiVersion: 'flagger.app/v1beta1', kind: 'Canary', namespace: NAMESPACE, name: 'cart' })
  await world.run()
  t.same(services(world), [{ name: 'cart', port: 80 }])
  t.same(world.fake.objects<Service>('v1', 'Service', NAMESPACE).map(({ metadata }) => metadata.name), ['cart'])
})

test('at rest nothing is asked and nothing written', async (t) => {
  const world = await adopted()
  await world.pass(30_000)
  world.fake.clearCalls()
  await world.pass(120_000)
  world.edit('Service', 'cart', (object) => ({ ...object, metadata: { ...object.metadata, annotations: { note: 'x' } } }), 'kubectl')
  await world.run()
  t.same(world.fake.calls.filter(({ verb }) => verb !== 'watch'), [])
})

test('its apiVersion may say anything, as with Flagger', async (t) => {
  const world = await adopted({}, 'core/v1')
  t.match(services(world), [{ name: 'cart-primary' }])
})

test('an A/B test chooses among the requests to a Service', async (t) => {
  const world = await adopted({ stepWeights: undefined, iterations: 2, match: [{ headers: { 'x-user': { exact: 'insider' } } }] })
  point(world, 'green')
  await world.run({ until: () => (world.status().iterations ?? 0) > 0 })
  t.match(world.fake.object(TRAEFIK, 'IngressRoute', `${NAMESPACE}/cart`)?.['spec'], { routes: [
    { match: '(Host(`cart.test`)) && (Header(`x-user`, `insider`))', services: [{ name: 'cart-primary', weight: 0 }, { name: 'cart-canary', weight: 100 }] },
    { services: [{ name: 'cart-primary' }] },
  ] })
  await world.run()
  t.equal(world.status().phase, 'Succeeded')
  t.match(services(world), [{ name: 'cart-primary' }])
})
