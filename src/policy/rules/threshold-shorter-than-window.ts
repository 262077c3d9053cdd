import { formatDuration } from '#api/duration.ts'
import { intervalMsOf, thresholdOf } from '#policy/analysis.ts'
import { windowMsOf } from '#policy/metric.ts'
import type { Rule } from '#policy/rule.ts'

export const thresholdShorterThanWindow: Rule = {
  id: 'threshold-shorter-than-window',
  default: 'warn',
  why: 'One short burst stays in the window for longer than all tolerated failures take together, so it alone rolls the canary back.',
  covers: ['10.6'],
  check({ spec }) {
    const toleratedMs = intervalMsOf(spec) * thresholdOf(spec)
    return (spec.analysis.metrics ?? []).flatMap((metric, i) => {
      const windowMs = windowMsOf(metric)
      if (windowMs === undefined || toleratedMs >= windowMs) return []
      return [{
        field: 'spec.analysis.threshold',
        message: `${thresholdOf(spec)} x ${formatDuration(intervalMsOf(spec))} is over before the window of ${metric.name} (metrics[${i}], ${formatDuration(windowMs)}) has passed`,
        fix: `use a threshold of ${Math.ceil(windowMs / intervalMsOf(spec))} or more, or a shorter window`,
      }]
    })
  },
}
