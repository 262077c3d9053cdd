import type { Rule } from '#policy/rule.ts'

export const maxWeightIgnored: Rule = {
  id: 'max-weight-ignored',
  default: 'warn',
  why: 'A maximum that has no effect is read as a safety limit that is not there.',
  covers: ['10.3'],
  check({ spec: { analysis, gate } }) {
    const { maxWeight } = analysis
    if (maxWeight === undefined) return []
    const list = analysis.stepWeights ? 'stepWeights' : gate?.steps ? 'spec.gate.steps' : undefined
    const last = analysis.stepWeights?.at(-1) ?? gate?.steps?.at(-1)?.weight
    if (list !== undefined) {
      return [{
        field: 'spec.analysis.maxWeight',
        message: `${maxWeight} is ignored beside ${list}, whose last weight (${last ?? 'none'}) is the maximum`,
        fix: 'remove maxWeight, and end the list where the canary should stop',
      }]
    }
    if ((analysis.iterations ?? 0) < 1) return []
    return [{ field: 'spec.analysis.maxWeight', message: `${maxWeight} is ignored beside iterations`, fix: 'remove maxWeight, or use stepWeight instead of iterations' }]
  },
}
