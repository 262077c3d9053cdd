import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, resolve } from 'node:path'
import { Parser, type Result } from 'tap-parser'

/**
 * Runs the test files, each in a process of its own, lane by lane, and ends with the line `N passed, N failed, N skipped`, which counts assertions of all.
 *
 *   run-tests.ts            everything but test/cluster/long
 *   run-tests.ts quick      only what needs no cluster
 *   run-tests.ts FILE...    these
 */
const OLDEST_NODE = 24
const CLUSTER = 'test/cluster/'
/** Only run by name, or by `make test-long`. */
const LONG = `${CLUSTER}long/`

type LaneName = 'quick' | 'alone' | 'measured' | 'side by side'
type Lane = {
  readonly filesAtOnce: number
  /** Longest time of a file that does not set another one itself (s). */
  readonly seconds: number
  readonly niceness: number
}
/** A file of cluster tests: several releases, each as long as its analysis takes (s). */
const CLUSTER_FILE_SECONDS = 900
const LANES = {
  // They compute all the time. What runs beside them waits most of its time, and goes first when it does not.
  quick: { filesAtOnce: 2, seconds: 300, niceness: 5 },
  alone: { filesAtOnce: 1, seconds: CLUSTER_FILE_SECONDS, niceness: 0 },
  measured: { filesAtOnce: 1, seconds: CLUSTER_FILE_SECONDS, niceness: 0 },
  // They wait for pods and intervals most of their time, and most have three tests under way: more than six would starve two cores.
  'side by side': { filesAtOnce: 2, seconds: CLUSTER_FILE_SECONDS, niceness: 0 },
} as const satisfies Record<LaneName, Lane>
/** One after another; the lanes of one step run at the same time. */
const STEPS: readonly (readonly LaneName[])[] = [['quick', 'alone'], ['measured'], ['side by side']]
/** Begun before all others, in this order: whichever of them came last would end alone. What sends most requests does not come together. */
const LONGEST = ['cluster/traffic', 'cluster/kubectl', 'cluster/adoption', 'cluster/analysis', 'admission/fuzz', 'agent/crash', 'cluster/cluster', 'metrics/contract', 'rollout/properties']
  .map((name) => `test/${name}.test.ts`)
/** After its time a file is asked for what it waits for, and ended this much later (ms). */
const LAST_WORDS_MS = 10_000
/** No file takes longer, whatever it says of itself (ms). */
const LONGEST_FILE_MS = 25 * 60_000

type Counts = { readonly passed: number; readonly failed: number; readonly skipped: number }
const NONE: Counts = { passed: 0, failed: 0, skipped: 0 }
const sum = (all: readonly Counts[]): Counts => all.reduce((a, b) => ({ passed: a.passed + b.passed, failed: a.failed + b.failed, skipped: a.skipped + b.skipped }), NONE)
const inWords = ({ passed, failed, skipped }: Counts): string => `${passed} passed, ${failed} failed, ${skipped} skipped`
/** What the list of failures shows of one: more is in the file's output below .tap. */
const SHOWN_DIAGNOSTICS = ['at', 'found', 'wanted', 'diff', 'code', 'tapCaught', 'timeout'] as const
const SHOWN_CHARACTERS = 600

if (Number(process.versions.node.split('.')[0]) < OLDEST_NODE) {
  console.error(`node ${process.versions.node} is too old: run this with node_modules/.bin first on PATH (make does)`)
  process.exit(1)
}
const [first] = process.argv.slice(2)
const leftOut = first === undefined ? LONG : first === 'quick' ? CLUSTER : undefined
const named = leftOut === undefined ? process.argv.slice(2) : filesBelow('test').filter((file) => !file.startsWith(leftOut))
const failures: string[] = []
const counts: Counts[] = []
for (const step of STEPS) counts.push(...await Promise.all(step.map((name) => run(name, named.filter((file) => laneOf(file) === name)))))
const total = sum(counts)
for (const failure of failures) console.log(failure)
console.log(inWords(total))
process.exit(total.failed === 0 && total.passed > 0 ? 0 : 1)

