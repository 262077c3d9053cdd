import { weightSteps } from '#policy/analysis.ts'
import { RECOMMENDED_FIRST_WEIGHT } from '#policy/bounds.ts'
import type { Rule } from '#policy/rule.ts'

export const largeFirstStep: Rule = {
  id: 'large-first-step',
  default: 'warn',
  why: 'The first weight is given before one live request was judged: it is the part of the users that a bad revision hits for certain.',
  check({ spec }) {
    const [first] = weightSteps(spec)
    if (!first || first.weight <= RECOMMENDED_FIRST_WEIGHT || first.weight > 100) return []
    return [{
      field: first.field,
      message: `${first.weight} exposes ${first.weight}% of live requests to a revision that has served none yet`,
      fix: 'begin with 10 or less',
    }]
  },
}
