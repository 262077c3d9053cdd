import { managedFieldsOf, type ManagedFields } from '#api/managed-fields.ts'
import { FIELD_MANAGER, isSplitMark, LABEL_MANAGED_BY, MANAGED_BY } from '#api/names.ts'
import type { KubeObject } from '#api/objects.ts'

const isClaim = ({ manager, fieldsV1 }: ManagedFields): boolean => manager === FIELD_MANAGER && fieldsV1?.['f:spec'] !== undefined

/**
 * Whether fields of the spec of an object of the user's count as ours, and have to be given back: the user's next `kubectl apply --server-side` would end in a
 * conflict. A route that is ours for a run may stay claimed until its end, unless somebody does apply it so: each step would cost a write more.
 */
export const isClaimed = (object: KubeObject): boolean =>
  (object.kind === 'Canary' || object.metadata.labels?.[LABEL_MANAGED_BY] !== MANAGED_BY) && managedFieldsOf(object).some(isClaim) && !(isSplit(object) && !managedFieldsOf(object).some(isOthersApply))

const isSplit = ({ metadata: { annotations = {} } }: KubeObject): boolean => Object.keys(annotations).some(isSplitMark)
const isOthersApply = ({ manager, operation }: ManagedFields): boolean => operation === 'Apply' && manager !== FIELD_MANAGER

/** The claims alone, for a cache that keeps nothing else of who owns what. */
export const claimsOf = (object: KubeObject): readonly ManagedFields[] =>
  (isClaimed(object) ? [{ manager: FIELD_MANAGER, fieldsV1: { 'f:spec': {} } }] : [])

/** The owners without our claims. */
export function withoutClaims(object: KubeObject): readonly ManagedFields[] {
  const others = managedFieldsOf(object).flatMap((entry): ManagedFields[] => {
    if (!isClaim(entry)) return [entry]
    const { 'f:spec': _, ...rest } = entry.fieldsV1 ?? {}
    return Object.keys(rest).length > 0 ? [{ ...entry, fieldsV1: rest }] : []
  })
  // No entry left at all reads as "leave them": one empty entry is how the API server is told to drop all.
  return others.length > 0 ? others : [{}]
}
