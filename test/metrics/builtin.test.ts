import { parser } from '@prometheus-io/lezer-promql'
import { test } from 'tap'
import { BUILTIN_METRICS, BUILTIN_SOURCES, builtinQuery, builtinSource, type BuiltinNames } from '#metrics/builtin.ts'

const NAMES: BuiltinNames = { namespace: 'shop', target: 'cart', service: 'cart-svc', ingress: 'cart-ing', route: 'cart-route' }

function query(provider: string, metric: (typeof BUILTIN_METRICS)[number], arm: 'canary' | 'primary' = 'canary', names = NAMES): string | undefined {
  const source = builtinSource(provider)
  return source && builtinQuery(metric, source, names, arm, '1m')
}

const rows = [
  {
    provider: 'istio',
    success: 'sum(rate(istio_requests_total{reporter="destination", destination_workload_namespace="shop", destination_workload=~"cart-canary", response_code!~"5.*"}[1m])) / sum(rate(istio_requests_total{reporter="destination", destination_workload_namespace="shop", destination_workload=~"cart-canary"}[1m])) * 100',
    duration: 'histogram_quantile(0.99, sum(rate(istio_request_duration_milliseconds_bucket{reporter="destination", destination_workload_namespace="shop", destination_workload=~"cart-canary"}[1m])) by (le))',
  },
  {
    provider: 'kubernetes',
    success: 'sum(rate(http_request_duration_seconds_count{kubernetes_namespace="shop", kubernetes_pod_name=~"cart-canary-[0-9a-zA-Z]+(-[0-9a-zA-Z]+)", status!~"5.*"}[1m])) / sum(rate(http_request_duration_seconds_count{kubernetes_namespace="shop", kubernetes_pod_name=~"cart-canary-[0-9a-zA-Z]+(-[0-9a-zA-Z]+)"}[1m])) * 100',
    duration: 'histogram_quantile(0.99, sum(rate(http_request_duration_seconds_bucket{kubernetes_namespace="shop", kubernetes_pod_name=~"cart-canary-[0-9a-zA-Z]+(-[0-9a-zA-Z]+)"}[1m])) by (le)) * 1000',
  },
  {
    provider: 'nginx',
    success: 'sum(rate(nginx_ingress_controller_requests{namespace="shop", ingress="cart-ing", canary!="", status!~"5.*"}[1m])) / sum(rate(nginx_ingress_controller_requests{namespace="shop", ingress="cart-ing", canary!=""}[1m])) * 100',
    duration: 'sum(rate(nginx_ingress_controller_response_duration_seconds_sum{namespace="shop", ingress="cart-ing", canary!=""}[1m])) / sum(rate(nginx_ingress_controller_response_duration_seconds_count{namespace="shop", ingress="cart-ing", canary!=""}[1m])) * 1000',
  },
  {
    provider: 'traefik',
    success: 'sum(rate(traefik_service_request_duration_seconds_bucket{service=~"shop-cart-svc-canary-[0-9a-zA-Z-]+@kubernetes(crd|gateway)", le="+Inf", code!~"5.."}[1m])) / sum(rate(traefik_service_request_duration_seconds_bucket{service=~"shop-cart-svc-canary-[0-9a-zA-Z-]+@kubernetes(crd|gateway)", le="+Inf"}[1m])) * 100',
    duration: 'histogram_quantile(0.99, sum(rate(traefik_service_request_duration_seconds_bucket{service=~"shop-cart-svc-canary-[0-9a-zA-Z-]+@kubernetes(crd|gateway)"}[1m])) by (le)) * 1000',
  },
  {
    provider: 'apisix',
    success: 'sum(rate(apisix_http_status{route=~"shop_cart-route-cart-svc-canary_.+", code!~"5.."}[1m])) / sum(rate(apisix_http_status{route=~"shop_cart-route-cart-svc-canary_.+"}[1m])) * 100',
    duration: 'histogram_quantile(0.99, sum(rate(apisix_http_latency_bucket{route=~"shop_cart-route-cart-svc-canary_.+", type=~"request"}[1m])) by (le))',
  },
]
for (const { provider, success, duration } of rows) {
  test(`${provider} is asked in Flagger's words`, async (t) => {
    t.equal(query(provider, 'request-success-rate'), success)
    t.equal(query(provider, 'request-duration'), duration)
    t.equal(query(provider, 'error-rate'), `100 - ${success}`)
  })
}

const arms = [
  { provider: 'linkerd', canary: 'deployment=~"cart-canary"', primary: 'deployment=~"cart-primary"' },
  { provider: 'contour', canary: '"shop_cart-svc-canary_[0-9a-zA-Z-]+"', primary: '"shop_cart-svc-primary_[0-9a-zA-Z-]+"' },
  { provider: 'gloo', canary: '"shop-cart-svc-canaryupstream-', primary: '"shop-cart-svc-primaryupstream-' },
  { provider: 'kuma', canary: '"cart-svc-canary_shop_svc_', primary: '"cart-svc-primary_shop_svc_' },
  { provider: 'nginx', canary: 'canary!=""', primary: 'canary=""' },
  { provider: 'osm', canary: 'destination_name="cart-canary"', primary: 'destination_name="cart-primary"' },
  { provider: 'appmesh:v1beta2', canary: 'kubernetes_pod_name=~"cart-canary-', primary: 'kubernetes_pod_name=~"cart-primary-' },
  { provider: 'skipper', canary: '"kube(ew)?_shop__cart_ing_canary__.*__cart_svc_canary(_[0-9]+)?"', primary: '__cart_svc_primary(_[0-9]+)?"' },
]
for (const { provider, canary, primary } of arms) {
  test(`${provider} tells the arms apart`, async (t) => {
    t.ok(query(provider, 'request-success-rate')?.includes(canary))
    t.ok(query(provider, 'request-duration')?.includes(canary))
    t.ok(query(provider, 'request-success-rate', 'primary')?.includes(primary))
    t.notOk(query(provider, 'request-duration', 'primary')?.includes(canary))
  })
}

test('every query of every source is PromQL', async (t) => {
  for (const source of BUILTIN_SOURCES) {
    for (const metric of BUILTIN_METRICS) {
      for (const arm of ['canary', 'primary'] as const) {
        const text = query(source, metric, arm)
        if (text === undefined) continue
        let faults = Number(/[<>]/.test(text))
        parser.parse(text).iterate({ enter: (node) => { faults += Number(node.type.isError) } })
        t.equal(faults, 0, `${source} ${metric} ${arm}`)
      }
    }
  }
})

test('where one route carries both arms, the primary cannot be asked', async (t) => {
  t.equal(query('apisix', 'request-success-rate', 'primary'), undefined)
  t.equal(query('knative', 'request-duration', 'primary'), undefined)
})

test('gateways are asked at the pods, unknown providers not at all', async (t) => {
  t.equal(builtinSource('gatewayapi:v1beta1'), 'kubernetes')
  t.equal(builtinSource('smi:v1alpha1'), 'linkerd')
  t.equal(builtinSource('envoy'), undefined)
  t.equal(builtinSource('toString'), undefined)
})

test('a dot in a name matches a dot', async (t) => {
  const names = { ...NAMES, target: 'cart.v1' }
  t.ok(query('istio', 'request-duration', 'canary', names)?.includes(String.raw`destination_workload=~"cart\\.v1-canary"`))
  t.ok(query('osm', 'request-duration', 'canary', names)?.includes('destination_name="cart.v1-canary"'))
})
