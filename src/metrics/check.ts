/** Thresholds as Flagger counts them, with Flagger's texts. Pure: a measurement in, a checked metric out. */

import type { CheckedMetric, Measurement } from '#api/measurement.ts'

export type MetricSpec = {
  readonly name: string
  /** Success rates have a minimum, everything else a maximum. `duration` is in milliseconds. */
  readonly kind: 'success-rate' | 'duration' | 'other'
  /** Wins over `threshold`. Bounds are inclusive: a value on the bound passes. */
  readonly thresholdRange?: { readonly min?: number; readonly max?: number }
  /** Without any threshold: 0, as in Flagger. A success rate then always passes, anything else fails on any value above 0. */
  readonly threshold?: number
}

/** The Canary, as events name it. */
export type Subject = { readonly name: string; readonly namespace: string }

/** How a metric of this name is judged when it is builtin; templates and inline queries are always `other`. */
export const builtinKind = (metric: string): MetricSpec['kind'] =>
  metric === 'request-success-rate' ? 'success-rate' : metric === 'request-duration' ? 'duration' : 'other'

/** The metric with Flagger's failure text if its value is outside. What has no value neither passes nor fails. */
export function checkMetric(spec: MetricSpec, measurement: Measurement, subject: Subject): CheckedMetric {
  const checked = { name: spec.name, measurement }
  if (measurement.kind !== 'value') return checked
  const breach = breachOf(spec, spec.kind === 'duration' ? Math.trunc(measurement.value) : measurement.value)
  return breach ? { ...checked, failure: `Halt ${subject.name}.${subject.namespace} advancement ${breach}` } : checked
}

function breachOf(spec: MetricSpec, value: number): string | undefined {
  const { min, max } = boundsOf(spec)
  if (min !== undefined && value < min) return `${valueText(spec, value)} < ${boundText(spec, min)}`
  if (max !== undefined && value > max) return `${valueText(spec, value)} > ${boundText(spec, max)}`
  return undefined
}

function boundsOf({ kind, thresholdRange, threshold = 0 }: MetricSpec): { readonly min?: number; readonly max?: number } {
  const bounds = thresholdRange ?? (kind === 'success-rate' ? { min: threshold } : { max: threshold })
  // Flagger counts durations in whole milliseconds; admission warns about what that cuts off.
  if (kind !== 'duration') return bounds
  return {
    ...(bounds.min === undefined ? {} : { min: Math.trunc(bounds.min) }),
    ...(bounds.max === undefined ? {} : { max: Math.trunc(bounds.max) }),
  }
}

function valueText({ name, kind }: MetricSpec, value: number): string {
  if (kind === 'success-rate') return `success rate ${goFixed(value)}%`
  return kind === 'duration' ? `request duration ${goDuration(value)}` : `${name} ${goFixed(value)}`
}

const boundText = ({ kind }: MetricSpec, bound: number): string =>
  kind === 'duration' ? goDuration(bound) : kind === 'success-rate' ? `${goNumber(bound)}%` : goNumber(bound)

/** Where a metric's value was asked for; Flagger has a text of its own for each. */
export type MetricOrigin = { readonly kind: 'builtin' | 'embedded'; readonly provider: string } | { readonly kind: 'inline' } | { readonly kind: 'template' }

/** Flagger's event when there is no value: no data for it, or a source that could not be asked. Undefined for a value. The embedded source, which Flagger has not, adds its reason. */
export function missingText(spec: MetricSpec, measurement: Measurement, origin: MetricOrigin, target: Subject): string | undefined {
  if (measurement.kind === 'value') return undefined
  const { reason } = measurement
  if (measurement.kind === 'unavailable') {
    if (origin.kind === 'template') return `Metric query failed for ${spec.name}: ${reason}`
    if (origin.kind === 'embedded') return `Halt advancement ${spec.name} of ${target.name}.${target.namespace} is not known: ${reason}`
    return origin.kind === 'inline' ? `Prometheus query failed for ${spec.name}: ${reason}` : `Prometheus query failed: ${reason}`
  }
  if (origin.kind === 'template') return `Halt advancement no values found for custom metric: ${spec.name}: ${reason}`
  if (origin.kind === 'inline') return `Halt advancement no values found for metric: ${spec.name}`
  const text = `Halt advancement no values found for ${origin.provider} metric ${spec.name} probably ${target.name}.${target.namespace} is not receiving traffic`
  return spec.kind === 'success-rate' || origin.kind === 'embedded' ? `${text}: ${reason}` : text
}

const infinite = (value: number): string => (value > 0 ? '+Inf' : '-Inf')

/** Go's `%.2f`: exact halves go to the even neighbour, where JavaScript takes the larger one. */
export function goFixed(value: number): string {
  if (!Number.isFinite(value)) return infinite(value)
  // With two decimals, only odd eighths are exactly in the middle.
  const isHalf = Math.abs((value * 8) % 2) === 1
  const hundredths = isHalf ? Math.floor(value * 100) : 0
  return isHalf ? ((hundredths % 2 === 0 ? hundredths : hundredths + 1) / 100).toFixed(2) : value.toFixed(2)
}

/** Go's `%v` of a float64: shortest digits, an exponent from 1e21 on and under 1e-4. */
export function goNumber(value: number): string {
  if (!Number.isFinite(value)) return infinite(value)
  const size = Math.abs(value)
  if (size === 0 || (size >= 1e-4 && size < 1e21)) return String(value)
  return value.toExponential().replace(/e([+-])(\d)$/, 'e$10$2')
}

/** Go's text of a duration in whole milliseconds: `500ms`, `1.209s`, `1m30s`, `0s`. */
export function goDuration(milliseconds: number): string {
  if (!Number.isFinite(milliseconds)) return infinite(milliseconds)
  const sign = milliseconds < 0 ? '-' : ''
  const size = Math.abs(milliseconds)
  if (size === 0) return '0s'
  if (size < 1_000) return `${sign}${size}ms`
  const hours = Math.floor(size / 3_600_000)
  const minutes = Math.floor(size / 60_000) % 60
  const seconds = `${(size % 60_000) / 1_000}s`
  if (hours > 0) return `${sign}${hours}h${minutes}m${seconds}`
  return minutes > 0 ? `${sign}${minutes}m${seconds}` : `${sign}${seconds}`
}
