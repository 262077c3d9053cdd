import fc from 'fast-check'
import { test } from 'tap'
import { createConfig } from '#judge/config.ts'
import { createState, judge } from '#judge/judge.ts'
import { badPodOf, badPodText, slowPodOf } from '#metrics/bad-pod.ts'
import { absorbRound, EMPTY_EMBEDDED, measureEmbedded, quantileOf, type Absorbed, type EmbeddedState, type RoundTerms } from '#metrics/embedded.ts'
import type { PageCounters } from '#metrics/exposition.ts'
import type { PodAnswer, ScrapeRound } from '#metrics/scrape.ts'

const START = 1_000_000_000
const BOUNDS = [50, 100, 250]

const errors = (requests: number, failures: number, source = 'http_requests_total{code}'): PageCounters => ({ errors: { source, requests, failures } })
const latency = (requests: number, slower: readonly number[], bounds: readonly number[] = BOUNDS): PageCounters => ({ latency: { source: 'd', requests, bounds, slower } })

/** A pod that answered `second` seconds after the start; `undefined` instead of a page means it did not. */
function pod(name: string, second: number, page: PageCounters | undefined, more: Partial<PodAnswer> = {}): PodAnswer {
  return {
    name, ip: '10.0.0.1', port: 80, path: '/', scheme: 'http', startedAtMs: START - 600_000, ready: true, ...more,
    answer: page ? { kind: 'page', atMs: START + second * 1_000, page } : { kind: 'failed', reason: 'no answer' },
  }
}
const terms = (second: number, weight = 10): RoundTerms => ({ weight, pollSeconds: 5, nowMs: START + second * 1_000 })
type Step = readonly [second: number, round: ScrapeRound, weight?: number]

function absorb(steps: readonly Step[]): Absorbed {
  let last: Absorbed = { state: EMPTY_EMBEDDED, skewSeconds: 0, problems: [] }
  for (const [second, round, weight] of steps) last = absorbRound(last.state, round, terms(second, weight))
  return last
}
const pair = (second: number, canary: PageCounters | undefined, primary: PageCounters | undefined): Step => [second, { canary: [pod('c', second, canary)], primary: [pod('p', second, primary)] }]

test('the first round is a baseline, the second one a poll', async (t) => {
  const first = absorb([pair(0, errors(100, 1), errors(900, 2))])
  t.equal(first.poll, undefined)
  t.same(first.problems, [])
  const second = absorb([pair(0, errors(100, 1), errors(900, 2)), pair(5, errors(150, 3), errors(1350, 4))])
  t.same(second.poll, { seconds: 5, weight: 10, metrics: { errors: { nc: 50, kc: 2, np: 450, kp: 2, pods: [[450, 2]] } } })
})

test('the state is plain JSON', async (t) => {
  const { state } = absorb([pair(0, { ...errors(1, 0), ...latency(1, [1, 0, 0]) }, errors(9, 0)), pair(5, { ...errors(9, 0), ...latency(9, [3, 2, 1]) }, errors(90, 0))])
  const stored: EmbeddedState = JSON.parse(JSON.stringify(state))
  t.same(stored, state)
})

test('a pod of the baseline that fails alone is left out from the next poll on, and teaches nothing about bunches', async (t) => {
  const against = { name: 'baseline', weight: 10 }
  const round = (second: number): ScrapeRound => ({
    canary: [pod('c', second, { ...errors(second * 10, 0), ...latency(second * 10, [0, 0, 0]) })],
    primary: [pod('b1', second, { ...errors(second * 10, 0), ...latency(second * 10, [0, 0, 0]) }), pod('b2', second, { ...errors(second * 10, second * 10), ...latency(second * 10, [second * 10, 0, 0]) })],
  })
  const polls = [0, 5, 10].reduce<readonly Absorbed[]>((seen, second) => [...seen, absorbRound(seen.at(-1)?.state ?? EMPTY_EMBEDDED, round(second), { ...terms(second), against })], []).map(({ poll }) => poll)
  t.match(polls[1], { against: { weight: 10 }, metrics: { errors: { np: 100, kp: 50, pods: [[50, 0]] }, latency: { np: 100 } } }, 'counts are not chosen by what they say')
  t.match(polls[2], { against: { weight: 5 }, metrics: { errors: { np: 50, kp: 0, pods: [[50, 0]] }, latency: { np: 50, kp: [0, 0, 0] } } })
})

