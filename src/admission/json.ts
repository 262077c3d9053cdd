/** Looks at parsed JSON whose shape is not known yet. */

export type JsonRecord = { readonly [key: string]: unknown }

export const isRecord = (value: unknown): value is JsonRecord => typeof value === 'object' && value !== null && !Array.isArray(value)

/** Are two parsed JSON values equal, whatever the order of keys? Stops at the first difference and makes nothing. */
export function sameJson(a: unknown, b: unknown): boolean {
  if (a === b) return true
  if (typeof a !== 'object' || typeof b !== 'object' || a === null || b === null) return false
  if (Array.isArray(a)) return Array.isArray(b) && sameLists(a, b)
  return isRecord(a) && isRecord(b) && sameMaps(a, b)
}

function sameLists(a: readonly unknown[], b: readonly unknown[]): boolean {
  if (a.length !== b.length) return false
  for (let index = 0; index < a.length; index += 1) if (!sameJson(a[index], b[index])) return false
  return true
}

/** Parsed JSON inherits no keys, so that they need not be listed first: each listing would be as large as the map. */
function sameMaps(a: JsonRecord, b: JsonRecord): boolean {
  let more = 0
  for (const key in a) {
    if (!Object.hasOwn(b, key) || !sameJson(a[key], b[key])) return false
    more += 1
  }
  for (const _ in b) more -= 1
  return more === 0
}
