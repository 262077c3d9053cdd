import type { CanaryStatus } from '#api/canary.ts'
import { advance, conclude, isOtherStrategy, planFor, routesOf, startOver } from '#rollout/advancing.ts'
import { keepBaseline, lostBaseline } from '#rollout/baseline.ts'
import type { Decision, Effect, News, Seen } from '#rollout/decision.ts'
import { closedGate, consult, consultRollback, hookFailed, told, toldOf } from '#rollout/hooks.ts'
import { checkEarly, doubtOf, forgetTold, isProvedWorse, mayCheckEarly, onceInRun, openQuestion, warned, type Telling } from '#rollout/judging.ts'
import { positionOf, type Plan } from '#rollout/plan.ts'
import { promote } from '#rollout/promoting.ts'
import { rollBack } from '#rollout/rolling-back.ts'
import { canaryReplicas, isCanaryScaled, route } from '#rollout/routing.ts'
import { canaryOf, earlier, heldBy, normal, once, onceAlike, phaseOf, primaryOf, RECHECK_MS, targetOf, timeOf, timestamp, warning, withGate } from '#rollout/status.ts'

/** The canary serves: it is watched all the time, judged when its check is due, and only then may its weight rise. */
export function underTraffic(before: CanaryStatus, seen: Seen, now: number): Decision {
  const plan = planFor(seen)
  if (isOtherStrategy(before, plan)) {
    return startOver(before, seen, now, normal('CanaryRestarted', `The strategy of ${canaryOf(seen)} was changed: starting over`))
  }
  const routes = routesOf(before, seen, plan)
  const routing = route(before, seen, routes, now)
  const { canary } = seen
  if (!canary || canary.revision !== before.lastAppliedSpec) {
    // No weight may point there; the run begins anew with fresh pods.
    return startOver(before, seen, now, warning('CanaryWorkloadLost', `The canary of ${canaryOf(seen)} was changed or deleted by others: starting over`, 'warn'))
  }
  if (!canary.readiness.ready && !canary.readiness.retriable) {
    return rollBack(before, seen, now, { message: `canary deployment ${targetOf(seen)} not ready: ${canary.readiness.reason}`, isUnready: true })
  }
  if (seen.endpoints.canary === 0 && routes.canary > 0) return withoutPods(before, seen, plan, now)
  if (seen.judgement && isProvedWorse(seen)) return rollBack(before, seen, now, { message: seen.judgement.words, isWorse: true })
  if (before.gate?.bypass && canary.readiness.ready) return promote(before, seen, now)

  const replicas = canaryReplicas(seen, routes.canary)
  const size: Effect[] = !isCanaryScaled(seen) && canary.replicas !== replicas ? [{ kind: 'scale', role: 'canary', replicas }] : []
  const isBaselineFree = (seen.routes?.baseline ?? 0) === 0 && (routing.settled || seen.provider.weightsByReplicas)
  size.push(...keepBaseline(before, seen, replicas, isBaselineFree))
  const word = warned(routing.status, seen) ?? withoutBaseline(routing.status, seen, routes.canary)
  if (word) return { ...word, effects: [...routing.effects, ...size], wakeAt: now }
  const dueAt = timeOf(before.gate?.nextCheckAt) ?? now
  if (now < dueAt && routing.isInForce && size.length === 0 && seen.judgement && mayCheckEarly(before, seen, plan)) {
    const item = normal('CanaryProvedGood', `${canaryOf(seen)}: ${seen.judgement.words}; its check comes early`)
    return { status: checkEarly(routing.status, now), effects: routing.effects, news: [item], wakeAt: now }
  }
  if (now < dueAt) return { status: routing.status, effects: [...routing.effects, ...size], news: [], wakeAt: earlier(dueAt, routing.wakeAt) }
  if (!routing.isInForce || size.length > 0) {
    // What was measured so far may have been measured at other weights, or on fewer pods than the next step needs.
    return { status: routing.status, effects: [...routing.effects, ...size], news: [], wakeAt: now + RECHECK_MS }
  }
  return check(routing.status, seen, plan, now)
}

/** Told once in a run: the evidence is of another kind than was asked for. */
function withoutBaseline(status: CanaryStatus, seen: Seen, weight: number): Telling | undefined {
  const reason = lostBaseline(status, seen, weight)
  if (reason === undefined) return undefined
  const telling = onceInRun(status, warning('CanaryBaselineLost', `${canaryOf(seen)} is compared with its warm primary: its baseline has no ready pod (${reason})`, 'warn'))
  return telling.news.length > 0 ? telling : undefined
}

/** Weight on pods that are all gone falls at once; it comes back from the beginning, and too many such falls are the end. */
function withoutPods(before: CanaryStatus, seen: Seen, plan: Plan, now: number): Decision {
  const item = warning('CanaryNotReady', `canary deployment ${targetOf(seen)} not ready: no ready address is left; its weight goes back`, 'warn')
  const failedChecks = (before.failedChecks ?? 0) + 1
  if (failedChecks >= plan.threshold) return told(rollBack(before, seen, now, { threshold: failedChecks, message: item.message }), [item])
  return startOver(before, seen, now, item, failedChecks)
}

