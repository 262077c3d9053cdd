/** What an analysis can tell and what it cannot, in words: asked before a run and during its first minutes. */

import { formatDuration } from '#api/duration.ts'
import { ALONE_WEIGHT, type JudgeConfig, type JudgedMetric } from '#judge/config.ts'
import { BAD_IN_LIMITS, isTold, planDetection, smallestTold, timesLonger, weightFor, type DetectionTerms, type PlannedStep } from '#judge/plan.ts'
import { percent } from '#judge/words.ts'

export type Traffic = {
  /** Of all live requests. */
  readonly requestsPerSecond: number
  /** Live rate of events of the primary, 0 to 1. */
  readonly primaryRate: number
  readonly phi: number
  /** See DetectionTerms. */
  readonly hasBaseline?: boolean
}

/** What the planning formula is asked with for one metric of a configuration. */
export function termsFor(metric: JudgedMetric, config: JudgeConfig, traffic: Traffic): Omit<DetectionTerms, 'weight'> {
  return {
    ...traffic, canaryRate: Math.min(1, BAD_IN_LIMITS * (metric.limit ?? 1)), pollSeconds: config.pollSeconds,
    tolerance: metric.tolerance, floor: metric.floor, metrics: config.metrics.length, alpha: config.alpha,
  }
}

/** Steps whose weight leaves a primary to compare with. */
export const comparing = (steps: readonly PlannedStep[]): readonly PlannedStep[] => steps.filter(({ weight }) => weight > 0 && weight < ALONE_WEIGHT)

/** What is missing for steps to tell a canary with twice its limit. */
export type Shortfall = {
  readonly requestsPerSecond: number
  /** Of a canary that should be told, and of the primary: `98 %`. */
  readonly success: { readonly canary: string; readonly primary: string }
  /** Highest weight with a primary beside it (percent). */
  readonly most: number
  /** At that weight; Infinity: no time would do. */
  readonly neededSeconds: number
  readonly seconds: number
  /** Intervals so many times as long would do. */
  readonly factor: number
}

/**
 * Why these steps cannot tell a canary with twice its limit, and what would; undefined where they can, or where the primary itself is so
 * near the limit that no time would do. `metric`: one with a limit.
 */
export function shortfallOf(metric: JudgedMetric, config: JudgeConfig, traffic: Traffic, all: readonly PlannedStep[]): Shortfall | undefined {
  const steps = comparing(all)
  const { limit } = metric
  const [first] = steps
  if (limit === undefined || limit <= 0 || limit >= 1 || !first || traffic.requestsPerSecond <= 0) return undefined
  const terms = termsFor(metric, config, traffic)
  if (isTold(terms, steps)) return undefined
  const factor = timesLonger(terms, steps)
  if (factor === undefined) return undefined
  const seconds = steps.reduce((sum, step) => sum + step.seconds, 0)
  const most = Math.max(...steps.map(({ weight }) => weight))
  const needed = planDetection({ ...terms, weight: most })
  return {
    requestsPerSecond: traffic.requestsPerSecond, success: { canary: success(terms.canaryRate), primary: success(traffic.primaryRate) },
    most, neededSeconds: needed.kind === 'after' ? needed.medianSeconds : Infinity, seconds, factor,
  }
}

/** The same in one sentence, with what is told and which weight would do as well. */
export function shortfall(metric: JudgedMetric, config: JudgeConfig, traffic: Traffic, all: readonly PlannedStep[]): string | undefined {
  const found = shortfallOf(metric, config, traffic, all)
  if (!found) return undefined
  const { requestsPerSecond, success: { canary, primary }, most, neededSeconds, seconds, factor } = found
  const terms = termsFor(metric, config, traffic)
  const least = smallestTold(terms, comparing(all))
  const weight = weightFor(terms, seconds)
  return [
    `at ${rateText(requestsPerSecond)} requests/s, telling ${canary} success from the primary's ${primary}`,
    ` needs about ${roughTime(neededSeconds)} of ${most} % weight, and this analysis lasts ${roughTime(seconds)} in all`,
    least === undefined ? ': it can tell nothing' : `: it tells from ${percent(least)} errors on`,
    `; ${[...(weight === undefined || weight <= most ? [] : [`weight ${weight} %`]), `an interval ${Math.ceil(factor)} times as long`].join(', or ')} would do`,
  ].join('')
}

/** `99.5 %`. */
const success = (rate: number): string => `${Number((100 * (1 - rate)).toPrecision(4))} %`
const rateText = (value: number): string => (value >= 10 ? String(Math.round(value)) : String(Number(value.toPrecision(2))))

/** `285m`, `2h30m`: no finer than the formula is. */
export function roughTime(seconds: number): string {
  if (seconds === Infinity) return 'forever'
  const unit = seconds >= 600 ? 60 : 1
  return formatDuration(Math.round(seconds / unit) * unit * 1_000) || '0s'
}
