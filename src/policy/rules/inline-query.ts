import { MAX_PARSED_CHARS, promqlFaults } from '#policy/promql.ts'
import { TEMPLATE_FUNCTIONS, templateFacts } from '#policy/query-template.ts'
import type { Finding, Rule } from '#policy/rule.ts'

export const inlineQuery: Rule = {
  id: 'inline-query',
  default: 'deny',
  why: 'An inline query that does not render or parse is only noticed when every check of a rollout fails.',
  covers: ['10.12'],
  check({ spec: { analysis } }) {
    let parsed = 0
    return (analysis.metrics ?? []).flatMap(({ query }, i): Finding[] => {
      if (!query) return []
      parsed += query.length
      const field = `spec.analysis.metrics[${i}].query`
      const facts = templateFacts(query)
      return [
        ...facts.faults.map((message) => ({ field, message, fix: 'correct the template' })),
        ...facts.unknown.map((word) => ({ field, message: `{{ ${word} }} is not defined`, fix: `use one of: ${TEMPLATE_FUNCTIONS.join(', ')}` })),
        ...(facts.sample === undefined || facts.unknown.length > 0 || parsed > MAX_PARSED_CHARS ? [] : promqlFaults(facts.sample)).map((fault) => ({
          field, message: fault.message, fix: fault.fix, ...(fault.severity === 'warn' ? { severity: fault.severity } : {}),
        })),
      ]
    })
  },
}
