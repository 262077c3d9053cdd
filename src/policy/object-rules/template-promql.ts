import type { MetricTemplate } from '#api/metric-template.ts'
import { promqlFaults } from '#policy/promql.ts'
import { templateFacts } from '#policy/query-template.ts'
import type { ObjectRule } from '#policy/rule.ts'

export const templatePromql: ObjectRule<MetricTemplate> = {
  id: 'template-promql',
  default: 'deny',
  why: 'A query that Prometheus refuses, or answers with something else than one number, fails every check.',
  covers: ['10.22'],
  check({ spec }) {
    if (spec.provider.type !== 'prometheus' || spec.query.trim() === '') return []
    const { sample, unknown } = templateFacts(spec.query)
    if (sample === undefined || unknown.length > 0) return []
    return promqlFaults(sample).map(({ message, fix, severity }) => ({
      field: 'spec.query', message, fix, ...(severity === 'warn' ? { severity } : {}),
    }))
  },
}
