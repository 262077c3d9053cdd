/**
 * The sequential test: is the canary worse than tolerated, good, or not yet known? Pure: counts in, verdict out.
 *
 * If the canary is not worse than tolerated, it is found `Worse` with probability at most alpha per analysis, however often one
 * looks, however weights move, whatever happens to both arms together.
 */

import { learnClumping, NO_CLUMPING, phiOf } from '#judge/clumping.ts'
import { ALONE_WEIGHT, channelsOf, headlineOf, type JudgeConfig, type JudgedMetric } from '#judge/config.ts'
import { addGains, lnE, lnMeanExp, lnV, NO_EVIDENCE, type Evidence } from '#judge/evidence.ts'
import { ratio, share, UP_BUCKETS, UP_ERRORS, type ChannelCounts } from '#judge/gains.ts'
import { channelPolls, type ChannelPoll, type Poll } from '#judge/poll.ts'
import { addProof, lnGood, NO_PROOF } from '#judge/proof.ts'
import { isBothBad, NOTHING, sums, type ChannelState, type JudgeState, type Memory, type MetricState, type OpenAnswer, type Verdict } from '#judge/state.ts'
import { reasonFor } from '#judge/words.ts'

export type MetricAnswer = {
  /** ln of the evidence that the canary is worse; null is minus infinity. */
  readonly lnE: number | null
  /** The same without its strongest poll. */
  readonly lnV: number | null
  /** ln of the evidence that the canary is good; null where nothing can be proved. */
  readonly lnGood: number | null
  /** Size of a bunch of events that this poll was judged with. */
  readonly phi: number
}

export type Judgement = {
  readonly state: JudgeState
  readonly verdict: Verdict
  readonly lnE: number | null
  readonly lnV: number | null
  readonly metrics: Readonly<Record<string, MetricAnswer>>
  /** Why, in words that a person understands. */
  readonly reason: string
}

/** Polls that are looked at for "both arms are bad". */
const TAIL_POLLS = 6
/** Expected canary requests from which on none at all is no accident: chance e^-10. */
const NO_DATA_EXPECTED = 10
const NO_DATA_POLLS = 2
/** What the SLO's bound weighs among the bounds of a histogram. */
const SLO_SHARE = 0.5

const EMPTY_STEP: JudgeState['step'] = { polls: 0, seconds: 0, requests: 0, expected: 0 }

/** The state before the first poll of a run. Only the memory of clumps comes from earlier runs. */
export function createState(config: JudgeConfig, memory: Memory = {}): JudgeState {
  return {
    weight: null,
    worse: false,
    suspects: 0,
    step: EMPTY_STEP,
    metrics: config.metrics.map((metric) => {
      const known = Object.hasOwn(memory, metric.name) ? (memory[metric.name] ?? []) : []
      // Other bounds than last time: their clumps are not these bounds' clumps.
      const fits = known.length === channelsOf(metric)
      return {
        name: metric.name,
        channels: Array.from({ length: channelsOf(metric) }, (_, i) => ({
          worse: NO_EVIDENCE,
          material: NO_EVIDENCE,
          clumping: (fits && known[i]) || NO_CLUMPING,
          seen: NOTHING,
        })),
        alone: NO_EVIDENCE,
        proof: NO_PROOF,
        tail: [],
      }
    }),
  }
}

/** What the next run should know. */
export const memoryOf = (state: JudgeState): Memory =>
  Object.fromEntries(state.metrics.map(({ name, channels }) => [name, channels.map(({ clumping }) => clumping)]))

/** The state and the verdict after one more poll. The arguments are not touched. */
export function judge(state: JudgeState, poll: Poll, config: JudgeConfig): Judgement {
  if (!isOf(state, config)) throw new RangeError('judge: the state is of another configuration')
  if (poll.mixed) return answer(state, state, config, poll)
  const begun = poll.weight === state.weight ? state : { ...state, weight: poll.weight, step: EMPTY_STEP, metrics: state.metrics.map(restartProof) }
  const polled = { ...begun, metrics: begun.metrics.map((metric, i) => addPoll(metric, specOf(config, i), poll, config)) }
  return answer(state, poll.weight > 0 ? { ...polled, step: addToStep(begun.step, poll, config) } : polled, config, poll)
}

