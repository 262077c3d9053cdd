import { hash } from 'node:crypto'

/** JSON with sorted keys and without `undefined`, null, and empty maps and lists: equal meaning gives equal text. */
export const canonicalJson = (value: unknown): string => textOf(value) || 'null'

/** SHA-256 of the canonical JSON, in hex. */
export const canonicalDigest = (value: unknown): string => hash('sha256', canonicalJson(value), 'hex')

type Fields = Readonly<Record<string, unknown>>

/** Empty for what counts as absent. Every admitted change of a template waits for it. */
function textOf(value: unknown): string {
  if (value === null || value === undefined) return ''
  // Long lists of variables mostly are as they should be, and nothing of ours is as fast as what is built in.
  if (typeof value !== 'object' || isCanonical(value)) return JSON.stringify(value) ?? ''
  return Array.isArray(value) ? listText(value) : mapText(value as Fields)
}

/** An absent element keeps its place. */
function listText(list: readonly unknown[]): string {
  let text = ''
  for (const item of list) text += (text === '' ? '[' : ',') + (textOf(item) || (Array.isArray(item) ? '[]' : typeof item === 'object' && item !== null ? '{}' : 'null'))
  return text === '' ? '' : `${text}]`
}

function mapText(map: Fields): string {
  let text = ''
  for (const key of Object.keys(map).sort()) {
    const field = textOf(map[key])
    if (field !== '') text += `${text === '' ? '{' : ','}${JSON.stringify(key)}:${field}`
  }
  return text === '' ? '' : `${text}}`
}

/** Would `JSON.stringify` write it so? */
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
