import { test } from 'tap'
import type { Canary } from '#api/canary.ts'
import type { KubeObject } from '#api/objects.ts'
import { ALL_TO_PRIMARY, routesTo, type Routes } from '#api/routes.ts'
import { unsayableMatches } from '#traffic/gateway-match.ts'
import { gatewayApiV1, gatewayApiV1Beta1 } from '#traffic/gatewayapi.ts'
import { canaryOf, createCluster, deployment, object, service, type Cluster } from './cluster.ts'

const labels = { app: 'shop' }
const parent = { group: 'gateway.networking.k8s.io', kind: 'Gateway', name: 'edge' }
const begin = (...routes: readonly KubeObject[]) => createCluster([deployment('shop', labels), service('shop', { ...labels, 'canarygate.dev/role': 'primary' }), ...routes])
const backend = (name: string, weight: number) => ({ group: '', kind: 'Service', name, port: 80, weight })
const pathMatch = { path: { type: 'PathPrefix', value: '/' } }
type Rule = { readonly matches: readonly unknown[]; readonly filters?: readonly unknown[]; readonly backendRefs: readonly unknown[]; readonly timeouts?: unknown }
const rulesOf = (made: KubeObject | undefined) => (made?.['spec'] as { readonly rules: readonly Rule[] } | undefined)?.rules ?? []
const own = (service_: Partial<NonNullable<Canary['spec']['service']>> = {}, analysis: Partial<Canary['spec']['analysis']> = {}): Canary =>
  canaryOf({ service: { gatewayRefs: [{ name: 'edge' }], ...service_ }, analysis })
const renderOwn = (canary: Canary, routes: Routes) => rulesOf(gatewayApiV1.render(canary, routes, begin())[0])

function accept(cluster: Cluster, name: string, generation?: number, status = 'True'): void {
  const route = cluster.find('HTTPRoute', name)
  if (!route) return
  const conditions = [{ type: 'Accepted', status, observedGeneration: generation ?? route.metadata.generation }]
  cluster.put({ ...route, status: { parents: [{ parentRef: parent, conditions }] } })
}

test('an HTTPRoute of our own says what the Canary\'s service says', async (t) => {
  const canary = own({
    hosts: ['shop.example.org'], timeout: '15s', backendTimeout: '5s', rewrite: { uri: '/v2', authority: 'inner', type: 'ReplacePrefixMatch' },
    headers: { request: { add: { a: 'b' }, remove: ['c'] }, response: { set: { d: 'e' } } }, mirror: [{ backendRef: { name: 'audit', port: 80 } }],
    corsPolicy: { allowOrigin: ['https://a'], allowMethods: ['GET'], maxAge: '24h' } as never,
    match: [{ uri: { exact: '/x' }, method: { exact: 'GET' }, headers: { ring: { regex: '^in' } }, queryParams: { q: { exact: '1' } } }],
  })
  const [route] = gatewayApiV1.render(canary, routesTo(30), begin())
  t.match(route, { apiVersion: 'gateway.networking.k8s.io/v1', metadata: { name: 'shop' }, spec: { parentRefs: [parent], hostnames: ['shop.example.org'] } })
  t.same(rulesOf(route), [{
    matches: [{
      path: { type: 'Exact', value: '/x' }, method: 'GET', headers: [{ type: 'RegularExpression', name: 'ring', value: '^in' }], queryParams: [{ type: 'Exact', name: 'q', value: '1' }],
    }],
    filters: [
      { type: 'RequestHeaderModifier', requestHeaderModifier: { add: [{ name: 'a', value: 'b' }], remove: ['c'] } },
      { type: 'ResponseHeaderModifier', responseHeaderModifier: { set: [{ name: 'd', value: 'e' }] } },
      { type: 'URLRewrite', urlRewrite: { hostname: 'inner', path: { type: 'ReplacePrefixMatch', replacePrefixMatch: '/v2' } } },
      { type: 'RequestMirror', requestMirror: { backendRef: { group: '', kind: 'Service', name: 'audit', port: 80 } } },
      { type: 'CORS', cors: { allowOrigins: ['https://a'], allowMethods: ['GET'], maxAge: 86_400 } },
    ],
    backendRefs: [backend('shop-primary', 70), backend('shop-canary', 30)],
    timeouts: { request: '15s', backendRequest: '5s' },
  }])
  t.notOk('timeouts' in (rulesOf(gatewayApiV1Beta1.render(canary, routesTo(30), begin())[0])[0] ?? {}))
})

