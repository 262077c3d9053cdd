import type { CanaryStatus } from '#api/canary.ts'
import { ALL_TO_PRIMARY, routesTo, type Routes } from '#api/routes.ts'
import { because, firstCommand, refuse, take } from '#rollout/commands.ts'
import type { CommandSeen, Decision, Effect, PhaseStep, Seen } from '#rollout/decision.ts'
import { hasHooks, tellPostRollout } from '#rollout/hooks.ts'
import { goHome, keep } from '#rollout/keeping.ts'
import { intervalMsOf, strategyOf } from '#rollout/plan.ts'
import { NO_RUN } from '#rollout/rolling-back.ts'
import { route } from '#rollout/routing.ts'
import { canaryOf, enter, normal, notReady, primaryOf, RECHECK_MS, targetOf, timeOf, timestamp, warning, withGate } from '#rollout/status.ts'

/** The verdict is good: the primary gets exactly the template that was analysed, whatever the target says by now. */
export function promote(before: CanaryStatus, seen: Seen, now: number): Decision {
  const revision = before.lastAppliedSpec ?? ''
  const status = withGate(enter(before, 'Promoting', now), { reason: undefined, previousRevision: before.lastPromotedSpec, nextCheckAt: undefined, paused: undefined })
  return {
    status,
    effects: [deployPrimary(seen, revision)],
    news: [normal('CanaryPromoting', `Copying ${targetOf(seen)} template spec to ${primaryOf(seen)}`)],
    wakeAt: undefined,
  }
}

const deployPrimary = (seen: Seen, revision: string): Effect => ({
  kind: 'deploy', role: 'primary', revision, replicas: seen.target?.wantedReplicas ?? seen.primary?.replicas ?? 1,
})

/** The primary rolls while the canary keeps its weight; then the weight goes home, at once or in steps. */
export const promoting: PhaseStep = (before, seen, now) => {
  const revision = before.lastAppliedSpec ?? ''
  const { primary } = seen
  const command = firstCommand(seen)
  if (command?.command === 'abort') return take(failPromotion(before, seen, now, { command }), command, now)
  if (command) return refuse({ status: before, effects: [], news: [], wakeAt: now }, command, `revision ${revision} is being promoted; abort gives the primary its previous revision back`, now)
  if (!primary || primary.revision !== revision) return { status: before, effects: [deployPrimary(seen, revision)], news: [], wakeAt: undefined }
  const upkeep = seen.target ? keep(seen, seen.target, revision) : []
  const isServing = seen.endpoints.primary >= Math.min(1, seen.target?.wantedReplicas ?? primary.replicas)
  const isCanaryLost = (seen.endpoints.canary === 0 || seen.canary?.revision !== revision) && (before.canaryWeight ?? 0) > 0
  // Whatever others made of the routes meanwhile: the canary keeps what it had, as long as it has pods of this revision. Where nobody has any, nothing moves.
  const routing = isCanaryLost ? { status: before, effects: isServing ? goHome(seen) : [], wakeAt: undefined } : route(before, seen, routesIn(before, seen), now)
  const effects = [...upkeep, ...routing.effects]
  if (!primary.readiness.ready) {
    if (!primary.readiness.retriable) return failPromotion(before, seen, now, { reason: primary.readiness.reason })
    const told = notReady(routing.status, warning('CanaryPrimaryNotReady', `${primaryOf(seen)} not ready: ${primary.readiness.reason}`), false, now)
    return { status: told.status, effects, news: told.news, wakeAt: now + RECHECK_MS }
  }
  if (!isServing) return { status: routing.status, effects, news: [], wakeAt: routing.wakeAt }
  return goOn(before, seen, now, upkeep, isCanaryLost)
}

/** What the canary was given before its promotion began, or what is left of it. */
function routesIn(status: CanaryStatus, seen: Seen): Routes {
  const weight = status.canaryWeight ?? 0
  if (weight > 0) return routesTo(weight)
  return strategyOf(seen.spec) === 'a-b' && (status.iterations ?? 0) > 0 ? routesTo(100) : ALL_TO_PRIMARY
}

