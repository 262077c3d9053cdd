import { isWeighted } from '#policy/analysis.ts'
import type { Rule } from '#policy/rule.ts'

export const hookNeverCalled: Rule = {
  id: 'hook-never-called',
  default: 'warn',
  why: 'An approval that is never asked for is believed to protect the rollout.',
  check({ spec }) {
    return (spec.analysis.webhooks ?? []).flatMap(({ type = '', name }, i) => {
      const field = `spec.analysis.webhooks[${i}].type`
      if (spec.skipAnalysis && (type === '' || type === 'rollout' || type === 'confirm-promotion' || type === 'pre-rollout' || type === 'confirm-traffic-increase')) {
        return [{ field, message: `${name} is never called: skipAnalysis is set`, fix: 'remove skipAnalysis' }]
      }
      if (type !== 'confirm-traffic-increase' || isWeighted(spec)) return []
      return [{ field, message: `${name} is never called: there are iterations and no weights`, fix: 'use confirm-promotion, or stepWeight instead of iterations' }]
    })
  },
}
