import { spawnSync } from 'node:child_process'
import { mkdirSync, readFileSync, rmSync } from 'node:fs'
import { Parser, type Result } from 'tap-parser'

/**
 * Runs the test files: those that need no cluster side by side, then those on the real cluster that keep to their own namespaces, a few
 * at a time, then those that disturb or measure the whole cluster one after another. Ends with the line `N passed, N failed, N skipped`,
 * which counts assertions of all.
 *
 *   run-tests.ts            everything but test/cluster/long
 *   run-tests.ts quick      only what needs no cluster
 *   run-tests.ts FILE...    these
 */
const OLDEST_NODE = 24
/** A file of cluster tests: several releases, each as long as its analysis takes (seconds). */
const CLUSTER_FILE_SECONDS = 900
/** Only run by name, or by `make test-long`. */
const LONG = 'test/cluster/long/'
/** They wait for pods and intervals most of their time, and each has several tests under way: more would starve two cores. */
const CLUSTER_FILES_AT_ONCE = 2
const isOnCluster = (file: string): boolean => file.startsWith('test/cluster/')
const isBesideOthers = (file: string): boolean => isOnCluster(file) && readFileSync(file, 'utf8').includes('await beginBesideOthers(t)')

type Counts = { readonly passed: number; readonly failed: number; readonly skipped: number }
/** What the list of failures shows of one: more is in the phase's file below .tap. */
const SHOWN_DIAGNOSTICS = ['at', 'found', 'wanted', 'diff', 'code', 'tapCaught', 'timeout'] as const
const SHOWN_CHARACTERS = 600

if (Number(process.versions.node.split('.')[0]) < OLDEST_NODE) {
  console.error(`node ${process.versions.node} is too old: run this with node_modules/.bin first on PATH (make does)`)
  process.exit(1)
}
mkdirSync('.tap', { recursive: true })
const [first, ...rest] = process.argv.slice(2)
const named = first === undefined || first === 'quick' ? filesBelow('test').filter((file) => !file.startsWith(LONG)) : [first, ...rest]
const onCluster = first === 'quick' ? [] : named.filter(isOnCluster)
const phases = [
  { name: 'quick', files: named.filter((file) => !isOnCluster(file)), options: [] },
  { name: 'cluster', files: onCluster.filter(isBesideOthers), options: [`--jobs=${CLUSTER_FILES_AT_ONCE}`, `--timeout=${CLUSTER_FILE_SECONDS}`] },
  { name: 'cluster-alone', files: onCluster.filter((file) => !isBesideOthers(file)), options: ['--jobs=1', `--timeout=${CLUSTER_FILE_SECONDS}`] },
]
const failures: string[] = []
const total = phases.filter(({ files }) => files.length > 0).map(({ name, files, options }) => run(name, files, options))
  .reduce((sum, counts) => ({ passed: sum.passed + counts.passed, failed: sum.failed + counts.failed, skipped: sum.skipped + counts.skipped }), { passed: 0, failed: 0, skipped: 0 })
for (const failure of failures) console.log(failure)
console.log(`${total.passed} passed, ${total.failed} failed, ${total.skipped} skipped`)
process.exit(total.failed === 0 && total.passed > 0 ? 0 : 1)

function filesBelow(folder: string): string[] {
  return spawnSync('git', ['ls-files', '--cached', '--others', '--exclude-standard', `${folder}/**.test.ts`], { encoding: 'utf8' }).stdout.split('\n').filter((file) => file !== '').sort()
}

/** One run of tap. A run whose output ends before its plan, or that fails without a failed assertion, counts as one failure. */
function run(name: string, files: readonly string[], options: readonly string[]): Counts {
  const output = `.tap/${name}.tap`
  rmSync(output, { force: true })
  const startedAt = Date.now()
  const { status } = spawnSync('tap', ['--reporter=terse', `--output-file=${output}`, ...options, ...files], { stdio: ['ignore', 'inherit', 'inherit'] })
  const counts = { passed: 0, failed: 0, skipped: 0 }
  let complete = false
  const parser = new Parser()
  parser.on('result', (result) => {
    if (result.skip || result.todo) counts.skipped += 1
    else if (result.ok) counts.passed += 1
    else {
      counts.failed += 1
      failures.push(describeFailure(result))
    }
  })
  parser.on('complete', (results) => { complete = results.plan.end !== null && results.plan.end !== undefined })
  try {
    parser.end(readFileSync(output, 'utf8'))
  } catch (err) {
    console.error(err)
  }
  if ((!complete || status !== 0) && counts.failed === 0) {
    counts.failed = 1
    failures.push(`not ok: ${name} ended ${complete ? `with status ${status}` : 'before its plan'}`)
  }
  console.log(`${name}: ${counts.passed} passed, ${counts.failed} failed, ${counts.skipped} skipped, in ${Math.round((Date.now() - startedAt) / 1_000)} s`)
  return counts
}

function describeFailure(result: Result): string {
  const diagnostics = (result.diag ?? {}) as Record<string, unknown>
  const shown = SHOWN_DIAGNOSTICS.filter((key) => diagnostics[key] !== undefined).map((key) => `${key}: ${JSON.stringify(diagnostics[key])}`).join(' ')
  return `not ok: ${result.fullname}\n    ${shown.slice(0, SHOWN_CHARACTERS)}`
}
