import { boundsOf } from '#policy/metric.ts'
import type { Finding, Rule } from '#policy/rule.ts'

export const metricThreshold: Rule = {
  id: 'metric-threshold',
  default: 'deny',
  why: 'Without a bound a success rate always passes and anything else fails above 0; with a minimum above the maximum nothing can pass.',
  covers: ['10.12'],
  check({ spec: { analysis } }) {
    return (analysis.metrics ?? []).flatMap((metric, i): Finding[] => {
      const { min, max, field } = boundsOf(metric)
      const at = `spec.analysis.metrics[${i}].${field}`
      if (min === undefined && max === undefined) {
        return [{ field: at, message: `${metric.name} has no bound`, fix: metric.name === 'request-success-rate' ? 'add min: 99' : 'add max, min or both' }]
      }
      if (min !== undefined && max !== undefined && min > max) {
        return [{ field: at, message: `min ${min} is more than max ${max}: nothing can pass`, fix: `swap them: min ${max}, max ${min}` }]
      }
      return []
    })
  },
}