test('a proxy through which both arms fail is not left out of one of them', async (t) => {
  const against = { name: 'baseline', weight: 10 }
  const via = (name: string, second: number, bad: boolean) => pod(name, second, errors(second * 10, bad ? second * 10 : 0), { isProxy: true })
  const round = (second: number): ScrapeRound => ({
    canary: [via('edge-1 (canary)', second, false), via('edge-2 (canary)', second, true)], primary: [via('edge-1 (baseline)', second, false), via('edge-2 (baseline)', second, true)],
  })
  const last = [0, 5, 10, 15].reduce<Absorbed | undefined>((seen, second) => absorbRound(seen?.state ?? EMPTY_EMBEDDED, round(second), { ...terms(second), against }), undefined)
  t.match(last?.poll, { metrics: { errors: { nc: 100, kc: 50, np: 100, kp: 50 } } })
  t.equal(last && badPodOf(last.state, 60, START + 15_000), undefined, 'nor is it a pod of the canary')
})

test('one bad pod of a primary is a part of it', async (t) => {
  const round = (second: number): Step => [second, { canary: [pod('c', second, errors(second * 10, 0))], primary: [pod('p1', second, errors(second * 10, 0)), pod('p2', second, errors(second * 10, second * 10))] }]
  t.match(absorb([round(0), round(5), round(10)]).poll, { metrics: { errors: { np: 100, kp: 50, pods: [[50, 0], [50, 50]] } } })
})

test('a ready pod that does not answer makes the round wait, for both arms alike', async (t) => {
  const waiting = absorb([pair(0, errors(100, 0), errors(900, 0)), pair(5, errors(150, 0), undefined)])
  t.equal(waiting.poll, undefined)
  t.match(waiting.problems, ['1 of 2 ready pods did not answer: p', 'p: no answer'])
  const after = absorbRound(waiting.state, pair(10, errors(200, 0), errors(1800, 0))[1], terms(10))
  t.match(after.poll, { seconds: 10, metrics: { errors: { nc: 100, np: 900 } } })
})

test('answers too far apart are not counted', async (t) => {
  const { poll, skewSeconds, problems } = absorb([
    pair(0, errors(100, 0), errors(900, 0)),
    [5, { canary: [pod('c', 5, errors(150, 0))], primary: [pod('p', 6.5, errors(1350, 0))] }],
  ])
  t.equal(poll, undefined)
  t.equal(skewSeconds, 1.5)
  t.match(problems, [/1\.5 s apart/])
})

test('a pod that misses three rounds is dropped, and starts afresh', async (t) => {
  const round = (second: number, canary: number, p: number, q: number | undefined): Step =>
    [second, { canary: [pod('c', second, errors(canary, 0))], primary: [pod('p', second, errors(p, 0)), pod('q', second, q === undefined ? undefined : errors(q, 0))] }]
  const dropped = absorb([round(0, 0, 0, 0), round(5, 10, 50, undefined), round(10, 20, 100, undefined), round(15, 30, 150, undefined)])
  t.match(dropped.poll, { seconds: 15, metrics: { errors: { nc: 30, np: 150 } } })
  t.match(dropped.problems, ['q is not waited for any longer'])
  const back = absorbRound(dropped.state, round(20, 40, 200, 5000)[1], terms(20))
  t.match(back.poll, { metrics: { errors: { nc: 10, np: 50 } } }, 'its past belongs to nobody')
})

test('a pod that is not ready is not waited for', async (t) => {
  const round = (second: number, canary: PageCounters | undefined): ScrapeRound => ({ canary: [pod('c', second, canary, { ready: false })], primary: [pod('p', second, errors(second * 100, 0))] })
  t.match(absorb([[0, round(0, undefined)], [5, round(5, undefined)]]).poll, { metrics: { errors: { nc: 0, np: 500 } } })
})

