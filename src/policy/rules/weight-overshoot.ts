import type { Rule } from '#policy/rule.ts'

export const weightOvershoot: Rule = {
  id: 'weight-overshoot',
  default: 'warn',
  why: 'Flagger steps past a maximum that is no multiple of the step; here the last step is shortened, so the two differ.',
  covers: ['10.4', '1.8.3'],
  check({ spec: { analysis: { stepWeight, maxWeight } } }) {
    if (stepWeight === undefined || maxWeight === undefined || stepWeight < 1 || stepWeight > maxWeight || maxWeight % stepWeight === 0) return []
    // Of more than everything `weight-bounds` has the word.
    if (maxWeight > 100) return []
    const over = Math.min(100, Math.ceil(maxWeight / stepWeight) * stepWeight)
    return [{
      field: 'spec.analysis.maxWeight',
      message: `${maxWeight} is no multiple of stepWeight (${stepWeight}): the last step is shortened to end at ${maxWeight}, where Flagger would go on to ${over}`,
      fix: `use ${Math.floor(maxWeight / stepWeight) * stepWeight}, or list the weights in stepWeights`,
    }]
  },
}
