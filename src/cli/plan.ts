import { baselineShareFor, hasBaseline } from '#api/baseline.ts'
import { formatDuration } from '#api/duration.ts'
import { readCanary, type CanaryInput } from '#cli/input.ts'
import { createConfig } from '#judge/config.ts'
import { smallestTold } from '#judge/plan.ts'
import { comparing, shortfall, termsFor } from '#judge/power.ts'
import { ASSUMED_BOUNDS_MS, judgeMode, judgeSettingsOf } from '#judge/settings.ts'
import { percent } from '#judge/words.ts'
import { planOf, type Strategy } from '#rollout/plan.ts'

/** What an analysis will do and what it may cost, before anybody runs it. Times in seconds; pod starts come on top. */
export type PlanAnswer = {
  readonly name: string
  readonly namespace: string
  readonly strategy: Strategy
  readonly intervalSeconds: number
  /** `at`: when the step begins, counted from the first weight. */
  readonly steps: readonly { readonly at: number; readonly weight: number; readonly intervalSeconds: number; readonly hold: boolean; readonly mirror: boolean; /** Percent of live requests on the baseline, where there is one. */ readonly baseline?: number }[]
  /** `interval x (maxWeight / stepWeight)`, or `interval x iterations`. */
  readonly durationSeconds: number
  /** `interval x threshold`: how long a version that fails every check lives. */
  readonly rollbackSeconds: number
  readonly threshold: number
  readonly failures: 'total' | 'consecutive'
  readonly end: 'promote' | 'wait'
  readonly exposure: {
    /** Most percent of live requests that ever reach the canary. */
    readonly maxWeight: number
    /** A version that is bad from its first request: it is seen by this share until it is rolled back. */
    readonly badFromStart: { readonly weight: number; readonly seconds: number; readonly fullTrafficSeconds: number }
    /** A version that turns bad at the last step: `fullTrafficSeconds` counts the bad time alone, as seconds of all requests. */
    readonly badAtTheEnd: { readonly weight: number; readonly seconds: number; readonly fullTrafficSeconds: number }
  }
  /** What the judge can tell by errors, in the median; absent where it is off, or no step leaves a primary to compare with. */
  readonly judge?: {
    readonly mode: 'warn' | 'enforce'
    /** The primary's rate of errors that this is reckoned with, 0 to 1. */
    readonly primaryRate: number
    /** `smallest`: rate of errors of a canary that is just found within the steps; null: not even one that fails every request. */
    readonly tells: readonly { readonly requestsPerSecond: number; readonly smallest: number | null; /** Twice the limit is not told. */ readonly tooShort?: string }[]
  }
}

/** What is assumed about the service; each has a default. */
export type Assumed = { readonly requestsPerSecond?: number | undefined; /** Of the primary, 0 to 1. */ readonly primaryRate?: number | undefined }

const USUAL_TRAFFIC = [1, 10, 100, 1_000]
/** A service that keeps its limit fails half as often; without one, this often. */
const USUAL_SHARE_OF_LIMIT = 0.5
const USUAL_RATE = 0.001

export const planFile = (path: string, name?: string, assumed: Assumed = {}): PlanAnswer => planAnswer(readCanary(path, name), assumed)

function judgeAnswer({ spec }: CanaryInput, steps: PlanAnswer['steps'], assumed: Assumed): Pick<PlanAnswer, 'judge'> {
  const mode = judgeMode(spec)
  const config = createConfig(judgeSettingsOf(spec, ASSUMED_BOUNDS_MS))
  const [metric] = config.metrics
  const planned = steps.map(({ weight, intervalSeconds, mirror }) => ({ weight: mirror ? 0 : weight, seconds: intervalSeconds }))
  if (mode === 'off' || !metric || comparing(planned).length === 0) return {}
  const primaryRate = assumed.primaryRate ?? (metric.limit === undefined ? USUAL_RATE : metric.limit * USUAL_SHARE_OF_LIMIT)
  const tells = (assumed.requestsPerSecond === undefined ? USUAL_TRAFFIC : [assumed.requestsPerSecond]).map((requestsPerSecond) => {
    const traffic = { requestsPerSecond, primaryRate, phi: 1, hasBaseline: hasBaseline(spec) }
    const smallest = smallestTold(termsFor(metric, config, traffic), comparing(planned))
    const tooShort = shortfall(metric, config, traffic, planned)
    return { requestsPerSecond, smallest: smallest ?? null, ...(tooShort === undefined ? {} : { tooShort }) }
  })
  return { judge: { mode, primaryRate, tells } }
}

