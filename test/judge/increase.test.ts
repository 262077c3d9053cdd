import fc from 'fast-check'
import { test } from 'tap'
import { completenessOf, increase, type Baseline, type PodCounters } from '#judge/increase.ts'

const pod = (started: number, requests: number, bad: number | readonly number[]): PodCounters => ({ started, requests, bad })
const at100 = (pods: Baseline['pods']): Baseline => ({ since: 100, pods })

const cases = [
  { name: 'a known pod counts its difference', before: pod(10, 900, 9), now: pod(10, 950, 11), counts: [50, 2] },
  { name: 'a restarted container counts whole', before: pod(10, 900, 9), now: pod(102, 20, 3), counts: [20, 3] },
  { name: 'a counter that fell is a restart, whatever the start time says', before: pod(10, 900, 9), now: pod(10, 950, 3), counts: [950, 3] },
  { name: 'a new pod counts whole', before: undefined, now: pod(101, 30, 1), counts: [30, 1] },
  { name: 'an old pod that was never seen is a baseline only', before: undefined, now: pod(50, 4000, 3), counts: [0, 0] },
  { name: 'failures never outnumber requests', before: pod(10, 900, 9), now: pod(10, 901, 14), counts: [1, 1] },
  { name: 'each bound has its own difference', before: pod(10, 900, [90, 9]), now: pod(10, 950, [95, 10]), counts: [50, [5, 1]] },
] as const
for (const { name, before, now, counts } of cases) {
  test(name, async (t) => {
    const { n, k, pods, next } = increase(at100(before ? { a: before } : {}), { at: 105, pods: { a: now } })
    t.same([n, k], counts)
    t.same(pods, [counts])
    t.same(next, { since: 105, pods: { a: now } })
  })
}

test('counters that only grow are counted once, however often one looks', async (t) => {
  const growth = fc.array(fc.tuple(fc.nat(1000), fc.nat(1000)), { minLength: 1, maxLength: 20 })
  fc.assert(fc.property(growth, (steps) => {
    let baseline = at100({ a: pod(10, 0, 0) })
    let [requests, bad, seen, seenBad] = [0, 0, 0, 0]
    for (const [i, [more, failing]] of steps.entries()) {
      requests += more
      bad += Math.min(failing, more)
      const { n, k, next } = increase(baseline, { at: 105 + i, pods: { a: pod(10, requests, bad) } })
      baseline = next
      seen += n
      seenBad += typeof k === 'number' ? k : Number.NaN
    }
    return seen === requests && seenBad === bad
  }), { numRuns: 300 })
  t.pass()
})

const attendance = { ready: ['a', 'b'], answeredAt: { a: 100, b: 100.5 }, misses: {}, pollSeconds: 5 }

test('a scrape counts when every ready pod answered at nearly the same time', async (t) => {
  t.match(completenessOf(attendance), { complete: true, skewSeconds: 0.5, misses: {}, dropped: [] })
  t.match(completenessOf({ ...attendance, answeredAt: { a: 100, b: 101.5 } }), { complete: false, reason: "the pods' answers are 1.5 s apart" })
  t.match(completenessOf({ ...attendance, answeredAt: { a: 100 } }), { complete: false, misses: { b: 1 }, reason: '1 of 2 ready pods did not answer: b' })
})

test('a pod that misses three times is not waited for', async (t) => {
  t.match(completenessOf({ ...attendance, answeredAt: { a: 100 }, misses: { b: 1 } }), { complete: false, dropped: [] })
  t.match(completenessOf({ ...attendance, answeredAt: { a: 100 }, misses: { b: 2 } }), { complete: true, dropped: ['b'], misses: { b: 3 } })
  t.same(completenessOf({ ...attendance, misses: { b: 7 } }).misses, {}, 'answering again ends it')
})
