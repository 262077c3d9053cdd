import type { CanaryStatus } from '#api/canary.ts'
import type { CheckedMetric } from '#api/measurement.ts'
import type { Traffic } from '#judge/power.ts'
import type { Check } from '#rollout/decision.ts'
import { timestamp, withGate } from '#rollout/status.ts'

type Trouble = 'no-data' | 'primary-fails'

/**
 * What the last check showed of the metrics themselves, noted in the status: admission, which asks nobody, warns of it when the settings are
 * changed next. Only trouble is noted, and written again only when it is another. Pure.
 */
export function withLastLook(status: CanaryStatus, check: Check | undefined, now: number): CanaryStatus {
  if (!check) return status
  const metrics = check.metrics.flatMap((checked) => {
    const trouble = troubleOf(checked)
    return trouble === undefined ? [] : [{ name: checked.name, trouble }]
  })
  const known = status.gate?.look?.metrics ?? []
  const isKnown = metrics.length === known.length && metrics.every(({ name, trouble }, i) => known[i]?.name === name && known[i].trouble === trouble)
  if (isKnown) return status
  return withGate(status, { look: metrics.length === 0 ? undefined : { at: timestamp(now), metrics } })
}

/** Digits that mean something: with more, each look would be another. */
const DIGITS = 2
const rounded = (value: number): number => Number(value.toPrecision(DIGITS))

/** The requests that were seen last, noted beside what is written anyway: whether an analysis can tell anything depends on them. Pure. */
export function withTraffic(status: CanaryStatus, traffic: Traffic | undefined, now: number): CanaryStatus {
  if (!traffic) return status
  return withGate(status, {
    traffic: { at: timestamp(now), requestsPerSecond: rounded(traffic.requestsPerSecond), failureRate: rounded(traffic.primaryRate), clumping: rounded(traffic.phi) },
  })
}

/** A source that cannot be asked says nothing about the metric. */
function troubleOf({ measurement, inBothArms }: CheckedMetric): Trouble | undefined {
  if (measurement.kind === 'no-data') return 'no-data'
  return inBothArms === undefined ? undefined : 'primary-fails'
}
