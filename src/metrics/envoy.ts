import { roleName, type WorkloadRole } from '#api/names.ts'
import type { CounterNames } from '#metrics/exposition.ts'

/**
 * Envoy counts by cluster, and what a cluster is, is up to who configures it: Contour (`shop_cart-canary_80`), kgateway (`kube_shop_cart-canary_80`) and Cilium
 * (`ingress/cilium-gateway-public/shop_cart-canary_80`) have one for each Service. Envoy Gateway puts all Services of a rule into one
 * (`httproute/shop/cart/rule/0`), so it cannot tell the arms apart. Istio keeps its gateways' clusters to itself and counts by Service.
 */
export function envoyCounters(namespace: string, apex: string, arm: WorkloadRole): readonly CounterNames[] {
  const service = roleName(apex, arm)
  const cluster: CounterNames['where'] = {
    label: 'envoy_cluster_name', containing: `${namespace}_${service}_`, pattern: new RegExp(`^(?:kube_|[^/]+/[^/]+/)?${namespace}_${service}_\\d+$`),
  }
  const duration = { name: 'envoy_cluster_upstream_rq_time', unit: 'ms' } as const
  return [
    {
      requests: { name: 'istio_requests_total', statusLabel: 'response_code' },
      duration: { name: 'istio_request_duration_milliseconds' },
      where: { label: 'destination_service', containing: `"${service}.${namespace}.svc.`, pattern: new RegExp(`^${service}\\.${namespace}\\.svc\\.`) },
    },
    // The same requests by class and by code: either may be left out by a filter of the proxy's. Retried ones count once, as users see them.
    { requests: { name: 'envoy_cluster_upstream_rq_xx', statusLabel: 'envoy_response_code_class' }, duration, where: cluster },
    { requests: { name: 'envoy_cluster_upstream_rq', statusLabel: 'envoy_response_code' }, duration, where: cluster },
  ]
}
