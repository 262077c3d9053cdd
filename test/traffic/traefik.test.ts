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

type RuleMade = { readonly match?: string; readonly priority?: number; readonly services?: readonly unknown[] }
const rules = (made: unknown): readonly RuleMade[] => (made as { spec: { routes: readonly RuleMade[] } } | undefined)?.spec.routes ?? []
const TEST = canaryOf({ analysis: { iterations: 5, match: [{ headers: { 'x-ring': { exact: 'inner' } } }, { headers: { cookie: { prefix: 'ring=a.' } }, queryParams: { q: { exact: '1' } } }] } })
const CONDITION = '(Header(`x-ring`, `inner`)) || (HeaderRegexp(`cookie`, `^ring=a\\.`) && Query(`q`, `1`))'
const TO_CANARY = [{ name: 'shop-primary', port: 80, weight: 0 }, { name: 'shop-canary', port: 80, weight: 100 }]

const tests: readonly { name: string; from: readonly unknown[]; chosen: readonly unknown[] }[] = [
  { name: 'the apex', from: [{ name: 'shop', port: 80 }], chosen: TO_CANARY },
  { name: 'the apex beside another Service', from: [{ name: 'cart', port: 80 }, { name: 'shop', port: 80 }], chosen: [{ name: 'cart', port: 80, weight: 100 }, ...TO_CANARY] },
  { name: 'our TraefikService', from: [{ name: 'shop', kind: 'TraefikService' }], chosen: TO_CANARY.map((each) => ({ ...each, port: 80 })) },
  { name: 'the owner\'s own pair', from: [{ name: 'shop-primary', port: 80, weight: 100 }, { name: 'shop-canary', port: 80, weight: 0 }], chosen: TO_CANARY },
]
for (const { name, from, chosen } of tests) {
  test(`an A/B test on an IngressRoute that names ${name}: only the chosen reach the canary, and it ends without a trace`, async (t) => {
    const cluster = begin(object('traefik.io/v1alpha1', 'IngressRoute', 'web', {
      routes: [{ match: 'Host(`a`)', kind: 'Rule', middlewares: [{ name: 'gzip' }], services: from }, { match: 'Host(`b`)', kind: 'Rule', services: [{ name: 'cart', port: 80 }] }],
    }))
    cluster.apply(traefik.render(TEST, routesTo(0), cluster))
    const rest = structuredClone(cluster.find('IngressRoute', 'web')?.['spec'])
    t.same(traefik.read(TEST, cluster), routesTo(0))
    cluster.apply(traefik.render(TEST, routesTo(100), cluster))
    const [first, base, other] = rules(cluster.find('IngressRoute', 'web'))
    t.match(first, { match: `(Host(\`a\`)) && (${CONDITION})`, middlewares: [{ name: 'gzip' }] })
    t.ok((first?.priority ?? 0) > 'Host(`a`)'.length, 'it comes first')
    t.same(first?.services, chosen)
    t.same(base?.services, from, 'everybody else stays where they were')
    t.same(other?.services, [{ name: 'cart', port: 80 }])
    t.same(traefik.read(TEST, cluster), routesTo(100))
    t.same(traefik.render(TEST, routesTo(100), cluster), [], 'once')
    cluster.apply(traefik.render(TEST, routesTo(0), cluster))
    t.same(cluster.find('IngressRoute', 'web')?.['spec'], rest)
    cluster.apply(traefik.render(TEST, routesTo(100), cluster))
    cluster.apply(traefik.release(TEST, cluster))
    t.equal(rules(cluster.find('IngressRoute', 'web')).length, 2, 'a Canary deleted in mid-test takes its rules along')
    t.notMatch(JSON.stringify(cluster.find('IngressRoute', 'web')), /split|shop-(primary|canary)/)
  })
}

test('an A/B test whose condition somebody widened is not in force, and is written anew', async (t) => {
  const cluster = begin(route([{ name: 'shop', port: 80 }]))
  cluster.apply(traefik.render(TEST, routesTo(100), cluster))
  const live = cluster.find('IngressRoute', 'web')
  cluster.put({ ...live, spec: { routes: rules(live).map((rule, index) => (index === 0 ? { ...rule, match: 'Host(`a`)' } : rule)) } } as never)
  t.equal(traefik.read(TEST, cluster), undefined)
  cluster.apply(traefik.render(TEST, routesTo(100), cluster))
  t.same(traefik.read(TEST, cluster), routesTo(100))
})

test('a rule of higher priority keeps its requests, also where the chosen ones would now be its equals', async (t) => {
  const cluster = begin(object('traefik.io/v1alpha1', 'IngressRoute', 'web', {
    routes: [{ match: 'Host(`a`)', priority: 1, services: [{ name: 'shop', port: 80 }] }, { match: 'PathPrefix(`/pay`)', priority: 2, services: [{ name: 'pay', port: 80 }] }],
  }))
  cluster.apply(traefik.render(TEST, routesTo(100), cluster))
  t.match(rules(cluster.find('IngressRoute', 'web'))[0], { priority: 2, match: `(Host(\`a\`)) && (${CONDITION}) && !(PathPrefix(\`/pay\`))` })
})

