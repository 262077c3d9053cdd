import { formatDuration, formatInterval } from '#api/duration.ts'
import { intervalMsOf } from '#policy/analysis.ts'
import { windowMsOf } from '#policy/metric.ts'
import type { Rule } from '#policy/rule.ts'

export const metricWindowMixesSteps: Rule = {
  id: 'metric-window-mixes-steps',
  default: 'warn',
  why: 'A window longer than the interval still holds the requests of the step before, or of the revision before: a fresh fault is diluted.',
  covers: ['10.5'],
  check({ spec }) {
    const intervalMs = intervalMsOf(spec)
    return (spec.analysis.metrics ?? []).flatMap((metric, i) => {
      const windowMs = windowMsOf(metric)
      if (windowMs === undefined || windowMs <= intervalMs) return []
      return [{
        field: `spec.analysis.metrics[${i}].interval`,
        message: `${formatDuration(windowMs)}${metric.interval === undefined ? ' (left out)' : ''} looks back past the last check, ${formatDuration(intervalMs)} ago`,
        fix: `use at most ${formatInterval(intervalMs)}, or an analysis interval of ${formatInterval(windowMs)}`,
      }]
    })
  },
}
