import { execFile } from 'node:child_process'
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import Ajv from 'ajv/dist/2020.js'
import t from 'tap'
import { parse } from 'yaml'
import { scenarioJsonSchema } from '#api/scenario.ts'
import { main } from '#cli/main.ts'

const { test } = t
const EXAMPLES = 'examples/scenarios'
const scenarios = readdirSync(EXAMPLES).filter((name) => /^\d\d-.*\.yaml$/.test(name)).sort()
const run = async (...argv: readonly string[]) => {
  const [out, err]: [string[], string[]] = [[], []]
  const code = await main(argv, { out: (text) => out.push(text), err: (text) => err.push(text) })
  return { code, out: out.join(''), err: err.join('') }
}
const ENDS: Readonly<Record<string, object>> = {
  '01': { phase: 'Succeeded', primaryImage: 'v2' }, '02': { phase: 'Failed', primaryImage: 'v1', weight: 0 }, '03': { phase: 'Failed', primaryImage: 'v1' },
  '04': { phase: 'Succeeded', primaryImage: 'v2' }, '05': { phase: 'Succeeded', primaryImage: 'v3' }, '06': { phase: 'Failed', primaryImage: 'v1' },
  '07': { phase: 'Succeeded', primaryImage: 'v2' }, '08': { phase: 'Failed', primaryImage: 'v1' }, '09': { phase: 'Succeeded', primaryImage: 'v2' },
  '10': { phase: 'Succeeded', primaryImage: 'v2', primaryReplicas: 6 },
}

test('there are ten examples', async (t) => { t.equal(scenarios.length, 10) })
for (const name of scenarios) {
  test(`example ${name} ends as it says`, async (t) => {
    const path = join(EXAMPLES, name)
    const text = readFileSync(path, 'utf8')
    const canary = join(EXAMPLES, /-f (\S+)/.exec(text)?.[1] ?? '')
    const { code, out } = await run('simulate', '-f', canary, '--scenario', path, '-o', 'json')
    t.equal(code, 0)
    const answer = JSON.parse(out) as { readonly timeline: readonly object[]; readonly end: object }
    t.match(answer.end, ENDS[name.slice(0, 2)] ?? { phase: 'none' })
    t.strictSame(Object.keys(answer.end), ['at', 'phase', 'weight', 'requestedImage', 'primaryImage', 'primaryReplicas', 'canaryReplicas'])
    t.strictSame(Object.keys(answer.timeline[0] ?? {}), ['at', 'phase', 'weight', 'iterations', 'failedChecks', 'type', 'reason', 'message'])
    t.ok(new Ajv.default({ strict: false }).validate(scenarioJsonSchema(), parse(text)), 'it fits the JSON Schema')
  })
}

test('the schema in the documentation is the one of the code', async (t) => {
  t.strictSame(JSON.parse(readFileSync('docs/schemas/scenario.json', 'utf8')), scenarioJsonSchema())
})

for (const { preset, duration, rollback } of [
  { preset: 'conservative', duration: 12 * 60, rollback: 6 * 60 }, { preset: 'balanced', duration: 5 * 60, rollback: 5 * 60 }, { preset: 'aggressive', duration: 150, rollback: 90 },
]) {
  test(`plan of the ${preset} preset`, async (t) => {
    const { out } = await run('plan', '-f', join(EXAMPLES, `${preset}.canary.yaml`), '-o', 'json')
    t.match(JSON.parse(out), { durationSeconds: duration, rollbackSeconds: rollback })
  })
}

