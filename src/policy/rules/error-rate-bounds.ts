import { boundsOf } from '#policy/metric.ts'
import type { Finding, Rule } from '#policy/rule.ts'

export const errorRateBounds: Rule = {
  id: 'error-rate-bounds',
  default: 'deny',
  why: 'The error rate is a percentage of failed requests: without a maximum, or with one of 100, everything passes.',
  check({ spec: { analysis } }) {
    return (analysis.metrics ?? []).flatMap((metric, i): Finding[] => {
      if (metric.name !== 'error-rate' || metric.query || metric.templateRef) return []
      const { min, max, field } = boundsOf(metric)
      const at = `spec.analysis.metrics[${i}].${field}`
      if (max === undefined && min !== undefined) return [{ field: `${at}.min`, message: `${min} alone refuses good canaries and lets bad ones pass`, fix: 'use max: 1' }]
      if (max === undefined || (max >= 0 && max < 100)) return []
      return [{ field: field === 'threshold' ? at : `${at}.max`, message: `${max} is no share of failed requests that could fail a canary`, fix: 'use a percentage, such as 1' }]
    })
  },
}
