/** What the judge may be told, with its defaults. Every number is a choice that was measured; see `bench/judge`. */

/** Events are "the request failed". */
export type RateMetric = CommonMetric & { readonly kind: 'rate' }

/** Events are "the request was slower than this bound", one channel for each bound. */
export type HistogramMetric = CommonMetric & {
  readonly kind: 'histogram'
  /** Finite upper bounds of the buckets, ascending, in milliseconds. */
  readonly bounds: readonly number[]
  /** The latency that the user cares about, in milliseconds. Without it a histogram can be found worse, but never proved good. */
  readonly slo?: number
}

type CommonMetric = {
  readonly name: string
  /** How many times the primary's rate of events is still nobody's incident. At least 1. */
  readonly tolerance: number
  /** Highest rate of events that the user accepts, 0 to 1: success rate `min: 99` is 0.01. At 1 everything is good, at 0 nothing can be proved. */
  readonly limit?: number
  /** A canary at or under this rate of events is never worse, whatever the primary does. 0 turns it off; at 1 no canary is. */
  readonly floor: number
  /** Metrics that do not gate may roll back, but no step waits for their proof. */
  readonly gating: boolean
}

export type JudgedMetric = RateMetric | HistogramMetric

export type JudgeConfig = {
  /** Most that a release which is not worse than tolerated is rolled back with, per analysis. */
  readonly alpha: number
  /** Most that one step is ended early with, for a canary over its limit. */
  readonly beta: number
  /** Without its strongest poll the evidence must still be this many to one: one burst never decides. */
  readonly leaveOneOut: number
  /** Without a limit, *good* means "proved less than this many times the primary". */
  readonly goodRatio: number
  /** Usual seconds between polls. */
  readonly pollSeconds: number
  /** Seconds to the poll after a Suspect; 0 when counters cannot be read that soon (a Prometheus between). */
  readonly confirmationSeconds: number
  /** How many confirmation polls may follow one another. */
  readonly confirmations: number
  /** What a step must have seen, at its own weight, before it may end early. Rollback has no dwell. */
  readonly dwell: { readonly polls: number; readonly seconds: number; readonly requests: number }
  /** `prior`: events that say "no clumps" before anything is seen. `cap`: largest clump believed. `halfLife`: in polls. */
  readonly clumping: { readonly prior: number; readonly cap: number; readonly halfLife: number }
  readonly metrics: readonly JudgedMetric[]
}

export const DEFAULT_ALPHA = 0.01
export const DEFAULT_POLL_SECONDS = 5
/** Errors: a fresh pod is rarely identical, and 1.5 times 0.5 % is nobody's incident. */
export const DEFAULT_TOLERANCE = 1.5
/** Ten times worse than one in a million is not worth a rollback. */
const DEFAULT_FLOOR = 0.001
/** With a limit, what is a tenth of it is not worth a rollback either. */
const FLOOR_SHARE_OF_LIMIT = 0.1
/** Rate of events at or under which a canary is never worse, where nobody said otherwise. */
export const floorAt = (limit: number | undefined): number => (limit === undefined ? DEFAULT_FLOOR : limit * FLOOR_SHARE_OF_LIMIT)
/** From this weight (percent) on there is no primary left that is worth comparing with. */
export const ALONE_WEIGHT = 90

const DEFAULTS = {
  alpha: DEFAULT_ALPHA,
  beta: 0.05,
  leaveOneOut: 20,
  goodRatio: 2,
  pollSeconds: DEFAULT_POLL_SECONDS,
  confirmationSeconds: 1,
  confirmations: 3,
  dwell: { polls: 2, seconds: 30, requests: 100 },
  clumping: { prior: 5, cap: 50, halfLife: 720 },
} as const

export type MetricSettings = {
  readonly name: string
  readonly tolerance?: number
  readonly limit?: number
  readonly floor?: number
  readonly gating?: boolean
} & ({ readonly kind: 'rate' } | { readonly kind: 'histogram'; readonly bounds: readonly number[]; readonly slo?: number })

export type JudgeSettings = Partial<Omit<JudgeConfig, 'metrics' | 'dwell' | 'clumping'>> & {
  readonly dwell?: Partial<JudgeConfig['dwell']>
  readonly clumping?: Partial<JudgeConfig['clumping']>
  readonly metrics: readonly MetricSettings[]
}

/** Settings with every default filled in. Throws a RangeError for numbers that the mathematics has no meaning for. */
export function createConfig(settings: JudgeSettings): JudgeConfig {
  const config = {
    ...DEFAULTS, ...settings,
    dwell: { ...DEFAULTS.dwell, ...settings.dwell }, clumping: { ...DEFAULTS.clumping, ...settings.clumping },
    metrics: settings.metrics.map(completeMetric),
  }
  const faults = faultsOf(config)
  if (faults.length > 0) throw new RangeError(`judge: ${faults.join('; ')}`)
  return config
}

function completeMetric(metric: MetricSettings): JudgedMetric {
  return {
    ...metric,
    tolerance: metric.tolerance ?? DEFAULT_TOLERANCE,
    floor: metric.floor ?? floorAt(metric.limit),
    gating: metric.gating ?? true,
  }
}

function faultsOf(config: JudgeConfig): string[] {
  const faults: string[] = []
  const claim = (holds: boolean, fault: string) => { if (!holds) faults.push(fault) }
  claim(config.metrics.length > 0, 'no metric')
  claim(new Set(config.metrics.map(({ name }) => name)).size === config.metrics.length, 'two metrics of one name')
  for (const key of ['alpha', 'beta'] as const) claim(config[key] > 0 && config[key] < 1, `${key} is not between 0 and 1`)
  for (const key of ['leaveOneOut', 'goodRatio'] as const) claim(config[key] >= 1, `${key} is under 1`)
  claim(config.pollSeconds > 0, 'pollSeconds is not above 0')
  for (const [key, value] of Object.entries(config.dwell)) claim(value >= 0, `dwell.${key} is under 0`)
  claim(config.clumping.prior > 0, 'clumping.prior is not above 0')
  claim(config.clumping.cap >= 1, 'clumping.cap is under 1')
  claim(config.clumping.halfLife > 0, 'clumping.halfLife is not above 0')
  for (const metric of config.metrics) {
    claim(metric.tolerance >= 1 && Number.isFinite(metric.tolerance), `${metric.name}: tolerance is under 1`)
    claim(metric.floor >= 0 && metric.floor <= 1, `${metric.name}: floor is not in [0, 1]`)
    claim(metric.limit === undefined || (metric.limit >= 0 && metric.limit <= 1), `${metric.name}: limit is not in [0, 1]`)
    if (metric.kind === 'histogram') {
      claim(metric.bounds.length > 0, `${metric.name}: no bounds`)
      claim(metric.bounds.every((bound, i) => Number.isFinite(bound) && bound > (metric.bounds[i - 1] ?? -Infinity)), `${metric.name}: bounds do not ascend`)
    }
  }
  return faults
}

/** Which bound stands for the SLO: the largest that is not above it, else the first. Undefined without an `slo`. */
export function sloBound(metric: HistogramMetric): number | undefined {
  if (metric.slo === undefined) return undefined
  const slo = metric.slo
  return Math.max(0, metric.bounds.findLastIndex((bound) => bound <= slo))
}

/** How many channels of events a metric has, and which one stands for it in proofs and in tables. */
export const channelsOf = (metric: JudgedMetric): number => (metric.kind === 'rate' ? 1 : metric.bounds.length)
export const headlineOf = (metric: JudgedMetric): number | undefined => (metric.kind === 'rate' ? 0 : sloBound(metric))
