/** The judge's reasons as sentences that a person understands without knowing the mathematics. */

import { headlineOf, type JudgeConfig, type JudgedMetric } from '#judge/config.ts'
import { ratio, share, UP_ERRORS, type ChannelCounts } from '#judge/gains.ts'
import { requestsToProveGood } from '#judge/plan.ts'
import { isBothBad, NOTHING, tailOf, type JudgeState, type MetricState, type OpenAnswer, type Verdict } from '#judge/state.ts'

/** Past this, odds are not worth counting. */
const MOST_ODDS = 1e6

/** Why a poll ended in its verdict. `against`: what the other arm is called. */
export function reasonFor(verdict: Verdict, state: JudgeState, answers: readonly OpenAnswer[], config: JudgeConfig, against = 'primary'): string {
  switch (verdict) {
    case 'Worse': return worseSentence(state, answers, config, against)
    case 'NoData': return noDataSentence(state)
    case 'BothBad': return bothBadSentence(state, config, against)
    case 'Suspect': return `${strongestSentence(state, answers, config, against)}: probably worse (${oddsText(oddsOf(answers))}), looking again`
    case 'Good': return goodSentence(state, config, against)
    case 'Undecided': return undecidedSentence(state, answers, config, against)
    default: return verdict satisfies never
  }
}

/** The verdict stays for the run, the evidence need not: where a run goes on nevertheless, healthy polls must not be called worse beyond doubt. */
function worseSentence(state: JudgeState, answers: readonly OpenAnswer[], config: JudgeConfig, against: string): string {
  const odds = oddsOf(answers)
  if (odds >= 1 / config.alpha) return `${strongestSentence(state, answers, config, against)}: worse beyond doubt (${oddsText(odds)})`
  const { index, metric, spec } = loudestOf(state, answers, config)
  const channel = channelToTell(spec, answers[index])
  return `${compareSentence(spec, channel, metric.channels[channel]?.seen ?? NOTHING, against)}; proved worse earlier in this run`
}

/** The metric that speaks loudest against the canary. */
function loudestOf(state: JudgeState, answers: readonly OpenAnswer[], config: JudgeConfig): { readonly index: number; readonly metric: MetricState; readonly spec: JudgedMetric } {
  const index = indexOfLargest(answers.map(({ lnE }) => lnE))
  const metric = state.metrics[index]
  const spec = config.metrics[index]
  if (!metric || !spec) throw new RangeError(`judge: no metric ${index}`)
  return { index, metric, spec }
}

function strongestSentence(state: JudgeState, answers: readonly OpenAnswer[], config: JudgeConfig, against: string): string {
  const { index, metric, spec } = loudestOf(state, answers, config)
  const { limit } = spec
  if (answers[index]?.isByLimit && limit !== undefined) {
    const channel = headlineOf(spec) ?? 0
    return limitSentence(spec, channel, tellingCounts(metric, spec, channel, ({ nc, kc }) => Math.max(...UP_ERRORS.map((g) => share(g, limit, nc, kc)))), limit)
  }
  const channel = answers[index]?.strongest ?? 0
  return compareSentence(spec, channel, tellingCounts(metric, spec, channel, (counts) => Math.max(...UP_ERRORS.map((g) => ratio(g, spec.tolerance, counts)))), against)
}

/** Where nothing is proved, the bound that the user cares about. */
const channelToTell = (spec: JudgedMetric, answer: OpenAnswer | undefined): number => headlineOf(spec) ?? answer?.strongest ?? 0

const indexOfLargest = (values: readonly number[]): number => Math.max(0, values.indexOf(Math.max(...values)))

/** The run's counts, or the last polls' where those say it more clearly: trouble that began late drowns in healthy hours. */
function tellingCounts(metric: MetricState, spec: JudgedMetric, channel: number, clarity: (counts: ChannelCounts) => number): ChannelCounts {
  const run = metric.channels[channel]?.seen ?? NOTHING
  if (channel !== headlineOf(spec)) return run
  const tail = tailOf(metric)
  return clarity(tail) > clarity(run) ? tail : run
}

/** `canary fails 4.1 % of 2,310 requests, primary 0.3 % of 20,900`. */
function compareSentence(spec: JudgedMetric, channel: number, counts: ChannelCounts, against: string): string {
  const { nc, kc, np, kp } = counts
  if (np === 0 && spec.limit !== undefined) return limitSentence(spec, channel, counts, spec.limit)
  const canary = `canary ${armSentence(spec, channel, nc, kc)}`
  return np === 0 ? canary : `${canary}, ${against} ${percent(kp / np)} of ${count(np)}`
}

/** `canary fails 10 % of 1,500 requests, where 1 % is the limit`. */
const limitSentence = (spec: JudgedMetric, channel: number, { nc, kc }: ChannelCounts, limit: number): string =>
  `canary ${armSentence(spec, channel, nc, kc)}, where ${percent(limit)} is the limit`

