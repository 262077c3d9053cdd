import { familyOf, providerOf } from '#policy/traffic-provider.ts'
import type { Finding, Rule } from '#policy/rule.ts'

export const providerReferences: Rule = {
  id: 'provider-references',
  default: 'deny',
  why: 'The router\'s own object has to be named, or the canary never gets a route.',
  covers: ['10.10'],
  check(canary, context) {
    const { spec } = canary
    const provider = providerOf(canary, context)
    const missing = (field: string, fix: string): Finding[] => [{ field, message: `is missing, and provider ${provider} needs it`, fix }]
    switch (familyOf(provider)) {
      case 'nginx':
      case 'skipper':
        return spec.ingressRef ? [] : missing('spec.ingressRef', 'name the Ingress: {apiVersion: networking.k8s.io/v1, kind: Ingress, name: ...}')
      case 'apisix':
        return spec.routeRef ? [] : missing('spec.routeRef', 'name the ApisixRoute: {apiVersion: apisix.apache.org/v2, kind: ApisixRoute, name: ...}')
      case 'gatewayapi':
        return spec.service?.gatewayRefs?.length ? [] : missing('spec.service.gatewayRefs', 'name the Gateway: [{name: ..., namespace: ...}]')
      case 'appmesh':
        // With v1beta2 the mesh is found by the namespace's label.
        return spec.service?.meshName || provider !== 'appmesh' ? [] : missing('spec.service.meshName', 'name the mesh')
      default:
        return []
    }
  },
}
