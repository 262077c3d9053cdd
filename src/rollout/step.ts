import type { CanaryStatus, Phase } from '#api/canary.ts'
import { initializing } from '#rollout/adopting.ts'
import { refuse, takenOf } from '#rollout/commands.ts'
import type { Decision, HookCall, PhaseStep, Seen } from '#rollout/decision.ts'
import { recorded } from '#rollout/judging.ts'
import { progressing } from '#rollout/progressing.ts'
import { finalising, promoting } from '#rollout/promoting.ts'
import { resting } from '#rollout/resting.ts'
import { told } from '#rollout/routed.ts'
import { asking } from '#rollout/routing.ts'
import { longestIntervalMs } from '#rollout/plan.ts'
import { withCookies } from '#rollout/sessions.ts'
import { notAhead, phaseOf, settled, timeOf } from '#rollout/status.ts'
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
  const taken = takenOf(notAhead(status, now, longestIntervalMs(seen.spec)), seen)
  const obeyed = taken.fresh.filter(({ refused }) => refused === undefined)
  const decided = steps[phase](taken.status, { ...seen, commands: obeyed }, now)
  const refused = taken.fresh.reduce((all, command) => (command.refused === undefined ? all : refuse(all, command, command.refused, now)), decided)
  const asked = withCookies(asking(refused.status, refused.effects), refused.effects, seen)
  const decision = told(status, { ...refused, status: asked }, seen, now)
  return {
    ...decision,
    effects: seen.deleting ? decision.effects : [...decision.effects, ...taken.effects],
    status: settled(status, recorded(status, decision.status, seen, now), seen, now),
  }
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

/**
 * The hooks whose answers this turn needs next. They are asked one list at a time, as their order and outcomes decide which are asked at all:
 * `for (let asks; (asks = wantedHooks(status, { ...seen, hooks }, now)).length > 0;) hooks.push(...(await ask(asks)))`, then `step`.
 */
export const wantedHooks = (status: CanaryStatus, seen: Seen, now: number): readonly HookCall[] =>
  step(status, { ...seen, hooks: seen.hooks ?? [] }, now).asks ?? []
