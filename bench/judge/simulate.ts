/**
 * Simulated releases: how often a good one is rolled back, how soon a bad one, and what Flagger's and Argo's counting rules do with the
 * same. `node bench/judge/simulate.ts [runs per cell] [seed]`; thousands of runs for tables, the default is a smoke test.
 */

import { argv } from 'node:process'
import { binomial, createRandom, geometric, poisson, type Random } from './random.ts'
import { createConfig, type JudgeConfig } from '#judge/config.ts'
import type { PodCounts } from '#judge/clumping.ts'
import { createState, judge, memoryOf, secondsToNextPoll } from '#judge/judge.ts'
import type { Memory } from '#judge/state.ts'

const RUNS = Number(argv[2] ?? 20)
const SEED = Number(argv[3] ?? 1)
const HOUR = 3_600
const PRIMARY_PODS = 3
const LIMIT = 0.01
const BASE = 0.005
/** A second metric takes its share of alpha, as in a release with errors and latency. It is never worse here. */
const SLOW = 0.05

const CONFIG = createConfig({ metrics: [{ name: 'errors', kind: 'rate', limit: LIMIT }, { name: 'slow', kind: 'rate', limit: 0.2 }] })

type World = {
  /** Requests per second of both arms. */
  readonly rps: number
  /** Canary's weight in percent at a second. */
  readonly weight: (second: number) => number
  /** Failure rates at a second. */
  readonly primary: (second: number) => number
  readonly canary: (second: number) => number
  /** Mean size of a bunch of failures; 1 means independent. */
  readonly bunch?: number
  readonly seconds: number
}

type Outcome = { readonly rolledBackAt: number | undefined; readonly failed: number; readonly memory: Memory }

const constant = (value: number) => () => value

/** One request stream's failures: bunches that arrive as often as the rate says, each as large as luck says. */
function failures(n: number, rate: number, bunch: number, random: Random): number {
  if (bunch <= 1 || rate >= 0.5) return binomial(n, rate, random)
  let total = 0
  for (let i = poisson((n * rate) / bunch, random); i > 0; i -= 1) total += geometric(bunch, random)
  return Math.min(n, total)
}

function judgeRelease(world: World, random: Random, config: JudgeConfig, memory: Memory = {}): Outcome {
  let state = createState(config, memory)
  let now = 0
  let failed = 0
  while (now < world.seconds) {
    const weight = world.weight(now)
    const seconds = Math.min(secondsToNextPoll(state, 0, config), world.seconds - now)
    const nc = poisson((world.rps * seconds * weight) / 100, random)
    const kc = failures(nc, world.canary(now), world.bunch ?? 1, random)
    const pods = Array.from({ length: PRIMARY_PODS }, (): PodCounts => {
      const n = poisson((world.rps * seconds * (100 - weight)) / 100 / PRIMARY_PODS, random)
      return [n, failures(n, world.primary(now), world.bunch ?? 1, random)]
    })
    const np = pods.reduce((sum, [n]) => sum + n, 0)
    const kp = pods.reduce((sum, [, k]) => sum + k, 0)
    const slow = { nc, kc: binomial(nc, SLOW, random), np, kp: binomial(np, SLOW, random) }
    now += seconds
    failed += kc
    const answer = judge(state, { seconds, weight, metrics: { errors: { nc, kc, np, kp, pods }, slow } }, config)
    state = answer.state
    if (answer.verdict === 'Worse') return { rolledBackAt: now, failed, memory: memoryOf(state) }
  }
  return { rolledBackAt: undefined, failed, memory: memoryOf(state) }
}

const STEP_SECONDS = 60
const MAX_WEIGHT = 50

/** A rule that looks once a minute at the canary's success rate: Flagger's gives up at the fifth failed check, Argo's default at the first. */
function countingRelease(world: Omit<World, 'weight' | 'seconds'>, failuresAllowed: number, random: Random): Omit<Outcome, 'memory'> {
  let weight = 10
  let failed = 0
  let failedChecks = 0
  for (let now = STEP_SECONDS; ; now += STEP_SECONDS) {
    // Flagger counts first and acts at the next tick.
    if (failuresAllowed > 0 && failedChecks >= failuresAllowed) return { rolledBackAt: now, failed: failed + countFailures(world, weight, random).k }
    const { n, k } = countFailures(world, weight, random)
    failed += k
    if (n === 0 || k / n > LIMIT) failedChecks += 1
    else if (weight >= MAX_WEIGHT) return { rolledBackAt: undefined, failed }
    else weight += 10
    if (failuresAllowed === 0 && failedChecks > 0) return { rolledBackAt: now, failed }
  }
}

function countFailures(world: Omit<World, 'weight' | 'seconds'>, weight: number, random: Random): { n: number; k: number } {
  const n = poisson((world.rps * STEP_SECONDS * weight) / 100, random)
  return { n, k: failures(n, world.canary(0), world.bunch ?? 1, random) }
}

