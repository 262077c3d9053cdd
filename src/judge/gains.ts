/**
 * Log-gains: how much one poll's counts speak for "so many times worse" against "not worse". Both are exact for requests that
 * fail independently, each with its own chance: the expected gain (not its logarithm) is at most 1 when the canary is not worse.
 */

const geometric = (from: number, span: number, count: number): readonly number[] =>
  Array.from({ length: count }, (_, j) => from * span ** (j / (count - 1)))

/** Alternatives for failures: 1.25 to 300 times the tolerated rate. */
export const UP_ERRORS = geometric(1.25, 240, 12)
/** Alternatives for latency: the share slower than a bound grows at most twentyfold before another bound says so. */
export const UP_BUCKETS = geometric(1.25, 16, 6)
/** Alternatives for a proof of good. */
export const DOWN: readonly number[] = [0.02, 0.05, 0.1, 0.2, 0.35, 0.5, 0.65, 0.8]

/** Requests `n` and events `k` of canary and primary in one poll, for one channel. */
export type ChannelCounts = { readonly nc: number; readonly kc: number; readonly np: number; readonly kp: number }

/**
 * For "the canary's rate is `g * r0` times the primary's" against "at most `r0` times": the binomial likelihood ratio for the
 * question which arm an event came from, written so that nothing is divided by a probability. 0 when one arm had no request.
 */
export function ratio(g: number, r0: number, { nc, kc, np, kp }: ChannelCounts): number {
  if (nc === 0 || np === 0) return 0
  return kc * Math.log(g) - (kc + kp) * Math.log1p(((g - 1) * r0 * nc) / (r0 * nc + np))
}

/** For "the odds of an event are `g` times those of `limit`" against "the rate is at most `limit`" (g > 1), or "at least" (g < 1). */
export const share = (g: number, limit: number, n: number, k: number): number => k * Math.log(g) - n * Math.log1p((g - 1) * limit)
