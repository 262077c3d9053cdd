import type { CanaryStatus } from '#api/canary.ts'
import { ALL_TO_PRIMARY } from '#api/routes.ts'
import type { Decision, News, Seen } from '#rollout/decision.ts'
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
  /** Nobody's fault: the owner went back. */
  readonly isAbort?: boolean
}

/** All weight back to the primary at once; the canary's pods go later, when no request can reach them any more (see `resting`). */
export function rollBack(before: CanaryStatus, seen: Seen, now: number, cause: RollbackCause): Decision {
  const revision = before.lastAppliedSpec
  const status = withGate(
    enter(before, 'Failed', now, { canaryWeight: 0, failedChecks: 0, iterations: 0 }),
    {
      step: undefined, nextCheckAt: undefined, readyAt: undefined, paused: undefined, reason: cause.message,
      rolledBackRevision: cause.isAbort ? before.gate?.rolledBackRevision : revision,
    },
  )
  const failed = warning('CanaryRolledBack', `Canary failed! Scaling down ${canaryOf(seen)}`)
  const news: News[] = cause.isAbort
    ? [warning('CanaryAborted', `Aborting ${canaryOf(seen)}: ${cause.message}`, 'warn')]
    : cause.threshold !== undefined
      ? [warning('CanaryThresholdReached', `Rolling back ${canaryOf(seen)} failed checks threshold reached ${cause.threshold}`, 'error'), failed]
      : cause.isWorse
        ? [warning('CanaryProvedWorse', `Rolling back ${canaryOf(seen)}: ${cause.message}`, 'error'), failed]
        : [warning(cause.isUnready ? 'CanaryNotReady' : 'CanaryRollingBack', cause.isUnready ? cause.message : `Rolling back ${canaryOf(seen)} ${cause.message}`, 'error'), failed]
  return {
    status,
    effects: [
      // Traffic first: a canary scaled down while it still has weight answers 503.
      { kind: 'setRoutes', routes: ALL_TO_PRIMARY },
      ...(seen.target && revision === seen.target.revision ? [{ kind: 'markGate', gate: `failed: ${cause.message}`, revision: seen.target.revision } as const] : []),
    ],
    news,
    wakeAt: undefined,
  }
}
