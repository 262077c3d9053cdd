import type { CanaryStatus } from '#api/canary.ts'
import { ALL_TO_PRIMARY, routesTo } from '#api/routes.ts'
import type { Decision, Effect, News, PhaseStep, Seen, TargetSeen } from '#rollout/decision.ts'
import { planOf, type Plan, type PlanStep } from '#rollout/plan.ts'
import { promote } from '#rollout/promoting.ts'
import { consume, keep } from '#rollout/resting.ts'
import { rollBack } from '#rollout/rolling-back.ts'
import { canaryReplicas, route } from '#rollout/routing.ts'
import { canaryOf, earlier, enter, normal, notReady, once, primaryOf, RECHECK_MS, targetOf, timeOf, timestamp, warning, withGate } from '#rollout/status.ts'

/** One revision under analysis: its pods first, then weight step by step, each judged before the next. */
export const progressing: PhaseStep = (before, seen, now) => {
  const { target } = seen
  if (!target) return rollBack(before, seen, now, { message: `${targetOf(seen)} was deleted` })
  if (target.revision !== before.lastAppliedSpec) return superseded(before, seen, target, now)
  const effects = keep(before, seen, target)
  const abort = seen.commands.find(({ command }) => command === 'abort')
  if (abort) return plus(rollBack(before, seen, now, { message: `aborted by ${abort.by}: ${abort.reason}` }), effects, consume(seen))
  if (seen.commands.some(({ command }) => command === 'promote')) {
    return isServing(before, seen) ? plus(promote(before, seen, now), effects, consume(seen)) : wait(before, effects, now)
  }
  return plus((before.gate?.step ?? -1) < 0 ? beforeTraffic(before, seen, target, now) : underTraffic(before, seen, now), effects, [])
}

const isServing = (status: CanaryStatus, seen: Seen): boolean =>
  seen.canary?.revision === status.lastAppliedSpec && (seen.canary?.readiness.ready ?? false)

const wait = (status: CanaryStatus, effects: readonly Effect[], _now: number): Decision => ({ status, effects, news: [], wakeAt: undefined })

const plus = (decision: Decision, first: readonly Effect[], last: readonly Effect[]): Decision =>
  ({ ...decision, effects: [...first, ...decision.effects, ...last] })

/** Another revision is requested in mid-run: back to the stable one ends the run, anything else begins it anew. */
function superseded(before: CanaryStatus, seen: Seen, target: TargetSeen, now: number): Decision {
  if (target.revision === before.lastPromotedSpec) {
    return rollBack(before, seen, now, { message: `the stable revision was requested again by ${target.requestedBy ?? 'its owner'}`, isAbort: true })
  }
  const status = withGate(
    enter(before, 'Progressing', now, { lastAppliedSpec: target.revision, failedChecks: 0, canaryWeight: 0, iterations: 0 }),
    { step: -1, nextCheckAt: undefined, readyAt: undefined, reason: undefined, judge: undefined, requestedBy: target.requestedBy },
  )
  return {
    status,
    // Traffic leaves before the pods change; the next turn brings up the new pods once it has.
    effects: [{ kind: 'setRoutes', routes: ALL_TO_PRIMARY }, { kind: 'snapshot', revision: target.revision }],
    news: [normal('CanaryRestarted', `New revision detected! Restarting analysis for ${targetOf(seen)}`, 'info')],
    wakeAt: undefined,
  }
}