const isOf = (state: JudgeState, { metrics }: JudgeConfig): boolean =>
  state.metrics.length === metrics.length
  && state.metrics.every(({ name, channels }, i) => metrics[i]?.name === name && channels.length === channelsOf(metrics[i]))

const restartProof = (metric: MetricState): MetricState => ({ ...metric, proof: NO_PROOF })

function specOf(config: JudgeConfig, index: number): JudgedMetric {
  const spec = config.metrics[index]
  if (!spec) throw new RangeError(`judge: no metric ${index}`)
  return spec
}

function addToStep(step: JudgeState['step'], poll: Poll, config: JudgeConfig): JudgeState['step'] {
  const { nc = 0, np = 0 } = channelPolls(specOf(config, 0), poll)?.[0] ?? {}
  return {
    polls: step.polls + 1,
    seconds: step.seconds + poll.seconds,
    requests: step.requests + nc,
    expected: step.expected + ((nc + np) * poll.weight) / (poll.weight + (poll.against?.weight ?? 100 - poll.weight)),
  }
}

function addPoll(metric: MetricState, spec: JudgedMetric, poll: Poll, config: JudgeConfig): MetricState {
  const polls = channelPolls(spec, poll)
  if (!polls) return metric
  const headline = headlineOf(spec)
  const counts = headline === undefined ? undefined : polls[headline]
  const channels = metric.channels.map((channel, i) => addToChannel(channel, polls[i] ?? NOTHING, spec, poll.weight, config))
  if (poll.weight <= 0) return { ...metric, channels }
  // Divided by what was known before this poll: a bunch must not judge itself.
  const phi = phiOf(metric.channels[headline ?? 0]?.clumping ?? NO_CLUMPING, config.clumping)
  const isAlone = poll.weight >= ALONE_WEIGHT
  return {
    ...metric,
    channels,
    alone: isAlone ? addAlone(metric.alone, counts, spec, phi) : metric.alone,
    proof: counts ? addProof(metric.proof, counts, { ...config, limit: spec.limit, phi }) : metric.proof,
    tail: counts ? [...metric.tail, sums(NOTHING, counts)].slice(-TAIL_POLLS) : metric.tail,
  }
}

function addToChannel(channel: ChannelState, counts: ChannelPoll, spec: JudgedMetric, weight: number, config: JudgeConfig): ChannelState {
  const learnt = { ...channel, clumping: learnClumping(channel.clumping, [counts.np, counts.kp], counts.pods, config.clumping) }
  if (weight <= 0) return learnt
  const seen = sums(channel.seen, counts)
  if (weight >= ALONE_WEIGHT || counts.nc === 0 || counts.np === 0) return { ...learnt, seen }
  const phi = phiOf(channel.clumping, config.clumping)
  const grid = spec.kind === 'rate' ? UP_ERRORS : UP_BUCKETS
  return {
    ...learnt,
    seen,
    worse: addGains(channel.worse, grid.map((g) => ratio(g, spec.tolerance, counts) / phi)),
    material: spec.floor > 0 ? addGains(channel.material, grid.map((g) => share(g, spec.floor, counts.nc, counts.kc) / phi)) : channel.material,
  }
}

function addAlone(alone: Evidence, counts: ChannelCounts | undefined, { limit }: JudgedMetric, phi: number): Evidence {
  if (!counts || limit === undefined || counts.nc === 0) return alone
  return addGains(alone, UP_ERRORS.map((g) => share(g, limit, counts.nc, counts.kc) / phi))
}

function answer(before: JudgeState, polled: JudgeState, config: JudgeConfig, { against }: Poll): Judgement {
  const answers = polled.metrics.map((metric, i) => answerOf(metric, before.metrics[i] ?? metric, specOf(config, i), config))
  const e = lnMeanExp(answers.map((metric) => metric.lnE))
  const v = lnMeanExp(answers.map((metric) => metric.lnV))
  const suspect = e >= Math.log(1 / config.alpha)
  const worse = polled.worse || (suspect && v >= Math.log(config.leaveOneOut))
  const verdict = verdictOf({ ...polled, worse }, answers, suspect, config)
  // A mixed poll is no look: it neither adds to a row of suspicions nor ends one. While both arms are bad the suspicion is confirmed, too.
  const suspects = polled === before ? before.suspects : suspect && !worse ? before.suspects + 1 : 0
  const state = { ...polled, worse, suspects }
  return {
    state,
    verdict,
    lnE: orNull(e),
    lnV: orNull(v),
    metrics: Object.fromEntries(
      answers.map((metric, i) => [specOf(config, i).name, { lnE: orNull(metric.lnE), lnV: orNull(metric.lnV), lnGood: metric.lnGood, phi: metric.phi }]),
    ),
    reason: reasonFor(verdict, state, answers, config, against?.name),
  }
}

