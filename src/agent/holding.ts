import type { Canary, Phase } from '#api/canary.ts'
import type { Authority } from '#agent/authority.ts'
import type { Runs } from '#agent/runs.ts'
import type { Subject } from '#policy/exemptions.ts'
import type { Governing } from '#policy/governing.ts'
import { runHold, startHold } from '#policy/holds.ts'
import type { CommandSeen, Seen } from '#rollout/decision.ts'
import { wantsRun } from '#rollout/resting.ts'
import { phaseOf } from '#rollout/status.ts'

export type HoldingContext = { readonly policies: Governing; readonly authority: Authority; readonly runs: Runs }

/** Phases in which a weight may rise. */
const RISING: readonly Phase[] = ['Progressing', 'WaitingPromotion']

/** What the policies make of an observation: commands that may be obeyed, and what holds a start or a weight. */
export function underPolicy(canary: Canary, seen: Seen, now: number, { policies, authority, runs }: HoldingContext): Seen {
  const policy = policies.of(seen.namespace)
  const allowed = { ...seen, commands: authority.judged(canary, seen.commands, policy, now) }
  const status = canary.status ?? {}
  const subject = subjectOf(canary, seen)
  if (wantsRun(status, allowed)) return { ...allowed, startHeld: startHold(policy, subject, now) ?? runs.claim(canary, policy) }
  return RISING.includes(phaseOf(status)) ? { ...allowed, runHeld: runHold(policy, canary, subject, now) } : allowed
}

/** Asks who may give the commands that are new. */
export async function judgeCommands(canary: Canary, commands: readonly CommandSeen[], seen: Seen, now: number, { policies, authority }: HoldingContext): Promise<void> {
  const policy = policies.of(seen.namespace)
  const subject = subjectOf(canary, seen)
  const isFrozen = commands.length > 0 && (startHold(policy, subject, now) ?? runHold(policy, canary, subject, now)) !== undefined
  await authority.judge(canary, commands, policy, now, isFrozen)
}

/** By its author's name alone: the groups of whoever asked for a revision are not on record. */
const subjectOf = ({ metadata }: Canary, { namespace, target }: Seen): Subject =>
  ({ namespace, canary: metadata.name, ...(target?.requestedBy === undefined ? {} : { user: { username: target.requestedBy, groups: [] } }) })
