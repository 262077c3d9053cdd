/** Latencies in buckets that grow by a twentieth: any number of requests in a few hundred numbers, quantiles within 5 %. */

const GROWTH = 1.05
const FIRST_MS = 0.05

export type Histogram = {
  add(milliseconds: number): void
  /** Upper bound of the bucket that holds this share (0 to 1) of the requests; 0 without any. */
  quantile(share: number): number
  readonly count: () => number
  readonly sum: () => number
  readonly max: () => number
}

export function createLatencies(): Histogram {
  const buckets: number[] = []
  let count = 0
  let sum = 0
  let max = 0
  return {
    add(milliseconds) {
      const index = milliseconds <= FIRST_MS ? 0 : Math.ceil(Math.log(milliseconds / FIRST_MS) / Math.log(GROWTH))
      buckets[index] = (buckets[index] ?? 0) + 1
      count += 1
      sum += milliseconds
      max = Math.max(max, milliseconds)
    },
    quantile(share) {
      let below = 0
      for (let index = 0; index < buckets.length; index += 1) {
        below += buckets[index] ?? 0
        if (below > 0 && below >= share * count) return Math.min(max, FIRST_MS * GROWTH ** index)
      }
      return 0
    },
    count: () => count,
    sum: () => sum,
    max: () => max,
  }
}
