import type { Canary } from '#api/canary.ts'
import { canaryName, LABEL_TARGET, primaryName } from '#api/names.ts'
import type { KubeObject } from '#api/objects.ts'
import { ownedBy } from '#api/selectors.ts'
import { inNamespace, MANAGED_LABELS, withoutOwnershipMarks } from '#workload/metadata.ts'
import type { MergePatch } from '#workload/target.ts'

type ScalerRef = NonNullable<Canary['spec']['autoscalerRef']>
type Spec = Readonly<Record<string, unknown>>
type Trigger = { readonly name?: string; readonly metadata?: Readonly<Record<string, string>>; readonly [field: string]: unknown }

/** KEDA's annotation that holds a target at a count, whatever its triggers say. */
export const ANNOTATION_PAUSED_REPLICAS = 'autoscaling.keda.sh/paused-replicas'

/** The primary's scaler, made anew from the user's at each look, so that an edit of theirs reaches the primary without an analysis. */
export function renderPrimaryScaler(canary: Canary, scaler: KubeObject): KubeObject | undefined {
  const ref = canary.spec.autoscalerRef
  if (!ref) return undefined
  const spec = (scaler['spec'] ?? {}) as Spec
  const { [ANNOTATION_PAUSED_REPLICAS]: _, ...annotations } = withoutOwnershipMarks(scaler.metadata.annotations)
  return {
    apiVersion: scaler.apiVersion,
    kind: scaler.kind,
    metadata: {
      name: primaryName(scaler.metadata.name),
      ...inNamespace(canary.metadata.namespace),
      labels: { ...withoutOwnershipMarks(scaler.metadata.labels), ...MANAGED_LABELS, [LABEL_TARGET]: canary.spec.targetRef.name },
      ...(Object.keys(annotations).length > 0 ? { annotations } : {}),
      ownerReferences: [ownedBy(canary)],
    },
    spec: ref.kind === 'ScaledObject' ? scaledObjectSpec(canary, ref, spec) : autoscalerSpec(canary, ref, spec),
  }
}

const scaleTarget = (canary: Canary, spec: Spec): Spec =>
  ({ ...(spec['scaleTargetRef'] as Spec | undefined), name: primaryName(canary.spec.targetRef.name) })

function autoscalerSpec(canary: Canary, ref: ScalerRef, spec: Spec): Spec {
  const { minReplicas, maxReplicas } = ref.primaryScalerReplicas ?? {}
  return {
    ...spec,
    scaleTargetRef: scaleTarget(canary, spec),
    ...(minReplicas === undefined ? {} : { minReplicas }),
    ...(maxReplicas === undefined ? {} : { maxReplicas }),
  }
}

function scaledObjectSpec(canary: Canary, ref: ScalerRef, spec: Spec): Spec {
  const { minReplicas, maxReplicas } = ref.primaryScalerReplicas ?? {}
  const triggers = (spec['triggers'] ?? []) as readonly Trigger[]
  const advanced = spec['advanced'] as { readonly horizontalPodAutoscalerConfig?: { readonly name?: string } } | undefined
  const hpa = advanced?.horizontalPodAutoscalerConfig
  return {
    ...spec,
    scaleTargetRef: scaleTarget(canary, spec),
    triggers: triggers.map((trigger) => primaryTrigger(canary.spec.targetRef.name, ref, trigger)),
    // Two scalers cannot own one HPA.
    ...(hpa?.name ? { advanced: { ...advanced, horizontalPodAutoscalerConfig: { ...hpa, name: primaryName(hpa.name) } } } : {}),
    ...(minReplicas === undefined ? {} : { minReplicaCount: minReplicas }),
    ...(maxReplicas === undefined ? {} : { maxReplicaCount: maxReplicas }),
  }
}

/** The primary's query: given by trigger name, or the target's name in it replaced, as by Flagger. */
function primaryTrigger(target: string, ref: ScalerRef, trigger: Trigger): Trigger {
  const query = trigger.metadata?.['query']
  const given = ref.primaryScalerQueries
  if (given) {
    const own = given[trigger.name ?? '']
    return own === undefined ? trigger : { ...trigger, metadata: { ...trigger.metadata, query: own } }
  }
  if (query === undefined) return trigger
  const primary = primaryName(target)
  const renamed = query.replaceAll(canaryName(target), primary).split(primary).map((part) => part.replaceAll(target, primary)).join(primary)
  return { ...trigger, metadata: { ...trigger.metadata, query: renamed } }
}

/** Keeps KEDA from scaling the target up while it is the template. An HPA needs nothing: it leaves a workload at 0 alone. */
export const pauseScalerPatch = (): MergePatch => ({ metadata: { annotations: { [ANNOTATION_PAUSED_REPLICAS]: '0' } } })
export const resumeScalerPatch = (): MergePatch => ({ metadata: { annotations: { [ANNOTATION_PAUSED_REPLICAS]: null } } })
