/** Seeded random counts, so that a table can be made again. */

export type Random = () => number

/** Uniform in [0, 1), from 32 bits (mulberry32: passes the usual tests, and a bench needs no more). */
export function createRandom(seed: number): Random {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
}

/** Above this mean a rounded normal stands for the exact law. */
const NORMAL_FROM = 50

const normal = (random: Random): number => Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random())

export function poisson(mean: number, random: Random): number {
  if (mean >= NORMAL_FROM) return Math.max(0, Math.round(mean + Math.sqrt(mean) * normal(random)))
  const least = Math.exp(-mean)
  let count = 0
  for (let product = random(); product > least; product *= random()) count += 1
  return count
}

/** Successes of `n` trials: exact by skipping from one to the next, while they are few. */
export function binomial(n: number, p: number, random: Random): number {
  if (p <= 0 || n <= 0) return 0
  if (p >= 1) return n
  if (p > 0.5) return n - binomial(n, 1 - p, random)
  if (n * p >= NORMAL_FROM) return Math.min(n, Math.max(0, Math.round(n * p + Math.sqrt(n * p * (1 - p)) * normal(random))))
  const skip = Math.log1p(-p)
  let count = 0
  for (let at = Math.floor(Math.log(1 - random()) / skip); at < n; at += 1 + Math.floor(Math.log(1 - random()) / skip)) count += 1
  return count
}

/** At least 1, with the given mean. */
export const geometric = (mean: number, random: Random): number => (mean <= 1 ? 1 : 1 + Math.floor(Math.log(1 - random()) / Math.log1p(-1 / mean)))

/** Around 1, with that coefficient of variation: how much one pod differs from another, for good. */
export function lognormal(variation: number, random: Random): number {
  if (variation <= 0) return 1
  const variance = Math.log1p(variation ** 2)
  return Math.exp(Math.sqrt(variance) * normal(random) - variance / 2)
}

/** Chance that a standard normal is above `z` (Abramowitz and Stegun 7.1.26: within 1.5e-7). */
export function normalAbove(z: number): number {
  const x = Math.abs(z) / Math.SQRT2
  const t = 1 / (1 + 0.3275911 * x)
  const tail = (((((1.061405429 * t - 1.453152027) * t + 1.421413741) * t - 0.284496736) * t + 0.254829592) * t * Math.exp(-x * x)) / 2
  return z >= 0 ? tail : 1 - tail
}

/** 95 % interval of a rate of which `k` of `n` were seen (Clopper-Pearson). */
export function interval(k: number, n: number): readonly [low: number, high: number] {
  // Chance of at most `most` of n, at rate p.
  const atMost = (most: number, p: number): number => {
    let term = n * Math.log1p(-p)
    let sum = Math.exp(term)
    for (let i = 1; i <= most; i += 1) {
      term += Math.log(((n - i + 1) / i) * (p / (1 - p)))
      sum += Math.exp(term)
    }
    return sum
  }
  const solve = (isBelow: (p: number) => boolean): number => {
    let [low, high] = [0, 1]
    for (let i = 0; i < 60; i += 1) {
      const middle = (low + high) / 2
      if (isBelow(middle)) low = middle
      else high = middle
    }
    return (low + high) / 2
  }
  return [k === 0 ? 0 : solve((p) => 1 - atMost(k - 1, p) < 0.025), k === n ? 1 : solve((p) => atMost(k, p) > 0.025)]
}