function armSentence(spec: JudgedMetric, channel: number, n: number, k: number): string {
  const amount = `${percent(n === 0 ? 0 : k / n)} of ${count(n)} requests`
  return spec.kind === 'rate' ? `fails ${amount}` : `answers ${amount} slower than ${spec.bounds[channel]} ms`
}

/** How rarely so much evidence comes from a canary that is not worse: once in so many. */
const oddsOf = (answers: readonly OpenAnswer[]): number => answers.reduce((sum, { lnE }) => sum + Math.exp(lnE), 0) / answers.length

/** `1 in 10,000`: rounded down to one digit. */
function oddsText(odds: number): string {
  if (odds >= MOST_ODDS) return `less than 1 in ${count(MOST_ODDS)}`
  const digit = 10 ** Math.floor(Math.log10(Math.max(odds, 1)))
  return `1 in ${count(Math.floor(Math.max(odds, 1) / digit) * digit)}`
}

function noDataSentence({ step, weight }: JudgeState): string {
  return `the canary should have had about ${count(Math.round(step.expected))} requests at weight ${weight} %, and had none: `
    + 'is the route in force, does its Service select its pods, are they scraped?'
}

function bothBadSentence(state: JudgeState, config: JudgeConfig, against: string): string {
  const index = Math.max(0, state.metrics.findIndex((metric, i) => config.metrics[i] && isBothBad(metric, config.metrics[i])))
  const metric = state.metrics[index]
  const spec = config.metrics[index]
  return metric && spec ? `both arms are bad: ${compareSentence(spec, headlineOf(spec) ?? 0, tailOf(metric), against)}` : 'both arms are bad'
}

function goodSentence(state: JudgeState, config: JudgeConfig, against: string): string {
  const proofs = config.metrics.flatMap((spec, i) => {
    const headline = headlineOf(spec)
    const seen = headline === undefined ? undefined : state.metrics[i]?.channels[headline]?.seen
    if (!spec.gating || headline === undefined || !seen) return []
    const bar = spec.limit === undefined ? `less than ${config.goodRatio} times the ${against}` : `under ${percent(spec.limit)}`
    return [`canary ${armSentence(spec, headline, seen.nc, seen.kc)}: ${bar}`]
  })
  return `${proofs.join('; ')} (proved at weight ${state.weight} %, wrong at most once in ${count(Math.round(1 / config.beta))})`
}

function undecidedSentence(state: JudgeState, answers: readonly OpenAnswer[], config: JudgeConfig, against: string): string {
  if (state.step.polls === 0) return 'nothing compared yet'
  if (state.step.requests === 0 && state.step.expected === 0) return 'no traffic'
  const missing = requestsMissing(state, answers, config)
  if (missing === undefined) {
    const { index, metric, spec } = loudestOf(state, answers, config)
    const channel = channelToTell(spec, answers[index])
    return `too few requests to tell: ${compareSentence(spec, channel, metric.channels[channel]?.seen ?? NOTHING, against)}`
  }
  return `too few requests to tell: ${count(state.step.requests)} at this weight, about ${count(missing)} more would do`
}

/**
 * Canary requests that are still missing for a proof of good, at the rate seen so far, as the slowest gating metric needs them.
 * Undefined where no number of requests would do, or where there is no limit to prove against.
 */
export function requestsMissing(state: JudgeState, answers: readonly Pick<OpenAnswer, 'lnGood' | 'phi'>[], config: JudgeConfig): number | undefined {
  const missing = config.metrics.flatMap((spec, i) => {
    const headline = headlineOf(spec)
    const seen = headline === undefined ? undefined : state.metrics[i]?.channels[headline]?.seen
    const { lnGood, phi } = answers[i] ?? { lnGood: null, phi: 1 }
    if (!spec.gating || spec.limit === undefined || !seen || lnGood === null) return []
    return [requestsToProveGood({ canaryRate: seen.nc === 0 ? 0 : seen.kc / seen.nc, limit: spec.limit, beta: config.beta, phi, lnGood })]
  })
  const most = Math.max(0, config.dwell.requests - state.step.requests, ...missing)
  return missing.length > 0 && Number.isFinite(most) ? twoDigits(most) : undefined
}

/** Rounded up to two digits: an estimate should not look like a count. */
function twoDigits(value: number): number {
  const unit = 10 ** Math.max(0, Math.floor(Math.log10(Math.max(value, 1))) - 1)
  return Math.ceil(value / unit) * unit
}

/** `4.1 %`, `0.034 %`, `12 %`. */
export function percent(rate: number): string {
  const value = rate * 100
  if (value === 0) return '0 %'
  return value >= 10 ? `${Math.round(value)} %` : `${Number(value.toPrecision(2))} %`
}

/** `20,900`, in every locale. */
export const count = (value: number): string => String(Math.round(value)).replaceAll(/\B(?=(?:\d{3})+$)/g, ',')
