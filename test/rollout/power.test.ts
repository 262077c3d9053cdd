import { test } from 'tap'
import type { CanarySpec } from '#api/canary.ts'
import { parseDuration } from '#api/duration.ts'
import { planOf } from '#rollout/plan.ts'
import { tooShortFor } from '#rollout/power.ts'

const specOf = (interval: string, min: number, steps: object): CanarySpec => ({
  targetRef: { apiVersion: 'apps/v1', kind: 'Deployment', name: 'cart' },
  analysis: { interval, threshold: 5, ...steps, metrics: [{ name: 'request-success-rate', thresholdRange: { min } }] },
})

test('an interval as it says would do', async (t) => {
  for (const requestsPerSecond of [0.2, 2, 12, 80]) {
    for (const min of [95, 99, 99.9]) {
      for (const steps of [{ stepWeight: 10, maxWeight: 50 }, { stepWeights: [1, 5, 25] }]) {
        const traffic = { requestsPerSecond, primaryRate: (100 - min) / 400, phi: 1 }
        const found = tooShortFor(specOf('1m', min, steps), traffic)
        const [, interval = ''] = /^use an interval of (\S+) or more$/.exec(found?.fix ?? '') ?? []
        if (!found) continue
        t.equal(tooShortFor(specOf(interval, min, steps), traffic), undefined, `${found.message}; ${found.fix}`)
      }
    }
  }
  t.match(tooShortFor(specOf('1m', 99, { stepWeight: 10, maxWeight: 50 }), { requestsPerSecond: 2, primaryRate: 0.002, phi: 1 })?.message, /^cannot tell 98 % success from the primary's 99\.8 %: 120 requests a minute need \S+ at 50 %, and all steps last 5m$/)
})

test('latency that has a limit has its share of alpha: the errors need more requests then', async (t) => {
  const spec = specOf('1m', 99, { stepWeight: 10, maxWeight: 50 })
  const timed = { ...spec, analysis: { ...spec.analysis, metrics: [...spec.analysis.metrics ?? [], { name: 'request-duration', thresholdRange: { max: 500 } }] } }
  const seconds = (of: CanarySpec): number => parseDuration(/use an interval of (\S+) or more/.exec(tooShortFor(of, { requestsPerSecond: 2, primaryRate: 0.002, phi: 1 })?.fix ?? '')?.[1] ?? '') ?? 0
  t.ok(seconds(timed) > seconds(spec) * 1.05, `${seconds(timed)} ms against ${seconds(spec)} ms`)
})

test('a plan stays small, whatever its settings say', async (t) => {
  t.equal(planOf(specOf('1m', 99, { stepWeight: 1e-9, maxWeight: 50 })).steps.length, 50)
  t.ok(planOf(specOf('1m', 99, { iterations: 1e9 })).steps.length <= 100_000)
})

test('where nothing is compared, nothing is said', async (t) => {
  const traffic = { requestsPerSecond: 1, primaryRate: 0, phi: 1 }
  const spec = specOf('1m', 99, { stepWeight: 10, maxWeight: 50 })
  t.ok(tooShortFor(spec, traffic))
  t.equal(tooShortFor({ ...spec, skipAnalysis: true }, traffic), undefined)
  t.equal(tooShortFor({ ...spec, gate: { judge: { mode: 'off' } } }, traffic), undefined)
  t.equal(tooShortFor(specOf('1m', 99, { iterations: 5 }), traffic), undefined)
})
