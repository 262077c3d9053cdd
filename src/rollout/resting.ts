import type { CanaryStatus, Phase } from '#api/canary.ts'
import { ALL_TO_PRIMARY } from '#api/routes.ts'
import { releaseBaseline } from '#rollout/baseline.ts'
import { firstCommand, refuse, take } from '#rollout/commands.ts'
import type { CommandSeen, Decision, Effect, News, PhaseStep, Seen, TargetSeen } from '#rollout/decision.ts'
import { tellPostRollout } from '#rollout/hooks.ts'
import { keep } from '#rollout/keeping.ts'
import { route } from '#rollout/routing.ts'
import { start } from '#rollout/starting.ts'
import { canaryOf, enter, normal, once, phaseOf, primaryOf, targetOf, timeOf, warning, withGate } from '#rollout/status.ts'

/**
 * Nothing under analysis: keeps what serves as it should be (replicas, Services, routes), lets a finished canary's pods go,
 * and starts a run when another revision is requested. Initialized, Succeeded and Failed differ only in how they came about;
 * Waiting has a run that waits for approval.
 */
export const resting: PhaseStep = (before, seen, now) => {
  const { target } = seen
  const routing = route(before, seen, ALL_TO_PRIMARY, now)
  const release: Effect[] = routing.settled && (seen.canary?.replicas ?? 0) > 0 ? [{ kind: 'scale', role: 'canary', replicas: 0 }] : []
  if (routing.settled) release.push(...releaseBaseline(seen))
  if (!target) {
    const told = once(withoutWait(routing.status, true, now), warning('CanaryTargetMissing', `${seen.spec.targetRef.kind.toLowerCase()} ${targetOf(seen)} not found: the primary keeps serving`, 'warn'))
    return { status: told.status, effects: [...routing.effects, ...release], news: told.news, wakeAt: routing.wakeAt }
  }
  const upkeep = keep(seen, target, before.lastPromotedSpec, routing.settled ? 'resting' : 'running')
  const rest: Decision = { status: routing.status, effects: [...upkeep, ...routing.effects, ...release], news: [], wakeAt: routing.wakeAt }

  if (before.gate?.hooksDue) {
    const told = tellPostRollout(seen, 'Failed')
    if ('asks' in told) return { ...rest, asks: told.asks }
    return { ...rest, status: withGate(rest.status, { hooksDue: undefined }), news: told.news, wakeAt: now }
  }
  const requested = target.revision
  const isStable = requested === before.lastPromotedSpec
  const command = firstCommand(seen)
  if (command && isStarting(command) && !isStable) return start(rest, seen, target, now, command)
  if (command) return commanded(rest, seen, command, isStable, now)
  return isKnown(before, requested) ? settle(rest, seen, target, now) : start(rest, seen, target, now)
}

/** After a rollback its mark on the target may take so long to be seen, on a busy API server too; whoever asks for the revision again meanwhile has just been told (ms). */
const MARKING_MS = 10_000

/** It serves, or has had its verdict: nothing is to be analysed unless somebody asks for it again. */
const isKnown = ({ lastPromotedSpec, lastAppliedSpec, gate }: CanaryStatus, revision: string): boolean =>
  revision === lastPromotedSpec || revision === lastAppliedSpec || revision === gate?.rolledBackRevision

/** Would a run of the target's revision start in this turn, if nothing held it? For those who count runs and the ones that wait. */
export function wantsRun(status: CanaryStatus, seen: Pick<Seen, 'target' | 'commands' | 'deleting'>): boolean {
  const revision = seen.target?.revision
  if (revision === undefined || seen.deleting || !RESTING.includes(phaseOf(status))) return false
  return !isKnown(status, revision) || (revision !== status.lastPromotedSpec && seen.commands.some(isStarting))
}

const RESTING: readonly Phase[] = ['Initialized', 'Waiting', 'Succeeded', 'Failed']

const isStarting = ({ command }: CommandSeen): boolean => command === 'retry' || command === 'promote'

