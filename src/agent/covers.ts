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
    return typeof existing === 'object' && existing !== null && fields.every(([key, value]) => covers((existing as Record<string, unknown>)[key], value))
  }
  return existing === wanted
}
