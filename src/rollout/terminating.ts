import type { CanaryStatus } from '#api/canary.ts'
import { ALL_TO_PRIMARY } from '#api/routes.ts'
import { releaseBaseline } from '#rollout/baseline.ts'
import type { Decision, Effect, PhaseStep, Seen, TargetSeen, WorkloadSeen } from '#rollout/decision.ts'
import { scalers } from '#rollout/keeping.ts'
import { route } from '#rollout/routing.ts'
import { enter, normal, notReady, OBSERVATION_LAG_MS, phaseOf, RECHECK_MS, targetOf, timeOf, timestamp, warning, withGate } from '#rollout/status.ts'

/** What nobody will hear the end of. */
const isInRun = (status: CanaryStatus): boolean => ['Waiting', 'Progressing', 'WaitingPromotion', 'Promoting', 'Finalising'].includes(phaseOf(status))

/** `status.gate.routesFor` once the apex and the routes have been told to leave us. */
const RELEASED = 'released'
/** The same while the router has none of ours: since when is beside it. */
const NO_ROUTES = 'none'

/**
 * The Canary is being deleted: the target takes over what the primary serves, and only when it does are the primary and the routes let go.
 * Flagger leaves an outage here unless `revertOnDeletion` is set; we never do.
 */
export const terminating: PhaseStep = (before, seen, now) => {
  const nothing: Decision = { status: before, effects: [], news: [], wakeAt: undefined }
  if (!seen.hasFinalizer) return nothing
  const { target } = seen
  // Nobody is left who could serve.
  if (!target) return { ...nothing, effects: [{ kind: 'removeFinalizer' }] }
  if (before.phase !== 'Terminating') {
    const status = withGate(enter(before, 'Terminating', now, { canaryWeight: 0 }), { routesFor: undefined, routesAt: undefined })
    return { status, effects: [], news: [normal('CanaryTerminating', `Terminating canary ${seen.name}.${seen.namespace}`, isInRun(before) ? 'warn' : undefined)], wakeAt: now + OBSERVATION_LAG_MS }
  }
  // What was done just before is seen late, and here a look at the past would let go of what serves.
  const trustedAt = (timeOf(before.gate?.changedAt) ?? 0) + OBSERVATION_LAG_MS
  if (now < trustedAt) return { ...nothing, wakeAt: trustedAt }
  const isServedByUs = target.adopted || seen.apex === 'primary' || seen.apex === 'canary' || seen.apex === 'both'
  if (!isServedByUs && !target.held) return { ...nothing, effects: [...(seen.routes ? [{ kind: 'releaseRoutes' } as const] : []), { kind: 'removeFinalizer' }] }

  const here = (effects: readonly Effect[], wakeAt?: number): Decision => ({ ...nothing, effects, wakeAt })
  const stable = stableOf(before, seen, target)
  // Once it has pods again, its own autoscaler decides how many.
  const wanted = target.scaled && target.replicas > 0 ? target.replicas : Math.max(target.wantedReplicas, target.replicas)
  if (target.revision !== stable || target.replicas !== wanted || target.paused) {
    // Until the target serves, the primary does, alone.
    const home: Effect[] = isServedByUs && seen.endpoints.primary > 0 && (seen.routes?.canary ?? 0) > 0 ? [{ kind: 'setRoutes', routes: ALL_TO_PRIMARY }] : []
    return here([...home, ...scalers(seen, 'free', 'running'), { kind: 'snapshot', revision: stable }, { kind: 'releaseTarget', revision: stable, replicas: wanted }])
  }
  if (!seen.targetReady || target.runningReplicas < wanted) {
    const told = notReady(before, warning('CanaryTargetNotReady', `${targetOf(seen)} is not ready yet: until it is, the primary serves and the Canary stays`, 'warn'), false, now)
    return { ...here([], now + RECHECK_MS), status: told.status, news: told.news }
  }
  const leaving = before.gate?.routesFor === RELEASED ? undefined : withoutCanary(before, seen, now)
  if (leaving) return leaving
  if (seen.apex !== 'target' || before.gate?.routesFor !== RELEASED) {
    return { ...here([{ kind: 'apex', serving: 'target' }, { kind: 'releaseRoutes' }], now), status: withGate(before, { routesFor: RELEASED, routesAt: timestamp(now) }) }
  }
  const settledAt = (timeOf(before.gate?.routesAt) ?? now) + seen.provider.settleMs
  if (now < settledAt) return here([], settledAt)
  // Put back by others since: what they point at is about to go.
  if (seen.routes) return here([{ kind: 'releaseRoutes' }], now + seen.provider.settleMs)
  return {
    status: before,
    effects: [{ kind: 'forgetTarget' }, { kind: 'removeFinalizer' }],
    news: [normal('CanaryTerminated', `Terminated canary ${seen.name}.${seen.namespace}`)],
    wakeAt: undefined,
  }
}

/**
 * An apex that serves the target selects by the user's labels alone, and the canary's pods have them too: an unfinished revision that still ran
 * would get its share of requests. So it goes first, and the baseline with it, once no request is on its way to it. Undefined: it is gone.
 */
function withoutCanary(before: CanaryStatus, seen: Seen, now: number): Decision | undefined {
  const isGone = (found: WorkloadSeen | undefined): boolean => !found || (found.replicas === 0 && found.runningReplicas === 0)
  if (isGone(seen.canary) && isGone(seen.baseline)) return undefined
  const scaled: Effect[] = [...((seen.canary?.replicas ?? 0) > 0 ? [{ kind: 'scale', role: 'canary', replicas: 0 } as const] : []), ...releaseBaseline(seen)]
  if (!seen.routes) {
    // The routes may have gone a moment ago: requests follow late.
    const goneAt = before.gate?.routesFor === NO_ROUTES ? timeOf(before.gate.routesAt) : undefined
    const settledAt = (goneAt ?? now) + seen.provider.settleMs
    const status = goneAt === undefined ? withGate(before, { routesFor: NO_ROUTES, routesAt: timestamp(now) }) : before
    return now < settledAt ? { status, effects: [], news: [], wakeAt: settledAt } : { status, effects: scaled, news: [], wakeAt: undefined }
  }
  // Nobody else serves: the target takes over first.
  if (seen.endpoints.primary === 0 && seen.routes.canary > 0) return undefined
  const routing = route(before, seen, ALL_TO_PRIMARY, now)
  return { status: routing.status, effects: [...routing.effects, ...(routing.settled ? scaled : [])], news: [], wakeAt: routing.wakeAt }
}

/** What serves, or served before a change of the target was held: what was promoted last, or noted when the target was adopted. */
function stableOf({ lastPromotedSpec, lastAppliedSpec }: CanaryStatus, seen: Seen, target: TargetSeen): string {
  if (lastPromotedSpec) return lastPromotedSpec
  if (target.adopted) return lastAppliedSpec ?? seen.primary?.revision ?? target.revision
  return seen.stableRevision ?? target.revision
}
