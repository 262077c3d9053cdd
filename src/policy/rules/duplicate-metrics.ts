import type { Rule } from '#policy/rule.ts'

export const duplicateMetrics: Rule = {
  id: 'duplicate-metrics',
  default: 'warn',
  why: 'Two metrics of one name cannot be told apart in events, conditions and exported series.',
  check({ spec: { analysis } }) {
    const names = (analysis.metrics ?? []).map((metric) => metric.name)
    return names.flatMap((name, i) => (names.indexOf(name) === i ? [] : [{
      field: `spec.analysis.metrics[${i}].name`, message: `${name} is the name of metrics[${names.indexOf(name)}] too`, fix: 'give it another name, or remove one',
    }]))
  },
}