test('a new pod counts whole, a restarted container too', async (t) => {
  const { poll } = absorb([
    [0, { canary: [pod('c', 0, errors(500, 5))], primary: [pod('p', 0, errors(900, 0))] }],
    [5, { canary: [pod('c', 5, errors(20, 20), { startedAtMs: START + 2_000 }), pod('new', 5, errors(30, 1), { startedAtMs: START + 1_000 })], primary: [pod('p', 5, errors(950, 0))] }],
  ])
  t.match(poll, { metrics: { errors: { nc: 50, kc: 21, np: 50 } } })
})

test('a restart that the cluster tells of late is not counted twice', async (t) => {
  const before = [0, { canary: [pod('c', 0, errors(500, 5))], primary: [pod('p', 0, errors(900, 0))] }] as const
  const unsaid = [5, { canary: [pod('c', 5, errors(20, 10))], primary: [pod('p', 5, errors(950, 0))] }] as const
  const said = [10, { canary: [pod('c', 10, errors(50, 11), { startedAtMs: START + 3_000 })], primary: [pod('p', 10, errors(999, 0))] }] as const
  t.match(absorb([before, unsaid]).poll, { metrics: { errors: { nc: 20, kc: 10 } } })
  t.match(absorb([before, unsaid, said]).poll, { metrics: { errors: { nc: 30, kc: 1 } } })
})

test('counters appear with the first request', async (t) => {
  const { poll, problems } = absorb([pair(0, {}, errors(900, 0)), pair(5, errors(50, 1), errors(1350, 0))])
  t.match(poll, { metrics: { errors: { nc: 50, kc: 1 } } })
  t.same(problems, [])
  t.match(absorb([pair(0, {}, errors(900, 0))]).problems, ['no pod of the canary has a known counter of requests with a status'])
})

test('counters that vanish are no answer, or they would come back as new requests', async (t) => {
  const gone = absorb([pair(0, errors(100, 0), errors(900, 0)), pair(5, {}, errors(1350, 0))])
  t.equal(gone.poll, undefined)
  t.match(absorbRound(gone.state, pair(10, errors(200, 0), errors(1800, 0))[1], terms(10)).poll, { metrics: { errors: { nc: 100, np: 900 } } })
})

test('counters that vanish with a restart are a new beginning', async (t) => {
  const restarted = { canary: [pod('c', 5, {}, { startedAtMs: START + 3_000 })], primary: [pod('p', 5, errors(1350, 0))] }
  t.match(absorb([pair(0, errors(100, 0), errors(900, 0)), [5, restarted]]).poll, { metrics: { errors: { nc: 0, np: 450 } } })
})

test('two rounds at one time are no poll', async (t) => {
  const { poll, problems } = absorb([pair(0, errors(0, 0), errors(0, 0)), pair(0, errors(5, 0), errors(9, 0))])
  t.equal(poll, undefined)
  t.match(problems, ['the clock went back'])
})

test('a pod that is read from another counter starts afresh', async (t) => {
  t.match(absorb([pair(0, errors(10, 0), errors(900, 0)), pair(5, errors(9_000, 0, 'other{code}'), errors(1350, 0))]).poll, { metrics: { errors: { nc: 0, np: 450 } } })
})

test('a histogram that appears after its counter costs no poll', async (t) => {
  const canary = (second: number): PageCounters => ({ ...errors(second * 10, second), ...(second < 10 ? {} : latency(second * 10, [second, 0, 0])) })
  const primary = (second: number): PageCounters => ({ ...errors(second * 90, 0), ...latency(second * 90, [0, 0, 0]) })
  const { poll } = absorb([0, 5, 10].map((second) => pair(second, canary(second), primary(second))))
  t.match(poll, { metrics: { errors: { nc: 50, kc: 5, np: 450 }, latency: { nc: 100, np: 450 } } })
})

test('a histogram that vanishes and comes back is not counted again', async (t) => {
  const canary = (second: number): PageCounters => ({ ...errors(second * 10, 0), ...(second === 10 ? {} : latency(1_000 + second * 10, [0, 0, 0])) })
  const primary = (second: number): PageCounters => ({ ...errors(second * 90, 0), ...latency(second * 90, [0, 0, 0]) })
  const rounds = [0, 5, 10, 15].map((second) => pair(second, canary(second), primary(second)))
  t.equal(absorb(rounds.slice(0, 3)).poll, undefined)
  t.match(absorb(rounds).poll, { seconds: 10, metrics: { errors: { nc: 100 }, latency: { nc: 100 } } })
})

