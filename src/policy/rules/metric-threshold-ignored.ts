import type { Rule } from '#policy/rule.ts'

export const metricThresholdIgnored: Rule = {
  id: 'metric-threshold-ignored',
  default: 'warn',
  why: 'Beside a range the older threshold has no effect, and whoever reads it believes that it has.',
  check({ spec: { analysis } }) {
    return (analysis.metrics ?? []).flatMap((metric, i) => (metric.threshold === undefined || !metric.thresholdRange ? [] : [{
      field: `spec.analysis.metrics[${i}].threshold`, message: `${metric.threshold} is ignored beside thresholdRange`, fix: 'remove it',
    }]))
  },
}
