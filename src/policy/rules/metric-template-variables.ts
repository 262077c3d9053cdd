import type { MetricTemplate } from '#api/metric-template.ts'
import { FLAGGER_API_VERSION } from '#api/names.ts'
import { templateFacts } from '#policy/query-template.ts'
import type { Rule } from '#policy/rule.ts'

export const metricTemplateVariables: Rule = {
  id: 'metric-template-variables',
  default: 'deny',
  why: 'A query without one of its variables, or with a value that would change what it asks, is never sent: every run is held.',
  covers: ['10.12'],
  check(canary, { cluster, renderFault }) {
    const { metadata, spec: { analysis } } = canary
    return (analysis.metrics ?? []).flatMap((metric, i) => {
      const { templateRef, templateVariables = {} } = metric
      const namespace = templateRef?.namespace ?? metadata.namespace
      const template = templateRef && namespace
        ? cluster?.objects.get({ apiVersion: FLAGGER_API_VERSION, kind: 'MetricTemplate', name: templateRef.name, namespace }) as MetricTemplate | undefined
        : undefined
      const query = template?.spec.query ?? metric.query
      if (query === undefined) return []
      const { variables, faults, unknown } = templateFacts(query)
      const missing = variables.filter((name) => !Object.hasOwn(templateVariables, name))
      const fault = missing.length + faults.length + unknown.length === 0 ? renderFault?.(query, template?.spec.provider.type ?? 'prometheus', canary, metric) : undefined
      if (fault !== undefined) {
        return [{ field: `spec.analysis.metrics[${i}].templateVariables`, message: `the query of ${metric.name} cannot be made of them: ${fault}`, fix: 'use plain names and numbers, or have the query put the value into quotes' }]
      }
      return missing.map((name) => ({
        field: `spec.analysis.metrics[${i}].templateVariables`,
        message: `${name} is missing, and the query of ${metric.name} uses {{ variables.${name} }}`,
        fix: `add ${name}`,
      }))
    })
  },
}
