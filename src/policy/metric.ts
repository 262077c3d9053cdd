import type { CanaryMetric } from '#api/canary.ts'
import { parseDuration } from '#api/duration.ts'
import type { RuleContext } from '#policy/rule.ts'

/** Flagger's two: beside a query or a template, Flagger judges such a metric twice. */
export const FLAGGER_METRICS: readonly string[] = ['request-success-rate', 'request-duration']
export const BUILTIN_METRICS: readonly string[] = [...FLAGGER_METRICS, 'error-rate']
/** Window of built-in and inline queries where a metric leaves it out. Not of templates: theirs renders as nothing. */
const DEFAULT_METRIC_INTERVAL_MS = 60_000

export const isBuiltin = (metric: CanaryMetric, context: RuleContext): boolean =>
  (FLAGGER_METRICS.includes(metric.name) || (!metric.query && !metric.templateRef))
  && (context.builtinMetrics ?? BUILTIN_METRICS).includes(metric.name)

/** Window of the query in milliseconds; undefined when it cannot be read, which is another rule's finding. */
export const windowMsOf = (metric: CanaryMetric): number | undefined =>
  metric.interval === undefined ? (metric.templateRef ? undefined : DEFAULT_METRIC_INTERVAL_MS) : parseDuration(metric.interval)

/** Lower and upper bound in force: `threshold` alone is a minimum for the success rate and a maximum for all others. */
export function boundsOf({ name, threshold, thresholdRange }: CanaryMetric): { readonly min?: number | undefined; readonly max?: number | undefined; readonly field: string } {
  if (thresholdRange) return { min: thresholdRange.min, max: thresholdRange.max, field: 'thresholdRange' }
  if (threshold === undefined) return { field: 'thresholdRange' }
  return name === 'request-success-rate' ? { min: threshold, field: 'threshold' } : { max: threshold, field: 'threshold' }
}
