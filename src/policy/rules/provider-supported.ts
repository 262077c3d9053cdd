import { capabilitiesOf, providerOf } from '#policy/traffic-provider.ts'
import type { Rule } from '#policy/rule.ts'

export const providerSupported: Rule = {
  id: 'provider-supported',
  default: 'deny',
  why: 'Nothing falls back to another router in silence: without a provider there is nobody to split the traffic.',
  check(canary, context) {
    if (capabilitiesOf(canary, context)) return []
    const known = Object.keys(context.providers).sort().join(', ')
    const isDefault = canary.spec.provider === undefined
    return [{
      field: 'spec.provider',
      message: `provider ${providerOf(canary, context)}${isDefault ? ', the default,' : ''} is not supported yet`,
      fix: `use one of: ${known || 'none is installed'}`,
    }]
  },
}
