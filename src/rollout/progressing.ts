import type { CanaryStatus } from '#api/canary.ts'
import { planFor, startOver } from '#rollout/advancing.ts'
import { asleep, beforeTraffic, isAsleep } from '#rollout/before-traffic.ts'
import { because, firstCommand, refuse, take } from '#rollout/commands.ts'
import type { CommandSeen, Decision, PhaseStep, Seen, TargetSeen } from '#rollout/decision.ts'
import { afterRun } from '#rollout/judging.ts'
import { goHome, keep, plus } from '#rollout/keeping.ts'
import { positionOf } from '#rollout/plan.ts'
import { stableAgain } from '#rollout/resting.ts'
import { rollBack } from '#rollout/rolling-back.ts'
import { canaryOf, enter, normal, phaseOf, targetOf, withGate } from '#rollout/status.ts'
import { proceed, underTraffic } from '#rollout/under-traffic.ts'

/** One revision under analysis: its pods first, then weight step by step, each judged before the next. */
export const progressing: PhaseStep = (before, seen, now) => {
  const { target } = seen
  if (!target) return rollBack(before, seen, now, { message: `${targetOf(seen)} was deleted` })
  if (target.revision !== before.lastAppliedSpec) return superseded(before, seen, target, now)
  const decision = commanded(before, seen, target, now) ?? analyse(before, seen, target, now)
  const { phase, lastAppliedSpec, lastPromotedSpec } = decision.status
  const upkeep = keep(seen, target, phase === 'Promoting' ? lastAppliedSpec : lastPromotedSpec).filter(({ kind }) => phase !== 'Promoting' || kind !== 'deploy')
  // Upkeep that fails must not keep the weight from going back.
  return phase === 'Failed' ? plus(decision, [], upkeep) : plus(decision, upkeep)
}

function analyse(before: CanaryStatus, seen: Seen, target: TargetSeen, now: number): Decision {
  if ((before.gate?.step ?? -1) < 0) return beforeTraffic(before, seen, target, now)
  if (!isAsleep(before, target)) return underTraffic(before, seen, now)
  const item = asleep(targetOf(seen))
  const over = startOver(before, seen, now, item)
  return { ...over, status: withGate(over.status, { reason: item.message }) }
}

/** Another revision is requested in mid-run: back to the stable one ends the run, anything else begins it anew. */
function superseded(before: CanaryStatus, seen: Seen, target: TargetSeen, now: number): Decision {
  if (target.revision === before.lastPromotedSpec) {
    return rollBack(before, seen, now, { message: stableAgain(target), isAbort: true })
  }
  const status = withGate(
    enter(before, 'Progressing', now, { lastAppliedSpec: target.revision, failedChecks: 0, canaryWeight: 0, iterations: 0 }),
    {
      step: -1, nextCheckAt: undefined, readyAt: undefined, reason: undefined, judge: afterRun(before), bypass: undefined, released: undefined,
      hooksAt: undefined, routesAt: undefined, requestedBy: target.requestedBy,
    },
  )
  return {
    status,
    // Traffic leaves before the pods change; the next turn brings up the new pods once it has.
    effects: [...goHome(seen), { kind: 'snapshot', revision: target.revision }],
    news: [normal('CanaryRestarted', `New revision detected! Restarting analysis for ${targetOf(seen)}`, 'info')],
    wakeAt: now,
  }
}

/** What a command makes of a run; undefined when there is none. */
function commanded(before: CanaryStatus, seen: Seen, target: TargetSeen, now: number): Decision | undefined {
  const command = firstCommand(seen)
  if (!command) return undefined
  const stays: Decision = { status: before, effects: [], news: [], wakeAt: now }
  const noted = (status: CanaryStatus, reason: string, message: string): Decision =>
    take({ ...stays, status, news: [normal(reason, message)] }, command, now)
  switch (command.command) {
    case 'abort':
      return take(rollBack(before, seen, now, { message: `aborted ${because(command)}`, isCommanded: true }), command, now)
    case 'pause':
      if (before.gate?.paused) return refuse(stays, command, `the run is ${before.gate.paused} already`, now)
      return noted(withGate(before, { paused: `paused ${because(command)}` }), 'CanaryPaused', `Pausing ${canaryOf(seen)} ${because(command)}: checks go on, the weight does not rise`)
    case 'restart':
      return take(startOver(withGate(before, { bypass: undefined }), seen, now, normal('CanaryRestarted', `Restarting analysis for ${targetOf(seen)} ${because(command)}`), 0), command, now)
    case 'resume':
      return resumed(before, seen, command, now)
    case 'retry':
      return refuse(stays, command, `an analysis of ${canaryOf(seen)} is under way; to begin it anew use restart`, now)
    case 'skip-step':
      return skipped(before, seen, target, command, now)
    case 'promote':
      return noted(bypassing(before, command), 'CanaryPromoted', `Promoting ${targetOf(seen)} ${because(command)} without the rest of its analysis`)
    default:
      return command.command satisfies never
  }
}

const bypassing = (status: CanaryStatus, command: CommandSeen): CanaryStatus => withGate(status, { bypass: because(command), paused: undefined, reason: undefined })

/** Opens whatever holds the run: a pause, a hold, or the wait for approval. */
function resumed(before: CanaryStatus, seen: Seen, command: CommandSeen, now: number): Decision {
  const stays: Decision = { status: before, effects: [], news: [], wakeAt: now }
  const resume = (status: CanaryStatus): Decision =>
    take({ ...stays, status: withGate(status, { reason: undefined }), news: [normal('CanaryResumed', `Resuming ${canaryOf(seen)} ${because(command)}`)] }, command, now)
  if (before.gate?.paused) return resume(withGate(before, { paused: undefined }))
  if (phaseOf(before) === 'WaitingPromotion') return resume(bypassing(before, command))
  const plan = planFor(seen)
  const index = (before.gate?.step ?? -1) < 0 ? -1 : positionOf(plan, before.gate?.step ?? 0, before.canaryWeight ?? 0)
  if (plan.steps[index]?.hold && before.gate?.released !== index) return resume(withGate(before, { released: index }))
  return refuse(stays, command, `${canaryOf(seen)} is not paused`, now)
}

/** The next step now, whatever the checks of this one would say. Only onto pods that serve. */
function skipped(before: CanaryStatus, seen: Seen, target: TargetSeen, command: CommandSeen, now: number): Decision {
  const stays: Decision = { status: before, effects: [], news: [], wakeAt: now }
  if ((before.gate?.step ?? -1) < 0) return refuse(stays, command, 'no step is under way yet: the pods are being started', now)
  if (phaseOf(before) === 'WaitingPromotion') {
    return take({ ...stays, status: bypassing(before, command), news: [normal('CanaryStepSkipped', `Skipping the wait of ${canaryOf(seen)} ${because(command)}`)] }, command, now)
  }
  const isServing = seen.canary?.revision === target.revision && seen.canary.readiness.ready && seen.endpoints.canary > 0
  if (!isServing) return refuse(stays, command, 'the pods of the canary are not ready', now)
  const plan = planFor(seen)
  const index = positionOf(plan, before.gate?.step ?? 0, before.canaryWeight ?? 0)
  const next = proceed(withGate(before, { paused: undefined }), seen, plan, index, now)
  if (next.asks) return next
  return take({ ...next, news: [normal('CanaryStepSkipped', `Skipping a step of ${canaryOf(seen)} ${because(command)}`), ...next.news] }, command, now)
}
