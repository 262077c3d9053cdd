import type { MetricTemplate } from '#api/metric-template.ts'
import { templateFacts } from '#policy/query-template.ts'
import type { ObjectRule } from '#policy/rule.ts'

export const templateFixedWindow: ObjectRule<MetricTemplate> = {
  id: 'template-fixed-window',
  default: 'warn',
  why: 'A window written into the query ignores the interval that a Canary gives for the metric.',
  check({ spec }) {
    if (spec.provider.type !== 'prometheus') return []
    const window = /\[(\d+[smhd])\]/.exec(spec.query)?.[1]
    if (window === undefined || templateFacts(spec.query).functions.includes('interval')) return []
    return [{ field: 'spec.query', message: `always looks back ${window}`, fix: 'use [{{ interval }}]' }]
  },
}
