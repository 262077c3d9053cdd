import { hash } from 'node:crypto'

/** JSON with sorted keys and without `undefined`, null, and empty maps and lists: equal meaning gives equal text. */
export const canonicalJson = (value: unknown): string => JSON.stringify(canonical(value)) ?? 'null'

/** SHA-256 of the canonical JSON, in hex. */
export const canonicalDigest = (value: unknown): string => hash('sha256', canonicalJson(value), 'hex')

/**
 * `value` in the order in which it is written, undefined for what counts as absent. Every admitted change of a template waits for it: most of
 * a template, such as long lists of variables, is as it should be and stays as it is, and one call writes it all.
 */
function canonical(value: unknown): unknown {
  if (value === null) return undefined
  if (typeof value !== 'object' || isCanonical(value)) return value
  if (Array.isArray(value)) return value.length === 0 ? undefined : value.map(inList)
  const written: Record<string, unknown> = {}
  let isEmpty = true
  for (const key of sortedKeys(value)) {
    const field = canonical((value as Fields)[key])
    if (field === undefined) continue
    isEmpty = false
    // Assigned, it would be the prototype.
    if (key === '__proto__') Object.defineProperty(written, key, { value: field, enumerable: true })
    else written[key] = field
  }
  return isEmpty ? undefined : written
}

/** A template's objects are small: below this many keys, sorting them in place takes less time and memory than `sort` takes to begin. */
const FEW_KEYS = 32

function sortedKeys(value: object): readonly string[] {
  const keys = Object.keys(value)
  if (keys.length > FEW_KEYS) return keys.sort()
  for (let index = 1; index < keys.length; index += 1) {
    const key = keys[index] as string
    let at = index
    for (; at > 0 && (keys[at - 1] as string) > key; at -= 1) keys[at] = keys[at - 1] as string
    keys[at] = key
  }
  return keys
}

type Fields = Readonly<Record<string, unknown>>

/** What is absent keeps its place in a list. */
const inList = (item: unknown): unknown => canonical(item) ?? (Array.isArray(item) ? [] : typeof item === 'object' && item !== null ? {} : null)

/** Sorted, and nothing in it counts as absent. Parsed JSON inherits no keys. */
function isCanonical(value: unknown): boolean {
  if (typeof value !== 'object') return value !== undefined
  if (value === null) return false
  if (Array.isArray(value)) return value.length > 0 && value.every(isCanonical)
  let last: string | undefined
  for (const key in value) {
    if ((last !== undefined && key < last) || !isCanonical((value as Fields)[key])) return false
    last = key
  }
  return last !== undefined
}
