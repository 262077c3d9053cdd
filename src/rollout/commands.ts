import type { CanaryStatus } from '#api/canary.ts'
import type { Command } from '#api/names.ts'
import type { CommandSeen, Decision, Effect, Seen } from '#rollout/decision.ts'
import { timestamp, warning, withGate } from '#rollout/status.ts'

/**
 * Commands are annotations, so they are there until they are taken away, and a crash may come at any moment. So each is first acted
 * upon and noted in the status, by the same write that holds its outcome; only a noted one is taken away, and none that is noted is obeyed again.
 */

export const commandText = ({ command, by, reason }: CommandSeen): string => `${command} by ${by}: ${reason}`

/** What `by` says in sentences about a run: `aborted by alice: too slow`. */
export const because = ({ by, reason }: CommandSeen): string => (reason === '' || reason === 'true' ? `by ${by}` : `by ${by}: ${reason}`)

export type Taken = {
  /** Forgets what is seen gone. */
  readonly status: CanaryStatus
  /** Commands that nobody has acted upon yet. */
  readonly fresh: readonly CommandSeen[]
  readonly effects: readonly Effect[]
}

export function takenOf(status: CanaryStatus, seen: Seen): Taken {
  const noted = status.gate?.taken ?? []
  const present = seen.commands.filter((command) => noted.includes(commandText(command)))
  const left = noted.filter((text) => present.some((command) => commandText(command) === text))
  const fresh = seen.commands.filter((command) => !present.includes(command))
  return {
    status: left.length === noted.length ? status : withGate(status, { taken: left.length > 0 ? left : undefined }),
    fresh,
    effects: present.length === 0 ? [] : [{ kind: 'consume', commands: [...new Set(present.map(({ command }) => command))] }],
  }
}

/** The most careful first: a promotion asked for together with an abort is none. */
const PRECEDENCE: readonly Command[] = ['abort', 'pause', 'restart', 'resume', 'retry', 'skip-step', 'promote']

export function firstCommand(seen: Seen): CommandSeen | undefined {
  for (const command of PRECEDENCE) {
    const found = seen.commands.find((candidate) => candidate.command === command)
    if (found) return found
  }
  return undefined
}

/** Entries of `status.gate.audit`, as its schema has it: who commanded what in the last runs. */
const MAX_AUDIT = 20

type Entry = NonNullable<NonNullable<CanaryStatus['gate']>['audit']>[number]

/** A manifest may bring the same again and again: of refusals alike the first stays, which pushes nothing else off the record. */
function onRecord(audit: readonly Entry[], entry: Entry): readonly Entry[] {
  const { by, command, reason, refused } = entry
  const isKnown = refused !== undefined && audit.some((other) => other.by === by && other.command === command && other.reason === reason && other.refused === refused)
  return isKnown ? audit : [...audit, entry].slice(-MAX_AUDIT)
}

/** The decision, with the command noted as acted upon. Another turn takes the annotation away. */
export function take(decision: Decision, command: CommandSeen, now: number, refused?: string): Decision {
  const text = commandText(command)
  const { taken: before = [], audit = [], lastCommand } = decision.status.gate ?? {}
  const taken = [...before.filter((other) => other !== text), text]
  const { command: name, by, reason, rule } = command
  const entry = { at: timestamp(now), by, command: name, reason, ...(rule === undefined ? {} : { rule }), ...(refused === undefined ? {} : { refused }) }
  const gate = { taken, lastCommand: command.refused === undefined ? text : lastCommand, audit: onRecord(audit, entry) }
  return { ...decision, status: withGate(decision.status, gate), wakeAt: now }
}

/** It makes no sense now: said, and taken away. */
export function refuse(decision: Decision, command: CommandSeen, why: string, now: number): Decision {
  const taken = take(decision, command, now, why)
  return { ...taken, news: [...taken.news, warning('CanaryCommandRefused', `${command.command} ${because(command)} refused: ${why}`)] }
}
