import type { Canary } from '#api/canary.ts'
import { objectKey } from '#api/objects.ts'
import { KubeError } from '#kube/error.ts'
import type { Log } from '#kube/log.ts'
import type { News } from '#rollout/decision.ts'
import { RECONCILED, timestamp } from '#rollout/status.ts'
import type { SavedStatuses } from '#agent/saved-status.ts'

/**
 * What a Canary's own turn could not do is that Canary's event, alert and condition: a router whose CRD is missing, a provider that nobody knows, a right that is missing.
 * Told once for each reason, when it lasts; the next status that is written, which is after everything worked, takes the condition away.
 */
export type Failing = {
  tell(canary: Canary, err: unknown): Promise<void>
  /** A turn of this Canary went well, or it is gone. */
  forget(key: string): void
}

/** What is over after this long was a moment's disorder, of which nobody has to know (ms). */
const LASTING_MS = 2_000

export function createFailing({ saved, announce, log, now }: {
  readonly saved: SavedStatuses; readonly announce: (canary: Canary, item: News) => void; readonly log: Log; readonly now: () => number
}): Failing {
  const first = new Map<string, { readonly message: string; readonly at: number }>()
  return {
    forget: (key) => { first.delete(key) },
    async tell(canary, err) {
      // An API server that is slow or away would not take the news either, and is tried again anyway.
      if (err instanceof KubeError && err.retryable) return
      const key = objectKey(canary.metadata)
      const message = err instanceof Error ? err.message : String(err)
      const since = first.get(key)
      if (since?.message !== message) first.set(key, { message, at: now() })
      if (since?.message !== message || now() - since.at < LASTING_MS) return
      const conditions = canary.status?.conditions ?? []
      const old = conditions.find(({ type }) => type === RECONCILED)
      if (old?.status === 'False' && old.message === message) return
      const condition = {
        type: RECONCILED, status: 'False', reason: err instanceof KubeError ? err.reason : 'Failed', message, lastUpdateTime: timestamp(now()),
        lastTransitionTime: old?.status === 'False' && old.lastTransitionTime ? old.lastTransitionTime : timestamp(now()),
      }
      try {
        await saved.save(canary, { ...canary.status, conditions: [...conditions.filter(({ type }) => type !== RECONCILED), condition] })
        const { name, namespace = '' } = canary.metadata
        // It may be a rollback that cannot be done.
        announce(canary, { type: 'Warning', severity: 'error', reason: 'CanaryNotReconciled', message: `${name}.${namespace}: what was decided could not be done, and is tried again: ${message}` })
      } catch (failed) {
        // The fault itself is logged by the queue; a Canary that goes, or a status that somebody else has just written, is told next time.
        log.debug({ err: failed, canary: key }, 'a failure could not be told')
      }
    },
  }
}