const test2 = { iterations: 5, match: [{ headers: { 'X-Ring': { exact: 'inner' } } }, { headers: { cookie: { prefix: 'ring=a.' } } }] }

test('an A/B test chooses by match, before the rule for everybody', async (t) => {
  const rules = renderOwn(own({ match: [{ uri: { prefix: '/' }, headers: { 'x-ring': { exact: 'outer' }, other: { exact: '1' } } }] }, test2), routesTo(100))
  t.same(rules.map(({ matches, backendRefs }) => ({ matches, backendRefs })), [
    {
      matches: [
        { ...pathMatch, headers: [{ type: 'Exact', name: 'X-Ring', value: 'inner' }, { type: 'Exact', name: 'other', value: '1' }] },
        { ...pathMatch, headers: [{ type: 'RegularExpression', name: 'cookie', value: String.raw`^ring=a\..*` }, { type: 'Exact', name: 'x-ring', value: 'outer' }, { type: 'Exact', name: 'other', value: '1' }] },
      ],
      backendRefs: [backend('shop-primary', 0), backend('shop-canary', 100)],
    },
    { matches: [{ ...pathMatch, headers: [{ type: 'Exact', name: 'x-ring', value: 'outer' }, { type: 'Exact', name: 'other', value: '1' }] }], backendRefs: [backend('shop-primary', 100)] },
  ])
})

test('a condition that an HTTPRoute cannot say chooses nobody, rather than everybody', async (t) => {
  const canary = own({}, { iterations: 5, match: [{ sourceLabels: { app: 'x' } }] })
  t.same(renderOwn(canary, routesTo(100)).map(({ backendRefs }) => backendRefs), [[backend('shop-primary', 100)]])
  t.equal(unsayableMatches(canary).length, 1)
})

for (const [name, canary, routes] of [
  ['our own', own({}, test2), []],
  ['the user\'s', canaryOf({ analysis: test2 }), [object('gateway.networking.k8s.io/v1', 'HTTPRoute', 'web', { parentRefs: [parent], rules: [{ matches: [pathMatch], backendRefs: [backend('shop', 1)] }] })]],
] as const) {
  test(`an A/B test in an HTTPRoute of ${name} reads back, and ends without a trace`, async (t) => {
    const cluster = begin(...routes)
    const target = routes[0]?.metadata.name ?? 'shop'
    cluster.apply(gatewayApiV1.render(canary, ALL_TO_PRIMARY, cluster))
    accept(cluster, target)
    const rest = structuredClone(cluster.find('HTTPRoute', target)?.['spec'])
    t.same(gatewayApiV1.read(canary, cluster), ALL_TO_PRIMARY)
    cluster.apply(gatewayApiV1.render(canary, routesTo(100), cluster))
    t.equal(gatewayApiV1.read(canary, cluster), undefined, 'not accepted yet')
    accept(cluster, target)
    t.same(gatewayApiV1.read(canary, cluster), routesTo(100))
    t.same(gatewayApiV1.render(canary, routesTo(100), cluster), [])
    t.equal(rulesOf(cluster.find('HTTPRoute', target)).length, 2)
    cluster.apply(gatewayApiV1.render(canary, ALL_TO_PRIMARY, cluster))
    t.same(cluster.find('HTTPRoute', target)?.['spec'], rest)
  })

  test(`mirroring in an HTTPRoute of ${name} reads back, and ends without a trace`, async (t) => {
    const mirroring = { ...canary, spec: { ...canary.spec, analysis: { interval: '10s', iterations: 5, mirror: true } } }
    const cluster = begin(...routes)
    const target = routes[0]?.metadata.name ?? 'shop'
    const routesWithMirror = { ...ALL_TO_PRIMARY, mirror: true }
    cluster.apply(gatewayApiV1.render(mirroring, ALL_TO_PRIMARY, cluster))
    const rest = structuredClone(cluster.find('HTTPRoute', target)?.['spec'])
    cluster.apply(gatewayApiV1.render(mirroring, routesWithMirror, cluster))
    accept(cluster, target)
    t.same(gatewayApiV1.read(mirroring, cluster), routesWithMirror)
    t.same(gatewayApiV1.render(mirroring, routesWithMirror, cluster), [])
    cluster.apply(gatewayApiV1.render(mirroring, ALL_TO_PRIMARY, cluster))
    t.same(cluster.find('HTTPRoute', target)?.['spec'], rest)
  })
}

