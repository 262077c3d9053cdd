import type { CanaryStatus } from '#api/canary.ts'
import { ALL_TO_PRIMARY } from '#api/routes.ts'
import type { Decision, Effect, News, PhaseStep, Seen, TargetSeen } from '#rollout/decision.ts'
import { canaryReplicas, route } from '#rollout/routing.ts'
import { canaryOf, enter, normal, once, primaryOf, targetOf, warning, withGate } from '#rollout/status.ts'

/**
 * Nothing under analysis: keeps what serves as it should be (replicas, Services, routes), lets a finished canary's pods go,
 * and starts a run when another revision is requested. Initialized, Succeeded and Failed differ only in how they came about.
 */
export const resting: PhaseStep = (before, seen, now) => {
  const { target } = seen
  if (!target) {
    const told = once(before, warning('CanaryTargetMissing', `${seen.spec.targetRef.kind.toLowerCase()} ${targetOf(seen)} not found: the primary keeps serving`))
    return { status: told.status, effects: [], news: told.news, wakeAt: undefined }
  }
  const upkeep = keep(before, seen, target)
  const routing = route(before, seen, ALL_TO_PRIMARY, now)
  const release: Effect[] = routing.settled && (seen.canary?.replicas ?? 0) > 0 ? [{ kind: 'scale', role: 'canary', replicas: 0 }] : []
  const rest: Decision = { status: routing.status, effects: [...upkeep, ...routing.effects, ...release], news: [], wakeAt: routing.wakeAt }

  const retry = seen.commands.find(({ command }) => command === 'retry')
  const requested = target.revision
  const isKnown = requested === before.lastAppliedSpec || requested === before.lastPromotedSpec || requested === before.gate?.rolledBackRevision
  if (!isKnown || (retry && requested !== before.lastPromotedSpec)) return start(rest, seen, target, now, retry !== undefined)
  return settle(rest, seen, target)
}

/** What holds at any time after adoption: the Services, the owner's replicas on the primary, none on the target. */
export function keep(status: CanaryStatus, seen: Seen, target: TargetSeen): readonly Effect[] {
  const effects: Effect[] = [{ kind: 'services' }]
  // Through `scale`, whose review carries no annotations, or while the webhook was away: the count is recorded and the pods go.
  const asked = target.adopted && target.replicas > 0 ? target.replicas : target.wantedReplicas
  if (!target.adopted || target.replicas > 0) effects.push({ kind: 'holdTarget', replicas: asked })
  if (!seen.primary && status.lastPromotedSpec) {
    effects.push({ kind: 'deploy', role: 'primary', revision: status.lastPromotedSpec, replicas: asked })
  } else if (seen.primary && !target.scaled && seen.primary.replicas !== asked) {
    effects.push({ kind: 'scale', role: 'primary', replicas: asked })
  }
  return effects
}

function start(rest: Decision, seen: Seen, target: TargetSeen, now: number, isRetry: boolean): Decision {
  const consumed: Effect[] = consume(seen)
  if (seen.spec.suspend || target.paused) {
    const why = seen.spec.suspend ? 'skipping canary run as object is suspended' : `${targetOf(seen)} is paused: the run starts when it is resumed`
    const told = once(rest.status, normal('CanarySuspended', why))
    return { ...rest, status: told.status, news: told.news }
  }
  if (seen.primary && !seen.primary.readiness.ready) {
    const told = once(rest.status, warning('CanaryPrimaryNotReady', `${primaryOf(seen)} not ready: ${seen.primary.readiness.reason}`))
    return { ...rest, status: told.status, news: told.news }
  }
  const status = withGate(
    enter(rest.status, 'Progressing', now, { lastAppliedSpec: target.revision, failedChecks: 0, canaryWeight: 0, iterations: 0 }),
    {
      step: -1, nextCheckAt: undefined, readyAt: undefined, reason: undefined, paused: undefined, judge: undefined,
      requestedBy: target.requestedBy, rolledBackRevision: isRetry ? undefined : rest.status.gate?.rolledBackRevision,
    },
  )
  const scaleUp: Effect[] = seen.canary && seen.canary.runningReplicas > 0 && seen.canary.revision !== target.revision && seen.routes?.canary !== 0
    ? [] // still has weight from before: the Progressing step takes it away first
    : [{ kind: 'deploy', role: 'canary', revision: target.revision, replicas: canaryReplicas(seen, firstWeight(seen)) }]
  return {
    status,
    effects: [
      ...rest.effects.filter(({ kind }) => kind !== 'scale'),
      { kind: 'snapshot', revision: target.revision },
      ...scaleUp,
      ...(target.gate === 'pending' ? [] : [{ kind: 'markGate', gate: 'pending', revision: target.revision } as const]),
      ...consumed,
    ],
    news: [normal('CanaryStarted', `New revision detected! Scaling up ${targetOf(seen)}`, 'info')],
    wakeAt: rest.wakeAt,
  }
}

/** A revision that is known already: the gate tells its verdict, a restart reaches the primary. */
function settle(rest: Decision, seen: Seen, target: TargetSeen): Decision {
  const { status } = rest
  const effects: Effect[] = [...rest.effects, ...consume(seen)]
  const news: News[] = seen.commands.map(({ command }) => warning('CanaryCommandRefused', `${command} refused: no analysis of ${canaryOf(seen)} is under way`))
  const isStable = target.revision === status.lastPromotedSpec
  if (!isStable) {
    const why = status.gate?.reason ?? 'the canary was rolled back'
    if (!target.gate?.startsWith('failed')) effects.push({ kind: 'markGate', gate: `failed: ${why}`, revision: target.revision })
    return { ...rest, effects, news }
  }
  // After a rollback the stable revision may be requested again, by `rollout undo` say: then nothing is left to be told.
  const next = status.lastAppliedSpec === target.revision ? status : { ...status, lastAppliedSpec: target.revision }
  if (seen.primary && target.restartedAt && isNewer(target.restartedAt, seen.primary.restartedAt)) {
    effects.push({ kind: 'deploy', role: 'primary', revision: target.revision, replicas: target.wantedReplicas, restartedAt: target.restartedAt })
    return { ...rest, status: next, effects, news: [...news, normal('CanaryPrimaryRestarted', `Restarting ${primaryOf(seen)}`)] }
  }
  if (target.gate !== undefined && target.gate !== 'passed' && (seen.primary?.readiness.ready ?? false)) {
    effects.push({ kind: 'markGate', gate: 'passed', revision: target.revision })
  }
  return { ...rest, status: next, effects, news }
}

const isNewer = (mark: string, than: string | undefined): boolean => than === undefined || Date.parse(mark) > Date.parse(than)

export const consume = (seen: Seen): Effect[] =>
  seen.commands.length > 0 ? [{ kind: 'consume', commands: seen.commands.map(({ command }) => command) }] : []

const firstWeight = (seen: Seen): number =>
  seen.spec.gate?.steps?.[0]?.weight ?? (seen.spec.analysis.stepWeight || seen.spec.analysis.stepWeights?.[0] || 100)
