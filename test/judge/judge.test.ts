import fc from 'fast-check'
import { test } from 'tap'
import { createConfig, type JudgeSettings } from '#judge/config.ts'
import { createState, judge, memoryOf, secondsToNextPoll, type Judgement } from '#judge/judge.ts'
import type { Poll } from '#judge/poll.ts'
import type { JudgeState } from '#judge/state.ts'

const RUNS = 300
const BOUNDS = [50, 100, 250]
const SETTINGS: JudgeSettings = {
  metrics: [
    { name: 'errors', kind: 'rate', limit: 0.01 },
    { name: 'latency', kind: 'histogram', tolerance: 1.2, bounds: BOUNDS, slo: 100, limit: 0.05 },
    { name: 'plain', kind: 'rate', gating: false },
  ],
}
const CONFIG = createConfig(SETTINGS)
const ERRORS = createConfig({ metrics: [{ name: 'errors', kind: 'rate', limit: 0.01 }] })

const errors = (nc: number, kc: number, np: number, kp: number) => ({ errors: { nc, kc, np, kp } })
const poll = (metrics: Poll['metrics'], more: Partial<Poll> = {}): Poll => ({ seconds: 5, weight: 10, ...more, metrics })
const HEALTHY = poll(errors(50, 0, 450, 2))
const DEAD = poll(errors(50, 50, 450, 2))

function run(polls: readonly Poll[], config = ERRORS, state = createState(config)): Judgement {
  let last: Judgement | undefined
  for (const each of polls) {
    last = judge(state, each, config)
    state = last.state
  }
  if (!last) throw new Error('no polls')
  return last
}
const times = <T>(n: number, value: T): T[] => Array.from({ length: n }, () => value)

const part = (n: number) => fc.integer({ min: 0, max: n })
const requests = fc.oneof(fc.integer({ min: 0, max: 40 }), fc.integer({ min: 0, max: 1_000_000 }))
const rate = requests.chain((nc) => requests.chain((np) => fc.record({ nc: fc.constant(nc), kc: part(nc), np: fc.constant(np), kp: part(np) })))
const slower = (n: number) => fc.array(part(n), { minLength: BOUNDS.length, maxLength: BOUNDS.length }).map((counts) => counts.sort((a, b) => b - a))
const histogram = requests.chain((nc) => requests.chain((np) => fc.record({ nc: fc.constant(nc), kc: slower(nc), np: fc.constant(np), kp: slower(np) })))
const anyPoll: fc.Arbitrary<Poll> = fc.record({
  seconds: fc.constantFrom(1, 5, 30),
  weight: fc.constantFrom(0, 5, 10, 50, 90, 100),
  mixed: fc.boolean(),
  metrics: fc.record({ errors: rate, latency: histogram, plain: rate }, { requiredKeys: [] }),
})
const anyRun = fc.array(anyPoll, { minLength: 1, maxLength: 15 })

const evidence = (state: JudgeState) => state.metrics.map(({ channels, alone, tail }) => [alone, tail, channels.map(({ worse, material }) => [worse, material])])

/** Freezes a value and everything in it, so that any write throws. */
function frozen<T>(value: T): T {
  if (typeof value === 'object' && value !== null && !Object.isFrozen(value)) {
    Object.freeze(value)
    for (const child of Object.values(value)) frozen(child)
  }
  return value
}

test('arguments are never touched', async (t) => {
  const config = frozen(createConfig(SETTINGS))
  fc.assert(fc.property(anyRun, (polls) => {
    let state = frozen(createState(config))
    for (const each of polls) state = frozen(judge(state, frozen(each), config).state)
  }), { numRuns: RUNS })
  t.pass()
})

test('a state that went through JSON after every poll gives the same answers', async (t) => {
  fc.assert(fc.property(anyRun, (polls) => {
    let kept = createState(CONFIG)
    let stored = createState(CONFIG)
    for (const each of polls) {
      const a = judge(kept, each, CONFIG)
      const b = judge(stored, each, CONFIG)
      kept = a.state
      const parsed: JudgeState = JSON.parse(JSON.stringify(b.state))
      stored = parsed
      if (JSON.stringify(a) !== JSON.stringify(b)) throw new Error('answers differ')
    }
  }), { numRuns: RUNS })
  t.pass()
})

