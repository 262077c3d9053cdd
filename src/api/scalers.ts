import type { CanarySpec } from '#api/canary.ts'
import type { KubeObject } from '#api/objects.ts'

export type ScalerKind = NonNullable<CanarySpec['autoscalerRef']>['kind']

/** Under which an autoscaler is read and written, whatever `autoscalerRef.apiVersion` says: Flagger ignores it, too. */
export const SCALER_API_VERSIONS: Readonly<Record<ScalerKind, string>> = { HorizontalPodAutoscaler: 'autoscaling/v2', ScaledObject: 'keda.sh/v1alpha1' }
export const SCALER_KINDS = Object.keys(SCALER_API_VERSIONS) as readonly ScalerKind[]

type ScaleTargetRef = { readonly scaleTargetRef?: { readonly kind?: string; readonly name?: string } }

/** What an autoscaler scales. KEDA takes a missing kind as Deployment. */
export function scaledBy(scaler: KubeObject): { readonly kind: string; readonly name: string | undefined } {
  const { kind = 'Deployment', name } = (scaler['spec'] as ScaleTargetRef | undefined)?.scaleTargetRef ?? {}
  return { kind, name }
}
