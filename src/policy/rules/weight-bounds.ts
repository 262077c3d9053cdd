import { MAX_WEIGHT, MIN_WEIGHT } from '#policy/bounds.ts'
import type { Rule } from '#policy/rule.ts'

export const weightBounds: Rule = {
  id: 'weight-bounds',
  default: 'deny',
  why: 'A weight is a percentage: a step of 0 never moves, and a maximum above 100 is never reached, so neither run ever ends.',
  covers: ['10.2', '1.8.2', '1.8.4'],
  check({ spec: { analysis } }) {
    const limits = [
      ['stepWeight', analysis.stepWeight, MIN_WEIGHT],
      ['maxWeight', analysis.maxWeight, MIN_WEIGHT],
      ['stepWeightPromotion', analysis.stepWeightPromotion, 0],
      ['mirrorWeight', analysis.mirrorWeight, 0],
    ] as const
    return limits.flatMap(([name, value, least]) => (value === undefined || (value >= least && value <= MAX_WEIGHT) ? [] : [{
      field: `spec.analysis.${name}`,
      message: `${value} is not between ${least} and ${MAX_WEIGHT} percent`,
      fix: value > MAX_WEIGHT ? `use at most ${MAX_WEIGHT}` : `use at least ${least}${name === 'stepWeight' ? ', such as 10' : ''}`,
    }]))
  },
}
