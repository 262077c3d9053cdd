import { isAbTest } from '#policy/analysis.ts'
import { capabilitiesOf, familyOf, providerOf, providersWith } from '#policy/traffic-provider.ts'
import type { Rule } from '#policy/rule.ts'

export const mirrorProvider: Rule = {
  id: 'mirror-provider',
  default: 'deny',
  why: 'Where a router cannot mirror, Flagger\'s run begins anew at every check, at weight 0, and neither advances nor fails.',
  covers: ['10.9', '10.8', '1.8.7'],
  check(canary, context) {
    const { spec } = canary
    if (spec.analysis.mirror !== true) return []
    const provider = providerOf(canary, context)
    const field = 'spec.analysis.mirror'
    if (capabilitiesOf(canary, context)?.mirror === false) {
      return [{ field, message: `provider ${provider} cannot mirror requests`, fix: `remove it, or use one of: ${providersWith(context, 'mirror')}` }]
    }
    if (isAbTest(spec)) {
      return [{ field, message: 'an A/B test chooses its requests and mirrors none', fix: 'remove mirror, or match' }]
    }
    if (familyOf(provider) === 'istio' && spec.service?.appProtocol?.toLowerCase() === 'tcp') {
      return [{ field, message: 'TCP connections cannot be mirrored', fix: 'remove mirror, or appProtocol: tcp' }]
    }
    return []
  },
}
