/**
 * Failures come in bunches (retries, batches, one sick node), and counted one by one they look like evidence. phi is the size of a
 * bunch, learnt from how unevenly the primary's own pods fail within one poll: a trend or an outage, common to all, cancels.
 */

import type { JudgeConfig } from '#judge/config.ts'

/** What is known about the bunches of one channel. Outlives a run: it belongs to the service, not to a release. */
export type Clumping = {
  readonly num: number
  readonly den: number
  /** Requests and events of the primary in the last poll, for services of one pod. */
  readonly last?: readonly [n: number, k: number]
}

export const NO_CLUMPING: Clumping = { num: 0, den: 0 }

/** Requests and events of one pod. */
export type PodCounts = readonly [n: number, k: number]

/** Size of a bunch, from 1 (independent failures) to the cap. */
export function phiOf(clumping: Clumping, { prior, cap }: JudgeConfig['clumping']): number {
  return Math.min(cap, Math.max(1, (prior + clumping.num) / (prior + clumping.den)))
}

/** What is known after one more poll of the primary. Without traffic it teaches nothing, and only time goes by. */
export function learnClumping(clumping: Clumping, whole: PodCounts, pods: readonly PodCounts[] | undefined, config: JudgeConfig['clumping']): Clumping {
  const busy = (pods ?? []).filter(([n]) => n > 0)
  const one = busy[0] ?? whole
  const [num, den] = busy.length >= 2 ? acrossPods(busy) : againstLastPoll(one, clumping.last)
  const keep = 2 ** (-1 / config.halfLife)
  return {
    num: clumping.num * keep + Math.min(num, config.cap * den),
    den: clumping.den * keep + den,
    last: busy.length >= 2 ? [whole[0], whole[1]] : [one[0], one[1]],
  }
}

function acrossPods(pods: readonly PodCounts[]): [num: number, den: number] {
  let n = 0
  let k = 0
  for (const [podN, podK] of pods) {
    n += podN
    k += podK
  }
  let num = 0
  for (const [podN, podK] of pods) num += (podK - (k * podN) / n) ** 2 / (podN / n)
  return [num, k * (pods.length - 1)]
}

function againstLastPoll([n, k]: PodCounts, last: PodCounts | undefined): [num: number, den: number] {
  if (!last || last[0] <= 0 || n <= 0) return [0, 0]
  const both = k + last[1]
  const f = n / (n + last[0])
  return [(k - both * f) ** 2 / (f * (1 - f)), both]
}
