import type { Rule } from '#policy/rule.ts'

export const nothingChecked: Rule = {
  id: 'nothing-checked',
  default: 'warn',
  why: 'Without metrics and hooks every revision whose pods start is promoted.',
  covers: ['10.21'],
  check({ spec: { analysis, gate, skipAnalysis } }) {
    const hasHook = (analysis.webhooks ?? []).some((hook) => (hook.type ?? '') === '' || hook.type === 'rollout' || hook.type === 'pre-rollout')
    if ((analysis.metrics?.length ?? 0) > 0 || hasHook || gate?.scrape || skipAnalysis) return []
    return [{
      field: 'spec.analysis.metrics',
      message: 'is empty and there is no rollout webhook: nothing judges the canary but its pods\' readiness',
      fix: 'add request-success-rate with min: 99 and request-duration with max: 500',
    }]
  },
}
