import type { Rule } from '#policy/rule.ts'

export const noMetrics: Rule = {
  id: 'no-metrics',
  default: 'warn',
  why: 'Without metrics the weight only follows the clock: what users experience is not looked at.',
  covers: ['10.21'],
  check({ spec: { analysis, gate, skipAnalysis } }) {
    if ((analysis.metrics?.length ?? 0) > 0 || gate?.scrape || skipAnalysis) return []
    // Nothing at all is `nothing-checked`, which says more.
    if (!(analysis.webhooks ?? []).some((hook) => (hook.type ?? '') === '' || hook.type === 'rollout' || hook.type === 'pre-rollout')) return []
    return [{
      field: 'spec.analysis.metrics',
      message: 'is empty: only webhooks judge the canary, not what its users experience',
      fix: 'add request-success-rate with min: 99 and request-duration with max: 500',
    }]
  },
}