test('a round after a change of weight is mixed, the next is not', async (t) => {
  const steps: Step[] = [pair(0, errors(0, 0), errors(0, 0)), [5, pair(5, errors(50, 0), errors(450, 0))[1], 20]]
  t.match(absorb(steps).poll, { weight: 20, mixed: true })
  t.notOk(absorb([...steps, [10, pair(10, errors(150, 0), errors(850, 0))[1], 20]]).poll?.mixed)
})

test('a long stretch without a complete round is lost, never counted in part', async (t) => {
  const { poll, problems } = absorb([pair(0, errors(0, 0), errors(0, 0)), pair(60, errors(600, 0), errors(5400, 0))])
  t.equal(poll, undefined)
  t.match(problems, ['60 s without a complete scrape are lost'])
})

test('a shorter stretch counts as one poll, if the pods are the same', async (t) => {
  t.match(absorb([pair(0, errors(0, 0), errors(0, 0)), pair(30, errors(300, 0), errors(2700, 0))]).poll, { seconds: 30, metrics: { errors: { nc: 300, np: 2700 } } })
  const restarted = pod('c', 30, errors(50, 0), { startedAtMs: START + 20_000 })
  const { poll, problems } = absorb([pair(0, errors(0, 0), errors(0, 0)), [30, { canary: [restarted], primary: [pod('p', 30, errors(2700, 0))] }]])
  t.equal(poll, undefined)
  t.match(problems, ['30 s are lost: pods changed while nobody looked'])
})

test('latency comes bound by bound, from pods that are warm', async (t) => {
  const young = { startedAtMs: START - 20_000, readyAtMs: START - 10_000 }
  const round = (second: number, factor: number): Step => [second, {
    canary: [pod('c', second, latency(100 * factor, [50 * factor, 10 * factor, factor])), pod('young', second, latency(100 * factor, [100 * factor, 100 * factor, 100 * factor]), young)],
    primary: [pod('p', second, latency(900 * factor, [450 * factor, 90 * factor, 0]))],
  }]
  t.match(absorb([round(0, 1), round(5, 2)]).poll, { metrics: { latency: { nc: 100, kc: [50, 10, 1], np: 900, kp: [450, 90, 0], pods: [[900, [450, 90, 0]]] } } })
  t.match(absorb([round(55, 1), round(60, 2)]).poll, { metrics: { latency: { nc: 200, kc: [150, 110, 101] } } }, 'warm by then')
})

test('thresholds see the durations of young pods too: users do', async (t) => {
  const young = { startedAtMs: START - 2_000, readyAtMs: START - 1_000 }
  const round = (second: number, factor: number): Step => [second, {
    canary: [pod('young', second, latency(100 * factor, [0, 0, 0]), young)], primary: [pod('p', second, latency(900 * factor, [0, 0, 0]))],
  }]
  const { state } = absorb([round(0, 1), round(5, 2)])
  t.match(measureEmbedded(state, 'request-duration', 'canary', 60, START + 5_000), { kind: 'value' })
})

test('bounds are fixed by the first histograms; pods without them keep the metric out', async (t) => {
  const steps = [pair(0, latency(10, [5, 1, 0]), latency(90, [40, 4], [50, 250])), pair(5, latency(20, [10, 2, 0]), latency(180, [80, 8], [50, 250]))]
  const { state, poll } = absorb(steps)
  t.same(state.bounds, [50, 250])
  t.match(poll, { metrics: { latency: { nc: 10, kc: [5, 0], np: 90, kp: [40, 4] } } })
  const other = absorbRound(state, pair(10, latency(30, [1], [70]), latency(270, [120, 12], [50, 250]))[1], terms(10))
  t.notOk(other.poll?.metrics['latency'])
  t.match(other.problems, [/no pod of the canary/, /no pod of the primary/, 'pods have histograms without the bounds 50, 250 ms'])
  const back = absorbRound(other.state, pair(15, latency(40, [20, 4, 0]), latency(360, [160, 16], [50, 250]))[1], terms(15))
  t.match(back.poll, { metrics: { latency: { nc: 20, kc: [10, 0], np: 180, kp: [80, 8] } } }, 'both arms from the same baseline')
})