test('plan tells the smallest regression that the judge can find at given traffic', async (t) => {
  const told = async (...argv: readonly string[]) => (JSON.parse((await run('plan', '-f', join(EXAMPLES, 'balanced.canary.yaml'), '-o', 'json', ...argv)).out) as {
    readonly judge: { readonly primaryRate: number; readonly tells: readonly { readonly requestsPerSecond: number; readonly smallest: number | null; readonly tooShort?: string }[] }
  }).judge
  const usual = await told()
  t.match(usual, { mode: 'warn', primaryRate: 0.005, tells: [{ requestsPerSecond: 1 }, { requestsPerSecond: 10 }, { requestsPerSecond: 100 }, { requestsPerSecond: 1_000 }] })
  const smallest = usual.tells.map((row) => row.smallest ?? Infinity)
  t.same(smallest, smallest.toSorted((a, b) => b - a), 'more traffic tells more')
  t.same(usual.tells.map(({ tooShort }) => tooShort !== undefined), [true, true, false, false])
  const { tells: [one] } = await told('--rps', '12', '--errors', '1')
  t.match(one?.tooShort, /^at 12 requests\/s, telling 98 % success from the primary's 99 % needs about 1h\d+m of 50 % weight, and this analysis lasts 5m in all: it tells from 4\.2 % errors on; an interval 19 times as long would do$/)
  t.equal((await told('--rps', '0.01')).tells[0]?.smallest, null)
  t.match((await run('plan', '-f', join(EXAMPLES, 'balanced.canary.yaml'), '--rps', '12')).out, /\nwarning {3}analysis-too-short-to-tell: at 12 requests/)
  t.match(await run('plan', '-f', join(EXAMPLES, 'balanced.canary.yaml'), '--rps', 'many'), { code: 2, err: /--rps many is no number/ })
})

test('replay answers the golden vectors', async (t) => {
  const { code, out } = await run('replay', '--vectors', 'test/judge/vectors.jsonl', '-o', 'json')
  t.equal(code, 0)
  t.match(JSON.parse(out), { results: [{ name: 'every canary request fails', answers: [{ verdict: 'Suspect' }, { verdict: 'Worse' }] }] })
})

const directory = mkdtempSync(join(tmpdir(), 'canarygate-'))
t.teardown(() => { rmSync(directory, { recursive: true }) })
const written = (name: string, text: string): string => {
  writeFileSync(join(directory, name), text)
  return join(directory, name)
}

test('a recording that cannot be replayed is told beside the answers to the others', async (t) => {
  const fine = { name: 'plan', kind: 'plan', primaryRate: 0.01, canaryRate: 0.1, rps: 10, weight: 10 }
  const { code, out, err } = await run('replay', '--vectors', written('vectors.json', JSON.stringify([{ name: 'torn', kind: 'judge' }, fine])), '-o', 'json')
  t.equal(code, 2)
  t.match(JSON.parse(out), { results: [{ name: 'torn', answers: [], fault: '[0]: config: missing; use an object with metrics' }, { name: 'plan', answers: [{ never: false }] }] })
  t.match(err, /^kubectl-canary replay: .*vectors\.json: \[0\]: config: missing; use an object with metrics\n$/)
})

const EXAMPLE = 'examples/counts/ten-times-worse.json'
const BALANCED = join(EXAMPLES, 'balanced.canary.yaml')

test('recorded counts are judged poll by poll, by the settings of the Canary', async (t) => {
  const { code, out } = await run('replay', '--counts', EXAMPLE, '-f', BALANCED, '-o', 'json')
  t.equal(code, 0)
  t.match(JSON.parse(out), { results: [{
    name: 'shop', mode: 'warn', settings: { alpha: 0.01, metrics: [{ name: 'errors', limit: 0.01 }, { name: 'latency', slo: 500, bounds: [50, 100, 250, 500] }] },
    answers: [{ at: 60, weight: 10, verdict: 'Good' }, { at: 65, verdict: 'Good' }, { at: 70, verdict: 'Undecided' }, { at: 80, verdict: 'Suspect' }, { at: 81, weight: 20, verdict: 'Worse' }],
  }] })
})

test('the same in words', async (t) => {
  const { out } = await run('replay', '--counts', EXAMPLE, '-f', BALANCED)
  t.match(out, /^shop: .* at most once in 100 analyses\n/)
  t.match(out, /\+1m21s {5}20 % {2}Worse {6}canary fails [\d.]+ % of 420 requests, primary .*: worse beyond doubt/)
  t.match(out, /\nverdict {2}Worse after 1m21s: mode warn, so nothing is done but said\n$/)
})

test('counts without a Canary are judged by their own settings, or by the defaults for what they have', async (t) => {
  const polls = [{ seconds: 5, weight: 10, metrics: { checkout: { nc: 50, kc: 50, np: 450, kp: 2 } } }]
  const judged = async (counts: unknown) => JSON.parse((await run('replay', '--counts', written('counts.json', JSON.stringify(counts)), '-o', 'json')).out) as object
  t.match(await judged(polls), { results: [{ settings: { alpha: 0.01, metrics: [{ name: 'checkout', kind: 'rate', tolerance: 1.5 }] }, answers: [{ verdict: 'Suspect' }] }] })
  t.match(await judged({ polls, config: { alpha: 1e-60, metrics: [{ name: 'checkout', kind: 'rate', limit: 0.05 }] } }), { results: [{ answers: [{ verdict: 'Undecided' }] }] })
})

const slower = (kc: string, kp: string): string => `{"bounds": {"latency": [50, 100]}, "polls": [{"weight": 10, "metrics": {"latency": {"nc": 10, "kc": ${kc}, "np": 90, "kp": ${kp}}}}]}`

for (const { counts, says, canary } of [
  { counts: '{"polls": [', says: /counts\.json: JSON: no JSON \(/ },
  { counts: '{"polls": []}', says: /polls: none in it/ },
  { counts: '{}', says: /polls: missing; use a list/ },
  { counts: '[{"weight": 10, "metrics": {"errors": {"nc": 1, "kc": 2, "np": 1, "kp": 0}}}]', says: /polls\[0\]\.metrics\.errors\.kc: 2 is not usable; there were only 1 requests/ },
  { counts: '[{"weight": 10, "metrics": {"latency": {"nc": 1, "kc": [1], "np": 1, "kp": [0]}}}]', says: /bounds\.latency: missing; .*give the bounds in milliseconds/ },
  { counts: '[{"weight": 10, "metrics": {"latency": {"nc": 1, "kc": [1], "np": 1, "kp": [0]}}}]', canary: BALANCED, says: /metrics\.latency: not judged; it needs .*bounds/ },
  { counts: slower('[5, 8]', '[40, 80]'), says: /polls\[0\]\.metrics\.latency\.kc: grows with the bound; give the requests slower than each bound/ },
  { counts: slower('[5, 2]', '[80, 40, 1]'), says: /polls\[0\]\.metrics\.latency\.kp: 3 counts; give one for each of the 2 bounds/ },
  { counts: slower('[5, 2]', '7'), says: /latency\.kp: one number; give one for each of the 2 bounds/ },
  { counts: '{"config": {"metrics": [{"name": "e", "kind": "rate"}]}, "polls": [{"weight": 10, "metrics": {"e": {"nc": 1, "kc": [1], "np": 1, "kp": 0}}}]}', says: /metrics\.e\.kc: a list; e is judged by one number/ },
  { counts: '{"config": {"alhpa": 0.1, "metrics": []}, "polls": []}', says: /config\.alhpa: unknown; known here: alpha, beta/ },
  { counts: '{"config": {"metrics": [{"name": "e", "kind": "rate", "tolerence": 2}]}, "polls": []}', says: /config\.metrics\[0\]\.tolerence: unknown; known here: .*tolerance/ },
  { counts: '[{"weight": 10, "metrics": {"checkout": {"nc": 1, "kc": 1, "np": 1, "kp": 0}}}]', canary: BALANCED, says: /metrics\.checkout: not judged; the settings know errors/ },
  { counts: '[{"weight": 10, "metrics": {}}]', canary: BALANCED, says: /no poll has counts; the settings ask for errors/ },
]) {
  test(`counts such as ${counts} are refused${canary ? ' with a Canary' : ''}`, async (t) => {
    const { code, err } = await run('replay', '--counts', written('counts.json', counts), ...(canary ? ['-f', canary] : []))
    t.equal(code, 2)
    t.match(err, says)
  })
}

test('settings of the Canary that the judge cannot work with are told as the Canary\'s', async (t) => {
  const canary = written('alpha.canary.yaml', `${readFileSync(BALANCED, 'utf8')}\n`.replace(/^spec:/m, 'spec:\n  gate: {judge: {alpha: 7}}'))
  const { code, err } = await run('replay', '--counts', EXAMPLE, '-f', canary)
  t.equal(code, 2)
  t.match(err, /^kubectl-canary replay: .*alpha\.canary\.yaml: spec\.gate\.judge: judge: alpha is not between 0 and 1\n$/)
})

test('counts and vectors are not replayed at once, and one of them is needed', async (t) => {
  t.match(await run('replay', '--counts', EXAMPLE, '--vectors', 'test/judge/vectors.jsonl'), { code: 2, err: /give one of them/ })
  t.match(await run('replay'), { code: 2, err: /--counts FILE or --vectors FILE is missing/ })
})

for (const { events, says } of [
  { events: '[{at: 0s, do: setimage, image: v2}]', says: /events\[0\]\.do: "setimage" is unknown; use one of setImage, metrics/ },
  { events: '[{at: soon, do: setImage, image: v2}]', says: /events\[0\]\.at: "soon" is no duration; write 90s/ },
  { events: '[{at: 0s, do: setImage}]', says: /events\[0\]\.image: missing/ },
  { events: '[{at: 0s, do: scale, replicas: -1}]', says: /events\[0\]\.replicas: -1 is no whole number/ },
  { events: '[{at: 0s, do: setImage, image: v2, arm: canary}]', says: /events\[0\]\.arm: unknown; known here: at, do, image/ },
  { events: '[{at: 0s, do: annotate, set: {canarygate.dev/abrot: x}}]', says: /canarygate.dev\/abrot: no command; known: .*canarygate.dev\/abort/ },
  { events: '[{at: 0s, do: annotate, set: {flagger.app/promote: "false"}}]', says: /set\.flagger\.app\/promote: "false" is no command; write "true"/ },
  { events: '[{at: 0s, do: metrics, values: {latency: 3}}]', says: /metric latency is not in spec.analysis.metrics/ },
  { events: '[{at: 0s, do: metrics, values: {request-duration: slow}}]', says: /values\.request-duration: "slow" is no number; null means no data/ },
]) {
  test(`a scenario with ${events} is refused`, async (t) => {
    const { code, err } = await run('simulate', '-f', join(EXAMPLES, 'balanced.canary.yaml'), '--scenario', written('scenario.yaml', `image: v1\nevents: ${events}\n`))
    t.equal(code, 2)
    t.match(err, says)
  })
}

test('a Canary that cannot be used is refused with the field', async (t) => {
  const of = (spec: string) => written('canary.yaml', `kind: Canary\nmetadata: {name: shop}\nspec: ${spec}\n`)
  for (const [spec, says] of [
    ['{targetRef: {name: shop}}', /spec.analysis: missing/],
    ['{targetRef: {name: shop}, analysis: {stepWeight: ten}}', /spec.analysis.stepWeight: "ten" is no whole number/],
    ['{targetRef: {name: shop}, analysis: {interval: often}}', /spec.analysis.interval: "often" is no duration/],
    ['{targetRef: {name: shop}, analysis: {iterations: 100001}}', /spec.analysis.iterations: 100001 checks are more than 100000; use fewer, such as 10/],
  ] as const) {
    const { code, err } = await run('plan', '-f', of(spec))
    t.equal(code, 2)
    t.match(err, says)
  }
  t.match(await run('plan', '-f', join(directory, 'none.yaml')), { code: 2, err: /cannot be read \(ENOENT\)/ })
  const growing = ['a: &a [x,x,x,x,x,x,x,x,x]', ...[...'bcdefgh'].map((name, i) => `${name}: &${name} [${Array(9).fill(`*${'abcdefgh'[i] ?? ''}`).join(',')}]`)].join('\n')
  t.match(await run('plan', '-f', written('growing.yaml', growing)), { code: 2, err: /growing\.yaml: Excessive alias count indicates a resource exhaustion attack\n$/ })
  t.match(await run('plan'), { code: 2, err: /-f canary.yaml is missing/ })
  t.match(await run('plna'), { code: 2, err: /unknown command/ })
  t.match(await run('plan', '--what'), { code: 2 })
})

test('help and version', async (t) => {
  t.match(await run('help'), { code: 0, out: /usage: kubectl-canary/ })
  t.match(await run('version'), { code: 0, out: /^\d+\.\d+\.\d+\n$/ })
})

test('it runs as a program of its own', async (t) => {
  const { stdout } = await promisify(execFile)(process.execPath, ['src/cli/main.ts', 'plan', '-f', join(EXAMPLES, 'balanced.canary.yaml')])
  t.match(stdout, /duration {2}5m, then promotion/)
})
