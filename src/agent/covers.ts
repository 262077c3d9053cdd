import { canonicalJson } from '#api/canonical-json.ts'

/** Maps that server-side apply replaces whole: one key too many is a difference. */
const ATOMIC_MAPS: readonly string[] = ['selector']

/**
 * Whether an existing object already says everything that `wanted` says. What `wanted` leaves out does not count, so defaults and
 * foreign fields make no difference; lists must agree item by item. An empty list or map is covered by its absence.
 */
export function covers(existing: unknown, wanted: unknown): boolean {
  if (wanted === undefined) return true
  if (Array.isArray(wanted)) {
    if (wanted.length === 0) return existing === undefined || (Array.isArray(existing) && existing.length === 0)
    return Array.isArray(existing) && existing.length === wanted.length && wanted.every((item, index) => covers(existing[index], item))
  }
  if (typeof wanted === 'object' && wanted !== null) {
    const fields = Object.entries(wanted)
    if (existing === undefined) return fields.length === 0
    return typeof existing === 'object' && existing !== null && fields.every(([key, value]) => {
      const present = (existing as Record<string, unknown>)[key]
      return ATOMIC_MAPS.includes(key) ? canonicalJson(present ?? {}) === canonicalJson(value) : covers(present, value)
    })
  }
  return existing === wanted
}

/** Whether a JSON merge patch (RFC 7386) would change nothing: null stands for absence. */
export function isMerged(existing: unknown, patch: unknown): boolean {
  if (patch === null) return existing === undefined || existing === null
  if (typeof patch !== 'object' || Array.isArray(patch)) return canonicalJson(existing) === canonicalJson(patch)
  const fields = (typeof existing === 'object' && existing !== null ? existing : {}) as Readonly<Record<string, unknown>>
  return Object.entries(patch).every(([key, value]) => isMerged(fields[key], value))
}