test('routes count once every parent has accepted this very generation', async (t) => {
  const cluster = begin()
  const canary = own()
  cluster.apply(gatewayApiV1.render(canary, routesTo(10), cluster))
  t.equal(gatewayApiV1.read(canary, cluster), undefined)
  accept(cluster, 'shop', 0)
  t.equal(gatewayApiV1.read(canary, cluster), undefined)
  accept(cluster, 'shop', undefined, 'False')
  t.equal(gatewayApiV1.read(canary, cluster), undefined)
  accept(cluster, 'shop')
  t.same(gatewayApiV1.read(canary, cluster), routesTo(10))
})

test('a session stays on its arm by a cookie that dies with its revision', async (t) => {
  const canary = { ...own({}, { sessionAffinity: { cookieName: 'ring-c', primaryCookieName: 'ring-p', maxAge: 60, secure: true, sameSite: 'Lax' } }), status: { lastAppliedSpec: '1abc' } }
  const rules = renderOwn(canary, routesTo(20))
  t.match(rules, [
    { matches: [{ headers: [{ name: 'Cookie', value: String.raw`^(.*;\s*)?ring-c=1abc(;.*)?$` }] }], backendRefs: [backend('shop-primary', 0), backend('shop-canary', 100)] },
    { matches: [{ headers: [{ name: 'Cookie', value: String.raw`^(.*;\s*)?ring-p=1abc(;.*)?$` }] }], backendRefs: [backend('shop-primary', 100), backend('shop-canary', 0)] },
    {
      backendRefs: [
        { weight: 80, filters: [{ responseHeaderModifier: { add: [{ name: 'Set-Cookie', value: 'ring-p=1abc; Max-Age=10; SameSite=Lax; Secure' }] } }] },
        { weight: 20, filters: [{ responseHeaderModifier: { add: [{ name: 'Set-Cookie', value: 'ring-c=1abc; Max-Age=60; SameSite=Lax; Secure' }] } }] },
      ],
    },
  ])
  t.equal(renderOwn(canary, ALL_TO_PRIMARY).length, 1, 'at rest there is nothing to stick to')
  const cluster = begin()
  cluster.apply(gatewayApiV1.render(canary, routesTo(20), cluster))
  accept(cluster, 'shop')
  t.same(gatewayApiV1.read(canary, cluster), routesTo(20))
})

test('without a parent there is nothing to render', async (t) => {
  t.same(gatewayApiV1.render(canaryOf(), routesTo(10), begin()), [])
})

const webRoute = (...routeRules: readonly unknown[]): KubeObject => object('gateway.networking.k8s.io/v1', 'HTTPRoute', 'web', { parentRefs: [parent], rules: routeRules })
const STICKY = { ...canaryOf({ analysis: { sessionAffinity: { cookieName: 'ring', primaryCookieName: 'ring-p' } } }), status: { lastAppliedSpec: '1abc' } }

