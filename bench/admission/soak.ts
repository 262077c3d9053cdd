import { setTimeout as wait } from 'node:timers/promises'
import { ask, CASES, start } from './load.ts'

/**
 * Does the server's memory stay flat? `SOAK_MINUTES` (10) of reviews at `SOAK_RATE` a second (200), all cases in turn, over connections that
 * come and go as API servers recycle them. Exit 1 when the second half's median is more than `GROWTH` above the first half's after warm-up.
 */
const MINUTES = Number(process.env['SOAK_MINUTES'] ?? 10)
const RATE = Number(process.env['SOAK_RATE'] ?? 200)
/** Of the first minute nothing is said: the heap finds its size. */
const WARM_UP_SECONDS = Math.min(60, MINUTES * 60 * 0.2)
const SAMPLE_SECONDS = 5
const GROWTH = 0.05
/** Requests under way at most: a busy machine is asked more slowly. */
const MOST_AT_ONCE = 16

const median = (values: readonly number[]): number => values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? Number.NaN

const server = await start('gate')
const samples: { readonly at: number; readonly mb: number }[] = []
const open = new Set<Promise<void>>()
let [sent, failed] = [0, 0]
const startedAt = performance.now()
const seconds = (): number => (performance.now() - startedAt) / 1_000
let sampleAt = 0
while (seconds() < MINUTES * 60) {
  for (const due = Math.floor(seconds() * RATE); sent < due && open.size < MOST_AT_ONCE; sent += 1) {
    const { path, body } = CASES[sent % CASES.length] ?? CASES[0]
    const one: Promise<void> = ask(server, path, body).then(() => undefined, () => { failed += 1 }).finally(() => open.delete(one))
    open.add(one)
  }
  if (seconds() >= sampleAt) {
    samples.push({ at: seconds(), mb: (await server.usage()).rss / 2 ** 20 })
    sampleAt += SAMPLE_SECONDS
    if (sampleAt % 60 === 0) console.log(`${(seconds() / 60).toFixed(0)} min: ${sent} reviews, ${failed} failed, RSS ${samples.at(-1)?.mb.toFixed(0)} MB`)
  }
  await wait(5)
}
await Promise.all(open)
server.agent.destroy()
server.child.stdin?.end()

const settled = samples.filter(({ at }) => at >= WARM_UP_SECONDS)
const half = settled.length / 2
const [first, second] = [median(settled.slice(0, half).map(({ mb }) => mb)), median(settled.slice(half).map(({ mb }) => mb))]
const most = Math.max(...samples.map(({ mb }) => mb))
console.log(`${sent} reviews in ${MINUTES} min (${(sent / seconds()).toFixed(0)}/s), ${failed} failed; RSS in MB: first half ${first.toFixed(0)}, second half ${second.toFixed(0)}, most ${most.toFixed(0)}`)
if (failed > 0 || second > first * (1 + GROWTH)) {
  console.log(`budget missed: 0 failed, at most ${GROWTH * 100} % growth`)
  process.exitCode = 1
}
