import { test } from 'tap'
import type { Http } from '#api/http.ts'
import { absorbRound, EMPTY_EMBEDDED, measureEmbedded } from '#metrics/embedded.ts'
import { envoyCounters } from '#metrics/envoy.ts'
import { scrapeProxy, type ScrapePod } from '#metrics/scrape.ts'
import { traefikCounters } from '#metrics/traefik.ts'

/** A proxy's page, which is about everybody's services. */

const namesOf = (counters: typeof traefikCounters) => ({ canary: counters('shop', 'cart', 'canary'), primary: counters('shop', 'cart', 'primary') })
const NAMES = namesOf(traefikCounters)
const POD: ScrapePod = { name: 'traefik-1', ip: '10.0.0.9', port: 8080, path: '/metrics', scheme: 'http', startedAtMs: 0, ready: true }

type Counts = readonly [good: number, bad: number]
/** `canary`, `primary`: of shop/cart, requests so far. */
const page = (canary: Counts, primary: Counts): string => [
  ...Object.entries({ 'shop-cart-canary-80@kubernetescrd': canary, 'shop-cart-primary-http@kubernetescrd': primary, 'shop-cart-canary-v2-canary-80@kubernetescrd': [5_000, 5_000], 'other-cart-canary-80@kubernetescrd': [7_000, 7_000], 'shop-cart@kubernetescrd': [9_000, 9_000] })
    .flatMap(([service, [good, bad]]) => [[200, good], [500, bad]].flatMap(([code, count]) => [
      `traefik_service_requests_total{code="${code}",method="GET",protocol="http",service="${service}"} ${count}`,
      `traefik_service_request_duration_seconds_bucket{code="${code}",method="GET",protocol="http",service="${service}",le="0.1"} ${count}`,
      `traefik_service_request_duration_seconds_bucket{code="${code}",method="GET",protocol="http",service="${service}",le="+Inf"} ${count}`,
    ])),
  'traefik_entrypoint_requests_total{code="200",entrypoint="web",method="GET",protocol="http"} 99999', '',
].join('\n')

const rounds = (...pages: readonly (string | number)[]) => roundsOf(NAMES, ...pages)

async function roundsOf(names: typeof NAMES, ...pages: readonly (string | number)[]) {
  let at = 0
  let state = EMPTY_EMBEDDED
  for (const answer of pages) {
    at += 5_000
    const http: Http = async () => (typeof answer === 'number' ? { status: answer, body: '' } : { status: 200, body: answer })
    const round = await scrapeProxy([POD], names, { canary: -60_000, primary: -60_000 }, http, { deadlineMs: 1_000, signal: new AbortController().signal, now: () => at })
    state = absorbRound(state, round, { weight: 50, pollSeconds: 5, nowMs: at }).state
  }
  return { state, measure: (metric: 'request-success-rate' | 'request-duration', arm: 'canary' | 'primary') => measureEmbedded(state, metric, arm, 60, at) }
}

test('each arm is read from its own Service, whatever other names look like it', async (t) => {
  const { measure, state } = await rounds(page([0, 0], [100, 0]), page([75, 25], [300, 0]))
  t.match(measure('request-success-rate', 'canary'), { kind: 'value', value: 75 })
  t.match(measure('request-success-rate', 'primary'), { kind: 'value', value: 100 })
  t.match(measure('request-duration', 'primary'), { kind: 'value' })
  t.same(state.window.map(({ pods, slow }) => [pods.canary, slow]), [[{}, {}]], 'a proxy is no pod of the canary')
})

test('a proxy that starts again has counted from nothing', async (t) => {
  const { measure } = await rounds(page([100, 50], [100, 0]), page([8, 2], [10, 0]))
  t.match(measure('request-success-rate', 'canary'), { kind: 'value', value: 80 })
})

test('a proxy that does not answer says nothing about anybody', async (t) => {
  const { measure } = await rounds(page([0, 0], [100, 0]), 404)
  t.match(measure('request-success-rate', 'canary'), { kind: 'unavailable', reason: /2 of 2 ready pods did not answer: traefik-1 \(canary\)/ })
})

test('a canary whose Service no request has reached yet has no data', async (t) => {
  const empty = page([0, 0], [100, 0]).split('\n').filter((line) => !line.includes('"shop-cart-canary-80')).join('\n')
  const { measure } = await rounds(empty, empty)
  t.match(measure('request-success-rate', 'canary'), { kind: 'no-data' })
})

test('Traefik names Services alike when it routes for a Gateway', async (t) => {
  const gateway = (counts: readonly [Counts, Counts]) => page(...counts).replaceAll('kubernetescrd', 'kubernetesgateway')
  const { measure } = await rounds(gateway([[0, 0], [100, 0]]), gateway([[75, 25], [300, 0]]))
  t.match(measure('request-success-rate', 'canary'), { kind: 'value', value: 75 })
})

const BOUNDS_MS = ['0.5', '1', '5', '10', '25', '50', '100', '250', '500', '1000', '2500', '5000', '10000', '30000', '60000', '300000', '600000', '1800000', '3600000', '+Inf']

