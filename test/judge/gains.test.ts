import fc from 'fast-check'
import { test } from 'tap'
import { DOWN, ratio, share, UP_BUCKETS, UP_ERRORS } from '#judge/gains.ts'

const RUNS = 200
const EPSILON = 1e-9

/** Chances of 0 to n events among requests that fail independently, each with its own chance. */
function lawOf(rates: readonly number[]): readonly number[] {
  let law: readonly number[] = [1]
  for (const p of rates) law = Array.from({ length: law.length + 1 }, (_, k) => (law[k] ?? 0) * (1 - p) + (law[k - 1] ?? 0) * p)
  return law
}
const mean = (values: readonly number[]): number => values.reduce((sum, value) => sum + value, 0) / values.length
const rates = fc.array(fc.double({ min: 0, max: 1, noNaN: true }), { minLength: 1, maxLength: 12 })
const gain = fc.constantFrom(...UP_ERRORS, ...UP_BUCKETS, ...DOWN)

test('the grids are those of the specification', async (t) => {
  t.same([UP_ERRORS.length, UP_ERRORS[0], UP_ERRORS.at(-1)], [12, 1.25, 300])
  t.same([UP_BUCKETS.length, UP_BUCKETS[0], UP_BUCKETS.at(-1)], [6, 1.25, 20])
})

test('a canary that is not worse than tolerated gains nothing on average, whatever each request is like', async (t) => {
  fc.assert(fc.property(rates, rates, fc.constantFrom(1, 1.2, 1.5, 2), fc.constantFrom(...UP_ERRORS), fc.constantFrom(1, 2, 8), (primary, shape, r0, g, phi) => {
    // The same shape of chances, scaled so that their mean is what is tolerated at most.
    const scale = Math.min(1, (r0 * mean(primary)) / Math.max(mean(shape), Number.MIN_VALUE))
    const canary = shape.map((p) => p * scale)
    const [lawC, lawP] = [lawOf(canary), lawOf(primary)]
    let expected = 0
    for (const [kc, pc] of lawC.entries()) for (const [kp, pp] of lawP.entries()) expected += pc * pp * Math.exp(ratio(g, r0, { nc: canary.length, kc, np: primary.length, kp }) / phi)
    return expected <= 1 + EPSILON
  }), { numRuns: RUNS })
  t.pass()
})

test('share gains nothing on average on its side of the limit', async (t) => {
  fc.assert(fc.property(rates, gain, fc.double({ min: 0.001, max: 0.999, noNaN: true }), (shape, g, limit) => {
    const [low, high] = [mean(shape) > limit ? limit / mean(shape) : 1, mean(shape) < limit ? limit - mean(shape) : 0]
    // Under the limit for g > 1, over it for g < 1.
    const chances = g > 1 ? shape.map((p) => p * low) : shape.map((p) => p + high * ((1 - p) / Math.max(1 - mean(shape), Number.MIN_VALUE)))
    let expected = 0
    for (const [k, p] of lawOf(chances.map((p) => Math.min(1, p))).entries()) expected += p * Math.exp(share(g, limit, chances.length, k))
    return expected <= 1 + EPSILON
  }), { numRuns: RUNS })
  t.pass()
})

test('an arm without requests says nothing; a billion requests do not overflow', async (t) => {
  t.equal(ratio(300, 1.5, { nc: 0, kc: 0, np: 10, kp: 10 }), 0)
  t.equal(ratio(300, 1.5, { nc: 10, kc: 10, np: 0, kp: 0 }), 0)
  t.ok(Number.isFinite(ratio(300, 1.5, { nc: 1e9, kc: 1e9, np: 1e9, kp: 0 })))
  t.ok(Number.isFinite(share(300, 0.01, 1e9, 1e9)))
})
