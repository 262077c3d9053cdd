/**
 * From counters to counts: what each pod served since the last complete poll. Windows that differ between the two arms are the one
 * thing that can forge evidence, so a scrape counts for both arms or for none.
 */

/** Counters of one pod. `bad` has one number, or one for each bound of a histogram (requests slower than it). */
export type PodCounters = {
  /** When its container started, in seconds, as Kubernetes recorded it. */
  readonly started: number
  readonly requests: number
  readonly bad: number | readonly number[]
}

/** The last complete scrape of one arm. */
export type Baseline = { /** Unix seconds. */ readonly since: number; readonly pods: Readonly<Record<string, PodCounters>> }

/** A scrape of one arm in which every ready pod answered. */
export type Scrape = { /** Unix seconds. */ readonly at: number; readonly pods: Readonly<Record<string, PodCounters>> }

/** What the arm served between two complete scrapes; `k` and the pods' second number as wide as `bad`. */
export type Increase = {
  readonly n: number
  readonly k: number | readonly number[]
  readonly pods: readonly (readonly [n: number, k: number | readonly number[]])[]
  readonly next: Baseline
}

/**
 * The increase of one arm. A pod that is known counts its difference; one that restarted counts whole; one never seen counts whole
 * if it started since the last complete scrape, else not at all: its past belongs to nobody. A pod that is gone loses its last
 * fraction of a poll.
 */
export function increase(baseline: Baseline, scrape: Scrape): Increase {
  const pods = Object.entries(scrape.pods).map(([name, now]) => increaseOfPod(last(baseline, name), now, baseline.since))
  return {
    n: pods.reduce((sum, [n]) => sum + n, 0),
    k: pods.map(([, k]) => k).reduce(addBad, zeroLike(pods[0]?.[1])),
    pods,
    next: { since: scrape.at, pods: scrape.pods },
  }
}

const last = (baseline: Baseline, name: string): PodCounters | undefined => (Object.hasOwn(baseline.pods, name) ? baseline.pods[name] : undefined)

function increaseOfPod(before: PodCounters | undefined, now: PodCounters, since: number): readonly [n: number, k: number | readonly number[]] {
  if (!before) return now.started >= since ? whole(now) : [0, zeroLike(now.bad)]
  if (now.started !== before.started || fellBack(before, now)) return whole(now)
  const n = now.requests - before.requests
  return [n, mapBad(now.bad, (bad, i) => clamp(bad - (list(before.bad)[i] ?? bad), n))]
}

const fellBack = (before: PodCounters, now: PodCounters): boolean =>
  now.requests < before.requests || list(now.bad).some((bad, i) => bad < (list(before.bad)[i] ?? bad))

const whole = ({ requests, bad }: PodCounters): readonly [number, number | readonly number[]] => [requests, mapBad(bad, (value) => clamp(value, requests))]

/** Counters are read one after the other while requests go on: a failure may be seen before its request. */
const clamp = (bad: number, n: number): number => Math.min(Math.max(bad, 0), n)

const list = (bad: number | readonly number[]): readonly number[] => (typeof bad === 'number' ? [bad] : bad)
const mapBad = (bad: number | readonly number[], map: (value: number, index: number) => number): number | readonly number[] =>
  typeof bad === 'number' ? map(bad, 0) : bad.map(map)
const zeroLike = (bad: number | readonly number[] = 0): number | readonly number[] => mapBad(bad, () => 0)
const addBad = (a: number | readonly number[], b: number | readonly number[]): number | readonly number[] => mapBad(a, (value, i) => value + (list(b)[i] ?? 0))

/** Earliest and latest answer of a scrape may lie this share of a poll apart. */
export const SKEW_SHARE_OF_POLL = 0.2
/** A ready pod that misses so many polls in a row is dropped, and starts afresh with a baseline when it answers again. */
export const MISSES_UNTIL_DROPPED = 3

export type Attendance = {
  /** Names of the ready pods of both arms. */
  readonly ready: readonly string[]
  /** When each pod answered, in seconds. */
  readonly answeredAt: Readonly<Record<string, number>>
  /** How many polls in a row each pod has missed before this one. */
  readonly misses: Readonly<Record<string, number>>
  readonly pollSeconds: number
}

export type Completeness = {
  readonly complete: boolean
  /** Latest minus earliest answer, seconds. */
  readonly skewSeconds: number
  readonly misses: Readonly<Record<string, number>>
  /** Pods that are not waited for any longer. */
  readonly dropped: readonly string[]
  /** Why it is not complete. */
  readonly reason?: string
}

/** Whether a scrape of both arms may be counted: every ready pod answered, all at nearly the same time. */
export function completenessOf({ ready, answeredAt, misses, pollSeconds }: Attendance): Completeness {
  const absent = ready.filter((name) => !Object.hasOwn(answeredAt, name))
  const counted = Object.fromEntries(absent.map((name): [string, number] => [name, (Object.hasOwn(misses, name) ? (misses[name] ?? 0) : 0) + 1]))
  const dropped = absent.filter((name) => (counted[name] ?? 0) >= MISSES_UNTIL_DROPPED)
  const missing = absent.filter((name) => !dropped.includes(name))
  const times = Object.values(answeredAt)
  const skewSeconds = times.length === 0 ? 0 : Math.max(...times) - Math.min(...times)
  const seen = { skewSeconds, misses: counted, dropped }
  if (missing.length > 0) return { ...seen, complete: false, reason: `${missing.length} of ${ready.length} ready pods did not answer: ${missing.slice(0, 3).join(', ')}` }
  if (skewSeconds > pollSeconds * SKEW_SHARE_OF_POLL) return { ...seen, complete: false, reason: `the pods' answers are ${skewSeconds.toFixed(1)} s apart` }
  return { ...seen, complete: true }
}