/** Brings the pinned revision up while no request reaches it, and begins as soon as it is ready and reachable. */
function beforeTraffic(before: CanaryStatus, seen: Seen, target: TargetSeen, now: number): Decision {
  const revision = target.revision
  const plan = planOf(seen.spec)
  const routing = route(before, seen, ALL_TO_PRIMARY, now)
  const effects: Effect[] = [{ kind: 'snapshot', revision }, ...routing.effects]
  const waiting = (status: CanaryStatus, more: readonly Effect[], news: readonly News[] = []): Decision =>
    ({ status, effects: [...effects, ...more], news, wakeAt: routing.wakeAt })

  const replicas = canaryReplicas(seen, plan.steps[0]?.weight ?? 100)
  const { canary } = seen
  const isBusyWithAnother = canary !== undefined && canary.revision !== revision && canary.runningReplicas > 0
  if (isBusyWithAnother && !routing.settled) return waiting(routing.status, [])
  if (!canary || canary.revision !== revision || canary.replicas !== replicas) {
    return waiting(routing.status, [{ kind: 'deploy', role: 'canary', revision, replicas }])
  }
  if (seen.primary && !seen.primary.readiness.ready && !seen.primary.readiness.retriable) {
    const told = once(routing.status, warning('CanaryPrimaryNotReady', `${primaryOf(seen)} not ready: ${seen.primary.readiness.reason}`))
    return waiting(told.status, [], told.news)
  }
  if (!canary.readiness.ready) {
    const reason = `canary deployment ${targetOf(seen)} not ready: ${canary.readiness.reason}`
    if (!canary.readiness.retriable) return rollBack(routing.status, seen, now, { message: reason, isUnready: true })
    const told = notReady(routing.status, warning('CanaryNotReady', reason), false, now)
    return { ...waiting(told.status, [], told.news), wakeAt: earlier(routing.wakeAt, now + RECHECK_MS) }
  }
  if (seen.endpoints.canary < Math.min(replicas, canary.readyReplicas) || !routesAreOff(seen)) return waiting(routing.status, [])
  // The router learns of new addresses on its own watch: it gets a moment before it is told to use them.
  const readyAt = timeOf(before.gate?.readyAt)
  if (readyAt === undefined) {
    const status = withGate(routing.status, { readyAt: timestamp(now) })
    return { ...waiting(status, []), wakeAt: earlier(routing.wakeAt, now + ENDPOINT_GRACE_MS) }
  }
  if (now < readyAt + ENDPOINT_GRACE_MS) return { ...waiting(routing.status, []), wakeAt: readyAt + ENDPOINT_GRACE_MS }
  return begin(routing.status, seen, plan, now, effects)
}

/** Between "the address is ready" and the first weight on it (milliseconds): routers merge endpoint news within about 100 ms. */
const ENDPOINT_GRACE_MS = 300

const routesAreOff = (seen: Seen): boolean => seen.routes !== undefined && seen.routes.canary === 0

function begin(before: CanaryStatus, seen: Seen, plan: Plan, now: number, effects: readonly Effect[]): Decision {
  const started = normal('CanaryAnalysisStarting', `Starting canary analysis for ${targetOf(seen)}`)
  if (seen.spec.skipAnalysis) return plus(promote(before, seen, now), effects, [])
  const first = plan.steps[0]
  if (!first) {
    const told = once(before, warning('CanaryHalted', `Halt ${canaryOf(seen)} advancement: the analysis has no steps; set stepWeight, stepWeights or iterations`))
    return { status: told.status, effects, news: told.news, wakeAt: undefined }
  }
  const decision = advance(withGate(before, { reason: undefined }), seen, plan, 0, now)
  return { ...decision, effects: [...effects, ...decision.effects], news: [started, ...decision.news] }
}

/** Goes to a step of the plan and sets the time of its check. */
function advance(before: CanaryStatus, seen: Seen, plan: Plan, index: number, now: number): Decision {
  const step = plan.steps[index]
  if (!step) return promote(before, seen, now)
  const nextCheckAt = timestamp(now + step.intervalMs)
  if (plan.strategy !== 'weighted') {
    const status = withGate({ ...before, iterations: index + 1 }, { step: index, nextCheckAt })
    const routes = plan.strategy === 'a-b' ? { primary: 0, canary: 100, mirror: false } : { ...ALL_TO_PRIMARY, mirror: seen.spec.analysis.mirror ?? false }
    return {
      status,
      effects: [{ kind: 'setRoutes', routes }],
      news: [normal('CanaryAdvanced', `Advance ${canaryOf(seen)} canary iteration ${index + 1}/${plan.steps.length}`)],
      wakeAt: now + step.intervalMs,
    }
  }
  const status = withGate({ ...before, canaryWeight: step.weight }, { step: index, nextCheckAt })
  const replicas = canaryReplicas(seen, step.weight)
  const grow: Effect[] = seen.canary && seen.canary.replicas < replicas ? [{ kind: 'scale', role: 'canary', replicas }] : []
  return {
    status,
    effects: [...grow, { kind: 'setRoutes', routes: routesTo(step.weight) }],
    news: [normal('CanaryAdvanced', `Advance ${canaryOf(seen)} canary weight ${step.weight}`)],
    wakeAt: now + step.intervalMs,
  }
}

