/** One bad pod of several is not a bad release, nor a bad stable revision: which one it is, by what each pod served. Pure. */

import type { ArmCounts } from '#api/measurement.ts'
import { count, percent } from '#judge/words.ts'

/** Whose pods are looked at one by one. */
type FreshArm = 'canary' | 'baseline'

/** What each pod served in one round. The primary's may be hundreds, and are not kept. */
export type PodPoll = {
  readonly atMs: number
  /** Requests and failures of each pod. */
  readonly pods: Readonly<Record<FreshArm, Readonly<Record<string, readonly [requests: number, failures: number]>>>>
  /** Of each pod of the canary: requests with a latency, and those slower than each bound. Kept for as long as one bad pod is looked for. */
  readonly slow?: Readonly<Record<string, readonly [timed: number, slower: readonly number[]]>>
}

type Seen = { readonly window: readonly PodPoll[] }

/** How far back one bad pod is looked for. */
export const BAD_POD_SECONDS = 60
/** Fewer failures than this may meet in one pod by accident. */
const LEAST_FAILURES_TO_BLAME = 10
/** Of all failures: a pod that has so many of them has them alone. */
const SHARE_TO_BLAME = 0.9

/** `slowerThanMs`: what is counted as failures is requests slower than that. */
export type BadPod = { readonly pod: string; readonly own: ArmCounts; readonly others: ArmCounts; readonly otherPods: number; readonly slowerThanMs?: number }

/** The pod that fails where the others of its arm do not; undefined where all fail alike, or there is but one. */
export const badPodOf = ({ window }: Seen, intervalSeconds: number, nowMs: number, arm: FreshArm = 'canary'): BadPod | undefined =>
  outlierOf(window.filter(({ atMs }) => atMs > nowMs - intervalSeconds * 1_000).map(({ pods }) => pods[arm]))

/** The pod of the canary that answers late where the others do not: later than the largest bound up to `sloMs`. */
export function slowPodOf({ window, bounds }: Seen & { readonly bounds: readonly number[] }, sloMs: number, intervalSeconds: number, nowMs: number): BadPod | undefined {
  const index = Math.max(0, bounds.findLastIndex((bound) => bound <= sloMs))
  const slowerThanMs = bounds[index]
  if (slowerThanMs === undefined) return undefined
  const polls = window.filter(({ atMs }) => atMs > nowMs - intervalSeconds * 1_000)
  const bad = outlierOf(polls.map(({ slow = {} }) => Object.fromEntries(Object.entries(slow).map(([name, [timed, slower]]) => [name, [timed, slower[index] ?? 0]]))))
  return bad && { ...bad, slowerThanMs }
}

function outlierOf(polls: readonly Readonly<Record<string, readonly [requests: number, failures: number]>>[]): BadPod | undefined {
  const sums = new Map<string, ArmCounts>()
  for (const [name, [requests, failures]] of polls.flatMap((pods) => Object.entries(pods))) {
    const sum = sums.get(name) ?? { requests: 0, failures: 0 }
    sums.set(name, { requests: sum.requests + requests, failures: sum.failures + failures })
  }
  const busy = [...sums].filter(([, { requests }]) => requests > 0).sort(([, a], [, b]) => b.failures - a.failures)
  const [worst, ...rest] = busy
  if (!worst || rest.length === 0) return undefined
  const [pod, own] = worst
  const others = { requests: rest.reduce((sum, [, { requests }]) => sum + requests, 0), failures: rest.reduce((sum, [, { failures }]) => sum + failures, 0) }
  if (own.failures < LEAST_FAILURES_TO_BLAME || own.failures < SHARE_TO_BLAME * (own.failures + others.failures)) return undefined
  // Of a pod with nearly all of the requests the failures tell nothing.
  return own.failures * others.requests > FAIR_TIMES * others.failures * own.requests && others.requests >= LEAST_FAILURES_TO_BLAME
    ? { pod, own, others, otherPods: rest.length } : undefined
}

/** How many times as often as the others a bad pod fails. */
const FAIR_TIMES = 5

const shareInWords = ({ requests, failures }: ArmCounts): string => `${percent(failures / requests)} of ${count(requests)}`
const othersInWords = ({ others, otherPods }: BadPod): string => `the other${otherPods === 1 ? '' : ` ${otherPods}`} ${shareInWords(others)}`

/** `nearly all of it in pod cart-canary-x, which fails 100 % of 52 requests; the other 3 0.6 % of 160`. */
export function badPodText(bad: BadPod): string {
  const share = `${shareInWords(bad.own)} requests`
  return `nearly all of it in pod ${bad.pod}, which ${bad.slowerThanMs === undefined ? `fails ${share}` : `answers ${share} slower than ${bad.slowerThanMs} ms`}; ${othersInWords(bad)}`
}

/** `pod cart-baseline-x fails 100 % of 52 requests, the other 0.6 % of 49: it is left out of the baseline`. */
export const leftOutText = (bad: BadPod): string => `pod ${bad.pod} fails ${shareInWords(bad.own)} requests, ${othersInWords(bad)}: it is left out of the baseline`
