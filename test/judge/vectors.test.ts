import { readFileSync } from 'node:fs'
import { test } from 'tap'
import { replayVectors } from '#judge/replay.ts'

/** The vectors have nine digits. */
const RELATIVE_ERROR = 1e-8

type Expected = null | boolean | number | string | readonly Expected[] | { readonly [key: string]: Expected }
type Vector = { readonly name: string; readonly kind: string; readonly expect: Expected }

const lines = readFileSync(new URL('vectors.jsonl', import.meta.url), 'utf8').split('\n').filter((line) => line !== '')
const vectors = lines.map((line): Vector => JSON.parse(line))
const { results } = replayVectors(lines)

/** Where `found` differs from `expected`; keys that `expected` does not have are free. */
function differences(found: unknown, expected: Expected, path: string): string[] {
  if (typeof expected === 'number') {
    const near = typeof found === 'number' && Math.abs(found - expected) <= RELATIVE_ERROR * Math.max(Math.abs(expected), Number.MIN_VALUE)
    return near ? [] : [`${path}: ${String(found)}, not ${expected}`]
  }
  if (typeof expected !== 'object' || expected === null) return found === expected ? [] : [`${path}: ${String(found)}, not ${expected}`]
  if (typeof found !== 'object' || found === null) return [`${path}: missing`]
  const lengths = Array.isArray(expected) && (!Array.isArray(found) || found.length !== expected.length) ? [`${path}: another length`] : []
  return [...lengths, ...Object.entries(expected).flatMap(([key, child]) => differences(Reflect.get(found, key), child, `${path}.${key}`))]
}

for (const [i, { name, kind, expect }] of vectors.entries()) {
  test(`golden vector: ${name}`, async (t) => {
    const answers = results[i]?.answers
    t.equal(results[i]?.name, name)
    t.same(differences(kind === 'judge' ? answers : answers?.[0], expect, kind), [])
  })
}

test('a line that is no recording is named', async (t) => {
  t.throws(() => replayVectors(['', '{"name":"x","kind":"other"}']), /line 2/)
})
