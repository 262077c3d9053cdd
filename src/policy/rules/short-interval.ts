import { formatDuration } from '#api/duration.ts'
import { intervalMsOf } from '#policy/analysis.ts'
import { MIN_INTERVAL_SECONDS, RECOMMENDED_INTERVAL_SECONDS } from '#policy/bounds.ts'
import type { Rule } from '#policy/rule.ts'

export const shortInterval: Rule = {
  id: 'short-interval',
  default: 'warn',
  why: 'Metrics need a few scrapes to settle: a check that comes earlier judges noise.',
  check({ spec }) {
    const ms = intervalMsOf(spec)
    if (ms < MIN_INTERVAL_SECONDS * 1_000 || ms >= RECOMMENDED_INTERVAL_SECONDS * 1_000) return []
    return [{
      field: 'spec.analysis.interval',
      message: `${formatDuration(ms)} leaves the metrics little time to settle`,
      fix: `use ${RECOMMENDED_INTERVAL_SECONDS}s to 1m`,
    }]
  },
}
