import { capabilitiesOf, providerOf, providersWith } from '#policy/traffic-provider.ts'
import type { Rule } from '#policy/rule.ts'

export const matchProvider: Rule = {
  id: 'match-provider',
  default: 'deny',
  why: 'A router that cannot choose by header would send every request to the canary for the whole test.',
  covers: ['10.7', '10.8', '1.8.9'],
  check(canary, context) {
    if ((canary.spec.analysis.match?.length ?? 0) === 0 || capabilitiesOf(canary, context)?.match !== false) return []
    return [{
      field: 'spec.analysis.match',
      message: `provider ${providerOf(canary, context)} cannot choose requests by header or cookie`,
      fix: `remove match for a plain Blue/Green run, or use one of: ${providersWith(context, 'match')}`,
    }]
  },
}