/** The primary is ready: the weight goes home. */
function goOn(before: CanaryStatus, seen: Seen, now: number, upkeep: readonly Effect[], isCanaryLost: boolean): Decision {
  const step = seen.spec.analysis.stepWeightPromotion ?? 0
  const weight = isCanaryLost ? 0 : Math.max(0, (before.canaryWeight ?? 0) - step)
  const dueAt = timeOf(before.gate?.nextCheckAt) ?? now
  if (now < dueAt && !isCanaryLost) return { status: before, effects: upkeep, news: [], wakeAt: dueAt }
  if (step <= 0 || weight === 0) {
    const message = step > 0 && (before.canaryWeight ?? 0) > 0
      ? normal('PrimaryAdvanced', `Advance ${canaryOf(seen)} primary weight 100`)
      : normal('CanaryRouted', 'Routing all traffic to primary')
    return {
      status: enter(before, 'Finalising', now, { canaryWeight: 0 }),
      effects: [...upkeep, { kind: 'setRoutes', routes: ALL_TO_PRIMARY }],
      news: routesIn(before, seen).canary > 0 ? [message] : [],
      wakeAt: undefined,
    }
  }
  const later = now + intervalMsOf(seen.spec)
  return {
    status: withGate({ ...before, canaryWeight: weight }, { nextCheckAt: timestamp(later) }),
    effects: [...upkeep, { kind: 'setRoutes', routes: routesTo(weight) }],
    news: [normal('PrimaryAdvanced', `Advance ${canaryOf(seen)} primary weight ${100 - weight}`)],
    wakeAt: later,
  }
}

/** All weight is on the primary's way. The promotion is over when the router says so; the canary's pods go once requests have followed (see `resting`). */
export const finalising: PhaseStep = (before, seen, now) => {
  const command = firstCommand(seen)
  if (command) return refuse({ status: before, effects: [], news: [], wakeAt: now }, command, 'the promotion is done; to go back, request the previous revision', now)
  const revision = before.lastAppliedSpec ?? ''
  const routing = route(before, seen, ALL_TO_PRIMARY, now)
  const upkeep = seen.target ? keep(seen, seen.target, revision) : []
  const here: Decision = { status: routing.status, effects: [...upkeep, ...routing.effects], news: [], wakeAt: routing.wakeAt }
  if (!routing.isInForce) return here
  const hooks = tellPostRollout(seen, 'Succeeded')
  if ('asks' in hooks) return { ...here, asks: hooks.asks }
  const status = withGate(
    enter(routing.status, 'Succeeded', now, { lastPromotedSpec: revision, canaryWeight: 0, failedChecks: 0 }), { ...NO_RUN, rolledBackRevision: undefined },
  )
  const message = seen.spec.skipAnalysis ? `Promotion completed! Canary analysis was skipped for ${targetOf(seen)}` : `Promotion completed! Scaling down ${targetOf(seen)}`
  return {
    status,
    effects: [
      ...upkeep,
      ...(seen.target?.revision === revision ? [{ kind: 'markGate', gate: 'passed', revision } as const] : []),
      { kind: 'prune', keep: [revision, ...(before.lastPromotedSpec ? [before.lastPromotedSpec] : [])] },
    ],
    news: [...hooks.news, normal('CanarySucceeded', message, 'info')],
    wakeAt: now,
  }
}

/**
 * The primary's new pods never became ready although the canary was good, or somebody stops it: the primary gets back what it ran, and
 * all weight as soon as it has pods that serve.
 */
function failPromotion(before: CanaryStatus, seen: Seen, now: number, cause: { readonly reason: string } | { readonly command: CommandSeen }): Decision {
  const previous = before.gate?.previousRevision ?? before.lastPromotedSpec
  const message = 'command' in cause ? `aborted ${because(cause.command)}` : `Promotion of ${targetOf(seen)} failed, primary not ready: ${cause.reason}`
  const status = withGate(enter(before, 'Failed', now, { canaryWeight: 0, failedChecks: 0, iterations: 0 }), {
    ...NO_RUN, routesAt: undefined, reason: message, rolledBackRevision: before.lastAppliedSpec, hooksDue: hasHooks(seen, 'post-rollout') ? true : undefined,
  })
  return {
    status,
    effects: [
      ...(previous ? [deployPrimary(seen, previous)] : []),
      ...goHome(seen),
      ...(seen.target && seen.target.revision === before.lastAppliedSpec ? [{ kind: 'markGate', gate: `failed: ${message}`, revision: seen.target.revision } as const] : []),
    ],
    news: ['command' in cause ? warning('CanaryAborted', `Aborting ${canaryOf(seen)}: ${message}`, 'warn') : warning('CanaryPromotionFailed', message, 'error')],
    wakeAt: now,
  }
}
