import type { MetricTemplate } from '#api/metric-template.ts'
import { TEMPLATE_FUNCTIONS, templateFacts } from '#policy/query-template.ts'
import type { ObjectRule } from '#policy/rule.ts'

export const templateSyntax: ObjectRule<MetricTemplate> = {
  id: 'template-syntax',
  default: 'deny',
  why: 'A template that does not render fails every check of every Canary that uses it.',
  covers: ['10.22', '10.12'],
  check({ spec }) {
    const field = 'spec.query'
    if (spec.query.trim() === '') return [{ field, message: 'is empty', fix: 'write a query that returns one number' }]
    const facts = templateFacts(spec.query)
    return [
      ...facts.faults.map((message) => ({ field, message, fix: 'correct the template' })),
      ...facts.unknown.map((word) => ({
        field,
        message: `{{ ${word} }} is not defined`,
        fix: `use one of ${TEMPLATE_FUNCTIONS.join(', ')}, or {{ variables.${word} }} with templateVariables in the Canary`,
      })),
    ]
  },
}
