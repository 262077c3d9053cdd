/** What the judge remembers between polls. */

import type { Clumping } from '#judge/clumping.ts'
import { channelsOf, type JudgeConfig, type JudgedMetric } from '#judge/config.ts'
import type { Evidence } from '#judge/evidence.ts'
import { DOWN, UP_BUCKETS, UP_ERRORS, type ChannelCounts } from '#judge/gains.ts'
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
  /** How many polls in a row ended with evidence enough but for a confirmation. */
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
export type OpenAnswer = {
  readonly lnE: number
  readonly lnV: number
  readonly lnGood: number | null
  readonly phi: number
  /** The channel that speaks loudest against the canary. */
  readonly strongest: number
  /** The limit speaks louder than the comparison: most requests were the canary's. */
  readonly isByLimit: boolean
}

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

/** Whether a value from outside is a state that the judge with this configuration can go on from. */
export function isStateOf(value: unknown, config: JudgeConfig): value is JudgeState {
  return isRecord(value) && (value['weight'] === null || isNumber(value['weight'])) && typeof value['worse'] === 'boolean' && isNumber(value['suspects'])
    && hasNumbers(value['step'], ['polls', 'seconds', 'requests', 'expected'])
    && Array.isArray(value['metrics']) && value['metrics'].length === config.metrics.length
    && value['metrics'].every((metric: unknown, i) => { const spec = config.metrics[i]; return spec !== undefined && isMetricState(metric, spec) })
}

const COUNTS = ['nc', 'kc', 'np', 'kp'] as const
const isRecord = (value: unknown): value is Readonly<Record<string, unknown>> => typeof value === 'object' && value !== null && !Array.isArray(value)
const isNumber = (value: unknown): value is number => typeof value === 'number' && Number.isFinite(value)
const isNumbers = (value: unknown, lengths: readonly number[]): boolean => Array.isArray(value) && lengths.includes(value.length) && value.every(isNumber)
const hasNumbers = (value: unknown, keys: readonly string[]): boolean => isRecord(value) && keys.every((key) => isNumber(value[key]))

/** Both wealths are there, or none is yet. */
function isEvidence(value: unknown, alternatives: number): boolean {
  if (!isRecord(value) || !isNumber(value['polls'])) return false
  const lengths = [value['polls'] === 0 ? 0 : alternatives]
  return isNumbers(value['e'], lengths) && isNumbers(value['v'], lengths)
}

function isMetricState(value: unknown, spec: JudgedMetric): boolean {
  const alternatives = spec.kind === 'rate' ? UP_ERRORS.length : UP_BUCKETS.length
  const isChannel = (channel: unknown): boolean => isRecord(channel) && isEvidence(channel['worse'], alternatives) && isEvidence(channel['material'], alternatives)
    && isClumping(channel['clumping']) && hasNumbers(channel['seen'], COUNTS)
  return isRecord(value) && value['name'] === spec.name && isEvidence(value['alone'], UP_ERRORS.length) && isNumbers(value['proof'], [DOWN.length])
    && Array.isArray(value['tail']) && value['tail'].every((counts: unknown) => hasNumbers(counts, COUNTS))
    && Array.isArray(value['channels']) && value['channels'].length === channelsOf(spec) && value['channels'].every(isChannel)
}

/** Whether a value from outside tells how events come in bunches. */
export const isClumping = (value: unknown): value is Clumping =>
  hasNumbers(value, ['num', 'den']) && isRecord(value) && (value['last'] === undefined || isNumbers(value['last'], [2]))

/** Whether anything but clumps has been learnt. */
export const hasEvidence = (state: JudgeState): boolean =>
  state.worse || state.metrics.some(({ channels, alone }) => alone.polls > 0 || channels.some(({ worse }) => worse.polls > 0))