test('the order in which a poll lists its metrics does not matter', async (t) => {
  fc.assert(fc.property(anyRun, (polls) => {
    const turned = polls.map((each) => ({ ...each, metrics: Object.fromEntries(Object.entries(each.metrics).toReversed()) }))
    return JSON.stringify(run(polls, CONFIG)) === JSON.stringify(run(turned, CONFIG))
  }), { numRuns: RUNS })
  t.pass()
})

test('every number is finite or null, and the evidence without its best poll is never more', async (t) => {
  fc.assert(fc.property(anyRun, (polls) => {
    const { lnE, lnV, metrics } = run(polls, CONFIG)
    const pairs = [[lnE, lnV], ...Object.values(metrics).map((metric) => [metric.lnE, metric.lnV])]
    for (const [e, v] of pairs) {
      if (e === null || e === undefined || v === null || v === undefined) {
        if ((e === null) !== (v === null)) return false
      } else if (!Number.isFinite(e) || !Number.isFinite(v) || v > e + 1e-9 * Math.abs(e)) return false
    }
    return Object.values(metrics).every(({ phi, lnGood }) => phi >= 1 && phi <= 50 && (lnGood === null || lnGood <= Math.log(8 / 0.05) + 1e-12))
  }), { numRuns: RUNS })
  t.pass()
})

test('more failures of the canary are never less evidence', async (t) => {
  fc.assert(fc.property(fc.array(rate, { minLength: 1, maxLength: 10 }), part(9), (rates, where) => {
    const at = where % rates.length
    const chosen = rates[at]
    if (!chosen || chosen.kc >= chosen.nc) return true
    const polls = rates.map((counts) => poll({ errors: counts }))
    const worse = polls.with(at, poll({ errors: { ...chosen, kc: chosen.kc + 1 } }))
    return (run(worse).lnE ?? -Infinity) >= (run(polls).lnE ?? -Infinity) - 1e-9
  }), { numRuns: RUNS })
  t.pass()
})

test('a mixed poll changes nothing, and a poll at weight 0 teaches clumping alone', async (t) => {
  fc.assert(fc.property(anyRun, anyPoll, (polls, more) => {
    const { state } = run(polls, CONFIG)
    const mixed = judge(state, { ...more, mixed: true }, CONFIG)
    if (JSON.stringify(mixed.state) !== JSON.stringify(state)) return false
    const idle = judge(state, { ...more, weight: 0 }, CONFIG).state
    return JSON.stringify(evidence(idle)) === JSON.stringify(evidence(state))
  }), { numRuns: RUNS })
  t.pass()
})

test('a dead canary is suspect at the first poll, worse at the confirmation', async (t) => {
  const first = run([DEAD])
  t.equal(first.verdict, 'Suspect')
  t.equal(secondsToNextPoll(first.state, 0.1, ERRORS), 1)
  t.equal(secondsToNextPoll(first.state, 2, ERRORS), 2, 'never sooner than the skew')
  const second = judge(first.state, poll(errors(10, 10, 90, 0), { seconds: 1 }), ERRORS)
  t.equal(second.verdict, 'Worse')
  t.equal(second.reason, 'canary fails 100 % of 60 requests, primary 0.37 % of 540: worse beyond doubt (less than 1 in 1,000,000)')
  t.equal(judge(second.state, HEALTHY, ERRORS).verdict, 'Worse', 'latched')
  t.equal(judge(second.state, { ...HEALTHY, mixed: true }, ERRORS).verdict, 'Worse', 'in a mixed poll, too')
})

test('a dead canary beside a primary over its limit is confirmed as soon', async (t) => {
  const first = run([poll(errors(50, 50, 450, 9))])
  t.equal(first.verdict, 'BothBad')
  t.equal(secondsToNextPoll(first.state, 0.1, ERRORS), 1)
  t.equal(judge(first.state, poll(errors(10, 10, 90, 2), { seconds: 1 }), ERRORS).verdict, 'Worse')
})

