import { formatDuration } from '#api/duration.ts'
import { intervalMsOf, thresholdOf } from '#policy/analysis.ts'
import { RECOMMENDED_MAX_THRESHOLD, RECOMMENDED_ROLLBACK_SECONDS } from '#policy/bounds.ts'
import type { Rule } from '#policy/rule.ts'

export const lenientThreshold: Rule = {
  id: 'lenient-threshold',
  default: 'warn',
  why: 'The interval times the threshold is how long users meet a canary that fails every single check.',
  check({ spec }) {
    const threshold = thresholdOf(spec)
    const ms = intervalMsOf(spec) * threshold
    if (threshold <= RECOMMENDED_MAX_THRESHOLD && ms <= RECOMMENDED_ROLLBACK_SECONDS * 1_000) return []
    const fitting = Math.floor((RECOMMENDED_ROLLBACK_SECONDS * 1_000) / intervalMsOf(spec))
    return [{
      field: 'spec.analysis.threshold',
      message: `${threshold} failed checks keep a broken canary alive for ${formatDuration(ms)}`,
      fix: `use ${Math.max(1, Math.min(5, fitting))}`,
    }]
  },
}
