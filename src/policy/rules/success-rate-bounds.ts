import { boundsOf } from '#policy/metric.ts'
import type { Finding, Rule } from '#policy/rule.ts'

export const successRateBounds: Rule = {
  id: 'success-rate-bounds',
  default: 'deny',
  why: 'The success rate is a percentage: 0.99 lets a canary through that fails 99 of 100 requests.',
  covers: ['10.12'],
  check({ spec: { analysis } }) {
    return (analysis.metrics ?? []).flatMap((metric, i): Finding[] => {
      if (metric.name !== 'request-success-rate' || metric.query || metric.templateRef) return []
      const { min, max, field } = boundsOf(metric)
      const at = `spec.analysis.metrics[${i}].${field}`
      const bound = field === 'threshold' ? at : `${at}.min`
      if (min !== undefined && min <= 1) {
        const fix = min > 0.5 && min < 1 ? `use ${Number((min * 100).toFixed(6))} if ${Number((min * 100).toFixed(6))}% is meant` : 'use a percentage, such as 99'
        return [{ field: bound, message: `${min} is a percentage: nearly everything passes`, fix }]
      }
      if (min !== undefined && min > 100) return [{ field: bound, message: `${min} is more than 100%: nothing can pass`, fix: 'use 99' }]
      if (min === undefined && max !== undefined) {
        return [{ field: `${at}.max`, message: `${max} alone refuses good canaries and lets bad ones pass`, fix: 'use min: 99' }]
      }
      return []
    })
  },
}
