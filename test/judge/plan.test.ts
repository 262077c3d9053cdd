import { test } from 'tap'
import { planDetection, requestsToProveGood, weightFor, type DetectionTerms } from '#judge/plan.ts'

const TERMS: DetectionTerms = {
  primaryRate: 0.005, canaryRate: 0.05, requestsPerSecond: 100, weight: 10, pollSeconds: 5,
  tolerance: 1.5, floor: 0.001, metrics: 2, alpha: 0.01, phi: 1,
}

/** Medians of simulations (seconds), which the formula promises to meet within -11 to +32 %. */
const simulated = [
  { canaryRate: 0.02, requestsPerSecond: 1000, weight: 5, median: 38 },
  { canaryRate: 0.05, requestsPerSecond: 100, weight: 10, median: 30 },
  { canaryRate: 0.02, requestsPerSecond: 100, weight: 10, median: 148 },
  { canaryRate: 0.015, requestsPerSecond: 100, weight: 10, median: 320 },
  { canaryRate: 0.02, requestsPerSecond: 100, weight: 2, median: 555 },
  { canaryRate: 0.02, requestsPerSecond: 10, weight: 20, median: 735 },
  { canaryRate: 0.05, requestsPerSecond: 2, weight: 50, median: 450 },
]
for (const { median, ...terms } of simulated) {
  test(`${terms.canaryRate * 100} % at ${terms.requestsPerSecond} rps and ${terms.weight} % is found after about ${median} s`, async (t) => {
    const detection = planDetection({ ...TERMS, ...terms })
    const seconds = detection.kind === 'after' ? detection.medianSeconds : Infinity
    t.ok(seconds > median * 0.88 && seconds < median * 1.33, `${seconds}`)
  })
}

const never = [
  { name: 'within tolerance', terms: { canaryRate: 0.0075 }, why: 'within tolerance' },
  { name: 'under the floor', terms: { primaryRate: 0, canaryRate: 0.0009 }, why: 'under floor' },
  { name: 'without requests', terms: { requestsPerSecond: 0 }, why: 'no requests' },
  { name: 'with nothing left on the primary', terms: { weight: 100 }, why: 'no primary' },
] as const
for (const { name, terms, why } of never) {
  test(`a canary is never found ${name}`, async (t) => t.same(planDetection({ ...TERMS, ...terms }), { kind: 'never', why }))
}

test('a primary without a failure so far is no division by zero', async (t) => {
  t.match(planDetection({ ...TERMS, primaryRate: 0 }), { kind: 'after' })
  t.match(planDetection({ ...TERMS, canaryRate: 1 }), { kind: 'after' })
})

test('telling 98 % success from 99 % at 12 rps and 5 % takes hours', async (t) => {
  const detection = planDetection({ ...TERMS, primaryRate: 0.01, canaryRate: 0.02, requestsPerSecond: 12, weight: 5 })
  const minutes = detection.kind === 'after' ? detection.medianSeconds / 60 : 0
  t.ok(minutes > 200 && minutes < 350, `${minutes}`)
})

test('a weight that finds it in time is named, or none', async (t) => {
  const weight = weightFor({ ...TERMS, canaryRate: 0.02 }, 120) ?? 0
  t.ok(weight > 10 && weight < 50, `${weight}`)
  t.equal(weightFor({ ...TERMS, canaryRate: 0.0076 }, 60), undefined)
})

/** Canary requests that simulations needed for a proof. */
const proofs = [
  { canaryRate: 0.0001, limit: 0.01, requests: 400 },
  { canaryRate: 0.001, limit: 0.01, requests: 450 },
  { canaryRate: 0.002, limit: 0.01, requests: 700 },
  { canaryRate: 0.005, limit: 0.01, requests: 2250 },
  { canaryRate: 0.0075, limit: 0.01, requests: 10700 },
  { canaryRate: 0.0001, limit: 0.001, requests: 3950 },
]
for (const { requests, ...terms } of proofs) {
  test(`${terms.canaryRate * 100} % is proved under ${terms.limit * 100} % after about ${requests} requests`, async (t) => {
    const found = requestsToProveGood({ ...terms, beta: 0.05, phi: 1 })
    t.ok(found > requests * 0.75 && found < requests * 1.35, `${found}`)
  })
}
test('a canary at its limit is never proved', async (t) => t.equal(requestsToProveGood({ canaryRate: 0.01, limit: 0.01, beta: 0.05, phi: 1 }), Infinity))

test('beside a baseline with the canary\'s own share it takes two to three times as long as beside all of the rest', async (t) => {
  for (const canaryRate of [0.02, 0.05]) {
    const seconds = (hasBaseline: boolean): number => {
      const found = planDetection({ ...TERMS, canaryRate, hasBaseline })
      return found.kind === 'after' ? found.canaryRequests : Infinity
    }
    const times = seconds(true) / seconds(false)
    t.ok(times > 2 && times < 3, `${times}`)
  }
  t.same(planDetection({ ...TERMS, weight: 99, hasBaseline: true }), { kind: 'never', why: 'no primary' }, 'no share is left for it')
})
