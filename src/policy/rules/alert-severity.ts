import type { Rule } from '#policy/rule.ts'

export const alertSeverity: Rule = {
  id: 'alert-severity',
  default: 'warn',
  why: 'An empty severity looks like "all" and matches nothing in Flagger: the alert is never sent.',
  covers: ['10.14'],
  check({ spec: { analysis } }) {
    return (analysis.alerts ?? []).flatMap(({ name, severity }, i) => (severity ? [] : [{
      field: `spec.analysis.alerts[${i}].severity`, message: `of ${name} is empty, and Flagger sends nothing for it`, fix: 'use error, warn or info',
    }]))
  },
}
