import { isDict, isEqual, isKeyedList, itemKey, copy, type Dict } from './values.ts'

/** A path into an object: names of fields, and `[key]` for an item of a keyed list. Joined it is one owned field. */
type Path = readonly string[]
const SEPARATOR = '\u0000'
export type FieldSet = ReadonlySet<string>
/** Manager (with its operation) -> the fields it owns. */
export type Ownership = ReadonlyMap<string, FieldSet>

const NEVER_OWNED = ['apiVersion', 'kind']
const NEVER_OWNED_META = [
  'name', 'namespace', 'uid', 'resourceVersion', 'generation', 'creationTimestamp', 'deletionTimestamp', 'managedFields', 'selfLink',
]

/** Selectors of built-in kinds are atomic: whoever applies one replaces it whole. */
const isAtomicMap = (field: string, isBuiltIn: boolean): boolean => isBuiltIn && field === 'selector'

/** All leaves of an object that a manager can own. Atomic lists and empty maps are leaves. */
export function fieldsOf(object: Dict, isBuiltIn: boolean): Map<string, unknown> {
  const found = new Map<string, unknown>()
  const walk = (value: unknown, path: Path): void => {
    const field = path.at(-1) ?? ''
    if (isDict(value) && Object.keys(value).length > 0 && !isAtomicMap(field, isBuiltIn)) {
      for (const [key, child] of Object.entries(value)) {
        if (path.length === 0 && NEVER_OWNED.includes(key)) continue
        if (path.length === 1 && path[0] === 'metadata' && NEVER_OWNED_META.includes(key)) continue
        if (child !== undefined) walk(child, [...path, key])
      }
    } else if (isBuiltIn && isKeyedList(field, value)) {
      for (const item of value) walk(item, [...path, `[${itemKey(field, item)}]`])
    } else found.set(path.join(SEPARATOR), value)
  }
  walk(object, [])
  return found
}

/** `applied` laid over `live`. */
export function overlay(live: unknown, applied: unknown, isBuiltIn: boolean, field = ''): unknown {
  if (isDict(applied) && !isAtomicMap(field, isBuiltIn)) {
    const merged: Dict = isDict(live) ? { ...live } : {}
    for (const [key, value] of Object.entries(applied)) if (value !== undefined) merged[key] = overlay(merged[key], value, isBuiltIn, key)
    return merged
  }
  if (isBuiltIn && isKeyedList(field, applied)) {
    const items = Array.isArray(live) ? [...(live as unknown[])] : []
    for (const item of applied) {
      const at = items.findIndex((kept) => itemKey(field, kept) === itemKey(field, item))
      if (at >= 0) items[at] = overlay(items[at], item, isBuiltIn)
      else items.push(copy(item))
    }
    return items
  }
  return copy(applied)
}

/** Takes one field out, and every map, item and list that is empty without it. */
export function without(value: unknown, path: Path, field = ''): unknown {
  const [head, ...rest] = path
  if (head === undefined) return undefined
  if (Array.isArray(value)) {
    const items = value.flatMap((item) => (`[${itemKey(field, item)}]` === head ? [without(item, rest)] : [item])).filter((item) => item !== undefined)
    return items.length > 0 ? items : undefined
  }
  if (!isDict(value) || !(head in value)) return value
  const { [head]: child, ...others } = value
  const kept = without(child, rest, head)
  const result = kept === undefined ? others : { ...others, [head]: kept }
  return Object.keys(result).length > 0 ? result : undefined
}

export const pathOf = (field: string): Path => field.split(SEPARATOR)
export const fieldName = (field: string): string => `.${pathOf(field).join('.')}`

/** After an ordinary write: what changed belongs to its writer alone, what vanished to nobody. */
export function ownedAfterWrite(owned: Ownership, manager: string, before: Dict | undefined, after: Dict, isBuiltIn: boolean): Map<string, FieldSet> {
  const old = before ? fieldsOf(before, isBuiltIn) : new Map<string, unknown>()
  const now = fieldsOf(after, isBuiltIn)
  const changed = new Set([...now].filter(([field, value]) => !old.has(field) || !isEqual(old.get(field), value)).map(([field]) => field))
  const next = new Map<string, FieldSet>()
  for (const [name, fields] of owned) next.set(name, new Set([...fields].filter((field) => now.has(field) && !changed.has(field))))
  next.set(manager, new Set([...(next.get(manager) ?? []), ...changed]))
  return withoutEmpty(next)
}

export function withoutEmpty(owned: Ownership): Map<string, FieldSet> {
  return new Map([...owned].filter(([, fields]) => fields.size > 0))
}

/** As `metadata.managedFields` shows it, near enough to read who owns what. */
export function managedFields(owned: Ownership, apiVersion: string): unknown[] {
  return [...owned].map(([name, fields]) => {
    const [manager, operation] = name.split('/') as [string, string]
    const tree: Dict = {}
    for (const field of fields) {
      let at = tree
      for (const part of pathOf(field)) {
        const key = part.startsWith('[') ? `k:${part.slice(1, -1)}` : `f:${part}`
        at = (at[key] ??= {}) as Dict
      }
    }
    return { manager, operation, apiVersion, fieldsType: 'FieldsV1', fieldsV1: tree }
  })
}
