import { test } from 'tap'
import { baselineShareFor } from '#api/baseline.ts'
import type { Canary } from '#api/canary.ts'
import type { KubeObject, Service, Workload } from '#api/objects.ts'
import { canaryReplicasFor } from '#api/replica-weights.ts'
import { ALL_TO_PRIMARY, routesTo, type Routes } from '#api/routes.ts'
import { servingOf } from '#api/selectors.ts'
import { TRAFFIC_PROVIDERS } from '#traffic/registry.ts'
import type { TrafficProvider } from '#traffic/provider.ts'
import { canaryOf, createCluster, deployment, object, service, type Cluster } from './cluster.ts'

/** Every listed provider does this; what is one's own stands in its own file. */

const PRIMARY_REPLICAS = 100
const apexOf = (cluster: Cluster) => cluster.find('Service', 'shop') as Service | undefined
const targetOf = (cluster: Cluster) => cluster.find('Deployment', 'shop') as Workload | undefined

const GATEWAY_REFS = [{ name: 'edge', namespace: 'infra' }]

/** The user's own objects: what each router may find when a Canary comes. */
const starts: Record<string, { readonly canary?: Canary; readonly routers: (provider: TrafficProvider) => readonly KubeObject[] }> = {
  'no route of the user\'s': { canary: canaryOf({ service: { gatewayRefs: GATEWAY_REFS } }), routers: () => [] },
  'a route of the user\'s to the apex': {
    routers: ({ name }) => (name === 'traefik' ? [ingressRoute(['shop'])] : name.startsWith('gateway') ? [httpRoute(name, ['shop'])] : []),
  },
  'a route of the user\'s to the apex beside another Service': {
    routers: ({ name }) => (name === 'traefik' ? [ingressRoute(['shop', 'cart'])] : name.startsWith('gateway') ? [httpRoute(name, ['shop', 'cart'])] : []),
  },
  'a route of the user\'s to primary and canary': {
    routers: ({ name }) => (name === 'traefik' ? [ingressRoute(['shop-primary', 'shop-canary'])] : name.startsWith('gateway') ? [httpRoute(name, ['shop-primary', 'shop-canary'])] : []),
  },
}

const ingressRoute = (names: readonly string[]): KubeObject => object('traefik.io/v1alpha1', 'IngressRoute', 'web', {
  entryPoints: ['web'],
  routes: [
    { match: 'PathPrefix(`/cart`)', kind: 'Rule', services: [{ name: 'cart', port: 80 }] },
    { match: 'PathPrefix(`/`)', kind: 'Rule', middlewares: [{ name: 'gzip' }], services: names.map((name) => ({ name, port: 80, passHostHeader: true, ...(name === 'shop' ? {} : { weight: 3 }) })) },
  ],
  tls: { secretName: 'cert' },
})
const backend = (name: string, weight = 1) => ({ group: '', kind: 'Service', name, port: 80, weight })
const httpRoute = (provider: string, names: readonly string[]): KubeObject => object(`gateway.networking.k8s.io/${provider.split(':')[1]}`, 'HTTPRoute', 'web', {
  parentRefs: [{ group: 'gateway.networking.k8s.io', kind: 'Gateway', name: 'edge', namespace: 'infra' }],
  hostnames: ['shop.example.org'],
  rules: [
    { matches: [{ path: { type: 'PathPrefix', value: '/cart' } }], backendRefs: [backend('cart')] },
    {
      matches: [{ path: { type: 'PathPrefix', value: '/' } }], timeouts: { request: '5s' },
      filters: [{ type: 'ExtensionRef', extensionRef: { group: 'example.org', kind: 'Auth', name: 'auth' } }],
      backendRefs: names.map((name) => backend(name, name === 'shop' ? 1 : 3)),
    },
  ],
})

