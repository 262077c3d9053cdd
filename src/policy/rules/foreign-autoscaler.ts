import { scaledBy } from '#api/scalers.ts'
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
      .map((scaler) => ({
        field: 'spec.autoscalerRef',
        message: `is missing, and HorizontalPodAutoscaler ${scaler.metadata.name} scales ${targetRef.name}`,
        fix: `add {apiVersion: autoscaling/v2, kind: HorizontalPodAutoscaler, name: ${scaler.metadata.name}}`,
      }))
  },
}