function underTraffic(before: CanaryStatus, seen: Seen, now: number): Decision {
  const plan = planOf(seen.spec)
  const index = Math.min(before.gate?.step ?? 0, plan.steps.length - 1)
  const step = plan.steps[index]
  if (!step) return begin(before, seen, plan, now, [])
  const routes = routesOf(before, seen, plan, step)
  const routing = route(before, seen, routes, now)
  const { canary } = seen
  if (!canary || canary.revision !== before.lastAppliedSpec) {
    // Somebody deleted or changed it: no weight may point there; the run begins anew with fresh pods.
    const status = withGate({ ...before, canaryWeight: 0, iterations: 0 }, { step: -1, readyAt: undefined, nextCheckAt: undefined })
    return { status, effects: [{ kind: 'setRoutes', routes: ALL_TO_PRIMARY }], news: [warning('CanaryWorkloadLost', `The canary of ${canaryOf(seen)} was changed or deleted by others: starting over`)], wakeAt: undefined }
  }
  if (!canary.readiness.ready && !canary.readiness.retriable) {
    return rollBack(before, seen, now, { message: `canary deployment ${targetOf(seen)} not ready: ${canary.readiness.reason}`, isUnready: true })
  }
  if (seen.judgement?.verdict === 'Worse' && seen.judgement.mode === 'enforce') {
    return rollBack(before, seen, now, { message: seen.judgement.words, isWorse: true })
  }
  const dueAt = timeOf(before.gate?.nextCheckAt) ?? now
  const here = (status: CanaryStatus, news: readonly News[], wakeAt: number | undefined): Decision =>
    ({ status, effects: routing.effects, news, wakeAt: earlier(wakeAt, routing.wakeAt) })
  if (now < dueAt) return here(routing.status, [], dueAt)

  const later = now + step.intervalMs
  const again = withGate(routing.status, { nextCheckAt: timestamp(later) })
  if (!canary.readiness.ready || seen.endpoints.canary === 0) {
    const reason = canary.readiness.ready ? 'no ready address' : canary.readiness.reason
    return here(again, [warning('CanaryNotReady', `canary deployment ${targetOf(seen)} not ready: ${reason}`)], later)
  }
  if (seen.primary && !seen.primary.readiness.ready) {
    return here(again, [warning('CanaryPrimaryNotReady', `${primaryOf(seen)} not ready: ${seen.primary.readiness.reason}`)], later)
  }
  const held = heldBy(before, seen)
  if (held) {
    const told = once(again, normal('CanaryPaused', held))
    return here(told.status, told.news, later)
  }
  // Asked for by `wanted` and not answered yet: the next turn brings it.
  if (!seen.check) return here(routing.status, [], now)
  const failures = seen.check.metrics.flatMap(({ failure }) => failure ?? [])
  if (failures.length > 0) return failed(again, seen, failures, later, here, now)
  const halts = seen.check.metrics.flatMap(({ halt }) => halt ?? [])
  if (halts.length > 0) return here(again, halts.map((message) => warning('CanaryMetricUnavailable', message)), later)
  const doubt = doubtOf(seen)
  if (doubt) {
    const told = once(again, doubt)
    return here(told.status, told.news, later)
  }
  const counted = seen.spec.gate?.failures === 'consecutive' ? { ...routing.status, failedChecks: 0 } : routing.status
  if (step.hold && before.gate?.paused !== RESUMED) {
    const told = once(again, warning('CanaryHeld', `Halt ${canaryOf(seen)} advancement at weight ${step.weight}: waiting for canarygate.dev/resume`))
    return here(told.status, told.news, later)
  }
  if (index + 1 < plan.steps.length) return advance(withGate(counted, { reason: undefined }), seen, plan, index + 1, now)
  return last(counted, seen, plan, now, here)
}

