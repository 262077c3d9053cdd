/** What an analysis can tell and what it cannot, in words: asked before a run and during its first minutes. */

import { formatDuration } from '#api/duration.ts'
import { ALONE_WEIGHT, type JudgeConfig, type JudgedMetric } from '#judge/config.ts'
import { BAD_IN_LIMITS, isTold, planDetection, smallestTold, timesLonger, weightFor, type DetectionTerms, type PlannedStep } from '#judge/plan.ts'
import { percent } from '#judge/words.ts'

export type Traffic = {
  /** Of both arms together. */
  readonly requestsPerSecond: number
  /** Live rate of events of the primary, 0 to 1. */
  readonly primaryRate: number
  readonly phi: number
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

/**
 * Why these steps cannot tell a canary with twice its limit, and what would; undefined where they can, or where the primary itself is so
 * near the limit that no time would do. `metric`: one with a limit.
 */
export function shortfall(metric: JudgedMetric, config: JudgeConfig, traffic: Traffic, all: readonly PlannedStep[]): string | undefined {
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
  const weight = weightFor(terms, seconds)
  const least = smallestTold(terms, steps)
  return [
    `at ${rateText(traffic.requestsPerSecond)} requests/s, telling ${success(terms.canaryRate)} success from the primary's ${success(traffic.primaryRate)}`,
    ` needs about ${needed.kind === 'after' ? time(needed.medianSeconds) : 'forever'} of ${most} % weight, and this analysis lasts ${time(seconds)} in all`,
    least === undefined ? ': it can tell nothing' : `: it tells from ${percent(least)} errors on`,
    `; ${[...(weight === undefined || weight <= most ? [] : [`weight ${weight} %`]), `an interval ${Math.ceil(factor)} times as long`].join(', or ')} would do`,
  ].join('')
}

/** `99.5 %`. */
const success = (rate: number): string => `${Number((100 * (1 - rate)).toPrecision(4))} %`
const rateText = (value: number): string => (value >= 10 ? String(Math.round(value)) : String(Number(value.toPrecision(2))))

/** `285m`, `2h30m`: no finer than the formula is. */
function time(seconds: number): string {
  const unit = seconds >= 600 ? 60 : 1
  return formatDuration(Math.round(seconds / unit) * unit * 1_000) || '0s'
}
