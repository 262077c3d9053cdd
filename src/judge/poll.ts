/** What one look at both arms found: counts since the last complete poll, never rates. */

import { channelsOf, type JudgedMetric } from '#judge/config.ts'
import type { PodCounts } from '#judge/clumping.ts'
import type { ChannelCounts } from '#judge/gains.ts'

/** Requests `n` and failures `k` of canary (c) and primary (p). `pods`: the primary's pods, for clumping. */
export type RateCounts = ChannelCounts & { readonly pods?: readonly PodCounts[] }

/** As RateCounts, where `k` counts the requests *slower than* each bound (count minus cumulative bucket). */
export type HistogramCounts = {
  readonly nc: number
  readonly kc: readonly number[]
  readonly np: number
  readonly kp: readonly number[]
  readonly pods?: readonly (readonly [n: number, k: readonly number[]])[]
}

export type Poll = {
  /** Length of the poll. */
  readonly seconds: number
  /** The canary's weight in percent, in force during the whole poll. */
  readonly weight: number
  /** A poll that spans a change of weight: nothing is learnt from it. */
  readonly mixed?: boolean
  /** Where the other arm is not all of the rest: what it is called, and its own share of requests in percent. */
  readonly against?: { readonly name: string; readonly weight: number }
  /** By metric name. A metric that is missing is left as it is. */
  readonly metrics: Readonly<Record<string, RateCounts | HistogramCounts>>
}

/** One channel of a metric's poll, with the primary's pods. */
export type ChannelPoll = ChannelCounts & { readonly pods?: readonly PodCounts[] }

/** A metric's poll channel by channel; undefined when the poll does not have it. Throws a RangeError for impossible counts. */
export function channelPolls(metric: JudgedMetric, poll: Poll): readonly ChannelPoll[] | undefined {
  if (!Object.hasOwn(poll.metrics, metric.name)) return undefined
  const counts = poll.metrics[metric.name]
  if (!counts) return undefined
  const { nc, np, pods } = counts
  return Array.from({ length: channelsOf(metric) }, (_, i) => {
    const channel = {
      nc: checked(nc, metric),
      kc: checked(at(counts.kc, i), metric),
      np: checked(np, metric),
      kp: checked(at(counts.kp, i), metric),
    }
    return pods ? { ...channel, pods: pods.map(([n, k]): PodCounts => [checked(n, metric), checked(at(k, i), metric)]) } : channel
  })
}

const at = (counts: number | readonly number[], channel: number): number | undefined => (typeof counts === 'number' ? counts : counts[channel])

function checked(count: number | undefined, { name }: JudgedMetric): number {
  if (count === undefined || !Number.isFinite(count) || count < 0) throw new RangeError(`judge: ${name} has a count of ${count}`)
  return count
}