test('a canary with other buckets than the primary had first is not without durations', async (t) => {
  const primary = (second: number): PageCounters => ({ ...errors(second * 90, 0), ...latency(second * 90, [second * 90, second * 9, 0]) })
  const canary = (second: number): PageCounters => ({ ...errors(second * 10, 0), ...(second === 0 ? {} : latency(second * 10, [second * 10, second * 5, 0], [25, 100, 500])) })
  const rounds = [0, 5, 10, 15].map((second) => pair(second, canary(second), primary(second)))
  const { state, poll, problems } = absorb(rounds)
  t.same(state.bounds, [100])
  t.same(problems, [])
  t.match(poll, { metrics: { latency: { nc: 50, kc: [25], np: 450, kp: [45] } } })
  t.match(measureEmbedded(state, 'request-duration', 'canary', 60, START + 15_000), { kind: 'value', value: 100 })
  t.same(absorb(rounds.slice(0, 2)).state.window.map((seen) => seen.primary.timed), [0], 'counted by one set of bounds alone')
})

test('measurements look back over the interval, at one arm', async (t) => {
  const steps: Step[] = [0, 5, 10, 15].map((second, i) => pair(second, { ...errors(100 * i, i === 3 ? 50 : 0), ...latency(100 * i, [50 * i, 10 * i, 0]) }, errors(900 * i, 9 * i)))
  const { state } = absorb(steps)
  const at = START + 15_000
  t.same(measureEmbedded(state, 'request-success-rate', 'canary', 60, at), { kind: 'value', value: 100 - 5_000 / 300 })
  t.same(measureEmbedded(state, 'error-rate', 'canary', 5, at), { kind: 'value', value: 50 })
  t.same(measureEmbedded(state, 'error-rate', 'primary', 60, at), { kind: 'value', value: 1 })
  t.match(measureEmbedded(state, 'request-duration', 'canary', 60, at), { kind: 'value', value: 235 })
  t.match(measureEmbedded(state, 'request-duration', 'primary', 60, at), { kind: 'no-data', reason: /known duration in the last 1m/ })
  t.match(measureEmbedded(state, 'error-rate', 'canary', 60, at + 120_000), { kind: 'unavailable' })
})

test('one slow pod of four is told from a slow release, for as long as one is looked for', async (t) => {
  const round = (second: number, slow: readonly string[]): Step => [second, {
    canary: ['c1', 'c2', 'c3', 'c4'].map((name) => pod(name, second, latency(second * 10, [second * 10, slow.includes(name) ? second * 5 : 0, 0]))),
    primary: [pod('p', second, latency(second * 10, [second * 10, 0, 0]))],
  }]
  const seen = (slow: readonly string[]) => absorb([0, 5, 10].map((second) => round(second, slow))).state
  const bad = slowPodOf(seen(['c3']), 200, 60, START + 10_000)
  t.equal(bad && badPodText(bad), 'nearly all of it in pod c3, which answers 50 % of 100 requests slower than 100 ms; the other 3 0 % of 300')
  t.equal(slowPodOf(seen(['c1', 'c2', 'c3', 'c4']), 200, 60, START + 10_000), undefined)
  t.equal(slowPodOf(seen(['c3']), 400, 60, START + 10_000), undefined, 'nobody is slower than 250 ms')
  t.equal(slowPodOf(EMPTY_EMBEDDED, 200, 60, START), undefined)
  const long = absorb(Array.from({ length: 20 }, (_, i) => round(i * 5, ['c3']))).state
  t.equal(long.window.filter(({ slow }) => slow !== undefined).length, 12, 'and not kept any longer')
})

test('no data and no source are two different things', async (t) => {
  const idle = absorb([pair(0, errors(5, 0), errors(0, 0)), pair(5, errors(5, 0), errors(450, 0))])
  t.match(measureEmbedded(idle.state, 'request-success-rate', 'canary', 60, START + 5_000), { kind: 'no-data', reason: 'the canary served no request in the last 1m' })
  const blind = absorb([pair(0, undefined, undefined)])
  t.match(measureEmbedded(blind.state, 'request-success-rate', 'canary', 60, START), { kind: 'unavailable', reason: /2 of 2 ready pods did not answer/ })
  t.match(absorb([[0, { canary: [], primary: [] }]]).problems, ['there is no pod to scrape'])
})