function filesBelow(folder: string): string[] {
  return spawnSync('git', ['ls-files', '--cached', '--others', '--exclude-standard', `${folder}/**.test.ts`], { encoding: 'utf8' }).stdout.split('\n').filter((file) => file !== '').sort()
}

/** By how it takes its turn on the cluster: see test/scene.ts. One that takes none needs none, or brings its own. */
function laneOf(file: string): LaneName {
  if (!file.startsWith(CLUSTER)) return 'quick'
  const text = readFileSync(file, 'utf8')
  if (text.includes('await beginBesideOthers(t)')) return 'side by side'
  if (text.includes('await beginMeasuring(t)')) return 'measured'
  return text.includes('await begin(t)') ? 'alone' : 'quick'
}

async function run(name: LaneName, files: readonly string[]): Promise<Counts> {
  if (files.length === 0) return NONE
  const startedAt = performance.now()
  const waiting = [...LONGEST.filter((file) => files.includes(file)), ...files.filter((file) => !LONGEST.includes(file))]
  const done: Counts[] = []
  await Promise.all(Array.from({ length: LANES[name].filesAtOnce }, async () => {
    for (let file = waiting.shift(); file !== undefined; file = waiting.shift()) done.push(await runFile(file, LANES[name]))
  }))
  console.log(`${name}: ${inWords(sum(done))}, in ${secondsSince(startedAt)} s`)
  return sum(done)
}

function secondsSince(start: number): string {
  return ((performance.now() - start) / 1_000).toFixed(1)
}

/** One process. One whose output ends before its plan, that asserts nothing, or that fails without a failed assertion, counts as one failure. */
async function runFile(file: string, { seconds: longest, niceness }: Lane): Promise<Counts> {
  const startedAt = performance.now()
  const env = { ...process.env, TAP_TIMEOUT: String(longest), NODE_COMPILE_CACHE: resolve('.tap/compiled') }
  const child = spawn('nice', ['-n', String(niceness), process.execPath, file], { stdio: ['ignore', 'pipe', 'inherit'], env })
  const overdue = setTimeout(() => {
    child.kill('SIGALRM')
    setTimeout(() => child.kill('SIGKILL'), LAST_WORDS_MS).unref()
  }, LONGEST_FILE_MS)
  let output = ''
  child.stdout.setEncoding('utf8').on('data', (text: string) => { output += text })
  const [code, signal] = (await once(child, 'close')) as [number | null, NodeJS.Signals | null]
  clearTimeout(overdue)
  const saved = `.tap/${file.replace(/\.ts$/, '.tap')}`
  mkdirSync(dirname(saved), { recursive: true })
  writeFileSync(saved, output)
  const found = countsOf(file, output)
  const isEmpty = found.passed + found.failed + found.skipped === 0
  const isBroken = (!found.complete || isEmpty || code !== 0) && found.failed === 0
  if (isBroken) failures.push(`not ok: ${file} ended ${signal ?? `with status ${code}`}${!found.complete ? ' before its plan' : isEmpty ? ' without an assertion' : ''}`)
  const counts = { ...found, failed: isBroken ? 1 : found.failed }
  console.log(`${counts.failed === 0 ? 'ok    ' : 'not ok'} ${file}: ${inWords(counts)}, in ${secondsSince(startedAt)} s`)
  return counts
}

function countsOf(file: string, output: string): Counts & { readonly complete: boolean } {
  const counts = { passed: 0, failed: 0, skipped: 0, complete: false }
  const parser = new Parser()
  parser.on('result', (result) => {
    if (result.skip || result.todo) counts.skipped += 1
    else if (result.ok) counts.passed += 1
    else {
      counts.failed += 1
      failures.push(describeFailure(file, result))
    }
  })
  parser.on('complete', (results) => { counts.complete = results.plan.end !== null && results.plan.end !== undefined })
  parser.end(output)
  return counts
}

function describeFailure(file: string, result: Result): string {
  const diagnostics = (result.diag ?? {}) as Record<string, unknown>
  const shown = SHOWN_DIAGNOSTICS.filter((key) => diagnostics[key] !== undefined).map((key) => `${key}: ${JSON.stringify(diagnostics[key])}`).join(' ')
  return `not ok: ${file} > ${result.fullname}\n    ${shown.slice(0, SHOWN_CHARACTERS)}`
}
