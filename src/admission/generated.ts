import { ANNOTATION_LAST_APPLIED, LABEL_MANAGED_BY, MANAGED_BY } from '#api/names.ts'
import { isRecord, sameJson } from '#admission/json.ts'
import { type Patch, remove } from '#admission/json-patch.ts'
import type { AdmissionRequest } from '#admission/review.ts'
import { annotationOf, labelOf } from '#admission/target.ts'
import { isSystemUser } from '#admission/guards.ts'

/**
 * Somebody applies a Canary of their own over the one that the agent wrote, or edits that: from then on it is theirs, and so are its settings.
 * An annotation alone, such as a command, changes nothing.
 */
export function takeOver({ object, oldObject, operation, user, subResource }: AdmissionRequest, agentUsers: readonly string[]): Patch {
  if (operation !== 'UPDATE' || subResource !== '' || !object || !oldObject || agentUsers.includes(user.username) || isSystemUser(user)) return []
  const { spec } = object
  if (!isRecord(spec) || !isRecord(spec['gate']) || spec['gate']['generated'] !== true) return []
  const isApplied = annotationOf(object, ANNOTATION_LAST_APPLIED) !== annotationOf(oldObject, ANNOTATION_LAST_APPLIED)
  if (!isApplied && sameJson(spec, oldObject['spec'])) return []
  const label = labelOf(object, LABEL_MANAGED_BY) === MANAGED_BY ? [remove('metadata', 'labels', LABEL_MANAGED_BY)] : []
  return [remove('spec', 'gate', 'generated'), ...label]
}
