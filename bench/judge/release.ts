/** One simulated release: what both arms served, poll by poll, and what a rule made of it. */

import { binomial, geometric, lognormal, normalAbove, poisson, type Random } from './random.ts'
import { baselineShareFor } from '#api/baseline.ts'
import { createConfig, type JudgeConfig } from '#judge/config.ts'
import { createState, judge, memoryOf, secondsToNextPoll } from '#judge/judge.ts'
import type { Poll } from '#judge/poll.ts'
import type { Memory } from '#judge/state.ts'

export const HOUR = 3_600
export const BASE = 0.005
export const LIMIT = 0.01
/** A second metric takes its share of alpha, as in a release with errors and latency. It is never worse here. */
const SLOW = 0.05
const PRIMARY_PODS = 3

export const BOUNDS = [5, 10, 25, 50, 100, 250, 500, 1_000] as const
const SLO = 250
/** Lognormal latency of a pod like all others. */
const MEDIAN_MS = 60
const SIGMA = 0.6
/** Requests that meet a pause of their pod wait for the rest of it. */
const PAUSE_MS = 700
/** Fresh pods' latency is not counted before. */
const WARM_UP_SECONDS = 60

export const ERRORS_CONFIG = createConfig({ metrics: [{ name: 'errors', kind: 'rate', limit: LIMIT }, { name: 'slow', kind: 'rate', limit: 0.2 }] })
export const latencyConfig = (tolerance: number): JudgeConfig => createConfig({
  metrics: [{ name: 'errors', kind: 'rate', limit: LIMIT }, { name: 'latency', kind: 'histogram', bounds: BOUNDS, slo: SLO, limit: LIMIT, tolerance }],
})

export type World = {
  /** Requests per second of both arms. */
  readonly rps: number
  readonly seconds: number
  /** The canary's weight in percent at a second. */
  readonly weight: (second: number) => number
  /** Failure rates at a second. */
  readonly primary: (second: number) => number
  readonly canary: (second: number) => number
  /** Traffic of both arms at a second, in multiples of `rps`. */
  readonly traffic?: (second: number) => number
  /** Mean size of a bunch of failures; 1 means independent. */
  readonly bunch?: number
  /** The canary is scraped so many seconds after the primary. */
  readonly skew?: number
  /** Coefficient of variation of the pods' failure rates. */
  readonly errorSpread?: number
  readonly canaryPods?: number
  /** What every pod suffers that started with the release, whatever it runs: multiples of its failures and of its latency at a second. */
  readonly startUp?: { readonly errors?: (second: number) => number; readonly latency?: (second: number) => number }
  /** The canary is compared with as many fresh pods of the stable revision, which get as many requests, and not with the primary. */
  readonly isBesideBaseline?: boolean
  readonly latency?: {
    /** How many times slower the canary is. */
    readonly factor: number
    /** Coefficient of variation of the pods' speeds. */
    readonly spread?: number
    /** Share of a pod's polls that have a pause. */
    readonly pauses?: number
  }
}

export type Outcome = { readonly rolledBackAt: number | undefined; readonly failed: number; readonly memory: Memory; readonly wasGood: boolean }

type Pod = { readonly errors: number; readonly speed: number }
type Served = { readonly n: number; readonly k: number; readonly slower: readonly number[] }

const podsOf = (count: number, world: World, random: Random): readonly Pod[] =>
  Array.from({ length: count }, () => ({ errors: lognormal(world.errorSpread ?? 0, random), speed: lognormal(world.latency?.spread ?? 0, random) }))

/** Mean of a function that steps, over a stretch: by samples of a tenth of a second. */
function meanOver(rate: (second: number) => number, from: number, to: number): number {
  const samples = Math.max(1, Math.round((to - from) * 10))
  let sum = 0
  for (let i = 0; i < samples; i += 1) sum += rate(from + ((i + 0.5) * (to - from)) / samples)
  return sum / samples
}

/** One request stream's failures: bunches that arrive as often as the rate says, each as large as luck says. */
function failures(n: number, rate: number, bunch: number, random: Random): number {
  if (bunch <= 1 || rate >= 0.5) return binomial(n, Math.min(1, rate), random)
  let total = 0
  for (let i = poisson((n * rate) / bunch, random); i > 0; i -= 1) total += geometric(bunch, random)
  return Math.min(n, total)
}

const slowerThan = (bound: number, factor: number): number => (bound <= 0 ? 1 : normalAbove(Math.log(bound / (MEDIAN_MS * factor)) / SIGMA))

/** The same for a request that arrives during a pause. */
function slowerInPause(bound: number, factor: number): number {
  const parts = 20
  let sum = 0
  for (let i = 0; i < parts; i += 1) sum += slowerThan(bound - ((i + 0.5) * PAUSE_MS) / parts, factor)
  return sum / parts
}

/** Requests slower than each bound: those slower than one are drawn among those slower than the bound before. */
function slower(n: number, chances: readonly number[], random: Random): readonly number[] {
  let left = n
  let before = 1
  return chances.map((chance) => {
    left = binomial(left, before === 0 ? 0 : chance / before, random)
    before = chance
    return left
  })
}

function serve(pod: Pod, requests: number, rate: number, seconds: number, factor: number, world: World, random: Random): Served {
  const n = poisson(requests, random)
  const k = failures(n, rate * pod.errors, world.bunch ?? 1, random)
  if (!world.latency) return { n, k, slower: [] }
  const speed = factor * pod.speed
  const paused = random() < (world.latency.pauses ?? 0) ? binomial(n, Math.min(1, PAUSE_MS / 1_000 / seconds), random) : 0
  const usual = slower(n - paused, BOUNDS.map((bound) => slowerThan(bound, speed)), random)
  if (paused === 0) return { n, k, slower: usual }
  const late = slower(paused, BOUNDS.map((bound) => slowerInPause(bound, speed)), random)
  return { n, k, slower: usual.map((count, i) => count + (late[i] ?? 0)) }
}

