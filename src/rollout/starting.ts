import type { CanaryStatus } from '#api/canary.ts'
import { planFor } from '#rollout/advancing.ts'
import { because, refuse, take } from '#rollout/commands.ts'
import type { CommandSeen, Decision, Effect, HoldSeen, News, Seen, TargetSeen } from '#rollout/decision.ts'
import { closedGate, consult, told } from '#rollout/hooks.ts'
import { afterRun } from '#rollout/judging.ts'
import { canaryReplicas } from '#rollout/routing.ts'
import { canaryOf, earlier, enter, normal, once, phaseOf, primaryOf, targetOf, timeOf, timestamp, warning, withGate } from '#rollout/status.ts'

/** Begins a run of the requested revision, or says why not yet. `command`: the `retry` or `promote` that asks for it. */
export function start(rest: Decision, seen: Seen, target: TargetSeen, now: number, command?: CommandSeen): Decision {
  const isBypass = command?.command === 'promote'
  const hindrance = hindranceOf(seen, target, isBypass)
  if (hindrance && command) return refuse(rest, command, hindrance.message, now)
  if (hindrance) {
    const said = once(rest.status, hindrance)
    return { ...rest, status: withGate(said.status, { queuedAt: undefined }), news: said.news }
  }
  // Whoever may promote has decided about the policy's hold too, and is on record.
  if (seen.startHeld && !isBypass) return waitForPolicy(rest, seen, seen.startHeld, now, command)
  const isWaiting = phaseOf(rest.status) === 'Waiting'
  const dueAt = timeOf(rest.status.gate?.nextCheckAt)
  if (!command && isWaiting && dueAt !== undefined && now < dueAt) return { ...rest, wakeAt: earlier(rest.wakeAt, dueAt) }
  const approval = isBypass ? { kind: 'passed', news: [] } as const : consult(seen, 'confirm-rollout', phaseOf(rest.status))
  if (approval.kind === 'pending') return { ...rest, asks: approval.asks }
  if (approval.kind === 'failed') {
    const { intervalMs } = planFor(seen)
    const waiting = withGate(isWaiting ? rest.status : enter(rest.status, 'Waiting', now), { nextCheckAt: timestamp(now + intervalMs) })
    const said = once(waiting, closedGate('CanaryAwaitingApproval', `Halt ${canaryOf(seen)} advancement waiting for approval ${approval.hook.name}`, approval.hook))
    const gate: Effect[] = target.gate === 'pending' ? [] : [{ kind: 'markGate', gate: 'pending', revision: target.revision }]
    const decision = { ...rest, status: said.status, effects: [...rest.effects, ...gate], news: [...retried(seen, command), ...approval.news, ...said.news], wakeAt: earlier(rest.wakeAt, now + intervalMs) }
    return command ? take(decision, command, now) : decision
  }
  const started = told(begun(rest, seen, target, now, command), approval.news)
  return command ? take(started, command, now) : started
}

const retried = (seen: Seen, command: CommandSeen | undefined): readonly News[] =>
  (command?.command === 'retry' ? [normal('CanaryRetried', `Retrying ${targetOf(seen)} ${because(command)}`)] : [])

/** It starts by itself: at the hold's end, or when its turn has come. */
function waitForPolicy(rest: Decision, seen: Seen, { reason, until, queued }: HoldSeen, now: number, retry?: CommandSeen): Decision {
  const said = once(rest.status, normal('CanaryHeldByPolicy', `Holding ${canaryOf(seen)}: ${reason}`, 'info'))
  const queuedAt = queued ? rest.status.gate?.queuedAt ?? timestamp(now) : undefined
  const held: Decision = { ...rest, status: withGate(said.status, { queuedAt }), news: [...retried(seen, retry), ...said.news], wakeAt: earlier(rest.wakeAt, until) }
  if (!retry) return held
  // Obeyed now, since it does not hold for as long as the window may last: the revision is as good as a new one.
  const { lastPromotedSpec = '' } = held.status
  return take({ ...held, status: withGate({ ...held.status, lastAppliedSpec: lastPromotedSpec }, { rolledBackRevision: undefined }) }, retry, now)
}

/** Why no run can start now. It starts by itself once that is over. */
function hindranceOf(seen: Seen, target: TargetSeen, isBypass: boolean): News | undefined {
  if (seen.spec.suspend) return normal('CanarySuspended', 'skipping canary run as object is suspended', 'info')
  if (target.paused) return normal('CanarySuspended', `${targetOf(seen)} is paused: the run starts when it is resumed`, 'info')
  if (target.wantedReplicas === 0 && !target.scaled) return normal('CanaryHalted', `${targetOf(seen)} is scaled to zero: the run starts when it is scaled up`, 'info')
  if (seen.primary && !seen.primary.readiness.ready && !isBypass) {
    return warning('CanaryPrimaryNotReady', `${primaryOf(seen)} not ready: ${seen.primary.readiness.reason}`, 'warn')
  }
  return undefined
}

function begun(rest: Decision, seen: Seen, target: TargetSeen, now: number, command: CommandSeen | undefined): Decision {
  const status: CanaryStatus = withGate(
    enter(rest.status, 'Progressing', now, { lastAppliedSpec: target.revision, failedChecks: 0, canaryWeight: 0, iterations: 0 }),
    {
      step: -1, nextCheckAt: undefined, readyAt: undefined, reason: undefined, paused: undefined, judge: afterRun(rest.status), released: undefined, hooksAt: undefined,
      queuedAt: undefined, bypass: command?.command === 'promote' ? because(command) : undefined,
      requestedBy: target.requestedBy, rolledBackRevision: command ? undefined : rest.status.gate?.rolledBackRevision,
    },
  )
  const plan = planFor(seen)
  // Pods of another revision are only replaced when no request reaches them: the Progressing step sees to that.
  const isFree = !seen.canary || seen.canary.runningReplicas === 0 || seen.canary.revision === target.revision
  const scaleUp: Effect[] = isFree ? [{ kind: 'deploy', role: 'canary', revision: target.revision, replicas: canaryReplicas(seen, plan.steps[0]?.weight ?? 100) }] : []
  const promoted = command?.command === 'promote' ? [normal('CanaryPromoted', `Promoting ${targetOf(seen)} ${because(command)} without an analysis`)] : []
  return {
    status,
    effects: [
      ...rest.effects.filter((effect) => effect.kind !== 'scale' || effect.role !== 'canary'),
      { kind: 'snapshot', revision: target.revision },
      ...scaleUp,
      ...(target.gate === 'pending' ? [] : [{ kind: 'markGate', gate: 'pending', revision: target.revision } as const]),
    ],
    news: [...retried(seen, command), ...promoted, normal('CanaryStarted', `New revision detected! Scaling up ${targetOf(seen)}`, 'info')],
    wakeAt: now,
  }
}