/** The router takes what it was given, and pods follow the weight. */
function accept(cluster: Cluster, weight: number, hasBaseline = false): void {
  const { replicas } = canaryReplicasFor(weight, PRIMARY_REPLICAS, hasBaseline)
  for (const [name, readyReplicas] of [['shop-primary', PRIMARY_REPLICAS], ['shop-canary', replicas]] as const) {
    cluster.put({ ...cluster.find('Deployment', name) as Workload, status: { readyReplicas } })
  }
  if (hasBaseline) cluster.put({ ...cluster.find('Deployment', 'shop-baseline') as Workload, status: { readyReplicas: replicas } })
  for (const version of ['v1', 'v1beta1']) {
    for (const route of cluster.list(`gateway.networking.k8s.io/${version}`, 'HTTPRoute', 'prod')) {
      const { parentRefs } = route['spec'] as { readonly parentRefs: readonly unknown[] }
      const conditions = [{ type: 'Accepted', status: 'True', observedGeneration: route.metadata.generation }]
      cluster.put({ ...route, status: { parents: parentRefs.map((parentRef) => ({ parentRef, conditions })) } })
    }
  }
}

const BASELINE: KubeObject = {
  ...deployment('shop-baseline', { app: 'shop', 'canarygate.dev/role': 'baseline' }),
  metadata: { name: 'shop-baseline', namespace: 'prod', labels: { 'canarygate.dev/role': 'baseline' } },
}
const withBaseline = (canary: Canary): Canary => ({ ...canary, spec: { ...canary.spec, gate: { baseline: {} } } })

const labels = { app: 'shop' }
function begin(routers: readonly KubeObject[]): Cluster {
  return createCluster([
    deployment('shop', labels), deployment('shop-primary', { ...labels, 'canarygate.dev/role': 'primary' }),
    deployment('shop-canary', { ...labels, 'canarygate.dev/role': 'canary' }),
    { ...service('shop', { ...labels, 'canarygate.dev/role': 'primary' }), metadata: { name: 'shop', namespace: 'prod', annotations: { theirs: 'yes' } } },
    ...routers,
  ])
}

/** What a provider must read back for an asked weight: whole pods are coarser than a router. */
const expected = (provider: TrafficProvider, weight: number): Routes =>
  routesTo(provider.name === 'kubernetes' ? Math.round(canaryReplicasFor(weight, PRIMARY_REPLICAS).effectiveWeight) : weight)