function answerOf(metric: MetricState, before: MetricState, spec: JudgedMetric, config: JudgeConfig): OpenAnswer {
  const headline = headlineOf(spec)
  const e = metric.channels.map((channel) => channelLn(lnE, channel, spec))
  const v = metric.channels.map((channel) => channelLn(lnV, channel, spec))
  const weights = channelWeights(metric.channels.length, spec.kind === 'histogram' ? headline : undefined)
  const withAlone = (compared: number, alone: number) => (metric.alone.polls > 0 ? lnMeanExp([compared, alone]) : compared)
  const compared = lnMeanExp(e, weights)
  const loudness = e.map((ln, i) => ln + Math.log(weights[i] ?? 1))
  const loudest = loudness.indexOf(Math.max(...loudness))
  return {
    lnE: withAlone(compared, lnE(metric.alone)),
    lnV: withAlone(lnMeanExp(v, weights), lnV(metric.alone)),
    lnGood: headline === undefined ? null : lnGood(metric.proof),
    phi: phiOf(before.channels[headline ?? 0]?.clumping ?? NO_CLUMPING, config.clumping),
    // Where nothing speaks yet it is the one that stands for the metric.
    strongest: compared === -Infinity ? headline ?? 0 : loudest,
    isByLimit: metric.alone.polls > 0 && lnE(metric.alone) > compared,
  }
}

/** "Worse *and* material" needs evidence against both excuses: the smaller of the two. */
const channelLn = (ln: (evidence: Evidence) => number, channel: ChannelState, spec: JudgedMetric): number =>
  spec.floor > 0 ? Math.min(ln(channel.worse), ln(channel.material)) : ln(channel.worse)

function channelWeights(channels: number, slo: number | undefined): readonly number[] {
  if (slo === undefined || channels === 1) return Array.from({ length: channels }, () => 1 / channels)
  return Array.from({ length: channels }, (_, i) => (i === slo ? SLO_SHARE : (1 - SLO_SHARE) / (channels - 1)))
}

const orNull = (ln: number): number | null => (ln === -Infinity ? null : ln)

function verdictOf(state: JudgeState, answers: readonly OpenAnswer[], suspect: boolean, config: JudgeConfig): Verdict {
  if (state.worse) return 'Worse'
  if (state.step.polls >= NO_DATA_POLLS && state.step.requests === 0 && state.step.expected >= NO_DATA_EXPECTED) return 'NoData'
  if (state.metrics.some((metric, i) => isBothBad(metric, specOf(config, i)))) return 'BothBad'
  if (suspect) return 'Suspect'
  return isGood(state, answers, config) ? 'Good' : 'Undecided'
}

function isGood({ step }: JudgeState, answers: readonly OpenAnswer[], { dwell, beta, metrics }: JudgeConfig): boolean {
  if (step.polls < dwell.polls || step.seconds < dwell.seconds || step.requests < dwell.requests) return false
  const gating = answers.filter((_, i) => metrics[i]?.gating)
  return gating.length > 0 && gating.every((metric) => metric.lnGood !== null && metric.lnGood >= Math.log(1 / beta))
}

/** Seconds until the next look: sooner after a Suspect, so that a dead canary is rolled back within seconds. `skewSeconds` as measured. */
export function secondsToNextPoll(state: JudgeState, skewSeconds: number, config: JudgeConfig): number {
  const confirms = config.confirmationSeconds > 0 && state.suspects > 0 && state.suspects <= config.confirmations
  // Sooner than the skew, the windows of the two arms would not match.
  return Math.max(confirms ? config.confirmationSeconds : config.pollSeconds, skewSeconds)
}
