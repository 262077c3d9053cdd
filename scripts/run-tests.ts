import { spawnSync } from 'node:child_process'
import { mkdirSync, readFileSync } from 'node:fs'
import { Parser } from 'tap-parser'

/**
 * Runs the given test files, or all, and ends with the line `N passed, N failed, N skipped`.
 * Exit code: tap's own; a run whose output ends before its plan counts as failed.
 */
const OUTPUT = '.tap/out.tap'
const OLDEST_NODE = 24

if (Number(process.versions.node.split('.')[0]) < OLDEST_NODE) {
  console.error(`node ${process.versions.node} is too old: run this with node_modules/.bin first on PATH (make does)`)
  process.exit(1)
}
mkdirSync('.tap', { recursive: true })
const run = spawnSync('tap', ['--reporter=terse', `--output-file=${OUTPUT}`, ...process.argv.slice(2)], { stdio: ['ignore', 'inherit', 'inherit'] })

let passed = 0
let failed = 0
let skipped = 0
let complete = false
const parser = new Parser()
parser.on('result', (result) => {
  if (result.skip || result.todo) skipped += 1
  else if (result.ok) passed += 1
  else failed += 1
})
parser.on('complete', (results) => { complete = results.plan.end !== null && results.plan.end !== undefined })
parser.end(readFileSync(OUTPUT, 'utf8'))
if (!complete && failed === 0) failed += 1
console.log(`${passed} passed, ${failed} failed, ${skipped} skipped`)
process.exit(run.status === 0 && failed === 0 ? 0 : 1)