for (const provider of TRAFFIC_PROVIDERS) {
  for (const [start, { canary = canaryOf(), routers }] of Object.entries(starts)) {
    const set = (cluster: Cluster, routes: Routes): void => {
      cluster.apply(provider.render(canary, routes, cluster))
      accept(cluster, routes.canary)
    }

    test(`${provider.name}, ${start}: what is rendered and accepted reads back, and a second render changes nothing`, async (t) => {
      const cluster = begin(routers(provider))
      for (const weight of [...Array.from({ length: 101 }, (_, index) => index), 37, 0]) {
        set(cluster, routesTo(weight))
        const read = provider.read(canary, cluster)
        t.same(read, expected(provider, weight), `weight ${weight}`)
        t.equal((read?.primary ?? 0) + (read?.canary ?? 0), 100)
        t.same(provider.render(canary, routesTo(weight), cluster), [], `nothing to write at ${weight}`)
      }
    })

    test(`${provider.name}, ${start}: foreign fields survive`, async (t) => {
      const cluster = begin(routers(provider))
      const before = routers(provider).flatMap(({ kind, metadata }) => structuredClone(cluster.find(kind, metadata.name)) ?? [])
      set(cluster, routesTo(30))
      for (const route of before) {
        const now = cluster.find(route.kind, route.metadata.name)
        const { routes: _, rules: __, ...spec } = route['spec'] as Record<string, unknown>
        t.match(now?.['spec'], spec)
        t.match(JSON.stringify(now), /gzip|ExtensionRef/)
        t.same(JSON.stringify(now?.['spec']).split('"cart"').length, JSON.stringify(route['spec']).split('"cart"').length)
      }
      const apex = apexOf(cluster)
      t.same(apex?.spec.ports, [{ name: 'http', port: 80, targetPort: 8080, protocol: 'TCP' }])
      t.same(apex?.metadata.annotations, { theirs: 'yes' })
      if (!start.includes('primary and canary')) {
        set(cluster, ALL_TO_PRIMARY)
        for (const route of before) t.same(cluster.find(route.kind, route.metadata.name)?.['spec'], route['spec'], 'at rest as its owner wrote it')
      }
    })

    test(`${provider.name}, ${start}: released, requests go to the apex, whatever becomes of the Canary`, async (t) => {
      for (const weight of [0, 30, 100]) {
        const cluster = begin(routers(provider))
        set(cluster, routesTo(weight))
        cluster.apply(provider.release(canary, cluster))
        t.same(provider.release(canary, cluster), [], 'once')
        if (provider.name === 'kubernetes') {
          t.equal(servingOf(apexOf(cluster), targetOf(cluster)), 'target')
          t.same(apexOf(cluster)?.spec.selector, labels)
          continue
        }
        const routes = provider.watches.flatMap(({ apiVersion, kind }) => cluster.list(apiVersion, kind, 'prod'))
        t.ok(routes.length > 0)
        for (const route of routes) {
          t.notMatch(JSON.stringify(route['spec']), /shop-(primary|canary)/)
          t.match(JSON.stringify(route['spec']), /"shop"/)
          t.same(route.metadata.ownerReferences ?? [], [])
          t.notMatch(JSON.stringify(route.metadata), /split/)
        }
      }
    })

    test(`${provider.name}, ${start}: a baseline has its share out of the primary's, and leaves nothing behind`, async (t) => {
      const asked = withBaseline(canary)
      const cluster = begin([...routers(provider), BASELINE])
      const before = routers(provider).flatMap(({ kind, metadata }) => structuredClone(cluster.find(kind, metadata.name)) ?? [])
      for (const weight of [10, 11, 33, 50, 90, 100, 1, 0]) {
        const routes = routesTo(weight, baselineShareFor(weight))
        cluster.apply(provider.render(asked, routes, cluster))
        accept(cluster, weight, true)
        const { replicas } = canaryReplicasFor(weight, PRIMARY_REPLICAS, true)
        const share = Math.round((100 * replicas) / (PRIMARY_REPLICAS + 2 * replicas))
        t.same(provider.read(asked, cluster), provider.name === 'kubernetes' && weight < 100 ? routesTo(share, share) : routes, `weight ${weight}`)
        t.same(provider.render(asked, routes, cluster), [], `nothing to write at ${weight}`)
      }
      if (!start.includes('primary and canary')) for (const route of before) t.same(cluster.find(route.kind, route.metadata.name)?.['spec'], route['spec'], 'at rest as its owner wrote it')
      cluster.apply(provider.render(asked, routesTo(20, 20), cluster))
      cluster.apply(provider.release(asked, cluster))
      for (const { apiVersion, kind } of provider.watches) for (const route of cluster.list(apiVersion, kind, 'prod')) t.notMatch(JSON.stringify(route['spec']), /"name":"shop-baseline"/)
    })

    test(`${provider.name}, ${start}: a Canary that asks for no baseline any more still takes it off its routes`, async (t) => {
      const cluster = begin(routers(provider))
      cluster.apply(provider.render(withBaseline(canary), routesTo(20, 20), cluster))
      accept(cluster, 20)
      const routes = routesTo(20)
      cluster.apply(provider.render({ ...canary, status: { gate: { routesFor: '80/20+baseline20' } } }, routes, cluster))
      accept(cluster, 20)
      t.same(provider.read(canary, cluster), expected(provider, 20))
      t.same(provider.render(canary, routes, cluster), [])
    })
  }

  test(`${provider.name}: nothing there reads as nothing`, async (t) => {
    const cluster = createCluster()
    t.equal(provider.read(canaryOf(), cluster), undefined)
    t.doesNotThrow(() => provider.render(canaryOf(), ALL_TO_PRIMARY, cluster))
    t.doesNotThrow(() => provider.release(canaryOf(), cluster))
  })

  test(`${provider.name}: while the target's own pods serve, nothing is in force yet`, async (t) => {
    const { routers } = starts['a route of the user\'s to the apex'] ?? { routers: () => [] }
    const cluster = begin(routers(provider))
    cluster.put(service('shop', labels))
    accept(cluster, 0)
    t.equal(provider.read(canaryOf(), cluster), undefined)
  })
}
