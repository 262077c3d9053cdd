import type { KubeObject, PodTemplate, Workload } from '#api/objects.ts'
import {
  ANNOTATION_GATE, ANNOTATION_OPT_OUT, ANNOTATION_REPLICAS, ANNOTATION_STABLE, EXCLUDED_NAMESPACES, LABEL_ROLE, WORKLOAD_ROLES, type WorkloadRole,
} from '#api/names.ts'
import { restartedAt, revisionOf } from '#api/revision.ts'
import { isRecord, sameJson } from '#admission/json.ts'

/** Questions about one workload as it stands in a review. */

export const PENDING = 'pending'
export const PASSED = 'passed'
/** What the gate annotation starts with after a rollback; the reason follows. */
export const FAILED = 'failed'
export const failedBecause = (reason: string): string => `${FAILED}: ${reason}`

/** Narrows far enough that everything which is read of a workload here can be read: whatever was sent. */
export function isWorkload(object: KubeObject | undefined): object is Workload {
  if (object === undefined || !isOptionalRecord(object.metadata.annotations) || !isOptionalRecord(object.metadata.labels)) return false
  return isRecord(object['spec']) && isTemplate(object['spec']['template'])
}

function isTemplate(template: unknown): template is PodTemplate {
  if (!isRecord(template) || !isRecord(template['spec'])) return false
  const { containers } = template['spec']
  if (!Array.isArray(containers) || !containers.every(isRecord)) return false
  const { metadata } = template
  return isOptionalRecord(metadata) && (!isRecord(metadata) || (isOptionalRecord(metadata['annotations']) && isOptionalRecord(metadata['labels'])))
}

const isOptionalRecord = (value: unknown): boolean => value === undefined || value === null || isRecord(value)

/** An annotation's text. Values that are no text cannot be stored, so they count as absent. */
export function annotationOf(object: KubeObject, key: string): string | undefined {
  const annotations: unknown = object.metadata.annotations
  const value = isRecord(annotations) && Object.hasOwn(annotations, key) ? annotations[key] : undefined
  return typeof value === 'string' ? value : undefined
}

export function labelOf(object: KubeObject, key: string): string | undefined {
  const labels: unknown = object.metadata.labels
  const value = isRecord(labels) && Object.hasOwn(labels, key) ? labels[key] : undefined
  return typeof value === 'string' ? value : undefined
}

export function roleOf(object: KubeObject): WorkloadRole | undefined {
  const label = labelOf(object, LABEL_ROLE)
  return WORKLOAD_ROLES.find((role) => role === label)
}

export const isAdopted = (object: KubeObject): boolean => annotationOf(object, ANNOTATION_REPLICAS) !== undefined
/** Paused by us, with the template that served on record, until its primary serves. */
export const isHeld = (object: KubeObject): boolean => annotationOf(object, ANNOTATION_STABLE) !== undefined
export const isOptedOut = (object: KubeObject): boolean => annotationOf(object, ANNOTATION_OPT_OUT) === 'disabled'
export const isPending = (object: KubeObject): boolean => annotationOf(object, ANNOTATION_GATE) === PENDING
export const isFailed = (object: KubeObject): boolean => annotationOf(object, ANNOTATION_GATE)?.startsWith(FAILED) ?? false
export const isExcluded = (namespace: string): boolean => EXCLUDED_NAMESPACES.includes(namespace)

/** Does any pod of it answer requests now? A Deployment and a DaemonSet count them under different names. */
export function isServing(workload: Workload): boolean {
  const status: unknown = workload['status']
  if (!isRecord(status)) return false
  const available = status['availableReplicas'] ?? status['numberAvailable']
  return typeof available === 'number' && available > 0
}

export type TemplateChange =
  | { readonly kind: 'none' }
  /** Only `kubectl rollout restart`'s mark differs. */
  | { readonly kind: 'restart'; readonly revision: string }
  | { readonly kind: 'revision'; readonly revision: string }

/** Compares before it hashes: most updates change no template, and a hash costs more than the whole rest of the answer. */
export function templateChange(old: Workload, next: Workload): TemplateChange {
  if (sameJson(old.spec.template, next.spec.template)) return { kind: 'none' }
  const revision = revisionOf(next.spec.template)
  // Another image is another revision for certain, which saves the usual change the second hash.
  if (hasNewImage(old, next) || revisionOf(old.spec.template) !== revision) return { kind: 'revision', revision }
  return restartedAt(old.spec.template) === restartedAt(next.spec.template) ? { kind: 'none' } : { kind: 'restart', revision }
}

const hasNewImage = (old: Workload, next: Workload): boolean =>
  next.spec.template.spec.containers.some(({ image }, index) => {
    const before = old.spec.template.spec.containers[index]?.image
    return typeof image === 'string' && typeof before === 'string' && image !== before
  })