test('confirmation polls end after three in a row', async (t) => {
  let state = run([HEALTHY, poll(errors(50, 12, 450, 2))]).state
  const pauses: number[] = []
  for (let i = 0; i < 4; i += 1) {
    pauses.push(secondsToNextPoll(state, 0, ERRORS))
    state = judge(state, poll(errors(10, 0, 90, 0), { seconds: 1 }), ERRORS).state
  }
  t.same(pauses, [1, 1, 1, 5])
})

const cases = [
  { name: 'no traffic at all is undecided', polls: times(5, poll(errors(0, 0, 0, 0))), verdict: 'Undecided', reason: 'no traffic' },
  {
    name: 'traffic that never reaches the canary is no data', polls: times(2, poll(errors(0, 0, 60, 0))), verdict: 'NoData',
    reason: 'the canary should have had about 12 requests at weight 10 %, and had none: is the route in force, does its Service select its pods, are they scraped?',
  },
  {
    name: 'both arms over the limit hold', polls: times(2, poll(errors(50, 5, 450, 45))), verdict: 'BothBad',
    reason: 'both arms are bad: canary fails 10 % of 100 requests, primary 10 % of 900',
  },
  { name: 'a bad primary and a fine canary go on', polls: times(2, poll(errors(50, 0, 450, 45))), verdict: 'Undecided' },
  {
    name: 'a healthy canary is proved good', polls: times(9, HEALTHY), verdict: 'Good',
    reason: 'canary fails 0 % of 450 requests: under 1 % (proved at weight 10 %, wrong at most once in 20)',
  },
  { name: 'a proof starts anew with the weight', polls: [...times(9, HEALTHY), poll(errors(100, 0, 400, 2), { weight: 20 })], verdict: 'Undecided' },
  {
    name: 'an undecided step says how many requests are missing', polls: times(2, HEALTHY), verdict: 'Undecided',
    reason: 'too few requests to tell: 100 at this weight, about 290 more would do',
  },
] as const
for (const { name, polls, verdict, ...rest } of cases) {
  test(name, async (t) => {
    const answer = run(polls)
    t.equal(answer.verdict, verdict)
    if ('reason' in rest) t.equal(answer.reason, rest.reason)
  })
}

const dwells = [
  { name: 'polls', polls: [poll(errors(5000, 0, 45_000, 20), { seconds: 60 })] },
  { name: 'seconds', polls: times(2, poll(errors(5000, 0, 45_000, 20), { seconds: 14 })) },
  { name: 'requests', polls: times(3, poll(errors(33, 0, 300, 0), { seconds: 30 })) },
]
for (const { name, polls } of dwells) {
  test(`a step does not end before its dwell in ${name}`, async (t) => {
    const certain = createConfig({ beta: 0.9, metrics: [{ name: 'errors', kind: 'rate', limit: 0.05 }] })
    t.equal(run(polls, certain).verdict, 'Undecided')
    t.equal(run([...polls, poll(errors(5000, 0, 45_000, 20), { seconds: 30 })], certain).verdict, 'Good')
  })
}

test('three failures of the primary make both arms bad, two do not', async (t) => {
  t.equal(run([poll(errors(50, 1, 200, 3))]).verdict, 'BothBad')
  t.equal(run([poll(errors(50, 1, 150, 2))]).verdict, 'Undecided')
})

const reasons = [
  { name: 'before the first poll that counts', polls: times(3, { ...HEALTHY, weight: 0 }), reason: 'nothing compared yet' },
  { name: 'with requests that are too few to expect any at the canary', polls: [poll(errors(0, 0, 60, 0))], reason: 'too few requests to tell: 0 at this weight, about 360 more would do' },
  { name: 'with a canary at its limit', polls: times(2, poll(errors(100, 1, 900, 1))), reason: 'too few requests to tell: canary fails 1 % of 200 requests, primary 0.11 % of 1,800' },
  { name: 'without a primary', polls: times(3, poll(errors(500, 50, 0, 0), { weight: 100 })), reason: 'canary fails 10 % of 1,500 requests, where 1 % is the limit: worse beyond doubt (less than 1 in 1,000,000)' },
]
for (const { name, polls, reason } of reasons) test(`the reason ${name}`, async (t) => t.equal(run(polls).reason, reason))

