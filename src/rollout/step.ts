import type { CanaryStatus, Phase } from '#api/canary.ts'
import { initializing } from '#rollout/adopting.ts'
import type { Decision, PhaseStep, Seen } from '#rollout/decision.ts'
import { progressing } from '#rollout/progressing.ts'
import { finalising, promoting } from '#rollout/promoting.ts'
import { resting } from '#rollout/resting.ts'
import { phaseOf, settled, timeOf } from '#rollout/status.ts'
import { terminating } from '#rollout/terminating.ts'

const steps = {
  Initializing: initializing,
  Initialized: resting,
  Waiting: resting,
  Progressing: progressing,
  WaitingPromotion: progressing,
  Promoting: promoting,
  Finalising: finalising,
  Succeeded: resting,
  Failed: resting,
  Terminating: terminating,
  Terminated: terminating,
} satisfies Record<Phase, PhaseStep>

/** The next status and what must be done for it. Pure: no clock, no I/O, no randomness, arguments untouched. */
export function step(status: CanaryStatus, seen: Seen, now: number): Decision {
  const phase = seen.deleting ? 'Terminating' : phaseOf(status)
  const decision = steps[phase](status, seen, now)
  return { ...decision, status: settled(status, decision.status, seen, now) }
}

/** Whether this turn needs the metrics: only while a check is due, so that an idle canary asks nobody anything. */
export function wantsCheck(status: CanaryStatus, seen: Pick<Seen, 'deleting'>, now: number): boolean {
  if (seen.deleting) return false
  const phase = phaseOf(status)
  if (phase !== 'Progressing' && phase !== 'WaitingPromotion') return false
  if ((status.gate?.step ?? -1) < 0) return false
  const dueAt = timeOf(status.gate?.nextCheckAt)
  return dueAt === undefined || now >= dueAt
}