test('Traefik 2 is spoken to in its own words', async (t) => {
  const cluster = begin(route([{ name: 'shop', port: 80 }], 'traefik.containo.us/v1alpha1'))
  const canary = canaryOf({ analysis: { iterations: 5, match: [{ headers: { a: { suffix: 'z' } }, queryParams: { q: { exact: '`1' } } }] } })
  t.match(rules(traefik.render(canary, routesTo(100), cluster)[0])[0]?.match, '(Host(`a`)) && (HeadersRegexp(`a`, `z$`) && Query("q=`1"))')
})

test('a condition that Traefik cannot say chooses nobody, rather than everybody', async (t) => {
  const cluster = begin(route([{ name: 'shop', port: 80 }]))
  const canary = canaryOf({ analysis: { iterations: 5, match: [{ sourceLabels: { app: 'x' } }] } })
  t.same(traefik.render(canary, routesTo(100), cluster), [])
  t.same(traefik.read(canary, cluster), routesTo(0))
})

test('a rule of the owner\'s that leads to the canary alone splits nothing, and stays', async (t) => {
  const preview = { match: 'Host(`preview`)', services: [{ name: 'shop-canary', port: 80 }] }
  const cluster = begin(object('traefik.io/v1alpha1', 'IngressRoute', 'web', { routes: [preview, { match: 'Host(`a`)', services: [{ name: 'shop', port: 80 }] }] }))
  for (const canary of [canaryOf(), TEST]) {
    for (const weight of [canary === TEST ? 100 : 30, 0]) {
      cluster.apply(traefik.render(canary, routesTo(weight), cluster))
      t.same(traefik.read(canary, cluster), routesTo(weight))
      t.same(rules(cluster.find('IngressRoute', 'web'))[0], preview)
    }
  }
})

const MIRRORING = { primary: 100, canary: 0, mirror: true }
const mirrorTo = (weight?: number) => ({ kind: 'TraefikService', name: 'shop-mirror', namespace: 'prod', ...(weight === undefined ? {} : { weight }) })
for (const { name, from, to } of [
  { name: 'an IngressRoute', from: route([{ kind: 'Service', name: 'shop', port: 80 }]), to: [mirrorTo(), { kind: 'Service', name: 'shop', port: 80, weight: 0 }] },
  {
    name: 'an IngressRoute with another Service', from: route([{ name: 'cart', port: 80, weight: 2 }, { name: 'shop', port: 80, weight: 3 }]),
    to: [{ name: 'cart', port: 80, weight: 2 }, mirrorTo(3), { name: 'shop', port: 80, weight: 0 }],
  },
] as const) {
  test(`mirroring on ${name}: the canary gets copies, the primary answers, and it ends without a trace`, async (t) => {
    const cluster = begin(from)
    const canary = canaryOf({ analysis: { mirror: true, mirrorWeight: 40 } })
    const rendered = traefik.render(canary, MIRRORING, cluster)
    t.same(rendered.map(({ kind, metadata }) => `${kind} ${metadata.name}`), ['TraefikService shop-mirror', 'IngressRoute web'], 'first what is referred to')
    cluster.apply(rendered)
    t.match(cluster.find('TraefikService', 'shop-mirror'), {
      metadata: { ownerReferences: [{ uid: 'canary-uid' }] },
      spec: { mirroring: { name: 'shop-primary', port: 80, mirrors: [{ name: 'shop-canary', port: 80, percent: 40 }] } },
    })
    t.same(services(cluster.find('IngressRoute', 'web')), to)
    t.same(traefik.read(canary, cluster), MIRRORING)
    t.same(traefik.render(canary, MIRRORING, cluster), [])
    cluster.apply(traefik.render(canary, routesTo(10), cluster))
    t.same(traefik.read(canary, cluster), routesTo(10))
    cluster.apply(traefik.render(canary, routesTo(0), cluster))
    t.same(cluster.find('IngressRoute', 'web')?.['spec'], from['spec'])
    cluster.apply(traefik.render(canary, MIRRORING, cluster))
    cluster.apply(traefik.release(canary, cluster))
    t.notMatch(JSON.stringify(cluster.find('IngressRoute', 'web')?.['spec']), /mirror/)
  })
}

test('mirroring by our own TraefikService keeps what others set on it', async (t) => {
  const cluster = begin(route([{ name: 'shop', kind: 'TraefikService' }]))
  const canary = canaryOf({ analysis: { mirror: true } })
  cluster.apply(traefik.render(canary, routesTo(0), cluster))
  const rest = structuredClone(cluster.find('TraefikService', 'shop')?.['spec'])
  cluster.apply(traefik.render(canary, MIRRORING, cluster))
  t.same((cluster.find('TraefikService', 'shop') as { spec?: { weighted: { services: unknown } } } | undefined)?.spec?.weighted.services, [
    mirrorTo(100), { name: 'shop-primary', namespace: 'prod', port: 80, weight: 0 },
  ])
  t.same(traefik.read(canary, cluster), MIRRORING)
  cluster.apply(traefik.render(canary, routesTo(0), cluster))
  t.same(cluster.find('TraefikService', 'shop')?.['spec'], rest)
})