test('a session sticks in an HTTPRoute of the owner\'s as well, beside the owner\'s own filters, and it ends without a trace', async (t) => {
  const modifier = { type: 'ResponseHeaderModifier', responseHeaderModifier: { set: [{ name: 'x-a', value: 'b' }] } }
  const cluster = begin(webRoute({ matches: [pathMatch], timeouts: { request: '5s' }, backendRefs: [{ ...backend('shop', 1), filters: [modifier] }] }))
  const rest = structuredClone(cluster.find('HTTPRoute', 'web')?.['spec'])
  for (const weight of [20, 50]) {
    cluster.apply(gatewayApiV1.render(STICKY, routesTo(weight), cluster))
    accept(cluster, 'web')
    t.same(gatewayApiV1.read(STICKY, cluster), routesTo(weight))
    t.same(gatewayApiV1.render(STICKY, routesTo(weight), cluster), [], 'once')
  }
  const made = rulesOf(cluster.find('HTTPRoute', 'web'))
  t.match(made, [
    { matches: [{ headers: [{ name: 'Cookie', value: String.raw`^(.*;\s*)?ring=1abc(;.*)?$` }] }], timeouts: { request: '5s' }, backendRefs: [{ name: 'shop-primary', weight: 0 }, { name: 'shop-canary', weight: 100 }] },
    { matches: [{ headers: [{ name: 'Cookie', value: String.raw`^(.*;\s*)?ring-p=1abc(;.*)?$` }] }], backendRefs: [{ name: 'shop', weight: 1 }] },
    { matches: [pathMatch], backendRefs: [{ name: 'shop-primary', weight: 50 }, { name: 'shop-canary', weight: 50 }] },
  ])
  t.match(made[2]?.backendRefs[1], { filters: [{ responseHeaderModifier: { set: [{ name: 'x-a', value: 'b' }], add: [{ name: 'Set-Cookie', value: 'ring=1abc; Max-Age=86400' }] } }] })
  cluster.apply(gatewayApiV1.render(STICKY, ALL_TO_PRIMARY, cluster))
  t.same(cluster.find('HTTPRoute', 'web')?.['spec'], rest)
  cluster.apply(gatewayApiV1.render(STICKY, routesTo(20), cluster))
  cluster.apply(gatewayApiV1.release(STICKY, cluster))
  t.same(cluster.find('HTTPRoute', 'web')?.['spec'], rest, 'nor when the Canary is deleted in mid-run')
})

test('an HTTPRoute with the owner\'s own pair keeps everybody else on the primary in an A/B test, and stays', async (t) => {
  const cluster = begin(webRoute({ matches: [pathMatch], backendRefs: [backend('shop-primary', 100), backend('shop-canary', 0)] }))
  const canary = canaryOf({ analysis: test2 })
  const rest = structuredClone(cluster.find('HTTPRoute', 'web')?.['spec'])
  cluster.apply(gatewayApiV1.render(canary, routesTo(100), cluster))
  accept(cluster, 'web')
  t.same(gatewayApiV1.read(canary, cluster), routesTo(100))
  t.same(rulesOf(cluster.find('HTTPRoute', 'web')).map(({ backendRefs }) => backendRefs), [
    [backend('shop-primary', 0), backend('shop-canary', 100)], [backend('shop-primary', 100), backend('shop-canary', 0)],
  ])
  cluster.apply(gatewayApiV1.render(canary, ALL_TO_PRIMARY, cluster))
  t.same(cluster.find('HTTPRoute', 'web')?.['spec'], rest)
})

test('an A/B test whose condition somebody widened is not in force, and is written anew', async (t) => {
  const cluster = begin(webRoute({ matches: [pathMatch], backendRefs: [backend('shop', 1)] }))
  const canary = canaryOf({ analysis: test2 })
  cluster.apply(gatewayApiV1.render(canary, routesTo(100), cluster))
  const made = cluster.find('HTTPRoute', 'web')
  cluster.put({ ...made, spec: { parentRefs: [parent], rules: rulesOf(made).map((rule) => ({ ...rule, matches: [pathMatch] })) } } as never)
  accept(cluster, 'web')
  t.equal(gatewayApiV1.read(canary, cluster), undefined)
  cluster.apply(gatewayApiV1.render(canary, routesTo(100), cluster))
  accept(cluster, 'web')
  t.same(gatewayApiV1.read(canary, cluster), routesTo(100))
})

test('a rule of the owner\'s that leads to the canary alone splits nothing, and stays', async (t) => {
  const preview = { matches: [{ ...pathMatch, headers: [{ type: 'Exact', name: 'preview', value: '1' }] }], backendRefs: [backend('shop-canary', 1)] }
  const cluster = begin(webRoute(preview, { matches: [pathMatch], backendRefs: [backend('shop', 1)] }))
  for (const canary of [canaryOf(), canaryOf({ analysis: test2 }), STICKY]) {
    for (const weight of [canary.spec.analysis.match ? 100 : 30, 0]) {
      cluster.apply(gatewayApiV1.render(canary, routesTo(weight), cluster))
      accept(cluster, 'web')
      t.same(gatewayApiV1.read(canary, cluster), routesTo(weight))
      t.same(rulesOf(cluster.find('HTTPRoute', 'web'))[0], preview)
    }
  }
})
