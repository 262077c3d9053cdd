/**
 * Simulated releases: how often a good one is rolled back, how soon a bad one, and what Flagger's and Argo's counting rules do with the
 * same. `node bench/judge/simulate.ts [runs per cell] [seed] [group...]`; thousands of runs for tables, the default is a smoke test.
 * `group:text` chooses the cells with that text in their names.
 * Each line is a cell; the last column is what the settings promise for it, from the simulations that they were chosen by.
 */

import { argv } from 'node:process'
import { createRandom, interval, type Random } from './random.ts'
import {
  BASE, countingRelease, ERRORS_CONFIG, HOUR, judgeRelease, latencyConfig, LIMIT, MAX_WEIGHT, stairs, STEP_SECONDS, type Outcome, type World,
} from './release.ts'
import { createConfig, type JudgeConfig } from '#judge/config.ts'
import type { Memory } from '#judge/state.ts'

const RUNS = Number(argv[2] ?? 20)
const SEED = Number(argv[3] ?? 1)
const CHOSEN = argv.slice(4).map((argument) => argument.split(':'))

const isChosen = (group: string, cell?: string): boolean =>
  CHOSEN.length === 0 || CHOSEN.some(([name, text]) => name === group && (cell === undefined || text === undefined || cell.includes(text)))
let group = ''

const constant = (value: number) => () => value
const GOOD: World = { rps: 100, seconds: HOUR, weight: constant(10), primary: constant(BASE), canary: constant(BASE) }
const both = (rate: (second: number) => number) => ({ primary: rate, canary: rate })
const print = (...cells: readonly string[]): void => console.log(`| ${cells.join(' | ')} |`)
const median = (values: readonly number[], at = 0.5): number => values.toSorted((a, b) => a - b)[Math.min(values.length - 1, Math.floor(values.length * at))] ?? Number.NaN

function percent(part: number): string {
  const digits = (value: number): string => (100 * value).toFixed(value > 0 && value < 0.1 ? 2 : 0)
  const [low, high] = interval(part, RUNS)
  return part === 0 ? `0 (below ${digits(high)} %)` : part === RUNS ? '100 %' : `${digits(part / RUNS)} % (${digits(low)}-${digits(high)})`
}

/** Every cell has its own stream, so that adding one leaves the others as they were. */
function repeat<T>(name: string, run: (random: Random) => T): readonly T[] {
  let seed = SEED
  for (const letter of name) seed = (Math.imul(seed, 31) + letter.charCodeAt(0)) >>> 0
  const random = createRandom(seed)
  return Array.from({ length: RUNS }, () => run(random))
}

/** Good releases: how many are rolled back. `remembered`: seconds that the primary was watched without a canary beside it, all requests its own, before the release. */
function rolledBack(name: string, world: World, config: JudgeConfig, remembered = 0): string {
  const outcomes = repeat(name, (random) => {
    const memory: Memory = remembered > 0 ? judgeRelease({ ...world, seconds: remembered, weight: constant(0) }, random, config).memory : {}
    return judgeRelease(world, random, config, memory)
  })
  return percent(outcomes.filter(({ rolledBackAt }) => rolledBackAt !== undefined).length)
}

function wrong(name: string, more: Partial<World>, promised: string, config: JudgeConfig = ERRORS_CONFIG, remembered = 0): void {
  if (isChosen(group, name)) print(name, rolledBack(name, { ...GOOD, ...more }, config, remembered), promised)
}

/** Bad releases: when they are found. */
function delays(name: string, world: World, config: JudgeConfig): string {
  const times = repeat(name, (random) => judgeRelease(world, random, config).rolledBackAt ?? Infinity)
  const told = [0.5, 0.9].map((at) => String(median(times, at)).replace('Infinity', '-')).join(' / ')
  const all = times.filter((time) => time < Infinity).length
  return all === RUNS ? told : `${told} (${Math.round((100 * all) / RUNS)} % found)`
}

