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
  const fields = Object.keys(value).sort().map((key) => [key, canonical((value as Fields)[key])] as const).filter(([, field]) => field !== undefined)
  return fields.length === 0 ? undefined : Object.fromEntries(fields)
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
