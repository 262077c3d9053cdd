import { test } from 'tap'
import { createConfig } from '#judge/config.ts'
import { isTold, smallestTold, timesLonger, type DetectionTerms } from '#judge/plan.ts'
import { comparing, shortfall } from '#judge/power.ts'

const TERMS: Omit<DetectionTerms, 'weight'> = { primaryRate: 0.005, canaryRate: 0.02, requestsPerSecond: 100, pollSeconds: 5, tolerance: 1.5, floor: 0.001, metrics: 2, alpha: 0.01, phi: 1 }
const CONFIG = createConfig({ metrics: [{ name: 'errors', kind: 'rate', limit: 0.01 }] })
const [METRIC] = CONFIG.metrics
const minutes = (...weights: readonly number[]) => weights.map((weight) => ({ weight, seconds: 60 }))

test('evidence adds up over the steps', async (t) => {
  t.equal(isTold(TERMS, minutes(10, 10)), false, '148 s at 10 % by simulation')
  t.equal(isTold(TERMS, minutes(10, 10, 10)), true)
  t.equal(isTold(TERMS, minutes(10, 20, 30)), true)
  t.equal(isTold(TERMS, []), false)
})

test('what is told at least lies between what is tolerated and everything', async (t) => {
  const least = smallestTold(TERMS, minutes(10, 20, 30, 40, 50)) ?? 0
  t.ok(least > 0.0075 && least < 0.02, `${least}`)
  t.equal(isTold({ ...TERMS, canaryRate: least }, minutes(10, 20, 30, 40, 50)), true)
  t.equal(isTold({ ...TERMS, canaryRate: least * 0.99 }, minutes(10, 20, 30, 40, 50)), false)
  t.equal(smallestTold({ ...TERMS, requestsPerSecond: 0.001 }, minutes(10)), undefined)
})

test('steps that are so many times longer would do', async (t) => {
  const steps = minutes(10, 20)
  const factor = timesLonger({ ...TERMS, requestsPerSecond: 10 }, steps) ?? 0
  t.ok(factor > 1)
  t.equal(isTold({ ...TERMS, requestsPerSecond: 10 }, steps.map(({ weight, seconds }) => ({ weight, seconds: seconds * factor }))), true)
  t.equal(timesLonger({ ...TERMS, canaryRate: 0.006 }, steps), undefined, 'within tolerance: no time would do')
})

test('numbers that are none are not looked for without end', async (t) => {
  for (const phi of [Number.NaN, Infinity]) t.equal(timesLonger({ ...TERMS, phi }, minutes(10, 20)), undefined)
  t.equal(timesLonger({ ...TERMS, requestsPerSecond: 1e-12 }, minutes(10, 20)), undefined, 'longer than anybody waits')
})

const rows = [
  { name: 'is warned about, with what would do', rps: 40, says: /^at 40 requests\/s, telling 98 % success from the primary's 99\.8 % .* this analysis lasts 2m in all: it tells from .* errors on; weight \d+ %, or an interval \d+ times as long would do$/ },
  { name: 'with traffic enough is not', rps: 1_000, says: undefined },
  { name: 'without any traffic says nothing', rps: 0, says: undefined },
]
for (const { name, rps, says } of rows) {
  test(`an analysis ${name}`, async (t) => {
    if (!METRIC) throw new Error('no metric')
    const words = shortfall(METRIC, CONFIG, { requestsPerSecond: rps, primaryRate: 0.002, phi: 1 }, minutes(5, 10))
    if (says) t.match(words, says)
    else t.equal(words, undefined)
  })
}

test('a primary at its limit, no limit, or no step to compare in: nothing is said', async (t) => {
  if (!METRIC) throw new Error('no metric')
  const { limit: _, ...unlimited } = METRIC
  t.equal(shortfall(METRIC, CONFIG, { requestsPerSecond: 1, primaryRate: 0.02, phi: 1 }, minutes(5)), undefined)
  t.equal(shortfall(unlimited, CONFIG, { requestsPerSecond: 1, primaryRate: 0.001, phi: 1 }, minutes(5)), undefined)
  t.equal(shortfall(METRIC, CONFIG, { requestsPerSecond: 1, primaryRate: 0.001, phi: 1 }, minutes(100)), undefined)
  t.same(comparing(minutes(0, 10, 89, 90, 100)), minutes(10, 89))
})