test('the metric that is bad on both arms is the one that is told', async (t) => {
  const config = createConfig({ metrics: [{ name: 'errors', kind: 'rate', limit: 0.01 }, { name: 'slow', kind: 'rate', limit: 0.1 }] })
  const { reason } = run([poll({ ...errors(50, 0, 450, 0), slow: { nc: 50, kc: 6, np: 450, kp: 54 } })], config)
  t.equal(reason, 'both arms are bad: canary fails 12 % of 50 requests, primary 12 % of 450')
})

test('trouble that begins late is told with the last polls, not drowned in the healthy hour', async (t) => {
  const { reason, verdict } = run([...times(700, HEALTHY), ...times(6, poll(errors(50, 10, 450, 2)))])
  t.equal(verdict, 'Worse')
  t.match(reason, /^canary fails 20 % of 300 requests, primary 0\.44 % of 2,700: worse beyond doubt/)
})

test('a latency histogram speaks of its bound', async (t) => {
  const config = createConfig({ metrics: [{ name: 'latency', kind: 'histogram', bounds: BOUNDS, slo: 100 }] })
  const { reason } = run(times(4, poll({ latency: { nc: 50, kc: [40, 30, 2], np: 450, kp: [202, 40, 2] } })), config)
  t.equal(reason, 'canary answers 60 % of 200 requests slower than 100 ms, primary 8.9 % of 1,800: worse beyond doubt (less than 1 in 1,000,000)')
})

test('a latency that is worse at another bound is told by that bound, not by the SLO\'s where nothing is to be seen', async (t) => {
  const config = createConfig({ metrics: [{ name: 'latency', kind: 'histogram', bounds: BOUNDS, slo: 250, limit: 0.01 }] })
  const { reason } = run(times(6, poll({ latency: { nc: 50, kc: [45, 30, 0], np: 450, kp: [202, 40, 2] } })), config)
  t.equal(reason, 'canary answers 60 % of 300 requests slower than 100 ms, primary 8.9 % of 2,700: worse beyond doubt (less than 1 in 1,000,000)')
})

test('a canary that is found by its limit, with few requests left beside it, is told by its limit', async (t) => {
  const beside = (weight: number) => poll(errors(50 * weight, 5 * weight, 50 * (100 - weight), 5 * (100 - weight)), { weight })
  const { verdict, reason } = run([...times(6, poll(errors(500, 2, 500, 2), { weight: 50 })), ...times(6, beside(95))])
  t.equal(verdict, 'Worse')
  t.equal(reason, 'canary fails 10 % of 28,500 requests, where 1 % is the limit: worse beyond doubt (less than 1 in 1,000,000)')
})

test('a run that goes on after Worse is not told as worse beyond doubt for what is healthy', async (t) => {
  const { verdict, reason } = run([...times(2, poll(errors(50, 10, 450, 2))), ...times(300, HEALTHY)])
  t.equal(verdict, 'Worse')
  t.equal(reason, 'canary fails 0.13 % of 15,100 requests, primary 0.44 % of 135,900; proved worse earlier in this run')
})

test('a verdict says how sure it is, rounded down', async (t) => {
  const counts = [[3, 2], [2, 3], [2, 1], [4, 2]] as const
  t.equal(run(counts.map(([kc, kp]) => poll(errors(50, kc, 450, kp)))).reason, 'canary fails 5.5 % of 200 requests, primary 0.44 % of 1,800: worse beyond doubt (1 in 1,000)')
})