const median = (values: readonly number[], at = 0.5): number => values.toSorted((a, b) => a - b)[Math.min(values.length - 1, Math.floor(values.length * at))] ?? Number.NaN
const percentOf = (part: number): string => `${((100 * part) / RUNS).toFixed(part > 0 && part * 100 < RUNS ? 2 : 0)} %`
const print = (...cells: readonly string[]): void => console.log(`| ${cells.join(' | ')} |`)

let seed = SEED
/** Every cell has its own stream, so that adding one leaves the others as they were. */
function repeat<T>(run: (random: Random) => T): readonly T[] {
  seed += 1
  const random = createRandom(seed * 7_919)
  return Array.from({ length: RUNS }, () => run(random))
}

function goodReleases(): void {
  print('the release is fine, and', 'wrong rollbacks in an hour')
  print('---', '---')
  const fine: readonly (readonly [string, Partial<World>])[] = [
    ...([[2, 50], [10, 20], [100, 10], [1_000, 5]] as const).map(([rps, share]) => [`nothing happens, ${rps} rps, ${share} %`, { rps, weight: constant(share) }] as const),
    ['weights 10 to 50', { weight: (second) => Math.min(50, 10 + 10 * Math.floor(second / 60)) }],
    ['both arms fail for 60 s', { primary: (second) => (second >= 600 && second < 660 ? 1 : BASE), canary: (second) => (second >= 600 && second < 660 ? 1 : BASE) }],
    ['canary exactly 1.5 times worse', { canary: constant(1.5 * BASE) }],
    ['bunches of 5, first release ever', { bunch: 5 }],
    ['bunches of 20, first release ever', { bunch: 20 }],
  ]
  for (const [name, more] of fine) {
    const world: World = { rps: 100, weight: constant(10), primary: constant(BASE), canary: constant(BASE), seconds: HOUR, ...more }
    print(name, percentOf(repeat((random) => judgeRelease(world, random, CONFIG)).filter(({ rolledBackAt }) => rolledBackAt !== undefined).length))
  }
  const clumped: World = { rps: 100, weight: constant(10), primary: constant(BASE), canary: constant(BASE), bunch: 5, seconds: HOUR }
  const remembered = repeat((random) => judgeRelease(clumped, random, CONFIG, judgeRelease({ ...clumped, seconds: 600 }, random, CONFIG).memory))
  print('bunches of 5, remembered from 10 minutes', percentOf(remembered.filter(({ rolledBackAt }) => rolledBackAt !== undefined).length))
}

function badReleases(): void {
  const rates = [1, 0.2, 0.05, 0.02, 0.015]
  print('seconds until rollback, median / p90', ...rates.map((rate) => `${rate * 100} % fail`))
  print('---', ...rates.map(() => '---'))
  for (const [rps, share] of [[1_000, 10], [100, 10], [100, 5], [10, 20], [2, 50]] as const) {
    print(`${rps} rps, ${share} %`, ...rates.map((rate) => {
      const world: World = { rps, weight: constant(share), primary: constant(BASE), canary: constant(rate), seconds: HOUR }
      const found = repeat((random) => judgeRelease(world, random, CONFIG).rolledBackAt ?? Infinity)
      return [0.5, 0.9].map((at) => String(median(found, at)).replace('Infinity', '-')).join(' / ')
    }))
  }
}

function rivals(): void {
  print('traffic', 'canary errors', 'Flagger', 'Argo', 'judge')
  print('---', '---', '---', '---', '---')
  const told = (outcomes: readonly Omit<Outcome, 'memory'>[]): string => {
    const rolled = outcomes.flatMap(({ rolledBackAt, failed }) => (rolledBackAt === undefined ? [] : [{ rolledBackAt, failed }]))
    const details = rolled.length === 0 ? '' : `, ${median(rolled.map(({ rolledBackAt }) => rolledBackAt))} s, ${median(rolled.map(({ failed }) => failed))} failed`
    return `${percentOf(rolled.length)}${details}`
  }
  for (const rps of [1_000, 100, 10, 2]) {
    for (const rate of [1, 0.05, 0.02, BASE]) {
      const world = { rps, primary: constant(BASE), canary: constant(rate) }
      const judged: World = { ...world, weight: (second) => Math.min(MAX_WEIGHT, 10 + 10 * Math.floor(second / STEP_SECONDS)), seconds: 5 * STEP_SECONDS }
      print(`${rps} rps`, rate === BASE ? `${rate * 100} % (fine)` : `${rate * 100} %`, told(repeat((random) => countingRelease(world, 5, random))), told(repeat((random) => countingRelease(world, 0, random))), told(repeat((random) => judgeRelease(judged, random, CONFIG))))
    }
  }
}

console.log(`${RUNS} runs a cell, seed ${SEED}, base ${BASE * 100} % errors, limit ${LIMIT * 100} %, polls of ${CONFIG.pollSeconds} s\n`)
goodReleases()
console.log('')
badReleases()
console.log('\nRolled back, median seconds, median failed canary requests; weights 10 % and 10 more a minute to 50:\n')
rivals()
