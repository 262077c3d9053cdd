import { formatDuration } from '#api/duration.ts'
import { theoreticalMsOf } from '#policy/analysis.ts'
import { RECOMMENDED_ANALYSIS_SECONDS } from '#policy/bounds.ts'
import type { Rule } from '#policy/rule.ts'

export const shortAnalysis: Rule = {
  id: 'short-analysis',
  default: 'warn',
  why: 'A run that is over before the first window of the metrics has filled promotes what nobody has judged.',
  check({ spec }) {
    const ms = theoreticalMsOf(spec)
    if (ms <= 0 || ms >= RECOMMENDED_ANALYSIS_SECONDS * 1_000 || spec.skipAnalysis) return []
    return [{
      field: 'spec.analysis',
      message: `all its checks are over after ${formatDuration(ms)}`,
      fix: `use a longer interval or more steps, so that it takes ${formatDuration(RECOMMENDED_ANALYSIS_SECONDS * 1_000)} or more`,
    }]
  },
}
