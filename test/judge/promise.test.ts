import fc from 'fast-check'
import { test } from 'tap'
import { createConfig, type JudgeConfig } from '#judge/config.ts'
import { createState, judge } from '#judge/judge.ts'
import type { Poll } from '#judge/poll.ts'
import type { JudgeState } from '#judge/state.ts'

/**
 * The promise, without simulation: all that a few polls may bring, each with its exact chance, against somebody who knows everything so far,
 * chooses the weight and the requests of the next poll, and stops when he likes.
 */

const EPSILON = 1e-9

type Outcome<K> = readonly [chance: number, k: K]

/** How many of `n` requests fail, each with chance `p`. */
function failing(n: number, p: number): readonly Outcome<number>[] {
  let law: readonly number[] = [1]
  for (let i = 0; i < n; i += 1) law = Array.from({ length: i + 2 }, (_, k) => (law[k] ?? 0) * (1 - p) + (law[k - 1] ?? 0) * p)
  return law.map((chance, k) => [chance, k])
}

/** How many of `n` are slower than each of two bounds, each with chance `p`, and `p` times `further`. */
const slower = (n: number, p: number, further: number): readonly Outcome<readonly number[]>[] =>
  failing(n, p).flatMap(([chance, first]) => failing(first, further).map(([more, second]): Outcome<readonly number[]> => [chance * more, [first, second]]))

type Choice = { readonly weight: number; readonly nc: number; readonly np: number }
type World = { readonly config: JudgeConfig; readonly choices: readonly Choice[]; /** Each poll's possible counts. */ readonly outcomes: (choice: Choice, at: number) => readonly Outcome<Poll['metrics']>[] }

/** Evidence may be worth so much at most on average: what is spent on starting polls so far, and each of those to come counts 1. */
const worth = (state: JudgeState, lnE: number | null): number => (lnE === null ? 0 : Math.exp(lnE)) + 1 / ((state.metrics[0]?.channels[0]?.worse.polls ?? 0) + 1)

/** The best that can be made of the polls from `at` on: on average of the evidence, and of the chance that the canary is found worse. */
function best(world: World, state: JudgeState, at: number, polls: number): { readonly evidence: number; readonly worse: number } {
  if (at === polls) return { evidence: -Infinity, worse: 0 }
  let [evidence, worse] = [-Infinity, 0]
  for (const choice of world.choices) {
    let [ofEvidence, ofWorse] = [0, 0]
    for (const [chance, metrics] of world.outcomes(choice, at)) {
      const answer = judge(state, { seconds: 5, weight: choice.weight, metrics }, world.config)
      const later = best(world, answer.state, at + 1, polls)
      ofEvidence += chance * Math.max(worth(answer.state, answer.lnE), later.evidence)
      ofWorse += chance * (answer.verdict === 'Worse' ? 1 : later.worse)
    }
    evidence = Math.max(evidence, ofEvidence)
    worse = Math.max(worse, ofWorse)
  }
  return { evidence, worse }
}

const pairs = <K>(canary: readonly Outcome<K>[], primary: readonly Outcome<K>[]) => canary.flatMap(([a, kc]) => primary.map(([b, kp]) => [a * b, kc, kp] as const))
const choice: fc.Arbitrary<Choice> = fc.record({ weight: fc.constantFrom(5, 50, 80), nc: fc.integer({ min: 0, max: 3 }), np: fc.integer({ min: 0, max: 3 }) })
const rate = fc.oneof(fc.double({ min: 0, max: 0.05, noNaN: true }), fc.double({ min: 0, max: 1, noNaN: true }))
const rates = (polls: number) => fc.array(rate, { minLength: polls, maxLength: polls })

type Service = { readonly tolerance: number; readonly floor: number; /** Failure rates, poll by poll. */ readonly primary: readonly number[]; readonly canary: (primary: number) => number }

function rateWorld({ tolerance, floor, primary, canary }: Service, choices: readonly Choice[]): World {
  const config = createConfig({ alpha: 0.5, leaveOneOut: 1, metrics: [{ name: 'errors', kind: 'rate', limit: 0.1, tolerance, floor }] })
  return {
    config, choices,
    outcomes: ({ nc, np }, at) => {
      const p = primary[at] ?? 0
      return pairs(failing(nc, Math.min(1, canary(p))), failing(np, p)).map(([chance, kc, kp]) => [chance, { errors: { nc, kc, np, kp } }])
    },
  }
}

for (const [polls, numRuns] of [[1, 60], [2, 40], [3, 3]] as const) {
  test(`a canary that is not worse than tolerated: ${polls} polls gain nothing on average, and find it worse at most with alpha`, async (t) => {
    const tolerance = fc.constantFrom(1, 1.2, 1.5, 3)
    const floor = fc.constantFrom(0, 0.01, 0.2)
    const excuses = fc.constantFrom<readonly [string, number]>(['tolerance', 1], ['tolerance', 0.5], ['floor', 1])
    fc.assert(fc.property(tolerance, floor, rates(polls), excuses, fc.array(choice, { minLength: 1, maxLength: 2 }), (r0, least, primary, [excuse, share], choices) => {
      const world = rateWorld({ tolerance: r0, floor: least, primary, canary: (p) => share * (excuse === 'floor' ? least : r0 * p) }, choices)
      const { evidence, worse } = best(world, createState(world.config), 0, polls)
      return evidence <= 1 + EPSILON && worse <= world.config.alpha + EPSILON
    }), { numRuns })
    t.pass()
  })
}

test('the same for latency, bound by bound', async (t) => {
  fc.assert(fc.property(fc.constantFrom(1, 1.5), rates(2), fc.constantFrom(0.1, 0.5, 1), fc.boolean(), (tolerance, primary, further, hasSlo) => {
    const config = createConfig({ alpha: 0.5, leaveOneOut: 1, metrics: [{ name: 'latency', kind: 'histogram', bounds: [50, 100], tolerance, floor: 0, ...(hasSlo ? { slo: 100 } : {}) }] })
    const world: World = {
      config, choices: [{ weight: 50, nc: 2, np: 2 }, { weight: 10, nc: 1, np: 2 }],
      outcomes: ({ nc, np }, at) => {
        const p = primary[at] ?? 0
        return pairs(slower(nc, Math.min(1, tolerance * p), further), slower(np, p, further)).map(([chance, kc, kp]) => [chance, { latency: { nc, kc, np, kp } }])
      },
    }
    const { evidence, worse } = best(world, createState(config), 0, 2)
    return evidence <= 1 + EPSILON && worse <= config.alpha + EPSILON
  }), { numRuns: 15 })
  t.pass()
})

test('a canary that is worse does gain: the tests above could fail', async (t) => {
  const world = rateWorld({ tolerance: 1.5, floor: 0, primary: [0.1, 0.1], canary: () => 0.9 }, [{ weight: 50, nc: 3, np: 3 }])
  const { evidence, worse } = best(world, createState(world.config), 0, 2)
  t.ok(evidence > 1.5, `${evidence}`)
  t.ok(worse > 0.5, `${worse}`)
})
