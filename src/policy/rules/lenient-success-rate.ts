import { RECOMMENDED_SUCCESS_RATE } from '#policy/bounds.ts'
import { boundsOf } from '#policy/metric.ts'
import type { Rule } from '#policy/rule.ts'

export const lenientSuccessRate: Rule = {
  id: 'lenient-success-rate',
  default: 'warn',
  why: 'A criterion that one failed request in ten still meets lets most faults through.',
  check({ spec: { analysis } }) {
    return (analysis.metrics ?? []).flatMap((metric, i) => {
      const { min, field } = boundsOf(metric)
      if (metric.name !== 'request-success-rate' || min === undefined || min <= 1 || min >= RECOMMENDED_SUCCESS_RATE) return []
      return [{
        field: `spec.analysis.metrics[${i}].${field}`,
        message: `${min}% lets ${Number((100 - min).toFixed(6))} of 100 requests fail`,
        fix: 'use 99, or what the primary keeps now',
      }]
    })
  },
}
