import type { CanaryStatus } from '#api/canary.ts'
import { ALL_TO_PRIMARY } from '#api/routes.ts'
import { advance, planFor } from '#rollout/advancing.ts'
import { keepBaseline, releaseBaseline, startingBaseline } from '#rollout/baseline.ts'
import type { Decision, Effect, HookCall, News, Seen, TargetSeen } from '#rollout/decision.ts'
import { consult, consultRollback, hasHooks, hookFailed, told, toldOf } from '#rollout/hooks.ts'
import { plus } from '#rollout/keeping.ts'
import { excessOf, type Plan } from '#rollout/plan.ts'
import { promote } from '#rollout/promoting.ts'
import { rollBack } from '#rollout/rolling-back.ts'
import { canaryReplicas, isCanaryScaled, route, servedAs } from '#rollout/routing.ts'
import { canaryOf, earlier, heldBy, normal, notReady, OBSERVATION_LAG_MS, once, phaseOf, primaryOf, RECHECK_MS, targetOf, timeOf, timestamp, warning, withGate } from '#rollout/status.ts'

/** Between "the address is ready" and the first weight on it (milliseconds): routers merge endpoint news within about 100 ms. */
const ENDPOINT_GRACE_MS = 300

/** Brings the pinned revision up while no request reaches it, and begins as soon as it is ready and reachable. */
export function beforeTraffic(before: CanaryStatus, seen: Seen, target: TargetSeen, now: number): Decision {
  const polled = pollRollback(before, seen, now)
  if ('decision' in polled) return polled.decision
  const decision = bringUp(polled.status, seen, target, now)
  if ('asks' in polled) {
    // Pods start, and fail, while the hooks take their time; only what comes after waits for their answer.
    const isBefore = phaseOf(decision.status) === 'Failed' || (phaseOf(decision.status) === 'Progressing' && (decision.status.gate?.step ?? -1) < 0)
    return isBefore ? { ...decision, asks: polled.asks } : { status: before, effects: [], news: [], wakeAt: undefined, asks: polled.asks }
  }
  return told(polled.wakeAt === undefined ? decision : { ...decision, wakeAt: earlier(decision.wakeAt, polled.wakeAt) }, polled.news)
}

/** `rollback` hooks are asked once an interval from the start on: pods that never get ready must not keep anybody from giving up. */
function pollRollback(before: CanaryStatus, seen: Seen, now: number):
  { readonly decision: Decision } | { readonly status: CanaryStatus; readonly asks: readonly HookCall[] } | { readonly status: CanaryStatus; readonly news: readonly News[]; readonly wakeAt: number | undefined } {
  if (!hasHooks(seen, 'rollback')) return { status: before, news: [], wakeAt: undefined }
  const { intervalMs } = planFor(seen)
  const dueAt = (timeOf(before.gate?.hooksAt) ?? now - intervalMs) + intervalMs
  if (now < dueAt) return { status: before, news: [], wakeAt: dueAt }
  const signal = consultRollback(seen, 'Progressing')
  if (signal.kind === 'pending') return { status: before, asks: signal.asks }
  if (signal.kind === 'rollBack') return { decision: told(rollBack(before, seen, now, { message: 'manual webhook invoked', isManual: true }), signal.news) }
  return { status: withGate(before, { hooksAt: timestamp(now) }), news: signal.news, wakeAt: now + intervalMs }
}

/** The owner wants no pods: the canary has none either, and the analysis waits. Somebody who promotes has decided otherwise. */
export const isAsleep = (status: CanaryStatus, target: TargetSeen): boolean => target.wantedReplicas === 0 && !target.scaled && status.gate?.bypass === undefined

export const asleep = (target: string): News => normal('CanaryHalted', `${target} is scaled to zero: the analysis begins anew when it is scaled up`, 'info')

function sleep(before: CanaryStatus, seen: Seen, now: number): Decision {
  const routing = route(before, seen, ALL_TO_PRIMARY, now)
  const said = once(routing.status, asleep(targetOf(seen)))
  const release: Effect[] = routing.settled && (seen.canary?.replicas ?? 0) > 0 ? [{ kind: 'scale', role: 'canary', replicas: 0 }] : []
  if (routing.settled) release.push(...releaseBaseline(seen))
  return { status: said.status, effects: [...routing.effects, ...release], news: said.news, wakeAt: routing.wakeAt }
}