/** One check, in Flagger's order: readiness, `rollback` hooks, `rollout` hooks, metrics; then the judge's doubts, pauses and gates. */
function check(before: CanaryStatus, seen: Seen, plan: Plan, now: number): Decision {
  const index = positionOf(plan, before.gate?.step ?? 0, before.canaryWeight ?? 0)
  const step = plan.steps[index]
  const later = now + (step?.intervalMs ?? plan.intervalMs)
  const again = withGate(before, { nextCheckAt: timestamp(later) })
  const stay = (status: CanaryStatus, news: readonly News[]): Decision => ({ status, effects: [], news, wakeAt: later })
  const stayOnce = (status: CanaryStatus, item: News): Decision => {
    const said = once(status, item)
    return stay(said.status, said.news)
  }

  const unready = seen.canary && !seen.canary.readiness.ready ? seen.canary.readiness.reason : seen.endpoints.canary === 0 ? 'no ready address' : undefined
  if (unready !== undefined) return stay(again, [warning('CanaryNotReady', `canary deployment ${targetOf(seen)} not ready: ${unready}`)])
  if (seen.primary && !seen.primary.readiness.ready) {
    return stay(again, [warning('CanaryPrimaryNotReady', `${primaryOf(seen)} not ready: ${seen.primary.readiness.reason}`, 'warn')])
  }
  const signal = consultRollback(seen, phaseOf(before))
  if (signal.kind === 'pending') return { status: before, effects: [], news: [], wakeAt: undefined, asks: signal.asks }
  if (signal.kind === 'rollBack') return told(rollBack(before, seen, now, { message: 'manual webhook invoked', isManual: true }), signal.news)
  const heard = (decision: Decision): Decision => told(decision, signal.news)

  const hooks = consult(seen, 'rollout', 'Progressing')
  if (hooks.kind === 'pending') return { status: before, effects: [], news: [], wakeAt: undefined, asks: hooks.asks }
  if (hooks.kind === 'failed') return heard(fail(again, seen, plan, [hookFailed(seen, 'external check', hooks.hook, hooks.message)], now, later))
  // Asked for by `wantsCheck` and not answered yet: the next turn brings it.
  if (!seen.check) return { status: before, effects: [], news: [], wakeAt: now }
  const shared = sharedTrouble(seen)
  if (shared) {
    // Two sources say it, of windows of their own, in words of their own, and other reasons to hold come in between: an outage lasts until a check passes.
    const said = onceInRun(onceAlike(again, shared).status, shared)
    return heard(stay(said.status, said.news))
  }
  const failures = seen.check.metrics.flatMap(({ failure }) => failure ?? [])
  if (failures.length > 0) return heard(fail(again, seen, plan, failures.map((message) => warning('CanaryCheckFailed', message)), now, later))
  const halts = seen.check.metrics.flatMap(({ halt }) => halt ?? [])
  if (halts.length > 0) return heard(stay(again, halts.map((message) => warning('CanaryMetricUnavailable', message, 'warn'))))
  const doubt = doubtOf(seen)
  if (doubt) return heard(stayOnce(again, doubt))

  const open = openQuestion(forgetTold(before, BOTH_ARMS_BAD), seen)
  if (open.waits) return heard(stay(withGate(open.status, { nextCheckAt: timestamp(later) }), open.news))
  const counted = seen.spec.gate?.failures === 'consecutive' ? { ...open.status, failedChecks: 0 } : open.status
  const answered = (decision: Decision): Decision => heard(told(decision, open.news))
  const passed = withGate(counted, { nextCheckAt: timestamp(later) })
  const held = heldBy(before, seen)
  if (held) return answered(stayOnce(passed, held))
  if (step?.hold && before.gate?.released !== index) {
    return answered(stayOnce(passed, warning('CanaryHeld', `Halt ${canaryOf(seen)} advancement at weight ${step.weight}: waiting for canarygate.dev/resume`, 'warn')))
  }
  if (plan.strategy === 'weighted' && !step?.mirror && phaseOf(before) !== 'WaitingPromotion') {
    const increase = consult(seen, 'confirm-traffic-increase', 'Progressing')
    if (increase.kind === 'pending') return { status: before, effects: [], news: [], wakeAt: undefined, asks: increase.asks }
    if (increase.kind === 'failed') {
      const closed = closedGate('CanaryIncreaseHeld', `Halt ${canaryOf(seen)} advancement waiting for traffic increase approval ${increase.hook.name}`, increase.hook)
      return answered(stay(passed, [...increase.news, closed]))
    }
    return answered(told(proceed(counted, seen, plan, index, now), increase.news))
  }
  return answered(proceed(counted, seen, plan, index, now))
}

/** To the next step, or to the verdict. */
export function proceed(status: CanaryStatus, seen: Seen, plan: Plan, index: number, now: number): Decision {
  return index + 1 < plan.steps.length ? advance(status, seen, plan, index + 1, now) : conclude(status, seen, plan, now)
}

const BOTH_ARMS_BAD = 'CanaryBothArmsBad'

/** What both arms suffer is no fault of the new revision: it holds, and no failed check counts meanwhile. */
function sharedTrouble(seen: Seen): News | undefined {
  if (seen.judgement?.mode === 'enforce' && seen.judgement.verdict === 'BothBad') {
    return warning(BOTH_ARMS_BAD, `Halt ${canaryOf(seen)} advancement: ${seen.judgement.words}`, 'warn')
  }
  const metrics = seen.check?.metrics ?? []
  const text = metrics.find(({ inBothArms }) => inBothArms !== undefined)?.inBothArms
  return text === undefined || metrics.some(({ failure }) => failure !== undefined) ? undefined : warning(BOTH_ARMS_BAD, text, 'warn')
}

/** One failed check, however much failed in it. */
function fail(again: CanaryStatus, seen: Seen, plan: Plan, news: readonly News[], now: number, later: number): Decision {
  const failedChecks = (again.failedChecks ?? 0) + 1
  const status = { ...again, failedChecks }
  if (failedChecks < plan.threshold) return { status, effects: [], news, wakeAt: later }
  return told(rollBack(status, seen, now, { threshold: failedChecks, message: news[0]?.message ?? 'failed checks' }), toldOf(status, news))
}
