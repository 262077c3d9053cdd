import { BUILTIN_METRICS, isBuiltin } from '#policy/metric.ts'
import type { Rule } from '#policy/rule.ts'

export const metricSource: Rule = {
  id: 'metric-source',
  default: 'deny',
  why: 'A metric without a query fails every check, and one with two sources is judged twice: both show up in the middle of a rollout only.',
  covers: ['10.12'],
  check({ spec: { analysis } }, context) {
    return (analysis.metrics ?? []).flatMap((metric, i) => {
      const field = `spec.analysis.metrics[${i}]`
      const sources = [
        ...(isBuiltin(metric, context) ? ['a built-in name'] : []),
        ...(metric.query ? ['query'] : []),
        ...(metric.templateRef ? ['templateRef'] : []),
      ]
      if (sources.length === 1) return []
      if (sources.length === 0) {
        const known = (context.builtinMetrics ?? BUILTIN_METRICS).join(', ')
        return [{ field, message: `${metric.name} has neither query nor templateRef and is not built in`, fix: `add templateRef, or use one of: ${known}` }]
      }
      return [{
        field,
        message: `${metric.name} has ${sources.join(' and ')}: both would be judged`,
        fix: isBuiltin(metric, context) ? 'give it another name, or remove the query or templateRef' : 'keep templateRef and remove query',
      }]
    })
  },
}
