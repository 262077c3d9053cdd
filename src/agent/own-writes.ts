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

/** After this long what no watch has ever brought counts as gone: a relist may have jumped over its deletion (ms). */
const LONGEST_LAG_MS = 5_000

type Pending = { readonly object: KubeObject; readonly at: number }

export function createOwnWrites({ cached, now }: { readonly cached: (ref: ObjectRef) => KubeObject | undefined; readonly now: () => number }): OwnWrites {
  const pending = new Map<string, Pending>()
  const idOf = ({ apiVersion, kind, ...ref }: ObjectRef): string => `${apiVersion}/${kind}/${objectKey(ref)}`

  /** While an older version is known, the watch is late, however late: it will bring ours, or a later one, or its end. */
  const isOver = (known: KubeObject | undefined, { object, at }: Pending): boolean => (known === undefined ? now() - at > LONGEST_LAG_MS : isSince(known, object))

  function get(ref: ObjectRef): KubeObject | undefined {
    const known = cached(ref)
    const write = pending.get(idOf(ref))
    if (!write) return known
    if (!isOver(known, write)) return write.object
    pending.delete(idOf(ref))
    return known
  }
  return {
    get,
    note(written) {
      for (const [id, write] of pending) if (isOver(cached(refOf(write.object)), write)) pending.delete(id)
      if (!isSince(cached(refOf(written)), written)) pending.set(idOf(refOf(written)), { object: asKept(written), at: now() })
    },
    forget(object) {
      const id = idOf(refOf(object))
      // One that was made anew in its place is not gone.
      if (pending.get(id)?.object.metadata.uid === object.metadata.uid) pending.delete(id)
    },
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