function found(name: string, more: Partial<World>, promised: string, config: JudgeConfig = ERRORS_CONFIG): void {
  if (isChosen(group, name)) print(name, delays(name, { ...GOOD, ...more }, config), promised)
}

/** The same release compared with its warm primary, and with a baseline. */
function beside(name: string, more: Partial<World>, measure: typeof rolledBack | typeof delays, config: JudgeConfig = ERRORS_CONFIG): void {
  if (!isChosen(group, name)) return
  const world = { ...GOOD, ...more }
  print(name, measure(name, world, config), measure(`${name}, with a baseline`, { ...world, isBesideBaseline: true }, config))
}

const TRAFFIC = [[2, 50], [10, 20], [100, 10], [1_000, 5]] as const
const outage = (rate: number) => both((second) => (second >= 600 && second < 660 ? rate : BASE))
/** A tenfold rate in one stretch of 5 s of twenty. */
const spikes = (second: number): number => (Math.floor(second / 5) % 20 === 7 ? 10 * BASE : BASE)
const day = (second: number): number => 1 + 0.8 * Math.sin((2 * Math.PI * second) / HOUR)

/** What is left of a fresh pod's trouble: `times` as much as of a warm one at first, half of the rest gone each `half` seconds. */
const fading = (times: number, half: number) => (second: number): number => 1 + (times - 1) * 2 ** (-second / half)

const head = (first: string, second: string): void => { print(first, second, 'promised'); print('---', '---', '---') }

