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
  /** The watch brought this object: older knowledge goes. */
  seen(canary: Canary): void
  forget(key: string): void
}

/** After this long a save counts as seen: a relist may have jumped over its version (ms). */
const LONGEST_LAG_MS = 5_000

export function createSavedStatuses(client: KubeClient, now: () => number): SavedStatuses {
  const saved = new Map<string, { readonly resourceVersion: string; readonly status: CanaryStatus; readonly uid: string; readonly at: number }>()
  return {
    current(cached) {
      const key = objectKey(cached.metadata)
      const last = saved.get(key)
      if (!last) return cached
      if (last.uid !== cached.metadata.uid || last.resourceVersion === cached.metadata.resourceVersion || now() - last.at > LONGEST_LAG_MS) {
        saved.delete(key)
        return cached
      }
      return { ...cached, status: last.status, metadata: { ...cached.metadata, resourceVersion: last.resourceVersion } }
    },
    async save(canary, status) {
      const key = objectKey(canary.metadata)
      try {
        const stored = await client.replace<Canary>({ ...canary, status }, { subresource: 'status' })
        saved.set(key, { resourceVersion: stored.metadata.resourceVersion ?? '', uid: stored.metadata.uid ?? '', status: stored.status ?? {}, at: now() })
      } catch (err) {
        saved.delete(key)
        throw err
      }
    },
    seen(canary) {
      const key = objectKey(canary.metadata)
      if (saved.get(key)?.resourceVersion === canary.metadata.resourceVersion) saved.delete(key)
    },
    forget: (key) => { saved.delete(key) },
  }
}