/** `status.gate.paused` after a `resume` at a hold: the mark that lets the step pass. */
const RESUMED = 'resumed'

function heldBy(status: CanaryStatus, seen: Seen): string | undefined {
  if (seen.spec.suspend) return 'skipping canary run as object is suspended'
  if (status.gate?.paused && status.gate.paused !== RESUMED) return `Halt ${canaryOf(seen)} advancement: ${status.gate.paused}`
  return undefined
}

/** What keeps the weight from rising although the thresholds pass: holds, never a rollback. */
function doubtOf(seen: Seen): News | undefined {
  if (!seen.judgement || seen.judgement.mode !== 'enforce') return undefined
  const { verdict, words } = seen.judgement
  if (verdict === 'Suspect') return warning('CanarySuspect', `Halt ${canaryOf(seen)} advancement: ${words}`)
  if (verdict === 'BothBad') return warning('CanaryBothArmsBad', `Halt ${canaryOf(seen)} advancement: ${words}`, 'warn')
  if (verdict === 'NoData') return warning('CanaryNoTraffic', `Halt ${canaryOf(seen)} advancement: ${words}`, 'warn')
  return undefined
}

type Here = (status: CanaryStatus, news: readonly News[], wakeAt: number | undefined) => Decision

function failed(again: CanaryStatus, seen: Seen, failures: readonly string[], later: number, here: Here, now: number): Decision {
  const { threshold } = planOf(seen.spec)
  const status = { ...again, failedChecks: (again.failedChecks ?? 0) + 1 }
  const news = failures.map((message) => warning('CanaryCheckFailed', message))
  if (status.failedChecks < threshold) return here(status, news, later)
  const decision = rollBack(status, seen, now, { threshold: status.failedChecks, message: failures[0] ?? 'failed checks' })
  return { ...decision, news: [...news, ...decision.news] }
}

/** All steps passed. Blue/Green first gives the canary all requests for one more check, so that the switch is tried before it is final. */
function last(before: CanaryStatus, seen: Seen, plan: Plan, now: number, here: Here): Decision {
  const isSwitchDue = plan.strategy === 'blue-green' && (before.iterations ?? 0) <= plan.steps.length
  if (seen.spec.gate?.atMaxWeight === 'wait') {
    const told = once(enter(before, 'WaitingPromotion', now), warning('CanaryAwaitingPromotion', `Halt ${canaryOf(seen)} advancement waiting for promotion approval`, 'warn'))
    return here(told.status, told.news, now + plan.intervalMs)
  }
  if (!isSwitchDue) return promote(before, seen, now)
  return {
    status: withGate({ ...before, iterations: plan.steps.length + 1 }, { nextCheckAt: timestamp(now + plan.intervalMs) }),
    effects: [{ kind: 'setRoutes', routes: routesTo(100) }],
    news: [normal('CanaryRouted', seen.spec.analysis.mirror ? 'Stop traffic mirroring and route all traffic to canary' : 'Routing all traffic to canary')],
    wakeAt: now + plan.intervalMs,
  }
}

function routesOf(status: CanaryStatus, seen: Seen, plan: Plan, step: PlanStep) {
  if (plan.strategy === 'weighted') return routesTo(step.weight)
  if (plan.strategy === 'a-b') return routesTo(100)
  return (status.iterations ?? 0) > plan.steps.length ? routesTo(100) : { ...ALL_TO_PRIMARY, mirror: seen.spec.analysis.mirror ?? false }
}
