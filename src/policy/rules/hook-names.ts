import type { Rule } from '#policy/rule.ts'

export const hookNames: Rule = {
  id: 'hook-names',
  default: 'warn',
  why: 'Two webhooks of one name cannot be told apart when one of them fails.',
  check({ spec: { analysis } }) {
    const names = (analysis.webhooks ?? []).map((hook) => hook.name)
    return names.flatMap((name, i) => (names.indexOf(name) === i ? [] : [{
      field: `spec.analysis.webhooks[${i}].name`, message: `${name} is the name of webhooks[${names.indexOf(name)}] too`, fix: 'give it another name',
    }]))
  },
}
