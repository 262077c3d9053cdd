/** The judge's settings from a Canary: what the user wrote as thresholds is what the arms are compared by. */

import type { CanarySpec, JudgeMode } from '#api/canary.ts'
import type { JudgeSettings, MetricSettings } from '#judge/config.ts'

/** Names of the metrics in polls. */
export const ERRORS = 'errors'
export const LATENCY = 'latency'

/** A p99 of 500 ms means that 1 % may be slower. */
const LATENCY_LIMIT = 0.01

/** Beforehand nobody knows whether the pods have a histogram: with these, latency that has a limit is taken to have its share of alpha. */
export const ASSUMED_BOUNDS_MS: readonly number[] = [1]

/** A Canary that a person wrote keeps Flagger's verdicts unless it asks for more; one of ours has the judge. */
export const judgeMode = ({ gate }: Pick<CanarySpec, 'gate'>): JudgeMode => gate?.judge?.mode ?? (gate?.generated ? 'enforce' : 'warn')

/**
 * 99 % success is a limit of 1 % errors, a p99 of 500 ms one of 1 % slower than that. `bounds`: those of the pods' histograms in
 * milliseconds; without them latency is not judged.
 */
export function judgeSettingsOf(spec: Pick<CanarySpec, 'analysis' | 'gate'>, bounds: readonly number[]): JudgeSettings {
  const { alpha, tolerance: alias, minEffect = alias, latencyMinEffect = minEffect, floor } = spec.gate?.judge ?? {}
  const common = (tolerance: number | undefined) => ({ ...(tolerance === undefined ? {} : { tolerance }), ...(floor === undefined ? {} : { floor }) })
  const limit = errorLimitOf(spec)
  const slo = upperBound(metricOf(spec, 'request-duration'))
  const metrics: MetricSettings[] = [{ name: ERRORS, kind: 'rate', ...(limit === undefined ? {} : { limit }), ...common(minEffect) }]
  if (slo !== undefined && bounds.length > 0) metrics.push({ name: LATENCY, kind: 'histogram', bounds, slo, limit: LATENCY_LIMIT, ...common(latencyMinEffect) })
  return { metrics, ...(alpha === undefined ? {} : { alpha }) }
}

type Bounded = { readonly threshold?: number | undefined; readonly thresholdRange?: { readonly min?: number | undefined; readonly max?: number | undefined } | undefined }

const metricOf = ({ analysis }: Pick<CanarySpec, 'analysis'>, name: string): Bounded | undefined => analysis.metrics?.find((metric) => metric.name === name)
const upperBound = (metric: Bounded | undefined): number | undefined => metric?.thresholdRange?.max ?? metric?.threshold

/** Highest share of errors that the thresholds accept, 0 to 1; undefined where none says so. */
export function errorLimitOf(spec: Pick<CanarySpec, 'analysis'>): number | undefined {
  const success = metricOf(spec, 'request-success-rate')
  const least = success?.thresholdRange?.min ?? success?.threshold
  const most = least === undefined ? upperBound(metricOf(spec, 'error-rate')) : 100 - least
  return most !== undefined && most > 0 && most <= 100 ? most / 100 : undefined
}