test('what is known about clumps goes to the next run, unless the bounds changed', async (t) => {
  const clumped = poll({ errors: { nc: 50, kc: 0, np: 450, kp: 9, pods: [[150, 9], [150, 0], [150, 0]] } })
  const memory = memoryOf(run(times(3, clumped)).state)
  const next = judge(createState(ERRORS, memory), HEALTHY, ERRORS)
  t.ok((next.metrics['errors']?.phi ?? 0) > 8)
  const histogramConfig = createConfig({ metrics: [{ name: 'errors', kind: 'histogram', bounds: BOUNDS }] })
  t.match(createState(histogramConfig, memory), { metrics: [{ channels: times(3, { clumping: { num: 0, den: 0 } }) }] })
})

test('limits at the ends: at 1 everything is good, at 0 any failure of a canary that stands alone counts', async (t) => {
  const of = (limit: number) => createConfig({ metrics: [{ name: 'errors', kind: 'rate', limit }] })
  t.equal(run(times(6, poll(errors(50, 5, 450, 45))), of(1)).verdict, 'Good')
  t.equal(run(times(6, poll(errors(50, 50, 450, 2))), of(1)).verdict, 'Worse', 'and still a dead canary is rolled back')
  t.equal(run(times(20, poll(errors(50, 0, 450, 0))), of(0)).verdict, 'Undecided')
  t.equal(run(times(3, poll(errors(50, 5, 0, 0), { weight: 100 })), of(0)).verdict, 'Worse')
})

test('at a floor of 1 no canary is worse', async (t) => {
  const config = createConfig({ metrics: [{ name: 'errors', kind: 'rate', floor: 1 }] })
  t.match(run(times(20, DEAD), config), { verdict: 'Undecided', reason: /^too few requests|^canary/ })
})

test('without a limit no failure speaks against a canary that stands alone; what is left of the primary can still speak for it', async (t) => {
  const config = createConfig({ metrics: [{ name: 'errors', kind: 'rate' }] })
  const at = (weight: number, np: number, kc = 0, kp = 10) => run(times(50, poll(errors(450, kc, np, kp), { weight })), config)
  t.match(at(100, 0, 400, 0), { verdict: 'Undecided', lnE: null, metrics: { errors: { lnGood: 0 } } })
  t.match(at(90, 50, 400), { verdict: 'Undecided', lnE: null })
  t.match(at(90, 50), { verdict: 'Good', lnE: null })
  t.equal(at(80, 100).verdict, 'Good')
})

test('a step ends early only for metrics that gate', async (t) => {
  const config = createConfig({ metrics: [{ name: 'errors', kind: 'rate', limit: 0.01, gating: false }] })
  t.equal(run(times(20, HEALTHY), config).verdict, 'Undecided')
  t.equal(run(times(3, DEAD), config).verdict, 'Worse')
})

test('a histogram without an SLO is never proved good', async (t) => {
  const config = createConfig({ metrics: [{ name: 'latency', kind: 'histogram', bounds: BOUNDS, limit: 0.05 }] })
  t.match(run(times(20, poll({ latency: { nc: 50, kc: [0, 0, 0], np: 450, kp: [9, 9, 9] } })), config), { verdict: 'Undecided', metrics: { latency: { lnGood: null } } })
})

test('settings without meaning are refused, all faults at once', async (t) => {
  t.throws(() => createConfig({ alpha: 0, metrics: [{ name: 'a', kind: 'rate', tolerance: 0.5 }] }), /alpha.*tolerance/)
  t.throws(() => createConfig({ metrics: [{ name: 'a', kind: 'histogram', bounds: [2, 1] }] }), /ascend/)
  t.throws(() => createConfig({ metrics: [] }), /no metric/)
})

test('impossible counts and a foreign state are broken wiring', async (t) => {
  t.throws(() => run([poll(errors(-1, 0, 1, 0))]), /count of -1/)
  t.throws(() => run([poll({ errors: { nc: 1, kc: [1], np: 1, kp: [] } })]), /count of undefined/)
  t.throws(() => judge(createState(CONFIG), HEALTHY, ERRORS), /another configuration/)
  t.throws(() => judge(createState(ERRORS), HEALTHY, createConfig({ metrics: [{ name: 'other', kind: 'rate' }] })), /another configuration/)
})
