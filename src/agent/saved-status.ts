import { isDeepStrictEqual } from 'node:util'
import type { Canary, CanaryStatus } from '#api/canary.ts'
import { objectKey } from '#api/objects.ts'
import type { KubeClient } from '#kube/client.ts'

/**
 * Read-your-writes for statuses: what was saved last counts until the watch has brought it, or a decision would be taken twice.
 * Only a cache: lost in a crash, the API server still holds what was saved, and the compare-and-swap refuses a write upon a stale copy.
 */
export type SavedStatuses = {
  /** The cached Canary, with the status saved last. */
  current(cached: Canary): Canary
  save(canary: Canary, status: CanaryStatus): Promise<void>
  /**
   * Counts as saved from now on, and is written by the next save. False where something else is yet to be written or seen: then it cannot wait.
   * Lost with the agent, or when the stored status changes meanwhile, it was never decided.
   */
  defer(canary: Canary, status: CanaryStatus): boolean
  /** When a deferred status has to be written (Unix ms). */
  dueAt(key: string): number | undefined
  /** The watch brought this object: older knowledge goes. */
  seen(canary: Canary): void
  forget(key: string): void
}

/** After this long a save counts as seen, whatever the watch brings (ms). */
const LONGEST_LAG_MS = 5_000
/** A Gateway's controller says within this time that it has taken a route; measured at 1.5 s (ms). */
const DEFERRED_MS = 2_500

type Known = {
  readonly status: CanaryStatus
  readonly resourceVersion: string
  readonly uid: string
  readonly at: number
  /** The stored status that a deferred one follows. */
  readonly follows?: CanaryStatus
}

export function createSavedStatuses(client: KubeClient, now: () => number): SavedStatuses {
  const saved = new Map<string, Known>()
  return {
    current(cached) {
      const key = objectKey(cached.metadata)
      const last = saved.get(key)
      if (!last) return cached
      const { resourceVersion } = cached.metadata
      const isOver = last.follows ? last.resourceVersion !== resourceVersion && !isDeepStrictEqual(last.follows, cached.status ?? {}) : isAtLeast(resourceVersion, last.resourceVersion)
      if (last.uid !== cached.metadata.uid || isOver || now() - last.at > LONGEST_LAG_MS) {
        saved.delete(key)
        return cached
      }
      if (last.follows) return { ...cached, status: last.status }
      return { ...cached, status: last.status, metadata: { ...cached.metadata, resourceVersion: last.resourceVersion } }
    },
    async save(canary, status) {
      const key = objectKey(canary.metadata)
      try {
        const stored = await client.replace<Canary>({ ...canary, status }, { subresource: 'status' })
        saved.set(key, { resourceVersion: stored.metadata.resourceVersion ?? '', uid: stored.metadata.uid ?? '', status: stored.status ?? {}, at: now() })
      } catch (err) {
        // What was saved before is still newer than what the watch has brought. What was deferred was never decided.
        if (saved.get(key)?.follows) saved.delete(key)
        throw err
      }
    },
    defer(canary, status) {
      const key = objectKey(canary.metadata)
      if (saved.has(key)) return false
      const { resourceVersion = '', uid = '' } = canary.metadata
      saved.set(key, { resourceVersion, uid, status, at: now(), follows: canary.status ?? {} })
      return true
    },
    dueAt(key) {
      const last = saved.get(key)
      return last?.follows && last.at + DEFERRED_MS
    },
    seen(canary) {
      const key = objectKey(canary.metadata)
      const last = saved.get(key)
      if (last && !last.follows && isAtLeast(canary.metadata.resourceVersion, last.resourceVersion)) saved.delete(key)
    },
    forget: (key) => { saved.delete(key) },
  }
}

const NUMBER = /^\d+$/

/** Versions of one object are numbers that grow; of others nothing is known but whether they are equal. */
function isAtLeast(version: string | undefined, other: string): boolean {
  if (version === undefined || !NUMBER.test(version) || !NUMBER.test(other)) return version === other
  return BigInt(version) >= BigInt(other)
}
