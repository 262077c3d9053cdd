/** What the judge remembers between polls. */

import type { Clumping } from '#judge/clumping.ts'
import type { JudgedMetric } from '#judge/config.ts'
import type { Evidence } from '#judge/evidence.ts'
import type { ChannelCounts } from '#judge/gains.ts'
import type { Proof } from '#judge/proof.ts'

/**
 * Worse: roll back now. NoData: live requests should have reached the canary, none did: hold. BothBad: hold, alert.
 * Suspect: no more weight, look again soon. Good: the step may end before its interval.
 */
export type Verdict = 'Worse' | 'NoData' | 'BothBad' | 'Suspect' | 'Good' | 'Undecided'

/** Everything that must outlive a restart, as plain JSON. */
export type JudgeState = {
  /** Weight of the last poll that was not mixed; null before the first. */
  readonly weight: number | null
  /** Latched: a canary once found worse stays so for the run. */
  readonly worse: boolean
  /** How many polls in a row ended in Suspect. */
  readonly suspects: number
  /** Totals at this weight, requests counted on the first metric. `expected`: requests the canary should have had. */
  readonly step: { readonly polls: number; readonly seconds: number; readonly requests: number; readonly expected: number }
  /** In the order of the configuration. */
  readonly metrics: readonly MetricState[]
}

export type MetricState = {
  readonly name: string
  readonly channels: readonly ChannelState[]
  /** Of polls that have no primary to compare with, against the limit. */
  readonly alone: Evidence
  readonly proof: Proof
  /** The last polls of the headline channel, oldest first. */
  readonly tail: readonly ChannelCounts[]
}

export type ChannelState = {
  /** Against "at most `tolerance` times the primary". */
  readonly worse: Evidence
  /** Against "at most `floor`"; stays empty without a floor. */
  readonly material: Evidence
  readonly clumping: Clumping
  /** Sums over the run, for the sentence that a person reads. */
  readonly seen: ChannelCounts
}

/** What is known about a service's clumps, by metric: kept with the Canary, given to the next run. */
export type Memory = Readonly<Record<string, readonly Clumping[]>>

/** A metric's answer while it is still reckoned with: minus infinity is a number here. */
export type OpenAnswer = { readonly lnE: number; readonly lnV: number; readonly lnGood: number | null; readonly phi: number; readonly strongest: number }

/** Primary failures in the tail that make an outage rather than an accident. */
const BOTH_BAD_PRIMARY_EVENTS = 3
export const NOTHING: ChannelCounts = { nc: 0, kc: 0, np: 0, kp: 0 }
export const sums = (a: ChannelCounts, b: ChannelCounts): ChannelCounts => ({ nc: a.nc + b.nc, kc: a.kc + b.kc, np: a.np + b.np, kp: a.kp + b.kp })

/** The last polls of the headline channel, together. */
export const tailOf = (metric: MetricState): ChannelCounts => metric.tail.reduce(sums, NOTHING)

/** Whether both arms are over the limit lately. Only a hold follows, so it needs no error control. */
export function isBothBad(metric: MetricState, spec: JudgedMetric): boolean {
  if (spec.limit === undefined) return false
  const { nc, kc, np, kp } = tailOf(metric)
  return kp >= BOTH_BAD_PRIMARY_EVENTS && kp > spec.limit * np && kc >= 1 && kc > spec.limit * nc
}
