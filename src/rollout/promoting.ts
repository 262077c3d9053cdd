import type { CanaryStatus } from '#api/canary.ts'
import { ALL_TO_PRIMARY, routesTo } from '#api/routes.ts'
import type { Decision, Effect, PhaseStep, Seen } from '#rollout/decision.ts'
import { intervalMsOf } from '#rollout/plan.ts'
import { keep } from '#rollout/resting.ts'
import { route } from '#rollout/routing.ts'
import { enter, normal, notReady, primaryOf, RECHECK_MS, targetOf, timeOf, timestamp, warning, withGate } from '#rollout/status.ts'

/** The verdict is good: the primary gets exactly the template that was analysed, whatever the target says by now. */
export function promote(before: CanaryStatus, seen: Seen, now: number): Decision {
  const revision = before.lastAppliedSpec ?? ''
  const status = withGate(enter(before, 'Promoting', now), { reason: undefined, previousRevision: before.lastPromotedSpec, nextCheckAt: undefined })
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
  if (!primary || primary.revision !== revision) return { status: before, effects: [deployPrimary(seen, revision)], news: [], wakeAt: undefined }
  const upkeep = seen.target ? keep(before, seen, seen.target) : []
  if (!primary.readiness.ready) {
    if (!primary.readiness.retriable) return failPromotion(before, seen, now, primary.readiness.reason)
    const told = notReady(before, warning('CanaryPrimaryNotReady', `${primaryOf(seen)} not ready: ${primary.readiness.reason}`), false, now)
    return { status: told.status, effects: upkeep, news: told.news, wakeAt: now + RECHECK_MS }
  }
  if (seen.endpoints.primary < Math.min(1, primary.replicas)) return { status: before, effects: upkeep, news: [], wakeAt: undefined }

  const step = seen.spec.analysis.stepWeightPromotion ?? 0
  const weight = Math.max(0, (before.canaryWeight ?? 0) - step)
  if (step <= 0 || (before.canaryWeight ?? 0) <= 0 || weight === 0) {
    const news = step > 0 ? normal('PrimaryAdvanced', `Advance ${seen.name}.${seen.namespace} primary weight 100`) : normal('CanaryRouted', 'Routing all traffic to primary')
    return {
      status: enter(before, 'Finalising', now, { canaryWeight: 0 }),
      effects: [...upkeep, { kind: 'setRoutes', routes: ALL_TO_PRIMARY }],
      news: [news],
      wakeAt: undefined,
    }
  }
  const dueAt = timeOf(before.gate?.nextCheckAt) ?? now
  if (now < dueAt) return { status: before, effects: upkeep, news: [], wakeAt: dueAt }
  const later = now + intervalMsOf(seen.spec)
  return {
    status: withGate({ ...before, canaryWeight: weight }, { nextCheckAt: timestamp(later) }),
    effects: [...upkeep, { kind: 'setRoutes', routes: routesTo(weight) }],
    news: [normal('PrimaryAdvanced', `Advance ${seen.name}.${seen.namespace} primary weight ${100 - weight}`)],
    wakeAt: later,
  }
}

/** All weight is on the primary's way: the canary's pods go only when the router has followed. */
export const finalising: PhaseStep = (before, seen, now) => {
  const routing = route(before, seen, ALL_TO_PRIMARY, now)
  const upkeep = seen.target ? keep(before, seen, seen.target) : []
  if (!routing.settled) return { status: routing.status, effects: [...upkeep, ...routing.effects], news: [], wakeAt: routing.wakeAt }
  const revision = before.lastAppliedSpec ?? ''
  const status = withGate(enter(routing.status, 'Succeeded', now, { lastPromotedSpec: revision, canaryWeight: 0 }), {
    step: undefined, nextCheckAt: undefined, readyAt: undefined, reason: undefined, previousRevision: undefined, paused: undefined, rolledBackRevision: undefined,
  })
  const skipped = seen.spec.skipAnalysis ?? false
  return {
    status,
    effects: [
      ...upkeep,
      { kind: 'scale', role: 'canary', replicas: 0 },
      ...(seen.target?.revision === revision ? [{ kind: 'markGate', gate: 'passed', revision } as const] : []),
      { kind: 'prune', keep: [revision, ...(before.lastPromotedSpec ? [before.lastPromotedSpec] : [])] },
    ],
    news: [
      skipped
        ? normal('CanarySucceeded', `Promotion completed! Canary analysis was skipped for ${targetOf(seen)}`, 'info')
        : normal('CanarySucceeded', `Promotion completed! Scaling down ${targetOf(seen)}`, 'info'),
    ],
    wakeAt: undefined,
  }
}

/** The primary's new pods never became ready although the canary was good: it gets back what it ran, and all weight. */
function failPromotion(before: CanaryStatus, seen: Seen, now: number, reason: string): Decision {
  const previous = before.gate?.previousRevision ?? before.lastPromotedSpec
  const message = `Promotion of ${targetOf(seen)} failed, primary not ready: ${reason}`
  const status = withGate(enter(before, 'Failed', now, { canaryWeight: 0, failedChecks: 0, iterations: 0 }), {
    step: undefined, nextCheckAt: undefined, reason: message, previousRevision: undefined, rolledBackRevision: before.lastAppliedSpec,
  })
  return {
    status,
    effects: [
      ...(previous ? [deployPrimary(seen, previous)] : []),
      { kind: 'setRoutes', routes: ALL_TO_PRIMARY },
      ...(seen.target?.revision === before.lastAppliedSpec ? [{ kind: 'markGate', gate: `failed: ${message}`, revision: before.lastAppliedSpec ?? '' } as const] : []),
    ],
    news: [warning('CanaryPromotionFailed', message, 'error')],
    wakeAt: undefined,
  }
}