function bringUp(before: CanaryStatus, seen: Seen, target: TargetSeen, now: number): Decision {
  if (isAsleep(before, target)) return sleep(before, seen, now)
  const revision = target.revision
  const plan = planFor(seen)
  const routing = route(before, seen, ALL_TO_PRIMARY, now)
  const effects: Effect[] = [{ kind: 'snapshot', revision }, ...routing.effects]
  const waiting = (status: CanaryStatus, more: readonly Effect[] = [], news: readonly News[] = [], wakeAt?: number): Decision =>
    ({ status, effects: [...effects, ...more], news, wakeAt: earlier(routing.wakeAt, wakeAt) })

  const replicas = canaryReplicas(seen, plan.steps[0]?.weight ?? 100)
  const { canary } = seen
  const isBusyWithAnother = canary !== undefined && canary.revision !== revision && canary.runningReplicas > 0
  if (isBusyWithAnother && !routing.settled) return waiting(routing.status)
  if (!canary || canary.revision !== revision || (canary.replicas !== replicas && !(isCanaryScaled(seen) && canary.replicas > 0))) {
    return waiting(routing.status, [{ kind: 'deploy', role: 'canary', revision, replicas }])
  }
  const freshPods = before.gate?.bypass ? [] : keepBaseline(before, seen, replicas, routing.settled)
  if (freshPods.length > 0) return waiting(routing.status, freshPods)
  if (seen.primary && !seen.primary.readiness.ready && !seen.primary.readiness.retriable && !before.gate?.bypass) {
    const said = once(routing.status, warning('CanaryPrimaryNotReady', `${primaryOf(seen)} not ready: ${seen.primary.readiness.reason}`, 'warn'))
    return waiting(said.status, [], said.news)
  }
  if (!canary.readiness.ready) {
    const reason = `canary deployment ${targetOf(seen)} not ready: ${canary.readiness.reason}`
    if (!canary.readiness.retriable) return rollBack(routing.status, seen, now, { message: reason, isUnready: true })
    const said = notReady(routing.status, warning('CanaryNotReady', reason), false, now)
    return waiting(said.status, [], said.news, now + RECHECK_MS)
  }
  if (canary.readyReplicas === 0 || seen.endpoints.canary < Math.min(replicas, canary.readyReplicas)) return waiting(routing.status)
  const starting = before.gate?.bypass ? undefined : startingBaseline(before, seen)
  if (starting !== undefined) {
    const item = warning('CanaryBaselineNotReady', `baseline deployment ${targetOf(seen)} not ready: ${starting}`)
    const said = notReady(routing.status, item, false, now)
    return waiting(said.status, [], said.news, now + RECHECK_MS)
  }
  if (!seen.routes || seen.routes.canary !== 0) return waiting(routing.status)
  // The router learns of new addresses on its own watch: it gets a moment before it is told to use them.
  const readyAt = timeOf(before.gate?.readyAt)
  if (readyAt === undefined) return waiting(withGate(routing.status, { readyAt: timestamp(now) }), [], [], now + ENDPOINT_GRACE_MS)
  const trustedAt = Math.max(readyAt + ENDPOINT_GRACE_MS, (timeOf(before.gate?.changedAt) ?? 0) + OBSERVATION_LAG_MS, timeOf(before.gate?.nextCheckAt) ?? 0)
  if (now < trustedAt) return waiting(routing.status, [], [], trustedAt)
  return plus(begin(routing.status, seen, plan, now), effects)
}

function begin(before: CanaryStatus, seen: Seen, plan: Plan, now: number): Decision {
  if (before.gate?.bypass) return promote(before, seen, now)
  const held = heldBy(before, seen)
  if (held) return { ...tell(before, held), wakeAt: seen.runHeld?.until }
  if (seen.spec.skipAnalysis) return promote(before, seen, now)
  const excess = excessOf(seen.spec)
  if (excess) return tell(before, warning('CanaryHalted', `Halt ${canaryOf(seen)} advancement: ${excess}`, 'warn'))
  if (plan.steps.length === 0) return tell(before, warning('CanaryHalted', `Halt ${canaryOf(seen)} advancement: the analysis has no steps; set stepWeight, stepWeights or iterations`, 'warn'))

  const started = normal('CanaryAnalysisStarting', `Starting canary analysis for ${targetOf(seen)}`)
  const hooks = consult(seen, 'pre-rollout', 'Progressing')
  if (hooks.kind === 'pending') return { status: before, effects: [], news: [], wakeAt: undefined, asks: hooks.asks }
  if (hooks.kind === 'passed') return told(advance(withGate(before, { reason: undefined }), seen, plan, 0, now), [started, ...hooks.news, ...rounded(seen, plan)])

  const failedChecks = (before.failedChecks ?? 0) + 1
  const later = now + plan.intervalMs
  const status = withGate({ ...before, failedChecks }, { nextCheckAt: timestamp(later) })
  const failure = hookFailed(seen, 'pre-rollout check', hooks.hook, hooks.message)
  const news = [started, ...hooks.news, failure]
  if (failedChecks >= plan.threshold) return told(rollBack(status, seen, now, { threshold: failedChecks, message: failure.message }), toldOf(status, news))
  return { status, effects: [], news, wakeAt: later }
}

/** Where pods are the weights: which of them whole pods cannot give. */
function rounded(seen: Seen, plan: Plan): readonly News[] {
  const shares = plan.steps.flatMap(({ weight }) => {
    const served = servedAs(weight, seen)
    return served ? [`${weight} % is served as ${served.percent} %`] : []
  })
  if (shares.length === 0) return []
  const message = `Weights of ${canaryOf(seen)} are shares of whole pods: ${shares.join(', ')}; for others use more replicas, or a provider with a router`
  return [warning('CanaryWeightsRounded', message)]
}

function tell(status: CanaryStatus, item: News): Decision {
  const said = once(status, item)
  return { status: said.status, effects: [], news: said.news, wakeAt: undefined }
}