const sum = (served: readonly Served[], of: (one: Served) => number): number => served.reduce((total, one) => total + of(one), 0)

function pollOf(canary: readonly Served[], primary: readonly Served[], seconds: number, weight: number, hasLatency: boolean | 'cold', random: Random): Poll {
  const arms = { nc: sum(canary, ({ n }) => n), np: sum(primary, ({ n }) => n) }
  const errors = { ...arms, kc: sum(canary, ({ k }) => k), kp: sum(primary, ({ k }) => k), pods: primary.map(({ n, k }): readonly [number, number] => [n, k]) }
  if (!hasLatency) return { seconds, weight, metrics: { errors, slow: { ...arms, kc: binomial(arms.nc, SLOW, random), kp: binomial(arms.np, SLOW, random) } } }
  if (hasLatency === 'cold') return { seconds, weight, metrics: { errors } }
  const bound = (served: readonly Served[]) => BOUNDS.map((_, i) => sum(served, (one) => one.slower[i] ?? 0))
  const latency = { ...arms, kc: bound(canary), kp: bound(primary), pods: primary.map((one): readonly [number, readonly number[]] => [one.n, one.slower]) }
  return { seconds, weight, metrics: { errors, latency } }
}

/** A release under the judge alone. `memory`: what earlier releases taught it about bunches. */
export function judgeRelease(world: World, random: Random, config: JudgeConfig = ERRORS_CONFIG, memory: Memory = {}): Outcome {
  const { rps, skew = 0, canaryPods = 1, traffic = () => 1, latency, isBesideBaseline = false, startUp } = world
  const [canaries, others] = [podsOf(canaryPods, world, random), podsOf(isBesideBaseline ? canaryPods : PRIMARY_PODS, world, random)]
  const freshErrors = startUp?.errors ?? (() => 1)
  const otherRateAt = isBesideBaseline ? (second: number) => world.primary(second) * freshErrors(second) : world.primary
  let state = createState(config, memory)
  let [now, failed] = [0, 0]
  let wasGood = false
  while (now < world.seconds) {
    const weight = world.weight(now)
    const seconds = Math.min(secondsToNextPoll(state, skew, config), world.seconds - now)
    const [from, to] = [now, now + seconds]
    const share = rps * seconds * meanOver(traffic, from, to)
    const canaryRate = meanOver((second) => world.canary(second) * freshErrors(second), from + skew, to + skew)
    const otherRate = meanOver(otherRateAt, from, to)
    const otherWeight = isBesideBaseline ? baselineShareFor(weight) : 100 - weight
    const freshFactor = startUp?.latency ? meanOver(startUp.latency, from, to) : 1
    const canary = canaries.map((pod) => serve(pod, (share * weight) / 100 / canaryPods, canaryRate, seconds, (latency?.factor ?? 1) * freshFactor, world, random))
    const other = others.map((pod) => serve(pod, (share * otherWeight) / 100 / others.length, otherRate, seconds, isBesideBaseline ? freshFactor : 1, world, random))
    now += seconds
    failed += sum(canary, ({ k }) => k)
    const isCold = startUp?.latency !== undefined && to < WARM_UP_SECONDS
    const poll = pollOf(canary, other, seconds, weight, isCold ? 'cold' : latency !== undefined, random)
    const answer = judge(state, isBesideBaseline ? { ...poll, against: { name: 'baseline', weight: otherWeight } } : poll, config)
    state = answer.state
    wasGood ||= answer.verdict === 'Good'
    if (answer.verdict === 'Worse') return { rolledBackAt: now, failed, memory: memoryOf(state), wasGood }
  }
  return { rolledBackAt: undefined, failed, memory: memoryOf(state), wasGood }
}

export const STEP_SECONDS = 60
export const MAX_WEIGHT = 50
/** 10 % and 10 more each minute. */
export const stairs = (second: number): number => Math.min(MAX_WEIGHT, 10 + 10 * Math.floor(second / STEP_SECONDS))

/**
 * A rule that looks once a minute at the canary's success rate: with `failuresAllowed` checks that may fail (Flagger's threshold),
 * or none (Argo's `failureLimit` 0).
 */
export function countingRelease({ rps, canary }: Pick<World, 'rps' | 'canary'>, failuresAllowed: number, random: Random): Pick<Outcome, 'rolledBackAt' | 'failed'> {
  let weight = 10
  let failed = 0
  let failedChecks = 0
  const minute = (): { n: number; k: number } => {
    const n = poisson((rps * STEP_SECONDS * weight) / 100, random)
    return { n, k: binomial(n, canary(0), random) }
  }
  for (let now = STEP_SECONDS; ; now += STEP_SECONDS) {
    // Flagger counts first and acts at the next tick.
    if (failuresAllowed > 0 && failedChecks >= failuresAllowed) return { rolledBackAt: now, failed: failed + minute().k }
    const { n, k } = minute()
    failed += k
    if (n === 0 || k / n > LIMIT) failedChecks += 1
    else if (weight >= MAX_WEIGHT) return { rolledBackAt: undefined, failed }
    else weight += 10
    if (failuresAllowed === 0 && failedChecks > 0) return { rolledBackAt: now, failed }
  }
}
