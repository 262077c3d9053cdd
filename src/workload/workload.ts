import type { Canary } from '#api/canary.ts'
import { ANNOTATION_BESIDE, ANNOTATION_RESTARTED_AT, LABEL_REVISION, LABEL_ROLE, LABEL_TARGET, roleName, SCALE_TO_ZERO, type WorkloadRole } from '#api/names.ts'
import type { LabelSelector, PodTemplate, Workload } from '#api/objects.ts'
import { restartedAt, withoutTemplateHash } from '#api/revision.ts'
import { ownedBy } from '#api/selectors.ts'
import { rewriteConfigs, type ConfigNames } from '#workload/configs.ts'
import { inNamespace, MANAGED_LABELS, withoutOwnershipMarks } from '#workload/metadata.ts'

export type WorkloadOptions = {
  /** The workload of that name as it is now: its selector is immutable, so it is kept, whoever made it. */
  readonly existing?: Workload | undefined
  /** Tracked ConfigMaps and Secrets and the names of their copies. */
  readonly configNames?: ConfigNames | undefined
  /** A restart asked for by `kubectl rollout restart`. Left out: the mark that the existing pods of this revision carry stays. */
  readonly restartedAt?: string | undefined
  /** Of a baseline: the canary's revision. */
  readonly beside?: string | undefined
}

/** Copied from the target when it has them. `paused` is not: a copy that does not roll could never become ready. */
const COPIED_FIELDS = ['strategy', 'updateStrategy', 'minReadySeconds', 'progressDeadlineSeconds', 'revisionHistoryLimit'] as const

/**
 * The primary, canary or baseline, whole, so that server-side apply also removes what a new revision no longer has. The pods are what was admitted, and two
 * labels. Affinity and spread constraints stay as they are: the user's labels are still on every pod, so they go on matching;
 * the roles then count together, as the pods of two ReplicaSets do in any rolling update. `replicas` undefined: an autoscaler owns the count,
 * and what it said last is repeated, since a field that we applied once and then leave out falls back to its default, 1.
 */
export function renderWorkload(
  canary: Canary, target: Workload, role: WorkloadRole, template: PodTemplate, replicas: number | undefined, revision: string, options: WorkloadOptions = {},
): Workload {
  const name = roleName(target.metadata.name, role)
  const { namespace } = canary.metadata
  const selector = selectorOf(target, role, options.existing)
  const annotations = withoutOwnershipMarks(target.metadata.annotations)
  const roleLabels = { [LABEL_ROLE]: role, [LABEL_TARGET]: target.metadata.name }
  const copied = Object.fromEntries(COPIED_FIELDS.filter((field) => target.spec[field] !== undefined).map((field) => [field, target.spec[field]]))
  const isDaemonSet = target.kind === 'DaemonSet'
  const count = replicas ?? options.existing?.spec.replicas
  const pods = podsOf(template, { ...selector.matchLabels, ...roleLabels }, revision, options)
  return {
    apiVersion: target.apiVersion,
    kind: target.kind,
    metadata: {
      name,
      ...inNamespace(namespace),
      labels: { ...withoutOwnershipMarks(target.metadata.labels), ...MANAGED_LABELS, ...roleLabels, [LABEL_REVISION]: revision },
      ...(Object.keys(annotations).length > 0 ? { annotations } : {}),
      ownerReferences: [ownedBy(canary)],
    },
    spec: {
      ...copied,
      ...(count === undefined || isDaemonSet ? {} : { replicas: count }),
      selector,
      template: isDaemonSet ? onNodes(pods, replicas !== 0) : pods,
    },
  }
}

function selectorOf(target: Workload, role: WorkloadRole, existing: Workload | undefined): LabelSelector {
  if (existing) return existing.spec.selector
  const { matchLabels, matchExpressions } = target.spec.selector
  return { matchLabels: { ...matchLabels, [LABEL_ROLE]: role }, ...(matchExpressions?.length ? { matchExpressions } : {}) }
}

function podsOf(template: PodTemplate, labels: Readonly<Record<string, string>>, revision: string, options: WorkloadOptions): PodTemplate {
  const { existing, configNames } = options
  const isSameRevision = existing?.metadata.labels?.[LABEL_REVISION] === revision
  // Applying the same revision again must not undo a restart: that would be another one.
  const restart = options.restartedAt ?? (isSameRevision && existing ? restartedAt(existing.spec.template) : undefined)
  const annotations = { ...template.metadata?.annotations, ...(restart === undefined ? {} : { [ANNOTATION_RESTARTED_AT]: restart }), ...(options.beside === undefined ? {} : { [ANNOTATION_BESIDE]: options.beside }) }
  const { creationTimestamp: _, ...metadata } = (template.metadata ?? {}) as Record<string, unknown>
  const pods: PodTemplate = {
    ...template,
    metadata: { ...metadata, labels: { ...withoutTemplateHash(template.metadata?.labels), ...labels }, ...(Object.keys(annotations).length > 0 ? { annotations } : {}) },
  }
  return configNames ? rewriteConfigs(pods, configNames) : pods
}

/** A DaemonSet's pods, on its nodes or on none. */
function onNodes(template: PodTemplate, isRunning: boolean): PodTemplate {
  const { nodeSelector, ...spec } = template.spec as PodTemplate['spec'] & { readonly nodeSelector?: Readonly<Record<string, string>> }
  const { [SCALE_TO_ZERO]: _, ...nodes } = nodeSelector ?? {}
  const wanted = isRunning ? nodes : { ...nodes, [SCALE_TO_ZERO]: 'true' }
  return { ...template, spec: { ...spec, ...(Object.keys(wanted).length > 0 ? { nodeSelector: wanted } : {}) } }
}