test('why there is nothing is said: pods that are not waited for any longer, counters of unknown names', async (t) => {
  const success = (steps: readonly Step[]) => measureEmbedded(absorb(steps).state, 'request-success-rate', 'canary', 60, START + (steps.at(-1)?.[0] ?? 0) * 1_000)
  const seconds = [0, 5, 10, 15, 20]
  t.match(success(seconds.map((second) => pair(second, undefined, undefined))), { kind: 'unavailable', reason: 'no pod answers; c: no answer' })
  t.match(success(seconds.map((second) => pair(second, undefined, errors(second * 90, 0)))), { kind: 'no-data', reason: 'the canary served no request in the last 1m; no pod of the canary answers; c: no answer' })
  t.match(success(seconds.map((second) => pair(second, {}, errors(second * 90, 0)))), { kind: 'no-data', reason: 'the canary served no request in the last 1m; no pod of the canary has a known counter of requests with a status' })
  t.match(success(seconds.map((second) => pair(second, errors(0, 0), errors(second * 90, 0)))), { kind: 'no-data', reason: /^the canary served no request in the last 1m$/ })
})

const quantiles = [
  { name: 'inside a bucket', q: 0.5, requests: 100, slower: [80, 30, 0], gives: 80 },
  { name: 'inside the lowest bucket, from 0', q: 0.5, requests: 100, slower: [0, 0, 0], gives: 25 },
  { name: 'beyond the largest bound', q: 0.99, requests: 100, slower: [50, 40, 30], gives: 250 },
  { name: 'on a bound', q: 0.99, requests: 100, slower: [50, 1, 0], gives: 100 },
  { name: 'without requests', q: 0.99, requests: 0, slower: [0, 0, 0], gives: Number.NaN },
]
for (const { name, q, requests, slower, gives } of quantiles) {
  test(`a quantile ${name}`, async (t) => t.ok(Object.is(Math.round(quantileOf(q, BOUNDS, requests, slower) * 1e9) / 1e9, gives)))
}

test('in any order of answers, restarts and silences, no request is counted twice', async (t) => {
  const event = fc.record({ grow: fc.nat(100), fail: fc.nat(100), silent: fc.boolean(), restart: fc.integer({ min: 0, max: 9 }).map((n) => n === 0) })
  fc.assert(fc.property(fc.array(event, { minLength: 2, maxLength: 30 }), (events) => {
    let [requests, failures, started, served, counted, misses] = [0, 0, START - 600_000, 0, 0, 0]
    let state: EmbeddedState = EMPTY_EMBEDDED
    for (const [i, { grow, fail, silent, restart }] of events.entries()) {
      const second = i * 5
      if (restart) [requests, failures, started] = [0, 0, START + second * 1_000 - 1_000]
      requests += grow
      failures += Math.min(grow, fail)
      if (i > 0) served += grow
      misses = silent ? misses + 1 : 0
      const round: ScrapeRound = { canary: [pod('c', second, silent ? undefined : errors(requests, failures), { startedAtMs: started })], primary: [pod('p', second, errors(second, 0))] }
      const { state: next, poll } = absorbRound(state, round, terms(second))
      state = next
      const found = poll?.metrics['errors']
      if (found) {
        counted += found.nc
        if (typeof found.kc !== 'number' || found.kc > found.nc) return false
      }
    }
    return counted <= served
  }), { numRuns: 500 })
  t.pass()
})

test('from pages to a verdict: a dead canary is worse at the second look', async (t) => {
  const config = createConfig({ metrics: [{ name: 'errors', kind: 'rate', limit: 0.01 }] })
  let embedded: EmbeddedState = EMPTY_EMBEDDED
  let state = createState(config)
  const verdicts: string[] = []
  for (const second of [0, 5, 6]) {
    const absorbed = absorbRound(embedded, pair(second, errors(10 * second, 10 * second), errors(90 * second, 0))[1], terms(second))
    embedded = absorbed.state
    if (!absorbed.poll) continue
    const answer = judge(state, absorbed.poll, config)
    state = answer.state
    verdicts.push(answer.verdict)
  }
  t.same(verdicts, ['Suspect', 'Worse'])
})