const groups: Readonly<Record<string, () => void>> = {
  calm() {
    head('nothing happens', 'wrong rollbacks in an hour')
    for (const base of [0.001, BASE, 0.02]) for (const [rps, share] of TRAFFIC) {
      wrong(`${base * 100} % errors, ${rps} rps, ${share} %`, { rps, weight: constant(share), ...both(constant(base)) }, '0 to 1 of 4,000')
    }
    for (const share of [1, 2, 5, 50]) wrong(`100 rps, ${share} %`, { weight: constant(share) }, '0')
    wrong('weights 10 to 50', { weight: stairs }, '0')
    wrong('traffic and errors of a day in an hour', { traffic: day, ...both((second) => BASE * (1 + 0.5 * Math.sin((2 * Math.PI * second) / HOUR))) }, '0')
    wrong('errors x 10 in 1 poll of 20, both arms', both(spikes), '0')
    for (const rps of [100, 1_000]) wrong(`canary exactly 1.5 times worse, ${rps} rps`, { rps, canary: constant(1.5 * BASE) }, '1 of 4,000')
  },
  outages() {
    head('a dependency is away for 60 s', 'wrong rollbacks in an hour')
    for (const [rps, share] of TRAFFIC) for (const [rate, skew] of [[1, 0], [1, 1], [0.2, 1]] as const) {
      wrong(`${rate * 100} % fail, ${rps} rps, ${share} %, scraped ${skew} s apart`, { rps, weight: constant(share), skew, ...outage(rate) }, '0 to 1 of 4,000')
    }
    wrong('100 % fail, base 0.1 %, scraped 1 s apart', { skew: 1, ...both((second) => (second >= 600 && second < 660 ? 1 : 0.001)) }, '0 to 1 of 4,000')
    wrong('100 % fail, scraped half a poll apart, no confirmation polls', { skew: 2.5, ...outage(1) }, '0', createConfig({ ...ERRORS_CONFIG, confirmationSeconds: 0 }))
  },
  bunches() {
    head('failures in bunches', 'wrong rollbacks in an hour')
    for (const [bunch, promised] of [[3, '0.4-0.5 %'], [5, '0.8-0.9 %'], [20, '1.1-1.4 %'], [50, '1.0-1.3 %']] as const) wrong(`of ${bunch}, first release ever`, { bunch }, promised)
    for (const [bunch, promised] of [[3, '0'], [5, '0'], [20, '0'], [50, '0.05 %']] as const) wrong(`of ${bunch}, remembered from 10 min`, { bunch }, promised, ERRORS_CONFIG, 600)
    wrong('of 5, 50 %, first release ever', { bunch: 5, weight: constant(50) }, '6.3 % (5.5-7.1)')
    wrong('of 5, 50 %, remembered from 10 min', { bunch: 5, weight: constant(50) }, '0', ERRORS_CONFIG, 600)
    wrong('of 20, 10 rps, 20 %, first release ever', { bunch: 20, rps: 10, weight: constant(20) }, '2.9 % (2.4-3.5)')
    wrong('of 20, 10 rps, 20 %, remembered from 10 min', { bunch: 20, rps: 10, weight: constant(20) }, '0.55 % (0.3-0.8)', ERRORS_CONFIG, 600)
    wrong('of 20, 10 rps, 20 %, remembered from 1 h', { bunch: 20, rps: 10, weight: constant(20) }, '0', ERRORS_CONFIG, HOUR)
    wrong('of 5, 2 rps, 50 %, first release ever', { bunch: 5, rps: 2, weight: constant(50) }, '3.2 % (2.7-3.8)')
    wrong('of 5, 2 rps, 50 %, remembered from 10 min', { bunch: 5, rps: 2, weight: constant(50) }, '2.1 % (1.7-2.6)', ERRORS_CONFIG, 600)
    wrong('of 5, 2 rps, 50 %, remembered from 1 h', { bunch: 5, rps: 2, weight: constant(50) }, '0.6 % (0.4-0.9)', ERRORS_CONFIG, HOUR)
  },
  pods() {
    head('pods that differ for good in their error rate', 'wrong rollbacks in an hour')
    for (const [spread, promised] of [[0.1, '0'], [0.3, '2.4 %'], [0.5, '9.8 %']] as const) wrong(`by ${spread * 100} %`, { errorSpread: spread }, promised)
    for (const [spread, promised] of [[0.3, '5.4 %'], [0.5, '14 %']] as const) wrong(`by ${spread * 100} %, 1000 rps`, { errorSpread: spread, rps: 1_000 }, promised)
  },
  latency() {
    head('latency of a good release', 'wrong rollbacks in an hour')
    const even = latencyConfig(1.5)
    for (const [rps, share] of [[10, 20], [100, 10], [1_000, 10]] as const) wrong(`nothing happens, ${rps} rps, ${share} %`, { rps, weight: constant(share), latency: { factor: 1 } }, '0', even)
    for (const [pauses, promised] of [[0.05, '0.9 %'], [0.3, '1.0 %']] as const) wrong(`pauses of 0.7 s in ${pauses * 100} % of a pod's polls, first release ever`, { latency: { factor: 1, pauses } }, promised, even)
    for (const [spread, promised] of [[0.03, '0'], [0.05, '1.3 %'], [0.1, '11 %']] as const) wrong(`pods differ by ${spread * 100} % in speed`, { latency: { factor: 1, spread } }, promised, even)
    for (const [spread, promised] of [[0.05, '0.1 %'], [0.1, '5.3 %']] as const) wrong(`the same by ${spread * 100} %, three canary pods`, { canaryPods: 3, latency: { factor: 1, spread } }, promised, even)
  },
  slow() {
    head('latency of a slower release', 'seconds until rollback, median / p90')
    const table = [
      [1_000, 10, 1.5, [[1.25, '55 / 90'], [1.5, '12 / 13'], [2, '6 / 7']]], [1_000, 10, 1.2, [[1.25, '18 / 23'], [1.5, '7 / 13'], [2, '6 / 6']]],
      [100, 10, 1.5, [[1.25, '383 / 755'], [1.5, '50 / 70'], [2, '13 / 18']]], [100, 10, 1.2, [[1.25, '101 / 150'], [1.5, '28 / 43'], [2, '12 / 15']]],
      [10, 20, 1.5, [[1.5, '235 / 355'], [2, '51 / 76']]],
    ] as const
    for (const [rps, share, tolerance, cells] of table) for (const [factor, promised] of cells) {
      found(`${rps} rps, ${share} %, tolerance ${tolerance}, ${factor} x slower`, { rps, weight: constant(share), latency: { factor } }, promised, latencyConfig(tolerance))
    }
  },
  bad() {
    head('a canary that fails', 'seconds until rollback, median / p90')
    const rates = [1, 0.2, 0.05, 0.02, 0.015]
    const table = [
      [1_000, 10, ['6 / 6', '6 / 6', '7 / 13', '23 / 37', '46 / 80']], [1_000, 5, ['6 / 6', '6 / 6', '11 / 13', '38 / 60', '78 / 135']],
      [100, 10, ['6 / 6', '7 / 13', '30 / 48', '148 / 255', '320 / 615']], [100, 5, ['6 / 6', '12 / 17', '46 / 80', '250 / 450', '565 / 1115']],
      [100, 2, ['7 / 8', '18 / 28', '95 / 175', '555 / 1055', '1335 / 2535']], [10, 20, ['8 / 13', '23 / 38', '118 / 235', '735 / 1480', '1855 / - (90 % found)']],
      [2, 50, ['20 / 25', '80 / 130', '450 / 890', '3090 / - (60 % found)', '- (18 % found)']],
    ] as const
    for (const [rps, share, promised] of table) for (const [i, rate] of rates.entries()) {
      found(`${rps} rps, ${share} %, ${rate * 100} % fail`, { rps, weight: constant(share), canary: constant(rate) }, promised[i] ?? '')
    }
    for (const [base, promised] of [[0.0001, ['6 / 6', '7 / 8', '13 / 21', '30 / 53']], [0.001, ['6 / 6', '7 / 8', '17 / 28', '40 / 71']], [0.02, ['6 / 6', '13 / 18', '198 / 365']]] as const) {
      for (const [i, said] of promised.entries()) found(`100 rps, 10 %, base ${base * 100} %, ${(rates[i] ?? 0) * 100} % fail`, { primary: constant(base), canary: constant(rates[i] ?? 0) }, said)
    }
    for (const [rate, said] of [[0.2, '13 / 38'], [0.05, '103 / 316'], [0.02, '1000 / 2163']] as const) found(`100 rps, 10 %, bunches of 5, ${rate * 100} % fail`, { bunch: 5, canary: constant(rate) }, said)
    for (const [rate, said] of [[1, '6 / 7'], [0.05, '58 / 83'], [0.02, '315 / 458']] as const) {
      const late = 1_800
      found(`the same as above without bunches, ${rate * 100} % fail from ${late} s on (those seconds included)`, { canary: (second) => (second >= late ? rate : BASE), seconds: late + HOUR }, `${late} + ${said}`)
    }
  },
  rules() {
    print('traffic', 'canary errors', 'Flagger\'s rule', 'Argo\'s rule', 'judge')
    print('---', '---', '---', '---', '---')
    const told = (outcomes: readonly Pick<Outcome, 'rolledBackAt' | 'failed'>[]): string => {
      const rolled = outcomes.flatMap(({ rolledBackAt, failed }) => (rolledBackAt === undefined ? [] : [{ rolledBackAt, failed }]))
      const details = rolled.length === 0 ? '' : `, ${median(rolled.map(({ rolledBackAt }) => rolledBackAt))} s, ${median(rolled.map(({ failed }) => failed))} failed`
      return `${percent(rolled.length)}${details}`
    }
    for (const rps of [1_000, 100, 10, 2]) for (const rate of [1, 0.2, 0.05, 0.02, 0.015, BASE]) {
      const name = `${rps} rps ${rate}`
      if (!isChosen(group, name)) continue
      const world: World = { ...GOOD, rps, canary: constant(rate), weight: stairs, seconds: (MAX_WEIGHT / 10) * STEP_SECONDS }
      print(
        `${rps} rps`, rate === BASE ? `${rate * 100} % (fine)` : `${rate * 100} %`,
        told(repeat(`flagger ${name}`, (random) => countingRelease(world, 5, random))), told(repeat(`argo ${name}`, (random) => countingRelease(world, 0, random))),
        told(repeat(`judge ${name}`, (random) => judgeRelease(world, random))),
      )
    }
  },
  baseline() {
    const [fresh, shares] = [{ errors: fading(10, 60) }, [[10, 20], [100, 10], [1_000, 10]] as const]
    const even = latencyConfig(1.5)
    print('a good release', 'wrong rollbacks in an hour beside the primary', 'beside a baseline')
    print('---', '---', '---')
    for (const [rps, share] of shares) beside(`fresh pods like warm ones, ${rps} rps, ${share} %`, { rps, weight: constant(share) }, rolledBack)
    for (const [rps, share] of shares) beside(`fresh pods fail 10 x as often, half of it gone each minute, ${rps} rps, ${share} %`, { rps, weight: constant(share), startUp: fresh }, rolledBack)
    for (const [rps, share] of shares.slice(1)) {
      beside(`fresh pods fail 4 x as often for 10 min, ${rps} rps, ${share} %`, { rps, weight: constant(share), startUp: { errors: (second) => (second < 600 ? 4 : 1) } }, rolledBack)
    }
    for (const [rps, share] of shares.slice(1)) {
      beside(`fresh pods 1.5 x slower, half of it gone each 5 min, ${rps} rps, ${share} %`, { rps, weight: constant(share), latency: { factor: 1 }, startUp: { latency: fading(1.5, 300) } }, rolledBack, even)
    }
    beside('pods differ by 30 % in errors for good, 100 rps, 10 %', { errorSpread: 0.3 }, rolledBack)
    beside('failures in bunches of 5, first release ever, 100 rps, 10 %', { bunch: 5 }, rolledBack)
    console.log()
    print('a canary that fails', 'seconds until rollback, median / p90, beside the primary', 'beside a baseline')
    print('---', '---', '---')
    for (const [rps, share] of shares) for (const rate of [1, 0.2, 0.05, 0.02]) beside(`${rps} rps, ${share} %, ${rate * 100} % fail`, { rps, weight: constant(share), canary: constant(rate) }, delays)
    for (const rate of [0.05, 0.02]) beside(`100 rps, 10 %, ${rate / BASE} times worse, and fresh pods 10 x for the first minutes`, { canary: constant(rate), startUp: fresh }, delays)
    beside('100 rps, 10 %, 2 x slower', { latency: { factor: 2 } }, delays, even)
  },
  proof() {
    head('a canary that is proved good within an hour although it fails', 'wrong proofs')
    const alone = createConfig({ metrics: [{ name: 'errors', kind: 'rate', limit: LIMIT }, { name: 'slow', kind: 'rate', limit: 0.2, gating: false }] })
    for (const [times, promised] of [[1, '3.5 % (2.9-4.1); at most 5 %'], [1.2, '0.8 %'], [2, '1 of 4,000']] as const) {
      const name = `${times} times its limit`
      print(name, percent(repeat(name, (random) => judgeRelease({ ...GOOD, ...both(constant(times * LIMIT)) }, random, alone)).filter(({ wasGood }) => wasGood).length), promised)
    }
  },
}

for (const [name = ''] of CHOSEN) if (!Object.hasOwn(groups, name)) throw new RangeError(`no group ${name}; there are ${Object.keys(groups).join(', ')}`)
console.log(`${RUNS} runs a cell, seed ${SEED}, base ${BASE * 100} % errors, limit ${LIMIT * 100} %, polls of ${ERRORS_CONFIG.pollSeconds} s`)
for (const [name, run] of Object.entries(groups)) {
  if (!isChosen(name)) continue
  group = name
  console.log(`\n## ${name}\n`)
  run()
}
