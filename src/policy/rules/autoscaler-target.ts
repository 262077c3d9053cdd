import { SCALER_API_VERSIONS, scaledBy } from '#api/scalers.ts'
import { sees } from '#policy/cluster.ts'
import type { Rule } from '#policy/rule.ts'

export const autoscalerTarget: Rule = {
  id: 'autoscaler-target',
  default: 'warn',
  why: 'An autoscaler that scales something else leaves the primary with a fixed number of pods.',
  covers: ['10.17'],
  check({ metadata, spec: { autoscalerRef, targetRef } }, context) {
    const { cluster } = context
    const { namespace } = metadata
    const apiVersion = autoscalerRef && SCALER_API_VERSIONS[autoscalerRef.kind]
    if (!cluster || !autoscalerRef || !namespace || !apiVersion || !sees(context, autoscalerRef.kind)) return []
    const scaler = cluster.objects.get({ apiVersion, kind: autoscalerRef.kind, name: autoscalerRef.name, namespace })
    const field = 'spec.autoscalerRef'
    if (!scaler) return [{ field, message: `${autoscalerRef.kind} ${namespace}/${autoscalerRef.name} does not exist`, fix: 'create it, or correct the name' }]
    const scaled = scaledBy(scaler)
    if (scaled.name === targetRef.name && scaled.kind === targetRef.kind) return []
    return [{
      field,
      message: `${autoscalerRef.name} scales ${scaled.kind} ${scaled.name ?? 'without a name'}, not ${targetRef.kind} ${targetRef.name}`,
      fix: `name the one whose scaleTargetRef is ${targetRef.name}`,
    }]
  },
}
