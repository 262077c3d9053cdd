import type { Canary } from '#api/canary.ts'
import { intervalMsOf } from '#policy/analysis.ts'
import type { EffectivePolicy, PolicyWindow } from '#policy/effective.ts'
import { exemptionFrom, type Subject } from '#policy/exemptions.ts'
import { frozenBy, type Frozen } from '#policy/freeze.ts'
import { POLICY_DEMANDS } from '#policy/registry.ts'
import type { ReportedFinding, Severity } from '#policy/rule.ts'

/** What keeps a run from starting or its weight from rising, in words, and until when (Unix ms) where that is known. */
export type Hold = { readonly reason: string; readonly until?: number }

const RULE = 'freeze-window'
export const severityOfWindow = (window: PolicyWindow, { severities }: EffectivePolicy): Severity =>
  window.severity ?? severities[RULE] ?? POLICY_DEMANDS[RULE]

/** The window in force for this subject now, among those with one of these severities. */
function frozen(policy: EffectivePolicy, subject: Subject, now: number, severity: Severity = 'deny'): Frozen<PolicyWindow> | undefined {
  const windows = policy.freeze.filter((window) => severityOfWindow(window, policy) === severity)
  if (windows.length === 0 || exemptionFrom(RULE, policy, subject, now)) return undefined
  return frozenBy(windows, now)
}

const at = (time: number): string => new Date(time).toISOString().replace(/\.000Z$/, 'Z')
const inWords = ({ window, until }: Frozen<PolicyWindow>): string => `freeze window "${window.name}" until ${at(until)} (policy "${window.policy}")`

/** Why no run may start now. */
export function startHold(policy: EffectivePolicy, subject: Subject, now: number): Hold | undefined {
  const found = frozen(policy, subject, now)
  return found && { reason: inWords(found), until: found.until }
}

/** Why the weight of a run under way may not rise now. */
export function runHold(policy: EffectivePolicy, canary: Canary, subject: Subject, now: number): Hold | undefined {
  const found = frozen({ ...policy, freeze: policy.freeze.filter(({ running }) => running !== 'finish') }, subject, now)
  if (!found) return undefined
  const { gate } = canary.status ?? {}
  const dueAt = Date.parse(gate?.nextCheckAt ?? '')
  // A check that was under way when the window began may still raise the weight; what it raises to is begun inside.
  const isUnderWay = (gate?.step ?? -1) >= 0 && dueAt - intervalMsOf(canary.spec) < found.since
  return found.window.running === 'finishStep' && isUnderWay ? undefined : { reason: inWords(found), until: found.until }
}

/** What freeze windows say about a change when it is made. */
export function freezeFindings(policy: EffectivePolicy, subject: Subject, now: number): readonly ReportedFinding[] {
  const field = 'spec.template'
  const hard = frozen(policy, subject, now)
  if (hard?.window.mode === 'deny') {
    return [{ rule: RULE, severity: 'deny', field, message: `changes are frozen by ${inWords(hard)}`, fix: 'wait for its end, or ask for an exemption' }]
  }
  const found = (severity: 'warn' | 'audit', by: Frozen<PolicyWindow> | undefined, message: string, fix: string): ReportedFinding[] =>
    by ? [{ rule: RULE, severity, field, message: `${message} ${inWords(by)}`, fix }] : []
  if (hard) return found('warn', hard, 'is held by', 'its canary starts by itself then')
  return [
    ...found('warn', frozen(policy, subject, now, 'warn'), 'falls into', 'think of waiting for its end'),
    ...found('audit', frozen(policy, subject, now, 'audit'), 'falls into', 'it would be held or refused were the window in force'),
  ]
}
