import { familyOf, providerOf } from '#policy/traffic-provider.ts'
import type { Rule } from '#policy/rule.ts'

export const gatewaysWithoutMesh: Rule = {
  id: 'gateways-without-mesh',
  default: 'warn',
  why: 'Requests from inside the mesh pass the split by unless `mesh` is listed: they never reach the canary.',
  check(canary, context) {
    const gateways = canary.spec.service?.gateways ?? []
    if (familyOf(providerOf(canary, context)) !== 'istio' || gateways.length === 0 || gateways.includes('mesh')) return []
    return [{
      field: 'spec.service.gateways',
      message: `[${gateways.join(', ')}] leaves out mesh, so requests from inside the mesh are not split`,
      fix: 'add mesh, unless all requests come through the gateway',
    }]
  },
}
