import { readFileSync } from 'node:fs'
import { test } from 'tap'
import { replayVectors } from '#judge/replay.ts'

/** The vectors have nine digits. */
const RELATIVE_ERROR = 1e-8

type Expected = null | boolean | number | string | readonly Expected[] | { readonly [key: string]: Expected }
type Vector = { readonly name: string; readonly kind: string; readonly expect: Expected }

const text = readFileSync(new URL('vectors.jsonl', import.meta.url), 'utf8')
const vectors = text.split('\n').filter((line) => line !== '').map((line): Vector => JSON.parse(line))
const { results } = replayVectors(text)

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

test('a file may be a JSON array, have blank lines, Windows line ends and a byte order mark', async (t) => {
  t.same(replayVectors(JSON.stringify(vectors, null, 2)).results, results)
  t.same(replayVectors(`\uFEFF\n${text.replaceAll('\n', '\r\n\r\n')}`).results, results)
})

test('null is the same as left out', async (t) => {
  const plain = { name: 'x', kind: 'judge', config: { metrics: [{ name: 'a', kind: 'rate' }] }, polls: [{ seconds: 5, weight: 10, metrics: { a: { nc: 9, kc: 1, np: 9, kp: 0 } } }] }
  const nulls = {
    ...plain, config: { alpha: null, dwell: null, metrics: [{ name: 'a', kind: 'rate', limit: null, floor: null, tolerance: null, gating: null }] },
    polls: [{ seconds: 5, weight: 10, mixed: null, repeat: null, metrics: { b: null, a: { nc: 9, kc: 1, np: 9, kp: 0, pods: null } } }],
  }
  t.same(replayVectors(JSON.stringify(nulls)), replayVectors(JSON.stringify(plain)))
})

test('a scrape that some ready pod did not answer counts nothing and moves no baseline', async (t) => {
  const prev = { since: 100, pods: { a: { started: 1, requests: 5, bad: 0 }, b: { started: 1, requests: 5, bad: 0 } } }
  const a = { started: 1, requests: 9, bad: 1 }
  for (const scrape of [{ at: 105, pods: { a, b: null } }, { at: 105, ready: ['a', 'b'], pods: { a } }]) {
    t.same(replayVectors(JSON.stringify({ name: 'x', kind: 'increase', prev, scrape })).results[0]?.answers, [{ complete: false, n: 0, k: 0, pods: [], next: prev }])
  }
  t.match(replayVectors(JSON.stringify({ name: 'x', kind: 'increase', prev: null, scrape: { at: 105, pods: { a } } })).results[0]?.answers, [{ complete: true, n: 0, k: 0, next: { since: 105, pods: { a } } }])
})

test('a plan is asked for in long names or in the formula\'s letters, beside its name or in an object of its own', async (t) => {
  const answer = (fields: object) => replayVectors(JSON.stringify({ name: 'x', kind: 'plan', ...fields })).results[0]?.answers
  const letters = { p: 0.005, q: 0.05, w: 10, rps: 100, r0: 1.5, m: 0.001, K: 2, alpha: 0.01, phi: 1, poll: 5 }
  const expected = answer({ primaryRate: 0.005, canaryRate: 0.05, weight: 10, rps: 100, limit: 0.01, metrics: 2 })
  for (const asked of [letters, { params: letters }, { terms: letters }, { input: letters }, { config: letters }]) t.same(answer(asked), expected, Object.keys(asked).join())
  // By hand, from the formula: g1 = q ln(rho/r0) - (q + p v) ln((rho + v)/(r0 + v)), with rho = 10 and v = 9.
  const g1 = 0.05 * Math.log(10 / 1.5) - (0.05 + 0.005 * 9) * Math.log(19 / 10.5)
  const requests = (Math.log(2 / 0.01) + 2.5) / g1
  t.same(differences(expected?.[0], { never: false, g1, requests, medianSeconds: requests / 10 + 10, p90Seconds: 2 * (requests / 10 + 10) }, 'plan'), [])
})

const poll = (metrics: object, more: object = {}) => ({ seconds: 5, weight: 10, ...more, metrics: { a: { nc: 9, kc: 1, np: 9, kp: 0, ...metrics } } })
const recording = (polls: readonly object[], config: object = { metrics: [{ name: 'a', kind: 'rate' }] }) => JSON.stringify({ name: 'x', kind: 'judge', config, polls })
const faults = [
  { name: 'another kind', text: '\n{"name":"x","kind":"other"}', says: 'line 2: kind: "other" is not usable; use one of judge, increase, plan' },
  { name: 'no JSON', text: '{"name":"x"\n', says: /^line 1: no JSON/ },
  { name: 'no name', text: '[{"kind":"plan"}]', says: '[0]: name: missing; use a text' },
  { name: 'a count that is missing', text: recording([poll({}), poll({ kp: undefined })]), says: 'line 1: polls[1].metrics.a.kp: missing; use a number' },
  { name: 'a count below zero', text: recording([poll({ nc: -1 })]), says: 'line 1: polls[0].metrics.a.nc: -1 is not usable; use a number from 0 on' },
  { name: 'more failures than requests', text: recording([poll({ kc: 10 })]), says: 'line 1: polls[0].metrics.a.kc: 10 is not usable; there were only 9 requests' },
  { name: 'a weight above 100', text: recording([poll({}, { weight: 101 })]), says: 'line 1: polls[0].weight: 101 is not usable; use a percentage from 0 to 100' },
  { name: 'a poll that never comes', text: recording([poll({}, { repeat: 0 })]), says: /polls\[0\]\.repeat: 0 is not usable/ },
  { name: 'fewer counts than bounds', text: recording([poll({ kc: [1], kp: [0] })], { metrics: [{ name: 'a', kind: 'histogram', bounds: [50, 100] }] }), says: 'x: polls[0]: judge: a has a count of undefined' },
  { name: 'settings without meaning', text: recording([poll({})], { alpha: 2, metrics: [{ name: 'a', kind: 'rate' }] }), says: 'x: judge: alpha is not between 0 and 1' },
  { name: 'a plan without the primary\'s rate', text: '{"name":"x","kind":"plan","canaryRate":0.1,"rps":10,"weight":10}', says: 'line 1: primaryRate: missing; use a number' },
] as const
for (const { name, text: lines, says } of faults) {
  test(`a recording with ${name}`, async (t) => { t.match(replayVectors(lines).results[0], { answers: [], fault: says }) })
}

test('a faulty recording loses none of the others', async (t) => {
  const fine = recording([poll({})])
  const { results: found } = replayVectors([fine, '{"name":"cut off', recording([poll({ nc: -1 })]), recording([poll({})], { alpha: 2, metrics: [{ name: 'a', kind: 'rate' }] }), fine].join('\n'))
  t.strictSame(found.map(({ name, answers, fault }) => [name, answers.length, fault === undefined]), [['x', 1, true], ['line 2', 0, false], ['x', 0, false], ['x', 0, false], ['x', 1, true]])
})
