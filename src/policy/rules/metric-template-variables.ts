import type { MetricTemplate } from '#api/metric-template.ts'
import { FLAGGER_API_VERSION } from '#api/names.ts'
import { templateFacts } from '#policy/query-template.ts'
import type { Rule } from '#policy/rule.ts'

export const metricTemplateVariables: Rule = {
  id: 'metric-template-variables',
  default: 'deny',
  why: 'A variable that a query uses and nobody gives fails every check.',
  covers: ['10.12'],
  check({ metadata, spec: { analysis } }, { cluster }) {
    return (analysis.metrics ?? []).flatMap((metric, i) => {
      const { templateRef, templateVariables = {} } = metric
      const namespace = templateRef?.namespace ?? metadata.namespace
      const template = templateRef && namespace
        ? cluster?.objects.get({ apiVersion: FLAGGER_API_VERSION, kind: 'MetricTemplate', name: templateRef.name, namespace }) as MetricTemplate | undefined
        : undefined
      const query = template?.spec.query ?? metric.query
      if (query === undefined) return []
      const missing = templateFacts(query).variables.filter((name) => !Object.hasOwn(templateVariables, name))
      return missing.map((name) => ({
        field: `spec.analysis.metrics[${i}].templateVariables`,
        message: `${name} is missing, and the query of ${metric.name} uses {{ variables.${name} }}`,
        fix: `add ${name}`,
      }))
    })
  },
}
