import { isWeighted } from '#policy/analysis.ts'
import type { Rule } from '#policy/rule.ts'

export const matchNeedsIterations: Rule = {
  id: 'match-needs-iterations',
  default: 'deny',
  why: 'Without iterations it is no A/B test: weights are split among the matching requests only, or the router jumps to them at once.',
  covers: ['10.7', '1.8.8'],
  check({ spec }) {
    if ((spec.analysis.match?.length ?? 0) === 0 || !isWeighted(spec)) return []
    return [{
      field: 'spec.analysis.match',
      message: 'chooses requests for an A/B test, but there are no iterations',
      fix: 'use iterations (such as 10) instead of weights, or remove match',
    }]
  },
}
