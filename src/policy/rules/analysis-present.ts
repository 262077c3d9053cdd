import type { Rule } from '#policy/rule.ts'

export const analysisPresent: Rule = {
  id: 'analysis-present',
  default: 'deny',
  why: 'Without an analysis every revision would have to be promoted unseen; Flagger crashes on it.',
  covers: ['1.8.13'],
  check({ spec }) {
    if (typeof spec?.analysis === 'object' && spec.analysis !== null) return []
    return [{ field: 'spec.analysis', message: 'is missing', fix: 'give interval, threshold and stepWeight, such as 1m, 5 and 10' }]
  },
}
