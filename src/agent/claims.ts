import { disown } from '#agent/apply.ts'
import type { Caches } from '#agent/caches.ts'
import { objectKey, refOf } from '#api/objects.ts'
import type { KubeClient } from '#kube/client.ts'

/** What counts as ours of the user's objects: what a crash or a lost answer has left, and Canaries that the agent wrote for them. */
export type Claims = {
  /** Gives those of a namespace back, some at a time. Answers whether any are left; somebody else's turn may be at it already. */
  giveBack(namespace: string): Promise<'done' | 'more'>
}

/** In one turn: a namespace with thousands of them must not hold up its Canaries. */
const MOST_AT_ONCE = 20

export function createClaims({ client, caches }: { readonly client: KubeClient; readonly caches: Caches }): Claims {
  const busy = new Set<string>()
  /** By namespace: the versions that were given back, which the watch has yet to replace. */
  const given = new Map<string, ReadonlySet<string>>()

  return {
    async giveBack(namespace) {
      const claimed = caches.claimed(namespace)
      if (claimed.length === 0 || busy.has(namespace)) return 'done'
      const versionOf = ({ kind, metadata }: (typeof claimed)[number]): string => `${kind}/${objectKey(metadata)}@${metadata.resourceVersion ?? ''}`
      const before = given.get(namespace)
      const due = claimed.filter((object) => before?.has(versionOf(object)) !== true)
      const done = new Set(claimed.map(versionOf).filter((version) => before?.has(version)))
      const failures: unknown[] = []
      busy.add(namespace)
      for (const object of due.slice(0, MOST_AT_ONCE)) {
        try {
          const stored = await client.get(refOf(object))
          if (stored) await disown(stored, client)
          done.add(versionOf(object))
        } catch (err) {
          failures.push(err)
        }
      }
      busy.delete(namespace)
      if (done.size > 0) given.set(namespace, done)
      else given.delete(namespace)
      if (failures.length > 0) throw new AggregateError(failures, `${failures.length} of ${due.length} objects in namespace ${namespace}`)
      return due.length > MOST_AT_ONCE ? 'more' : 'done'
    },
  }
}