/** As Envoy writes `/stats/prometheus`: by class, by code, and the same again as "external"; a fast request takes 3 ms, a failed one 400. */
const envoyPage = (clusters: Readonly<Record<string, Counts>>, { byClass = true, byCode = true } = {}): string => [
  '# TYPE envoy_cluster_upstream_rq_total counter',
  ...Object.keys(clusters).map((cluster) => `envoy_cluster_upstream_rq_total{envoy_cluster_name="${cluster}"} 1000000`),
  ...['envoy_cluster_external_upstream_rq', 'envoy_cluster_upstream_rq'].flatMap((name) => [
    ...(byCode ? [`# TYPE ${name} counter`] : []),
    ...Object.entries(clusters).flatMap(([cluster, [good, bad]]) => (byCode ? [`${name}{envoy_response_code="200",envoy_cluster_name="${cluster}"} ${good}`, `${name}{envoy_response_code="503",envoy_cluster_name="${cluster}"} ${bad}`] : [])),
    ...(byClass ? [`# TYPE ${name}_xx counter`] : []),
    ...Object.entries(clusters).flatMap(([cluster, [good, bad]]) => (byClass ? [`${name}_xx{envoy_response_code_class="2",envoy_cluster_name="${cluster}"} ${good}`, `${name}_xx{envoy_response_code_class="5",envoy_cluster_name="${cluster}"} ${bad}`] : [])),
  ]),
  '# TYPE envoy_cluster_upstream_rq_time histogram',
  ...Object.entries(clusters).flatMap(([cluster, [good, bad]]) => [
    ...BOUNDS_MS.map((le) => `envoy_cluster_upstream_rq_time_bucket{envoy_cluster_name="${cluster}",le="${le}"} ${(le === '+Inf' || Number(le) >= 5 ? good : 0) + (le === '+Inf' || Number(le) >= 500 ? bad : 0)}`),
    `envoy_cluster_upstream_rq_time_sum{envoy_cluster_name="${cluster}"} ${good * 3 + bad * 400}`, `envoy_cluster_upstream_rq_time_count{envoy_cluster_name="${cluster}"} ${good + bad}`,
  ]),
  '',
].join('\n')

for (const { name, cluster, more } of [
  { name: 'Contour', cluster: (service: string) => `shop_${service}_80` },
  { name: 'kgateway', cluster: (service: string) => `kube_shop_${service}_80` },
  { name: 'Cilium', cluster: (service: string) => `ingress/cilium-gateway-public/shop_${service}_80` },
  { name: 'a gateway that counts by code alone', cluster: (service: string) => `shop_${service}_80`, more: { byClass: false } },
  { name: 'a gateway that counts by class alone', cluster: (service: string) => `shop_${service}_80`, more: { byCode: false } },
] as const) {
  test(`Envoy's clusters as ${name} names them`, async (t) => {
    const of = (canary: Counts, primary: Counts) => envoyPage({
      [cluster('cart-canary')]: canary, [cluster('cart-primary')]: primary,
      // Of others: a namespace and a Service whose names look like ours, and the whole of the apex.
      [cluster('cart-canary').replace('shop_', 'other_')]: [7_000, 7_000], [cluster('cart-canary').replace('shop_', 'my-shop_')]: [7_000, 7_000],
      [cluster('cart')]: [9_000, 9_000], [cluster('cart-canary-v2')]: [5_000, 5_000],
    }, more)
    const { measure } = await roundsOf(namesOf(envoyCounters), of([100, 0], [1_000, 0]), of([175, 25], [1_900, 0]))
    t.match(measure('request-success-rate', 'canary'), { kind: 'value', value: 75 })
    t.match(measure('request-success-rate', 'primary'), { kind: 'value', value: 100 })
    t.match(measure('request-duration', 'canary'), { kind: 'value', value: 490 }, 'milliseconds')
    t.match(measure('request-duration', 'primary'), { kind: 'value', value: 4.96 })
  })
}

test('Istio\'s gateways count by Service themselves', async (t) => {
  const labels = (service: string, code: number) => 'reporter="source",source_workload="public-istio",source_workload_namespace="shop",destination_workload="unknown",' +
    `destination_service="${service}.shop.svc.cluster.local",destination_service_name="${service}",destination_service_namespace="shop",request_protocol="http",response_code="${code}",response_flags="-"`
  const of = (canary: Counts, primary: Counts) => Object.entries({ 'cart-canary': canary, 'cart-primary': primary, 'my-cart-canary': [7_000, 7_000], cart: [9_000, 9_000] } as Record<string, Counts>)
    .flatMap(([service, counts]) => [200, 503].flatMap((code, i) => [
      `istio_requests_total{${labels(service, code)}} ${counts[i]}`,
      ...['5', '500', '+Inf'].map((le) => `istio_request_duration_milliseconds_bucket{${labels(service, code)},le="${le}"} ${counts[i]}`),
    ])).concat('envoy_cluster_upstream_rq_xx{response_code_class="2",cluster_name="xds-grpc"} 5', '').join('\n')
  const { measure } = await roundsOf(namesOf(envoyCounters), of([100, 0], [1_000, 0]), of([175, 25], [1_900, 0]))
  t.match(measure('request-success-rate', 'canary'), { kind: 'value', value: 75 })
  t.match(measure('request-success-rate', 'primary'), { kind: 'value', value: 100 })
  t.match(measure('request-duration', 'canary'), { kind: 'value', value: 4.95 })
})

test('Envoy Gateway has one cluster for both arms: that is no data, never a guess', async (t) => {
  const of = (counts: Counts) => envoyPage({ 'httproute/shop/cart/rule/0': counts })
  const { measure } = await roundsOf(namesOf(envoyCounters), of([100, 0]), of([200, 50]))
  t.match(measure('request-success-rate', 'canary'), { kind: 'no-data' })
})
