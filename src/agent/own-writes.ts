import { objectKey, refOf, type KubeObject, type ObjectRef } from '#api/objects.ts'

/**
 * Read-your-writes for objects: a watch brings what we wrote a moment later, and whoever looked before it would take our own doing for undone. Only a cache: lost in
 * a crash, everything is listed anew.
 */
export type OwnWrites = {
  note(written: KubeObject): void
  /** It is gone. */
  forget(object: KubeObject): void
  get(ref: ObjectRef): KubeObject | undefined
  /** A list out of the caches, with what we wrote since. */
  over(apiVersion: string, kind: string, namespace: string, cached: readonly KubeObject[]): readonly KubeObject[]
}

/** After this long a write counts as seen: a relist may have jumped over a deletion (ms). */
const LONGEST_LAG_MS = 5_000

export function createOwnWrites({ cached, now }: { readonly cached: (ref: ObjectRef) => KubeObject | undefined; readonly now: () => number }): OwnWrites {
  const pending = new Map<string, { readonly object: KubeObject; readonly at: number }>()
  const idOf = ({ apiVersion, kind, ...ref }: ObjectRef): string => `${apiVersion}/${kind}/${objectKey(ref)}`

  function get(ref: ObjectRef): KubeObject | undefined {
    const known = cached(ref)
    const write = pending.get(idOf(ref))
    if (!write) return known
    if (now() - write.at <= LONGEST_LAG_MS && !isSince(known, write.object)) return write.object
    pending.delete(idOf(ref))
    return known
  }
  return {
    get,
    note(written) {
      for (const [id, { at }] of pending) if (now() - at > LONGEST_LAG_MS) pending.delete(id)
      if (!isSince(cached(refOf(written)), written)) pending.set(idOf(refOf(written)), { object: asKept(written), at: now() })
    },
    forget: (object) => { pending.delete(idOf(refOf(object))) },
    over(apiVersion, kind, namespace, list) {
      if (pending.size === 0) return list
      const own = [...pending.values()].map(({ object }) => object).filter((object) =>
        object.apiVersion === apiVersion && object.kind === kind && (namespace === '' || object.metadata.namespace === namespace))
      const current = own.flatMap((object) => get(refOf(object)) ?? [])
      const isOwn = ({ metadata }: KubeObject): boolean => current.some((object) => objectKey(object.metadata) === objectKey(metadata))
      return current.length === 0 ? list : [...list.filter((object) => !isOwn(object)), ...current]
    },
  }
}

/** As the caches keep objects: what server-side apply refuses is gone. */
function asKept(object: KubeObject): KubeObject {
  const { managedFields: _, ...metadata } = object.metadata as KubeObject['metadata'] & { readonly managedFields?: unknown }
  return { ...object, metadata }
}

/** Whether what is known is this version or a later one: versions of one kind are comparable, as of Kubernetes 1.35 by its word, and before that in fact. */
function isSince(known: KubeObject | undefined, written: KubeObject): boolean {
  const [a, b] = [known, written].map((object) => object?.metadata.resourceVersion ?? '')
  return a !== undefined && b !== undefined && (a === b || (DIGITS.test(a) && DIGITS.test(b) && BigInt(a) >= BigInt(b)))
}
const DIGITS = /^\d+$/
