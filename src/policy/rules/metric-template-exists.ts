import { FLAGGER_API_VERSION } from '#api/names.ts'
import { sees } from '#policy/cluster.ts'
import type { Rule } from '#policy/rule.ts'

export const metricTemplateExists: Rule = {
  id: 'metric-template-exists',
  // Not deny: one `kubectl apply` may bring the Canary before its template.
  default: 'warn',
  why: 'Without its template a metric fails every check.',
  covers: ['10.12'],
  check({ metadata, spec: { analysis } }, context) {
    const { cluster } = context
    if (!cluster || !sees(context, 'MetricTemplate')) return []
    return (analysis.metrics ?? []).flatMap(({ name, templateRef }, i) => {
      const namespace = templateRef?.namespace ?? metadata.namespace
      if (!templateRef || !namespace) return []
      if (cluster.objects.get({ apiVersion: FLAGGER_API_VERSION, kind: 'MetricTemplate', name: templateRef.name, namespace })) return []
      return [{
        field: `spec.analysis.metrics[${i}].templateRef`,
        message: `MetricTemplate ${namespace}/${templateRef.name} of ${name} does not exist`,
        fix: 'create it before the next rollout, or correct the name',
      }]
    })
  },
}
