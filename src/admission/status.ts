import { ANNOTATION_GATE, LABEL_MANAGED_BY } from '#api/names.ts'
import { isRecord, type JsonRecord, sameJson } from '#admission/json.ts'
import { type Patch, type PatchOperation, replace, set } from '#admission/json-patch.ts'
import type { Json, KubeObject } from '#api/objects.ts'
import type { AdmissionRequest } from '#admission/review.ts'
import { annotationOf, FAILED, isFailed, isPending, labelOf } from '#admission/target.ts'

const HELM = 'Helm'
const CONDITION = 'Progressing'
/** What kubectl, kstatus (Flux, Helm 4) and Argo CD read as "failed, stop waiting". */
const FAILED_CONDITION = { type: CONDITION, status: 'False', reason: 'ProgressDeadlineExceeded' } as const

/**
 * A target's template has no pods, so its own status would say "rolled out" at once. Told truthfully, everybody who waits for it
 * waits for the verdict instead:
 * - open gate: the change counts as not observed yet;
 * - rolled back: `Progressing` has failed with the reason. Helm 3 looks at generations and counts alone, so for its releases the
 *   generation is never met either: kubectl still fails at once (it asks for "not older"), Helm at its time-out.
 *
 * The controller compares what it computes with what is stored and writes again when they differ. That ends, because the same
 * computed status always gives the same stored one: what we write carries no time of its own.
 */
export function truthfulStatus({ object, oldObject }: AdmissionRequest): Patch {
  // The stored object is right about annotations and generation; a writer's copy may be behind.
  const stored = oldObject ?? object
  const status = object?.['status']
  if (object === undefined || stored === undefined || !isRecord(status)) return []
  if (isPending(stored)) return heldBack(stored, status)
  return isFailed(stored) ? failed(stored, status) : []
}

function heldBack(stored: KubeObject, status: JsonRecord): Patch {
  const held = Math.max(0, generationOf(stored) - 1)
  const { observedGeneration } = status
  return typeof observedGeneration === 'number' && observedGeneration > held ? [set(held, 'status', 'observedGeneration')] : []
}

function failed(stored: KubeObject, status: JsonRecord): Patch {
  const patch: PatchOperation[] = []
  const conditions = conditionsOf(status)
  const at = conditions.findIndex((condition) => condition['type'] === CONDITION)
  const computed = at < 0 ? undefined : conditions[at]
  const wanted = failedCondition(stored, computed ?? conditions[0])
  if (!Array.isArray(status['conditions'])) patch.push(set([wanted], 'status', 'conditions'))
  else if (at < 0) patch.push(set(wanted, 'status', 'conditions', '-'))
  else if (!sameJson(computed, wanted)) patch.push(replace(wanted, 'status', 'conditions', positionOf(status, at)))
  if (labelOf(stored, LABEL_MANAGED_BY) === HELM) {
    const never = generationOf(stored) + 1
    if (status['observedGeneration'] !== never) patch.push(set(never, 'status', 'observedGeneration'))
  }
  return patch
}

/** As it is stored when it already says this: the controller computes fresh times at every look, and they would be written each time. */
function failedCondition(stored: KubeObject, timed: JsonRecord | undefined): Json {
  const message = reasonOf(stored)
  const before = isRecord(stored['status']) ? conditionsOf(stored['status']).find((condition) => condition['type'] === CONDITION) : undefined
  const saysSo = before?.['status'] === FAILED_CONDITION.status && before['reason'] === FAILED_CONDITION.reason && before['message'] === message
  const created = stored.metadata.creationTimestamp ?? null
  return {
    ...FAILED_CONDITION,
    message,
    lastUpdateTime: time((saysSo ? before : timed)?.['lastUpdateTime']) ?? created,
    lastTransitionTime: time((saysSo ? before : timed)?.['lastTransitionTime']) ?? created,
  }
}

function reasonOf(stored: KubeObject): string {
  const gate = annotationOf(stored, ANNOTATION_GATE) ?? ''
  const reason = gate.slice(FAILED.length).replace(/^:\s*/, '')
  return reason === '' ? 'the canary was rolled back' : reason
}

const conditionsOf = (status: JsonRecord): readonly JsonRecord[] =>
  Array.isArray(status['conditions']) ? status['conditions'].filter(isRecord) : []

/** Position among all entries of a condition's position among those that are objects. */
function positionOf(status: JsonRecord, at: number): number {
  const all: unknown[] = Array.isArray(status['conditions']) ? status['conditions'] : []
  return all.indexOf(conditionsOf(status)[at])
}

const generationOf = (stored: KubeObject): number => {
  const generation: unknown = stored.metadata.generation
  return typeof generation === 'number' ? generation : 0
}

const time = (value: unknown): string | undefined => (typeof value === 'string' ? value : undefined)
