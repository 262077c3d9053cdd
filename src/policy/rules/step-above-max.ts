import type { Rule } from '#policy/rule.ts'

export const stepAboveMax: Rule = {
  id: 'step-above-max',
  default: 'deny',
  why: 'The very first step would already exceed the highest weight that the canary may get.',
  covers: ['10.2'],
  check({ spec: { analysis: { stepWeight, maxWeight } } }) {
    if (stepWeight === undefined || maxWeight === undefined || maxWeight < 1 || stepWeight <= maxWeight) return []
    return [{ field: 'spec.analysis.stepWeight', message: `${stepWeight} is more than maxWeight (${maxWeight})`, fix: `use at most ${maxWeight}` }]
  },
}
