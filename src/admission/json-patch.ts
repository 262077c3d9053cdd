import type { Json } from '#api/objects.ts'
import { isRecord } from '#admission/json.ts'

/**
 * JSON Patch (RFC 6902), built by hand: a diff of whole objects could remove fields that we do not know, and the API server's
 * applier fails the user's request on a `remove` of what is not there or an `add` below a missing parent.
 */
export type PatchOperation =
  | { readonly op: 'add' | 'replace'; readonly path: string; readonly value: Json }
  | { readonly op: 'remove'; readonly path: string }

export type Patch = readonly PatchOperation[]

/** A JSON pointer: `pointer('metadata', 'annotations', 'canarygate.dev/gate')`. Keys contain `/`, so pointers are never written as text. */
export const pointer = (...segments: readonly (string | number)[]): string =>
  segments.map((segment) => `/${String(segment).replaceAll('~', '~0').replaceAll('/', '~1')}`).join('')

/** `add` on an object's key also replaces what is there, so one operation serves both. */
export const set = (value: Json, ...path: readonly (string | number)[]): PatchOperation => ({ op: 'add', path: pointer(...path), value })

/** For an element of a list, where `add` would insert. */
export const replace = (value: Json, ...path: readonly (string | number)[]): PatchOperation => ({ op: 'replace', path: pointer(...path), value })

export const remove = (...path: readonly (string | number)[]): PatchOperation => ({ op: 'remove', path: pointer(...path) })

/** Operations that make every object on the way to `path` exist; a null on the way is replaced, since nothing can be added below it. */
export function ensureObject(object: unknown, ...path: readonly string[]): PatchOperation[] {
  const operations: PatchOperation[] = []
  let parent = object
  for (const [depth, segment] of path.entries()) {
    const child = isRecord(parent) && Object.hasOwn(parent, segment) ? parent[segment] : undefined
    if (child === undefined || child === null) operations.push(set({}, ...path.slice(0, depth + 1)))
    parent = child
  }
  return operations
}

/** Those that CanaryGate writes, which are few. */
const annotationPointers = new Map<string, string>()

function annotationPointer(name: string): string {
  const path = annotationPointers.get(name) ?? pointer('metadata', 'annotations', name)
  annotationPointers.set(name, path)
  return path
}

/** Operations that give an object exactly these annotations (undefined: none of that name); others stay as they are. */
export function setAnnotations(object: unknown, wanted: Readonly<Record<string, string | undefined>>): PatchOperation[] {
  const metadata = isRecord(object) ? object['metadata'] : undefined
  const present = isRecord(metadata) && isRecord(metadata['annotations']) ? metadata['annotations'] : {}
  const changes: PatchOperation[] = []
  let adds = false
  for (const key in wanted) {
    const value = wanted[key]
    const now = Object.hasOwn(present, key) ? present[key] : undefined
    if (value === now) continue
    adds ||= value !== undefined
    changes.push(value === undefined ? { op: 'remove', path: annotationPointer(key) } : { op: 'add', path: annotationPointer(key), value })
  }
  return adds ? [...ensureObject(object, 'metadata', 'annotations'), ...changes] : changes
}
