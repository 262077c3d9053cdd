import type { Canary } from '#api/canary.ts'
import { canaryName, LABEL_TARGET, primaryName, roleName, type Role } from '#api/names.ts'
import type { KubeObject, Workload } from '#api/objects.ts'
import { canonicalJson } from '#api/canonical-json.ts'
import { flaggerPrimaryLabels, ownedBy } from '#api/selectors.ts'
import { inNamespace, MANAGED_LABELS, withoutOwnershipMarks } from '#workload/metadata.ts'
import type { MergePatch } from '#workload/target.ts'

type ScalerRef = NonNullable<Canary['spec']['autoscalerRef']>
type Spec = Readonly<Record<string, unknown>>
type Trigger = { readonly name?: string; readonly metadata?: Readonly<Record<string, string>>; readonly [field: string]: unknown }

/** KEDA's annotation that holds a workload at a count, whatever its triggers say. */
export const ANNOTATION_PAUSED_REPLICAS = 'autoscaling.keda.sh/paused-replicas'
/** KEDA labels a ScaledObject with its own name: copied, the two would be written in turns. */
const KEDA_LABELS = 'scaledobject.keda.sh/'

export type ScalerOptions = {
  readonly target: Workload
  readonly primary: Workload | undefined
  /** No run is under way: the canary is to stay at 0. */
  readonly isResting: boolean
}

/** A role's scaler, made anew from the user's at each look, so that an edit of theirs reaches it without an analysis. */
export function renderScaler(canary: Canary, ref: ScalerRef, scaler: KubeObject, role: Role, options: ScalerOptions): KubeObject {
  const spec = (scaler['spec'] ?? {}) as Spec
  const { [ANNOTATION_PAUSED_REPLICAS]: _, ...own } = withoutOwnershipMarks(scaler.metadata.annotations)
  const isKeda = ref.kind === 'ScaledObject'
  const annotations = { ...own, ...(isKeda && role === 'canary' && options.isResting ? { [ANNOTATION_PAUSED_REPLICAS]: '0' } : {}) }
  const labels = Object.fromEntries(Object.entries(withoutOwnershipMarks(scaler.metadata.labels)).filter(([key]) => !key.startsWith(KEDA_LABELS)))
  return {
    apiVersion: scaler.apiVersion,
    kind: scaler.kind,
    metadata: {
      name: roleName(scaler.metadata.name, role),
      ...inNamespace(canary.metadata.namespace),
      labels: { ...labels, ...MANAGED_LABELS, [LABEL_TARGET]: canary.spec.targetRef.name },
      ...(Object.keys(annotations).length > 0 ? { annotations } : {}),
      ownerReferences: [ownedBy(canary)],
    },
    spec: isKeda ? scaledObjectSpec(canary, ref, spec, role, options) : autoscalerSpec(canary, ref, spec, role),
  }
}

/** Whether the scaler that is there says the same: unlike elsewhere, what it has beyond that counts, since the user took it out. */
export const isScalerRendered = (existing: KubeObject | undefined, wanted: KubeObject): boolean =>
  existing !== undefined && canonicalJson(existing['spec']) === canonicalJson(wanted['spec']) &&
  existing.metadata.annotations?.[ANNOTATION_PAUSED_REPLICAS] === wanted.metadata.annotations?.[ANNOTATION_PAUSED_REPLICAS]

const scaleTarget = (canary: Canary, spec: Spec, role: Role): Spec =>
  ({ ...(spec['scaleTargetRef'] as Spec | undefined), name: roleName(canary.spec.targetRef.name, role) })

function autoscalerSpec(canary: Canary, ref: ScalerRef, spec: Spec, role: Role): Spec {
  const { minReplicas, maxReplicas } = role === 'primary' ? ref.primaryScalerReplicas ?? {} : restingBounds(spec)
  return {
    ...spec,
    scaleTargetRef: scaleTarget(canary, spec, role),
    ...(minReplicas === undefined ? {} : { minReplicas }),
    ...(maxReplicas === undefined ? {} : { maxReplicas }),
  }
}

