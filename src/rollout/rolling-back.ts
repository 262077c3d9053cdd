import type { CanaryStatus } from '#api/canary.ts'
import type { Decision, News, Seen } from '#rollout/decision.ts'
import { hasHooks } from '#rollout/hooks.ts'
import { goHome } from '#rollout/keeping.ts'
import { canaryOf, enter, warning, withGate } from '#rollout/status.ts'

export type RollbackCause = {
  /** In words, for whoever waits: it becomes the gate's reason. */
  readonly message: string
  /** The threshold that was reached. */
  readonly threshold?: number
  /** The pods never became ready. */
  readonly isUnready?: boolean
  /** The judge proved it. */
  readonly isWorse?: boolean
  /** A `rollback` hook said so. */
  readonly isManual?: boolean
  /** Nobody's fault: the owner went back. */
  readonly isAbort?: boolean
  /** Somebody's wish, and no fault of the revision's that anybody has found. */
  readonly isCommanded?: boolean
}

/** All weight back to the primary at once; the canary's pods go later, when no request can reach them any more (see `resting`). */
export function rollBack(before: CanaryStatus, seen: Seen, now: number, cause: RollbackCause): Decision {
  const revision = before.lastAppliedSpec
  const status = withGate(
    enter(before, 'Failed', now, { canaryWeight: 0, failedChecks: 0, iterations: 0 }),
    {
      ...NO_RUN, routesAt: undefined, reason: cause.message, rolledBackRevision: cause.isAbort ? before.gate?.rolledBackRevision : revision,
      hooksDue: hasHooks(seen, 'post-rollout') ? true : undefined,
    },
  )
  return {
    status,
    effects: [
      // Traffic first: a canary scaled down while it still has weight answers 503.
      ...goHome(seen),
      ...(seen.target && revision === seen.target.revision ? [{ kind: 'markGate', gate: `failed: ${cause.message}`, revision: seen.target.revision } as const] : []),
    ],
    news: newsOf(seen, cause),
    wakeAt: status.gate?.hooksDue ? now : undefined,
  }
}

/** What `status.gate` holds of a run, none of it left. */
export const NO_RUN = {
  step: undefined, nextCheckAt: undefined, readyAt: undefined, paused: undefined, reason: undefined, bypass: undefined, released: undefined,
  hooksAt: undefined, previousRevision: undefined, hooksDue: undefined,
} as const

function newsOf(seen: Seen, cause: RollbackCause): readonly News[] {
  const of = canaryOf(seen)
  const failed = warning('CanaryRolledBack', `Canary failed! Scaling down ${of}`)
  if (cause.isAbort) return [warning('CanaryAborted', `Aborting ${of}: ${cause.message}`, 'warn')]
  if (cause.threshold !== undefined) return [warning('CanaryThresholdReached', `Rolling back ${of} failed checks threshold reached ${cause.threshold}`, 'error'), failed]
  if (cause.isWorse) return [warning('CanaryProvedWorse', `Rolling back ${of}: ${cause.message}`, 'error'), failed]
  if (cause.isUnready) return [warning('CanaryNotReady', cause.message, 'error'), failed]
  if (cause.isManual) return [warning('CanaryRollbackRequested', `Rolling back ${of} ${cause.message}`, 'warn'), failed]
  return [warning('CanaryRollingBack', `Rolling back ${of} ${cause.message}`, cause.isCommanded ? 'warn' : 'error'), failed]
}
