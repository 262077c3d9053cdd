import { ALL_TO_PRIMARY } from '#api/routes.ts'
import type { Decision, Effect, PhaseStep, Seen, TargetSeen } from '#rollout/decision.ts'
import { enter, normal, timeOf, timestamp, withGate } from '#rollout/status.ts'

/** `status.gate.routesFor` once the apex and the routes have been told to leave us. */
const RELEASED = 'released'

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
  const isServedByUs = target.adopted || seen.apex === 'primary' || seen.apex === 'canary' || seen.apex === 'both'
  if (!isServedByUs && !target.held) return { ...nothing, effects: [...(seen.routes ? [{ kind: 'releaseRoutes' } as const] : []), { kind: 'removeFinalizer' }] }

  const isFirst = before.phase !== 'Terminating'
  const status = isFirst ? withGate(enter(before, 'Terminating', now), { routesFor: undefined, routesAt: undefined }) : before
  const news = isFirst ? [normal('CanaryTerminating', `Terminating canary ${seen.name}.${seen.namespace}`)] : []
  const here = (effects: readonly Effect[], wakeAt?: number): Decision => ({ status, effects, news, wakeAt })
  const stable = stableOf(before.lastPromotedSpec, seen, target)
  const wanted = Math.max(target.wantedReplicas, target.replicas)
  if (target.revision !== stable || target.replicas !== wanted || target.paused) {
    // Until the target serves, the primary does, alone.
    const home: Effect[] = isServedByUs && seen.endpoints.primary > 0 && (seen.routes?.canary ?? 0) > 0 ? [{ kind: 'setRoutes', routes: ALL_TO_PRIMARY }] : []
    return here([...home, { kind: 'snapshot', revision: stable }, { kind: 'releaseTarget', revision: stable, replicas: wanted }])
  }
  if (!seen.targetReady || target.runningReplicas < wanted) return here([])
  if (seen.apex !== 'target' || before.gate?.routesFor !== RELEASED) {
    return { ...here([{ kind: 'apex', serving: 'target' }, { kind: 'releaseRoutes' }], now), status: withGate(status, { routesFor: RELEASED, routesAt: timestamp(now) }) }
  }
  const settledAt = (timeOf(before.gate?.routesAt) ?? now) + seen.provider.settleMs
  if (now < settledAt) return here([], settledAt)
  return {
    status,
    effects: [{ kind: 'forgetTarget' }, { kind: 'removeFinalizer' }],
    news: [...news, normal('CanaryTerminated', `Terminated canary ${seen.name}.${seen.namespace}`)],
    wakeAt: undefined,
  }
}

/** What serves, or served before a change of the target was held. */
function stableOf(promoted: string | undefined, seen: Seen, target: TargetSeen): string {
  if (promoted) return promoted
  return (target.adopted ? seen.primary?.revision : seen.stableRevision) ?? seen.primary?.revision ?? target.revision
}
