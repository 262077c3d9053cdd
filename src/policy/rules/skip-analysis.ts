import type { Rule } from '#policy/rule.ts'

export const skipAnalysis: Rule = {
  id: 'skip-analysis',
  default: 'warn',
  why: 'Every revision is promoted unseen; set from the beginning, not even the first primary is waited for.',
  covers: ['10.21'],
  check({ spec }, { old }) {
    if (spec.skipAnalysis !== true) return []
    return [{
      field: 'spec.skipAnalysis',
      message: old ? 'promotes every revision without looking at it' : 'promotes every revision without looking at it, from the very first',
      fix: 'remove it; for a single release use the annotation canarygate.dev/promote',
    }]
  },
}
