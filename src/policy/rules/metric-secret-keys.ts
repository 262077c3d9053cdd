import type { MetricTemplate } from '#api/metric-template.ts'
import { FLAGGER_API_VERSION } from '#api/names.ts'
import { missingSecretKeys } from '#policy/metric-credentials.ts'
import type { Rule } from '#policy/rule.ts'

export const metricSecretKeys: Rule = {
  id: 'metric-secret-keys',
  default: 'warn',
  why: 'Without its credentials the provider refuses every query, and every check fails.',
  covers: ['10.12'],
  check({ metadata, spec: { analysis } }, { cluster }) {
    if (!cluster) return []
    return (analysis.metrics ?? []).flatMap(({ templateRef }, i) => {
      const namespace = templateRef?.namespace ?? metadata.namespace
      if (!templateRef || !namespace) return []
      const template = cluster.objects.get({ apiVersion: FLAGGER_API_VERSION, kind: 'MetricTemplate', name: templateRef.name, namespace }) as MetricTemplate | undefined
      const secretName = template?.spec.provider.secretRef?.name
      if (!template || secretName === undefined) return []
      // A Secret that cannot be seen may be there: caches need not hold Secrets.
      const secret = cluster.objects.get({ apiVersion: 'v1', kind: 'Secret', name: secretName, namespace })
      const missing = secret ? missingSecretKeys(template.spec.provider.type, Object.keys(secret.data ?? {})) : []
      return missing.length === 0 ? [] : [{
        field: `spec.analysis.metrics[${i}].templateRef`,
        message: `Secret ${namespace}/${secretName} of its template lacks ${missing.join(', ')}`,
        fix: 'add the key to the Secret',
      }]
    })
  },
}
