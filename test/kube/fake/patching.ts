import jsonPatch from 'fast-json-patch'
import { KubeError } from '#kube/error.ts'
import { copy, isDict, isKeyedList, itemKey, type Dict } from './values.ts'

/** RFC 7386. */
export function mergePatch(target: unknown, patch: unknown): unknown {
  if (!isDict(patch)) return copy(patch)
  const merged: Dict = isDict(target) ? { ...target } : {}
  for (const [key, value] of Object.entries(patch)) {
    if (value === null) delete merged[key]
    else merged[key] = mergePatch(merged[key], value)
  }
  return merged
}

/** RFC 6902. A failed `test` or a missing path is 422, as the API server says it. */
export function applyJsonPatch(target: Dict, patch: unknown): Dict {
  try {
    return jsonPatch.applyPatch(copy(target), copy(patch) as jsonPatch.Operation[], true).newDocument
  } catch (err) {
    throw new KubeError({ status: 422, reason: 'Invalid', message: `the server rejected our request due to an error in our request: ${(err as Error).message.split('\n')[0]}` })
  }
}

/** Like a merge patch, but keyed lists merge item by item and know `$patch: delete`. */
export function strategicPatch(target: unknown, patch: unknown, field = ''): unknown {
  if (isKeyedList(field, patch)) return mergeItems(field, Array.isArray(target) ? target : [], patch)
  if (field === 'finalizers' && Array.isArray(patch)) return [...new Set([...(Array.isArray(target) ? target : []), ...patch])]
  if (!isDict(patch)) return copy(patch)
  const { $patch: directive, ...fields } = patch
  const merged: Dict = isDict(target) && directive !== 'replace' ? { ...target } : {}
  for (const [key, value] of Object.entries(fields)) {
    if (key.startsWith('$')) continue
    if (value === null) delete merged[key]
    else merged[key] = strategicPatch(merged[key], value, key)
  }
  return merged
}

function mergeItems(field: string, target: unknown[], patch: readonly Dict[]): unknown[] {
  const items = [...target]
  for (const change of patch) {
    const at = items.findIndex((item) => itemKey(field, item) === itemKey(field, change))
    if (change['$patch'] === 'delete') {
      if (at >= 0) items.splice(at, 1)
    } else if (at >= 0) items[at] = strategicPatch(items[at], change)
    else items.push(copy(change))
  }
  return items
}
