import type { Rule } from '#policy/rule.ts'

export const metricTemplateInterval: Rule = {
  id: 'metric-template-interval',
  default: 'deny',
  why: 'A template\'s {{ interval }} has no default: left out it renders as nothing, [ ], and the query is invalid.',
  covers: ['10.12'],
  check({ spec: { analysis } }) {
    return (analysis.metrics ?? []).flatMap((metric, i) => (!metric.templateRef || metric.interval ? [] : [{
      field: `spec.analysis.metrics[${i}].interval`, message: `is missing, and ${metric.name} uses a template`, fix: 'add interval: 1m',
    }]))
  },
}
