import { FLAGGER_ROUTERS } from '#policy/flagger-routers.ts'
import { providerOf } from '#policy/traffic-provider.ts'
import type { Rule } from '#policy/rule.ts'

export const providerSupported: Rule = {
  id: 'provider-supported',
  default: 'deny',
  why: 'Nothing falls back to another router in silence: without a provider there is nobody to split the traffic.',
  check(canary, context) {
    const provider = providerOf(canary, context)
    if (provider === undefined || Object.hasOwn(context.providers, provider)) return []
    const known = Object.keys(context.providers).sort().join(', ')
    // Of files it is not known which version will be asked to admit them.
    const isOpen = context.isOffline === true && Object.hasOwn(FLAGGER_ROUTERS, provider)
    return [{
      field: 'spec.provider',
      message: `provider ${provider}${canary.spec.provider === undefined ? ', the default,' : ''} is not supported yet${isOpen ? ': admission of this version refuses it' : ''}`,
      fix: `use one of: ${known || 'none is installed'}`,
      ...(isOpen ? { severity: 'warn' as const } : {}),
    }]
  },
}
