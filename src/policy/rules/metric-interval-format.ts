import { parseDuration } from '#api/duration.ts'
import type { Rule } from '#policy/rule.ts'

export const metricIntervalFormat: Rule = {
  id: 'metric-interval-format',
  default: 'deny',
  why: 'A window that cannot be read makes the query invalid, so that every check fails, in the middle of a rollout.',
  covers: ['10.5'],
  check({ spec: { analysis } }) {
    return (analysis.metrics ?? []).flatMap(({ interval }, i) => (interval === undefined || (parseDuration(interval) ?? 0) > 0 ? [] : [{
      field: `spec.analysis.metrics[${i}].interval`, message: `"${interval}" is no positive duration`, fix: 'write it like 30s or 1m',
    }]))
  },
}