/** An HPA leaves a workload at 0 alone, unless it may scale to 0 itself: the canary's must not, or it would bring it up at rest. */
const restingBounds = ({ minReplicas }: Spec): { readonly minReplicas?: number; readonly maxReplicas?: number } => (minReplicas === 0 ? { minReplicas: 1 } : {})

function scaledObjectSpec(canary: Canary, ref: ScalerRef, spec: Spec, role: Role, options: ScalerOptions): Spec {
  const { minReplicas, maxReplicas } = role === 'primary' ? ref.primaryScalerReplicas ?? {} : {}
  const triggers = (spec['triggers'] ?? []) as readonly Trigger[]
  const advanced = spec['advanced'] as { readonly horizontalPodAutoscalerConfig?: { readonly name?: string } } | undefined
  const hpa = advanced?.horizontalPodAutoscalerConfig
  return {
    ...spec,
    scaleTargetRef: scaleTarget(canary, spec, role),
    triggers: triggers.map((trigger) => triggerOf(canary.spec.targetRef.name, ref, trigger, role, options)),
    // Two scalers cannot own one HPA.
    ...(hpa?.name ? { advanced: { ...advanced, horizontalPodAutoscalerConfig: { ...hpa, name: roleName(hpa.name, role) } } } : {}),
    ...(minReplicas === undefined ? {} : { minReplicaCount: minReplicas }),
    ...(maxReplicas === undefined ? {} : { maxReplicaCount: maxReplicas }),
  }
}

/** The role's query: for the primary given by trigger name, else the target's name in it replaced, as by Flagger. */
function triggerOf(target: string, ref: ScalerRef, trigger: Trigger, role: Role, options: ScalerOptions): Trigger {
  const query = trigger.metadata?.['query']
  const given = role === 'primary' ? ref.primaryScalerQueries : undefined
  if (given) {
    const own = given[trigger.name ?? '']
    return own === undefined ? trigger : { ...trigger, metadata: { ...trigger.metadata, query: own } }
  }
  if (query === undefined) return trigger
  return { ...trigger, metadata: { ...trigger.metadata, query: queryFor(target, query, role, options) } }
}

/**
 * Names of workloads, pods and Services become the role's. A label that the pods of both roles keep stays: `app="cart"` finds the pods of the primary,
 * `app="cart-primary"` would find none, and the primary be scaled down to its minimum.
 */
function queryFor(target: string, query: string, role: Role, { target: { spec }, primary }: ScalerOptions): string {
  const own = roleName(target, role)
  const isRenamed = role === 'primary' && flaggerPrimaryLabels(primary) !== undefined
  const kept = isRenamed ? [] : Object.entries(spec.template.metadata?.labels ?? {}).filter(([, value]) => value === target).map(([key]) => key.replaceAll(/[^a-zA-Z0-9_]/g, '_'))
  const label = kept.length > 0 ? new RegExp(`(\\b(?:label_)?(?:${kept.join('|')})\\s*=~?\\s*"${escaped(target)}")`) : undefined
  const rename = (text: string): string =>
    text.replaceAll(canaryName(target), own).replaceAll(primaryName(target), own).split(own).map((part) => part.replaceAll(target, own)).join(own)
  return label ? query.split(label).map((part) => (label.test(part) ? part : rename(part))).join('') : rename(query)
}
const escaped = (text: string): string => text.replaceAll(/[.*+?^${}()|[\]\\]/g, '\\$&')

/** Keeps KEDA from scaling the target up while it is the template, or lets it. An HPA needs nothing: it leaves a workload at 0 alone. */
export const pauseScalerPatch = (isPaused: boolean): MergePatch => ({ metadata: { annotations: { [ANNOTATION_PAUSED_REPLICAS]: isPaused ? '0' : null } } })
