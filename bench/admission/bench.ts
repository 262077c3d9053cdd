import { ask, CASES, start, type Started } from './load.ts'

/**
 * Ours against an empty answer of the same framework, alternately in one run, so that a busy machine troubles both alike.
 * Each round asks twice: over one connection, one request after the other, for the time that a user waits; and over several at
 * once, for what a core can do. `REQUESTS` (default 200), `ROUNDS` (70), `CONNECTIONS` (8). Exit 1 when a budget is missed.
 */
const REQUESTS = Number(process.env['REQUESTS'] ?? 200)
const ROUNDS = Number(process.env['ROUNDS'] ?? 70)
const CONNECTIONS = Number(process.env['CONNECTIONS'] ?? 8)
const WARM_UP = 1_000
const BUDGET_P50_RATIO = 1.3
const BUDGET_P99_MS = 5
const BUDGET_PER_CORE = 3_000

type Round = { readonly p50: number; readonly p99: number; readonly perSecond: number; readonly cpuUs: number; readonly rss: number }

async function round(server: Started, path: string, body: string, connections: number): Promise<Round> {
  const times: number[] = []
  let left = REQUESTS
  const before = await server.usage()
  const started = performance.now()
  await Promise.all(Array.from({ length: connections }, async () => {
    while (left > 0) {
      left -= 1
      times.push(await ask(server, path, body))
    }
  }))
  const seconds = (performance.now() - started) / 1_000
  const after = await server.usage()
  times.sort((a, b) => a - b)
  const at = (share: number): number => times[Math.min(times.length - 1, Math.floor(times.length * share))] ?? Number.NaN
  return { p50: at(0.5), p99: at(0.99), perSecond: times.length / seconds, cpuUs: (after.cpuUs - before.cpuUs) / times.length, rss: after.rss }
}

const median = (values: readonly number[]): number => values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? Number.NaN

const gate = await start('gate', CONNECTIONS)
const empty = await start('empty', CONNECTIONS)
const missed: string[] = []
console.log(`${ROUNDS} rounds of ${REQUESTS} requests; medians of the rounds; in brackets the empty answer`)
console.log(`one connection:  p50 ms, ratio, p99 ms     ${CONNECTIONS} connections: reviews/s, server CPU us a review, reviews/s a core, RSS MB`)
for (const { name, path, body } of CASES) {
  for (const server of [gate, empty]) for (let asked = 0; asked < WARM_UP; asked += 1) await ask(server, path, body)
  const alone: { readonly ours: Round; readonly theirs: Round }[] = []
  const together: { readonly ours: Round; readonly theirs: Round }[] = []
  for (let index = 0; index < ROUNDS; index += 1) {
    for (const [rounds, connections] of [[alone, 1], [together, CONNECTIONS]] as const) {
      // Turn about, so that neither always goes first.
      const first = index % 2 === 0 ? await round(gate, path, body, connections) : undefined
      const theirs = await round(empty, path, body, connections)
      rounds.push({ ours: first ?? await round(gate, path, body, connections), theirs })
    }
  }
  const both = (rounds: typeof alone, pick: (round: Round) => number, digits: number): string =>
    `${median(rounds.map(({ ours }) => pick(ours))).toFixed(digits)} (${median(rounds.map(({ theirs }) => pick(theirs))).toFixed(digits)})`
  const ratio = median(alone.map(({ ours, theirs }) => ours.p50 / theirs.p50))
  const p99 = median(alone.map(({ ours }) => ours.p99))
  const perCore = 1e6 / median(together.map(({ ours }) => ours.cpuUs))
  console.log([
    name.padEnd(13), `${Buffer.byteLength(body)} B`.padStart(8), both(alone, ({ p50 }) => p50, 2).padStart(14), ratio.toFixed(2).padStart(6),
    both(alone, (one) => one.p99, 2).padStart(14), both(together, ({ perSecond }) => perSecond, 0).padStart(15), both(together, ({ cpuUs }) => cpuUs, 0).padStart(11),
    perCore.toFixed(0).padStart(7), (median(together.map(({ ours }) => ours.rss)) / 2 ** 20).toFixed(0).padStart(5),
  ].join('  '))
  if (ratio > BUDGET_P50_RATIO) missed.push(`${name}: p50 is ${ratio.toFixed(2)} x the empty answer, more than ${BUDGET_P50_RATIO}`)
  if (p99 > BUDGET_P99_MS) missed.push(`${name}: p99 is ${p99.toFixed(1)} ms, more than ${BUDGET_P99_MS}`)
  if (perCore < BUDGET_PER_CORE) missed.push(`${name}: ${perCore.toFixed(0)} reviews/s a core, fewer than ${BUDGET_PER_CORE}`)
}
for (const { child, agent } of [gate, empty]) {
  agent.destroy()
  child.stdin?.end()
}
for (const line of missed) console.log(`budget missed: ${line}`)
if (missed.length > 0) process.exitCode = 1
