import type { MetricTemplate } from '#api/metric-template.ts'
import { templateFacts } from '#policy/query-template.ts'
import type { ObjectRule } from '#policy/rule.ts'

export const templateNamesNoTarget: ObjectRule<MetricTemplate> = {
  id: 'template-names-no-target',
  default: 'warn',
  why: 'A query that does not say whose requests it counts judges the canary by the primary\'s, which are most of them.',
  check({ spec }) {
    const { functions, faults } = templateFacts(spec.query)
    if (faults.length > 0 || functions.some((name) => name !== 'interval' && name !== 'namespace')) return []
    return [{ field: 'spec.query', message: 'names neither target nor service: it measures primary and canary together', fix: 'select by {{ target }} or {{ service }}-canary' }]
  },
}
