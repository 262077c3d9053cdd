import type { CanaryStatus } from '#api/canary.ts'
import { ALL_TO_PRIMARY } from '#api/routes.ts'
import { firstCommand, refuse } from '#rollout/commands.ts'
import type { Effect, PhaseStep, Seen } from '#rollout/decision.ts'
import { scalers } from '#rollout/keeping.ts'
import { route } from '#rollout/routing.ts'
import { canaryOf, enter, normal, notReady, once, primaryOf, RECHECK_MS, targetOf, timestamp, warning, withGate } from '#rollout/status.ts'

/**
 * Takes a running target over without an outage: the primary is built from the template that serves, and only when it is ready
 * and reachable does the apex move to it; only then are the target's own pods let go. Until that moment nothing of the user's is touched,
 * so a primary that never gets ready leaves everything as it was.
 */
export const initializing: PhaseStep = (before, seen, now) => {
  const { target } = seen
  if (!target) {
    const told = once(before, warning('CanaryTargetMissing', `${seen.spec.targetRef.kind.toLowerCase()} ${targetOf(seen)} not found: waiting for it`))
    return { status: told.status, effects: [], news: told.news, wakeAt: undefined }
  }
  const command = firstCommand(seen)
  if (command) return refuse({ status: before, effects: [], news: [], wakeAt: now }, command, `${canaryOf(seen)} is not initialised yet`, now)
  const revision = adoptedRevision(before, seen)
  const status = { ...enter0(before, now), lastAppliedSpec: revision }
  const replicas = target.wantedReplicas
  const effects: Effect[] = [...(seen.hasFinalizer ? [] : [{ kind: 'addFinalizer' } as const]), { kind: 'snapshot', revision }, { kind: 'services' }]

  const { primary } = seen
  // Somebody else's run is under way: our Services would take the pods away from requests that its routes still send to the canary.
  if ((seen.routes?.canary ?? 0) > 0 && !target.adopted && (primary?.readyReplicas ?? 0) > 0 && !seen.provider.weightsByReplicas) {
    const home = route(status, seen, ALL_TO_PRIMARY, now)
    if (!home.settled) return { status: home.status, effects: home.effects, news: [], wakeAt: home.wakeAt }
  }
  if (!primary || primary.revision !== revision || primary.isOwned === false || (!target.scaled && primary.replicas !== replicas)) {
    return { status, effects: [...effects, { kind: 'deploy', role: 'primary', revision, replicas, restartedAt: target.adopted ? undefined : target.restartedAt }], news: [], wakeAt: undefined }
  }
  if (!primary.readiness.ready) {
    const { retriable, reason } = primary.readiness
    const told = notReady(status, warning('CanaryPrimaryNotReady', `${primaryOf(seen)} not ready: ${reason}`, retriable ? undefined : 'error'), !retriable, now)
    // The gate tells whoever waits with `rollout status`; the live Deployment stays exactly as it is.
    const failed: Effect[] = retriable || !target.held ? [] : [gate(`failed: primary not ready: ${reason}`, target.revision)]
    return { status: told.status, effects: [...effects, ...failed], news: told.news, wakeAt: now + RECHECK_MS }
  }
  effects.push(...scalers(seen, target.adopted ? 'held' : 'free', 'resting'))
  if (seen.endpoints.primary < Math.min(primary.readyReplicas, replicas)) return { status, effects, news: [], wakeAt: undefined }

  const moved: Effect[] = seen.apex === 'primary' ? [] : [{ kind: 'apex', serving: 'primary' }]
  const routing = route(status, seen, ALL_TO_PRIMARY, now)
  if (moved.length > 0 || !routing.settled) {
    return { status: routing.status, effects: [...effects, ...moved, ...routing.effects], news: [], wakeAt: routing.wakeAt }
  }
  if (!target.adopted || target.replicas !== 0) {
    return { status: routing.status, effects: [...effects, ...scalers(seen, 'held', 'resting'), { kind: 'holdTarget', replicas: target.adopted && target.replicas > 0 ? target.replicas : replicas }], news: [], wakeAt: undefined }
  }
  if (target.runningReplicas > 0) return { status: routing.status, effects, news: [], wakeAt: undefined }
  if (target.held) return { status: routing.status, effects: [...effects, { kind: 'unpauseTarget' }], news: [], wakeAt: undefined }

  const done = enter(routing.status, 'Initialized', now, {
    lastAppliedSpec: revision, lastPromotedSpec: revision, canaryWeight: 0, failedChecks: 0, iterations: 0,
  })
  const passed: Effect[] = target.revision === revision && target.gate !== 'passed' ? [gate('passed', revision)] : []
  return {
    status: withGate(done, { reason: undefined }),
    effects: [...effects, ...passed],
    news: [normal('CanaryInitialized', `Initialization done! ${canaryOf(seen)}`, 'info')],
    // A change that was held until now starts its run at once.
    wakeAt: target.revision === revision ? undefined : now,
  }

  function gate(value: string, of: string): Effect {
    return { kind: 'markGate', gate: value, revision: of }
  }
}

/**
 * What serves now, until the target's pods are let go; from then on what was noted. A Canary that was deleted and made again finds an
 * adopted target whose primary knows what is stable.
 */
function adoptedRevision({ lastPromotedSpec: promoted, lastAppliedSpec: noted, phase }: CanaryStatus, seen: Seen): string {
  if (promoted) return promoted
  if (seen.target?.adopted && phase === 'Initializing' && noted) return noted
  if (seen.target?.adopted && seen.primary?.revision) return seen.primary.revision
  return seen.stableRevision ?? seen.target?.revision ?? ''
}

function enter0(status: CanaryStatus, now: number): CanaryStatus {
  return status.phase === 'Initializing' ? status : withGate({ ...status, phase: 'Initializing' as const }, { changedAt: timestamp(now) })
}