export function planAnswer(input: CanaryInput, assumed: Assumed = {}): PlanAnswer {
  const { name, namespace, spec } = input
  const plan = planOf(spec)
  const [intervalSeconds, rollbackSeconds] = [plan.intervalMs / 1_000, plan.rollbackMs / 1_000]
  let at = 0
  const steps = (spec.skipAnalysis ? [] : plan.steps).map((step) => {
    const begins = at
    at += step.intervalMs / 1_000
    return { at: begins, weight: weightOf(plan.strategy, step.weight), intervalSeconds: step.intervalMs / 1_000, hold: step.hold, mirror: step.mirror ?? false, ...(hasBaseline(spec) ? { baseline: baselineShareFor(step.weight) } : {}) }
  })
  const isSwitched = plan.strategy === 'blue-green'
  const weights = isSwitched ? [...steps.map(({ weight }) => weight), 100] : steps.map(({ weight }) => weight)
  const exposed = (weight: number) => ({ weight, seconds: weight === 0 ? 0 : rollbackSeconds, fullTrafficSeconds: (weight * rollbackSeconds) / 100 })
  // Bad from the start: the first step that gets live requests is also the last, as no check of it passes.
  const first = weights.find((weight) => weight > 0) ?? 0
  return {
    name, namespace, strategy: plan.strategy, intervalSeconds, steps, durationSeconds: at, rollbackSeconds, threshold: plan.threshold,
    failures: spec.gate?.failures ?? 'total', end: spec.gate?.atMaxWeight ?? 'promote',
    exposure: { maxWeight: Math.max(0, ...weights), badFromStart: exposed(isSwitched ? 0 : first), badAtTheEnd: exposed(weights.at(-1) ?? 0) },
    ...judgeAnswer(input, steps, assumed),
  }
}

/** A/B: all of the requests that match. */
const weightOf = (strategy: Strategy, weight: number): number => (strategy === 'a-b' ? 100 : weight)

export function planText(plan: PlanAnswer): string {
  const time = (seconds: number): string => (seconds === 0 ? '0s' : formatDuration(seconds * 1_000))
  const kind = { weighted: 'canary by weight', 'blue-green': 'Blue/Green', 'a-b': 'A/B test (percent of the requests that match)' }[plan.strategy]
  const step = (one: PlanAnswer['steps'][number]): string =>
    `  ${`+${time(one.at)}`.padEnd(10)} ${String(one.weight).padStart(3)} %  for ${time(one.intervalSeconds)}${one.mirror ? ', mirrored' : ''}${one.baseline ? `, baseline ${one.baseline} %` : ''}${one.hold ? ', then holds until canarygate.dev/resume' : ''}`
  const { badFromStart, badAtTheEnd, maxWeight } = plan.exposure
  return [
    `${plan.name}.${plan.namespace}: ${kind}, one check every ${time(plan.intervalSeconds)}`,
    ...(plan.steps.length === 0 ? ['  no steps: promoted as soon as its pods are ready, or never if nothing else says so'] : plan.steps.map(step)),
    `duration  ${time(plan.durationSeconds)}, then ${plan.end === 'wait' ? 'it waits for approval' : 'promotion'}; pod starts come on top`,
    `rollback  after ${plan.threshold} failed checks (${plan.failures === 'total' ? 'in all' : 'in a row'}): ${time(plan.rollbackSeconds)} for a version that fails every check`,
    `exposure  at most ${maxWeight} % of requests; bad from the start: ${badFromStart.weight} % for ${time(badFromStart.seconds)}, as much as ${time(badFromStart.fullTrafficSeconds)} of all requests; `
      + `bad at the last step: ${badAtTheEnd.weight} % for ${time(badAtTheEnd.seconds)}, as much as ${time(badAtTheEnd.fullTrafficSeconds)}`,
    ...judgeText(plan.judge),
    '',
  ].join('\n')
}

/** At given traffic, the smallest regression that the analysis can tell. */
function judgeText(judge: PlanAnswer['judge']): readonly string[] {
  if (!judge) return []
  const lines = judge.tells.map(({ requestsPerSecond, smallest, tooShort }) => {
    const found = smallest === null ? 'not even a canary that fails every request' : `a canary that fails ${percent(smallest)} of its requests, or more`
    const why = tooShort === undefined ? '' : judge.tells.length > 1 ? ' (analysis-too-short-to-tell)' : `\nwarning   analysis-too-short-to-tell: ${tooShort}`
    return `  ${String(requestsPerSecond).padStart(6)} requests/s  ${found}${why}`
  })
  return [`judge     mode ${judge.mode}; beside a primary that fails ${percent(judge.primaryRate)} it tells within these steps, half of the time or more often,`, ...lines]
}