function commanded(rest: Decision, seen: Seen, command: CommandSeen, isStable: boolean, now: number): Decision {
  const isWaiting = phaseOf(rest.status) === 'Waiting'
  if (isWaiting && command.command === 'abort') {
    const message = `aborted ${command.by === '' ? '' : `by ${command.by}: `}${command.reason}`
    const status = withGate(enter(rest.status, 'Failed', now, { lastAppliedSpec: seen.target?.revision ?? '' }), {
      reason: message, nextCheckAt: undefined, rolledBackRevision: seen.target?.revision,
    })
    return take({ ...rest, status, news: [warning('CanaryAborted', `Aborting ${canaryOf(seen)}: ${message}`, 'warn')] }, command, now)
  }
  if (isStarting(command) && isStable) return refuse(rest, command, `revision ${seen.target?.revision ?? ''} serves already`, now)
  const way = command.command === 'restart' ? '; to analyse a revision that was rolled back again, use retry' : ''
  return refuse(rest, command, `no analysis of ${canaryOf(seen)} is under way${way}`, now)
}

/** A revision that is known already: the gate tells its verdict, a restart reaches the primary. */
function settle(rest: Decision, seen: Seen, target: TargetSeen, now: number): Decision {
  const effects: Effect[] = [...rest.effects]
  const isStable = target.revision === rest.status.lastPromotedSpec
  const status = withoutWait(rest.status.gate?.queuedAt === undefined ? rest.status : withGate(rest.status, { queuedAt: undefined }), isStable, now)
  if (!isStable) {
    const why = status.gate?.reason ?? 'the canary was rolled back'
    if (target.gate?.startsWith('failed')) return { ...rest, status, effects }
    effects.push({ kind: 'markGate', gate: `failed: ${why}`, revision: target.revision })
    const isAgain = now - (timeOf(rest.status.gate?.changedAt) ?? now) > MARKING_MS
    const known = warning('CanaryKnownBad', `Revision ${target.revision} of ${targetOf(seen)} was rolled back before and is not analysed again: canarygate.dev/retry does that`, 'warn')
    return { ...rest, status, effects, news: isAgain ? [known] : [] }
  }
  // After a rollback the stable revision may be requested again, by `rollout undo` say: then nothing is left to be told.
  const next = status.lastAppliedSpec === target.revision ? status : { ...status, lastAppliedSpec: target.revision }
  if (seen.primary && target.restartedAt && isNewer(target.restartedAt, seen.primary.restartedAt)) {
    effects.push({ kind: 'deploy', role: 'primary', revision: target.revision, replicas: target.wantedReplicas, restartedAt: target.restartedAt })
    const news: News[] = [normal('CanaryPrimaryRestarted', `Restarting ${primaryOf(seen)}`)]
    return { ...rest, status: next, effects, news }
  }
  if (target.gate !== undefined && target.gate !== 'passed' && (seen.primary?.readiness.ready ?? false)) {
    effects.push({ kind: 'markGate', gate: 'passed', revision: target.revision })
  }
  const isWithdrawn = phaseOf(rest.status) === 'Waiting'
  return { ...rest, status: next, effects, news: isWithdrawn ? [warning('CanaryAborted', `Aborting ${canaryOf(seen)}: ${stableAgain(target)}`, 'warn')] : [] }
}

/** Why a run ends that nobody stopped. */
export const stableAgain = (target: TargetSeen): string => `the stable revision was requested again by ${target.requestedBy ?? 'its owner'}`

/** What was waited for is not requested any more. */
function withoutWait(status: CanaryStatus, isStable: boolean, now: number): CanaryStatus {
  if (phaseOf(status) !== 'Waiting') return status
  return withGate(enter(status, isStable ? 'Initialized' : 'Failed', now), { reason: undefined, nextCheckAt: undefined })
}

const isNewer = (mark: string, than: string | undefined): boolean => than === undefined || Date.parse(mark) > Date.parse(than)
