import type { CanaryStatus } from '#api/canary.ts'
import { ALL_TO_PRIMARY, routesTo, type Routes } from '#api/routes.ts'
import { baselineShare, keepBaseline } from '#rollout/baseline.ts'
import type { Decision, Effect, News, Seen } from '#rollout/decision.ts'
import { closedGate, consult, told } from '#rollout/hooks.ts'
import { goHome } from '#rollout/keeping.ts'
import { afterRun } from '#rollout/judging.ts'
import { mirrors, planOf, type Plan, type PlanStep } from '#rollout/plan.ts'
import { promote } from '#rollout/promoting.ts'
import { canaryReplicas, isCanaryScaled } from '#rollout/routing.ts'
import { canaryOf, enter, normal, once, phaseOf, timestamp, warning, withGate } from '#rollout/status.ts'

/** Ways on from a step: to the next one, to the verdict, or back to the beginning. */

export const planFor = (seen: Seen): Plan => planOf(seen.spec, seen.provider.name)

/** Goes to a step of the plan and sets the time of its check. */
export function advance(before: CanaryStatus, seen: Seen, plan: Plan, index: number, now: number): Decision {
  const step = plan.steps[index]
  if (!step) return promote(before, seen, now)
  const running = withGate(inProgress(before, now), { reason: undefined, released: undefined, step: index, nextCheckAt: timestamp(now + step.intervalMs) })
  const wakeAt = now + step.intervalMs
  if (plan.strategy !== 'weighted') {
    const status = { ...running, iterations: index + 1 }
    return {
      status,
      effects: [{ kind: 'setRoutes', routes: routesOf(status, seen, plan) }],
      news: [normal('CanaryAdvanced', `Advance ${canaryOf(seen)} canary iteration ${index + 1}/${plan.steps.length}`)],
      wakeAt,
    }
  }
  const status = { ...running, canaryWeight: step.weight }
  const replicas = canaryReplicas(seen, step.weight)
  const isGrowing = seen.canary !== undefined && seen.canary.replicas < replicas && !isCanaryScaled(seen)
  const grow: readonly Effect[] = isGrowing ? [{ kind: 'scale', role: 'canary', replicas }, ...keepBaseline(status, seen, replicas, false)] : []
  return {
    status,
    effects: [...grow, { kind: 'setRoutes', routes: routesOf(status, seen, plan) }],
    news: [normal('CanaryAdvanced', `Advance ${canaryOf(seen)} canary weight ${step.weight}`)],
    wakeAt,
  }
}

const inProgress = (status: CanaryStatus, now: number): CanaryStatus => (phaseOf(status) === 'Progressing' ? status : enter(status, 'Progressing', now))

/** All steps passed. Blue/Green first gives the canary all requests for one more check, so that the switch is tried before it is final. */
export function conclude(before: CanaryStatus, seen: Seen, plan: Plan, now: number): Decision {
  const later = now + plan.intervalMs
  const wait = (item: News): Decision => {
    const waiting = withGate(phaseOf(before) === 'WaitingPromotion' ? before : enter(before, 'WaitingPromotion', now), { nextCheckAt: timestamp(later) })
    const said = once(waiting, item)
    return { status: said.status, effects: [], news: said.news, wakeAt: later }
  }
  if (seen.spec.gate?.atMaxWeight === 'wait') {
    return wait(warning('CanaryAwaitingPromotion', `Halt ${canaryOf(seen)} advancement waiting for promotion approval`, 'warn'))
  }
  const approval = consult(seen, 'confirm-promotion', 'Progressing')
  if (approval.kind === 'pending') return { status: before, effects: [], news: [], wakeAt: undefined, asks: approval.asks }
  if (approval.kind === 'failed') {
    return told(wait(closedGate('CanaryAwaitingPromotion', `Halt ${canaryOf(seen)} advancement waiting for promotion approval ${approval.hook.name}`, approval.hook)), approval.news)
  }
  const isSwitched = before.canaryWeight === 100
  if (plan.strategy !== 'blue-green' || isSwitched) return told(promote(before, seen, now), approval.news)
  const status = { ...inProgress(before, now), iterations: plan.steps.length + 1, canaryWeight: 100 }
  return {
    status: withGate(status, { nextCheckAt: timestamp(later), reason: undefined }),
    effects: [{ kind: 'setRoutes', routes: routesTo(100) }],
    news: [...approval.news, normal('CanaryRouted', mirrors(seen.spec, seen.provider.name) ? 'Stop traffic mirroring and route all traffic to canary' : 'Routing all traffic to canary')],
    wakeAt: later,
  }
}

/** The routes that belong to what the status says, never more than was granted: an edited plan takes effect with the next passed check. */
export function routesOf(status: CanaryStatus, seen: Seen, plan: Plan): Routes {
  const weight = status.canaryWeight ?? 0
  const mirror = { ...ALL_TO_PRIMARY, mirror: mirrors(seen.spec, seen.provider.name) }
  if (plan.strategy === 'a-b') return routesTo(100)
  if (weight > 0) return routesTo(weight, baselineShare(status, seen, weight))
  if (plan.strategy === 'blue-green') return mirror
  return stepAt(plan, status)?.mirror ? mirror : ALL_TO_PRIMARY
}

const stepAt = (plan: Plan, status: CanaryStatus): PlanStep | undefined => plan.steps[status.gate?.step ?? -1]

/** The strategy was edited in mid-run: what one has granted means nothing to another. */
export function isOtherStrategy(status: CanaryStatus, plan: Plan): boolean {
  const { canaryWeight = 0, iterations = 0 } = status
  if (plan.steps.length === 0) return true
  if (plan.strategy === 'weighted') return iterations > 0
  return iterations === 0 || (canaryWeight > 0 && plan.strategy === 'a-b')
}

/** The same revision from the beginning: no weight, no counters but the failed checks. */
export function startOver(before: CanaryStatus, seen: Seen, now: number, item: News, failedChecks = before.failedChecks ?? 0): Decision {
  const status = withGate(enter(before, 'Progressing', now, { failedChecks, canaryWeight: 0, iterations: 0 }), {
    step: -1, nextCheckAt: undefined, readyAt: undefined, reason: undefined, released: undefined, judge: afterRun(before), routesAt: undefined,
  })
  return { status, effects: goHome(seen), news: [item], wakeAt: now }
}
