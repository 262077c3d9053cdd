import { test } from 'tap'
import { routesTo } from '#api/routes.ts'
import { traefik } from '#traffic/traefik.ts'
import { canaryOf, createCluster, deployment, object, service } from './cluster.ts'

const labels = { app: 'shop' }
const begin = (...routers: readonly ReturnType<typeof object>[]) => createCluster([deployment('shop', labels), service('shop', { ...labels, 'canarygate.dev/role': 'primary' }), ...routers])
const route = (services: readonly unknown[], apiVersion = 'traefik.io/v1alpha1') =>
  object(apiVersion, 'IngressRoute', 'web', { routes: [{ match: 'Host(`a`)', kind: 'Rule', services }] })
const services = (made: unknown): unknown => (made as { spec: { routes: { services: unknown }[] } } | undefined)?.spec.routes[0]?.services

const divisions: readonly { name: string; from: readonly unknown[]; at: number; to: readonly unknown[] }[] = [
  {
    name: 'the apex gives its place and its options to both', from: [{ name: 'shop', port: 'http', scheme: 'h2c' }], at: 10,
    to: [{ name: 'shop-primary', port: 'http', scheme: 'h2c', weight: 90 }, { name: 'shop-canary', port: 'http', scheme: 'h2c', weight: 10 }],
  },
  {
    name: 'beside another Service the shares of both stay', from: [{ name: 'cart', port: 80, weight: 1 }, { name: 'shop', port: 80, weight: 3 }], at: 20,
    to: [{ name: 'cart', port: 80, weight: 100 }, { name: 'shop-primary', port: 80, weight: 240 }, { name: 'shop-canary', port: 80, weight: 60 }],
  },
  {
    name: 'a pair of the user\'s keeps its entries', from: [{ name: 'shop-primary', port: 80, weight: 90 }, { name: 'shop-canary', port: 80, weight: 10 }], at: 25,
    to: [{ name: 'shop-primary', port: 80, weight: 75 }, { name: 'shop-canary', port: 80, weight: 25 }],
  },
  {
    name: 'a primary alone gets the canary beside it', from: [{ name: 'shop-primary', port: 80 }], at: 25,
    to: [{ name: 'shop-primary', port: 80, weight: 75 }, { name: 'shop-canary', port: 80, weight: 25 }],
  },
]
for (const apiVersion of ['traefik.io/v1alpha1', 'traefik.containo.us/v1alpha1']) {
  for (const { name, from, at, to } of divisions) {
    test(`${apiVersion}: ${name}`, async (t) => {
      const cluster = begin(route(from, apiVersion))
      const rendered = traefik.render(canaryOf(), routesTo(at), cluster)
      t.equal(rendered.length, 1)
      t.equal(rendered[0]?.apiVersion, apiVersion)
      t.same(services(rendered[0]), to)
      cluster.apply(rendered)
      t.same(traefik.read(canaryOf(), cluster), routesTo(at))
    })
  }
}

test('an IngressRoute that names the TraefikService gets one, owned, with only the primary at rest', async (t) => {
  const cluster = begin(route([{ name: 'shop', kind: 'TraefikService' }]))
  const canary = canaryOf({ service: { apex: { labels: { team: 'a' } } } })
  const [made, ...others] = traefik.render(canary, routesTo(0), cluster)
  t.same(others, [])
  t.match(made, {
    kind: 'TraefikService', metadata: { name: 'shop', labels: { team: 'a' }, annotations: { 'kustomize.toolkit.fluxcd.io/reconcile': 'disabled' } },
    spec: { weighted: { services: [{ name: 'shop-primary', namespace: 'prod', port: 80, weight: 100 }] } },
  })
  t.equal(made?.metadata.ownerReferences?.[0]?.uid, 'canary-uid')
})

test('what somebody set on our TraefikService stays', async (t) => {
  const cluster = begin()
  cluster.apply(traefik.render(canaryOf(), routesTo(0), cluster))
  const made = cluster.find('TraefikService', 'shop')
  cluster.put({ ...made, spec: { weighted: { sticky: { cookie: {} }, services: [{ name: 'shop-primary', namespace: 'prod', port: 80, weight: 100, serversTransport: 'mtls' }] } } } as never)
  cluster.apply(traefik.render(canaryOf(), routesTo(30), cluster))
  t.match(cluster.find('TraefikService', 'shop')?.['spec'], {
    weighted: { sticky: { cookie: {} }, services: [{ weight: 70, serversTransport: 'mtls' }, { name: 'shop-canary', weight: 30, serversTransport: 'mtls' }] },
  })
})

test('two Canaries on one IngressRoute leave each other\'s split alone', async (t) => {
  const second = { ...canaryOf({ targetRef: { apiVersion: 'apps/v1', kind: 'Deployment', name: 'cart' } }), metadata: { name: 'cart', namespace: 'prod', uid: 'other' } }
  const cluster = begin(route([{ name: 'shop', port: 80 }, { name: 'cart', port: 80 }]))
  cluster.put(deployment('cart', { app: 'cart' }))
  cluster.put(service('cart', { app: 'cart', 'canarygate.dev/role': 'primary' }))
  cluster.apply(traefik.render(canaryOf(), routesTo(10), cluster))
  cluster.apply(traefik.render(second, routesTo(20), cluster))
  t.same(traefik.read(canaryOf(), cluster), routesTo(10))
  t.same(traefik.read(second, cluster), routesTo(20))
  cluster.apply(traefik.render(canaryOf(), routesTo(0), cluster))
  t.same(traefik.read(second, cluster), routesTo(20))
  cluster.apply(traefik.render(second, routesTo(0), cluster))
  t.same(services(cluster.find('IngressRoute', 'web')), [{ name: 'shop', port: 80 }, { name: 'cart', port: 80 }])
})

test('a route that its owner applied again in mid-run is split again, and restored to the new one', async (t) => {
  const cluster = begin(route([{ name: 'shop', port: 80 }]))
  cluster.apply(traefik.render(canaryOf(), routesTo(10), cluster))
  const live = cluster.find('IngressRoute', 'web')
  cluster.put({ ...route([{ name: 'shop', port: 80, weight: 5 }]), metadata: { ...live?.metadata, name: 'web' } })
  t.same(traefik.read(canaryOf(), cluster), routesTo(0))
  cluster.apply(traefik.render(canaryOf(), routesTo(20), cluster))
  t.same(traefik.read(canaryOf(), cluster), routesTo(20))
  cluster.apply(traefik.render(canaryOf(), routesTo(0), cluster))
  t.same(services(cluster.find('IngressRoute', 'web')), [{ name: 'shop', port: 80, weight: 5 }])
})

test('routes that disagree are in no known state, and one render makes them agree', async (t) => {
  const cluster = begin(route([{ name: 'shop', port: 80 }]))
  cluster.apply(traefik.render(canaryOf(), routesTo(10), cluster))
  cluster.put(object('traefik.io/v1alpha1', 'IngressRoute', 'second', { routes: [{ services: [{ name: 'shop', port: 80 }] }] }))
  t.equal(traefik.read(canaryOf(), cluster), undefined)
  cluster.apply(traefik.render(canaryOf(), routesTo(10), cluster))
  t.same(traefik.read(canaryOf(), cluster), routesTo(10))
})
