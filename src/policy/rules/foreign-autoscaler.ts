import { SCALER_API_VERSIONS, scaledBy } from '#api/scalers.ts'
import type { Rule } from '#policy/rule.ts'

export const foreignAutoscaler: Rule = {
  id: 'foreign-autoscaler',
  default: 'warn',
  why: 'An autoscaler that the Canary does not know keeps scaling the target, whose pods are held at 0, and not the primary that serves.',
  covers: ['10.17'],
  check({ metadata, spec: { autoscalerRef, targetRef } }, { cluster }) {
    const { namespace } = metadata
    if (!cluster || autoscalerRef || !namespace) return []
    return cluster.objects.list('autoscaling/v2', 'HorizontalPodAutoscaler', namespace)
      .filter((scaler) => scaledBy(scaler).kind === targetRef.kind && scaledBy(scaler).name === targetRef.name)
      .map((scaler) => {
        // KEDA makes an HPA of its own for each of its ScaledObjects.
        const keda = scaler.metadata.ownerReferences?.find(({ kind }) => kind === 'ScaledObject')
        const { kind, name } = keda ?? { kind: 'HorizontalPodAutoscaler', name: scaler.metadata.name }
        return {
          field: 'spec.autoscalerRef',
          message: `is missing, and ${kind} ${name} scales ${targetRef.name}`,
          fix: `add {apiVersion: ${keda ? SCALER_API_VERSIONS.ScaledObject : SCALER_API_VERSIONS.HorizontalPodAutoscaler}, kind: ${kind}, name: ${name}}`,
        }
      })
  },
}
