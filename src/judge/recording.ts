/** Recorded counts as JSON: read with a word on where it is wrong. `null` means "left out" wherever something may be left out. */

import { DEFAULT_ALPHA, DEFAULT_POLL_SECONDS, DEFAULT_TOLERANCE, floorAt, type JudgeSettings, type MetricSettings } from '#judge/config.ts'
import type { Baseline, PodCounters, Scrape } from '#judge/increase.ts'
import { BAD_IN_LIMITS, type DetectionTerms } from '#judge/plan.ts'
import type { HistogramCounts, Poll, RateCounts } from '#judge/poll.ts'

/** A poll with `repeat` comes that often; its answer is the last one. */
export type RecordedPoll = Poll & { readonly repeat: number }

export type Recording =
  | { readonly name: string; readonly kind: 'judge'; readonly settings: JudgeSettings; readonly polls: readonly RecordedPoll[] }
  | { readonly name: string; readonly kind: 'increase'; readonly prev: Baseline; readonly scrape: Scrape; /** Names of pods that did not answer. */ readonly silent: readonly string[] }
  | { readonly name: string; readonly kind: 'plan'; readonly terms: DetectionTerms }

export type Counts = {
  /** Undefined: the settings come from elsewhere. */
  readonly settings: JudgeSettings | undefined
  /** Of histograms, by metric, in milliseconds. */
  readonly bounds: Readonly<Record<string, readonly number[]>>
  readonly polls: readonly RecordedPoll[]
}

type Fields = Readonly<Record<string, unknown>>

const KINDS = ['judge', 'increase', 'plan'] as const
const SETTINGS = ['alpha', 'beta', 'leaveOneOut', 'goodRatio', 'pollSeconds', 'confirmationSeconds', 'confirmations'] as const
const PARTS = { dwell: ['polls', 'seconds', 'requests'], clumping: ['prior', 'cap', 'halfLife'] } as const
const METRIC = ['name', 'kind', 'gating', 'tolerance', 'limit', 'floor', 'bounds', 'slo'] as const
const MOST_REPEATS = 1_000_000

/** What cannot be replayed, and why. */
export type FaultyRecording = { readonly name: string; readonly fault: string }

/** One recording a line, or a JSON array of them. Blank lines are passed over. A faulty one loses none of the others. */
export function readVectors(text: string): readonly (Recording | FaultyRecording)[] {
  const whole = parsed(text)
  if (Array.isArray(whole)) return whole.map((value: unknown, i) => recordingOrFault(`[${i}]`, () => value))
  return text.split('\n').flatMap((line, i) => (withoutMark(line).trim() === '' ? [] : [recordingOrFault(`line ${i + 1}`, () => parse(line, `line ${i + 1}`))]))
}

function recordingOrFault(where: string, read: () => unknown): Recording | FaultyRecording {
  let value: unknown
  try {
    value = read()
    return readRecording(value, where)
  } catch (err) {
    if (!(err instanceof SyntaxError)) throw err
    const name = typeof value === 'object' && value !== null && 'name' in value ? value.name : undefined
    return { name: typeof name === 'string' ? name : where, fault: err.message }
  }
}

/** A list of polls, or an object with `polls` and, beside them, `config` (as in a recording) or `bounds` (by metric). */
export function readCounts(text: string): Counts {
  const value = parse(text, 'JSON')
  if (Array.isArray(value)) return { settings: undefined, bounds: {}, polls: readPolls(value, 'polls') }
  const fields = fieldsOf(value, 'JSON', 'use a list of polls, or an object with "polls"')
  const bounds = present(fields['bounds']) ? fieldsOf(fields['bounds'], 'bounds', 'use an object with a list of bounds by metric') : {}
  return {
    settings: present(fields['config']) ? ownSettings(fields['config']) : undefined,
    bounds: Object.fromEntries(Object.entries(bounds).map(([name, list]) => [name, numbersAt(list, `bounds.${name}`)])),
    polls: readPolls(fields['polls'], 'polls'),
  }
}

/** Written by hand: a setting that nobody knows is a slip, and left unsaid the default would be judged by. */
function ownSettings(value: unknown): JudgeSettings {
  const settings = readSettings(value, 'config')
  const fields = fieldsOf(value, 'config', 'use an object with metrics')
  refuseUnknown(fields, 'config', [...SETTINGS, 'dwell', 'clumping', 'metrics'])
  for (const part of ['dwell', 'clumping'] as const) if (present(fields[part])) refuseUnknown(fieldsOf(fields[part], `config.${part}`, 'use an object'), `config.${part}`, PARTS[part])
  for (const [i, metric] of listAt(fields['metrics'], 'config.metrics').entries()) refuseUnknown(fieldsOf(metric, `config.metrics[${i}]`, 'use an object'), `config.metrics[${i}]`, METRIC)
  return settings
}

function refuseUnknown(fields: Fields, where: string, known: readonly string[]): void {
  const unknown = Object.keys(fields).find((key) => !known.includes(key))
  if (unknown !== undefined) throw new SyntaxError(`${where}.${unknown}: unknown; known here: ${known.join(', ')}`)
}

const withoutMark = (text: string): string => text.replace(/^\uFEFF/, '')

function parsed(text: string): unknown {
  try {
    return JSON.parse(withoutMark(text)) as unknown
  } catch {
    return undefined // Several lines are no JSON as a whole; each tells its own fault.
  }
}

function parse(text: string, where: string): unknown {
  try {
    return JSON.parse(withoutMark(text)) as unknown
  } catch (err) {
    throw new SyntaxError(`${where}: no JSON (${err instanceof Error ? err.message : 'unreadable'})`, { cause: err })
  }
}

function readRecording(value: unknown, where: string): Recording {
  const fields = fieldsOf(value, where, 'use an object with name, kind and what it replays')
  const kind = KINDS.find((known) => known === fields['kind'])
  const { name } = fields
  if (!kind) return fail(`${where}: kind`, fields['kind'], `use one of ${KINDS.join(', ')}`)
  if (typeof name !== 'string') return fail(`${where}: name`, name, 'use a text')
  switch (kind) {
    case 'judge': return { name, kind, settings: readSettings(fields['config'], `${where}: config`), polls: readPolls(fields['polls'], `${where}: polls`) }
    case 'increase': return { name, kind, ...readScrape(fields, where) }
    case 'plan': return { name, kind, terms: readTerms(fields, where) }
    default: return kind satisfies never
  }
}

function readSettings(value: unknown, where: string): JudgeSettings {
  const fields = withoutNulls(fieldsOf(value, where, 'use an object with metrics'))
  const settings: Record<string, unknown> = {}
  for (const key of SETTINGS) {
    if (key in fields) settings[key] = numberAt(fields[key], `${where}.${key}`)
  }
  for (const key of ['dwell', 'clumping'] as const) {
    if (!(key in fields)) continue
    const parts = withoutNulls(fieldsOf(fields[key], `${where}.${key}`, 'use an object'))
    settings[key] = Object.fromEntries(Object.entries(parts).map(([part, number]) => [part, numberAt(number, `${where}.${key}.${part}`)]))
  }
  return { ...settings, metrics: listAt(fields['metrics'], `${where}.metrics`).map((metric, i) => readMetric(metric, `${where}.metrics[${i}]`)) }
}

function readMetric(value: unknown, where: string): MetricSettings {
  const fields = withoutNulls(fieldsOf(value, where, 'use an object with name and kind'))
  const { name, kind, gating } = fields
  if (typeof name !== 'string') return fail(`${where}.name`, name, 'use a text')
  if (gating !== undefined && typeof gating !== 'boolean') return fail(`${where}.gating`, gating, 'use true or false')
  const optional = (keys: readonly string[]) => Object.fromEntries(keys.filter((key) => key in fields).map((key) => [key, numberAt(fields[key], `${where}.${key}`)]))
  const common = { name, ...optional(['tolerance', 'limit', 'floor']), ...(gating === undefined ? {} : { gating }) }
  if (kind === 'rate') return { ...common, kind }
  if (kind === 'histogram') return { ...common, kind, bounds: numbersAt(fields['bounds'], `${where}.bounds`), ...optional(['slo']) }
  return fail(`${where}.kind`, kind, 'use rate or histogram')
}

function readPolls(value: unknown, where: string): readonly RecordedPoll[] {
  return listAt(value, where).map((poll, i) => readPoll(poll, `${where}[${i}]`))
}

function readPoll(value: unknown, where: string): RecordedPoll {
  const { repeat = 1, mixed = false, seconds = DEFAULT_POLL_SECONDS, weight, metrics = {} } = withoutNulls(fieldsOf(value, where, 'use an object with seconds, weight and metrics'))
  if (typeof repeat !== 'number' || !Number.isInteger(repeat) || repeat < 1 || repeat > MOST_REPEATS) return fail(`${where}.repeat`, repeat, `use a whole number from 1 to ${MOST_REPEATS}`)
  if (typeof mixed !== 'boolean') return fail(`${where}.mixed`, mixed, 'use true or false')
  const percent = countAt(weight, `${where}.weight`)
  if (percent > 100) return fail(`${where}.weight`, weight, 'use a percentage from 0 to 100')
  const found = withoutNulls(fieldsOf(metrics, `${where}.metrics`, 'use an object with counts by metric'))
  return {
    repeat, weight: percent, seconds: countAt(seconds, `${where}.seconds`), ...(mixed ? { mixed } : {}),
    metrics: Object.fromEntries(Object.entries(found).map(([name, counts]) => [name, readMetricCounts(counts, `${where}.metrics.${name}`)])),
  }
}

function readMetricCounts(value: unknown, where: string): RateCounts | HistogramCounts {
  const fields = withoutNulls(fieldsOf(value, where, 'use an object with nc, kc, np and kp'))
  const [nc, np] = [countAt(fields['nc'], `${where}.nc`), countAt(fields['np'], `${where}.np`)]
  const [kc, kp] = [eventsAt(fields['kc'], nc, `${where}.kc`), eventsAt(fields['kp'], np, `${where}.kp`)]
  const pods = fields['pods'] === undefined ? [] : listAt(fields['pods'], `${where}.pods`).map((pod, i): readonly [number, number | readonly number[]] => {
    const [n, k] = listAt(pod, `${where}.pods[${i}]`)
    const requests = countAt(n, `${where}.pods[${i}][0]`)
    return [requests, eventsAt(k, requests, `${where}.pods[${i}][1]`)]
  })
  const given = fields['pods'] === undefined ? {} : { pods }
  // One number a metric, or one for each bound: `channelPolls` takes either, and tells when there are too few.
  return { nc, kc, np, kp, ...given } as RateCounts | HistogramCounts
}

/** Events among `n` requests: one number, or one for each bound. */
function eventsAt(value: unknown, n: number, where: string): number | readonly number[] {
  const checked = (k: unknown, at: string): number => {
    const events = countAt(k, at)
    return events <= n ? events : fail(at, k, `there were only ${n} requests`)
  }
  return Array.isArray(value) ? value.map((k, i) => checked(k, `${where}[${i}]`)) : checked(value, where)
}

function readScrape(fields: Fields, where: string): { readonly prev: Baseline; readonly scrape: Scrape; readonly silent: readonly string[] } {
  const scrape = withoutNulls(fieldsOf(fields['scrape'], `${where}: scrape`, 'use an object with at and pods'))
  const asked = fieldsOf(scrape['pods'] ?? {}, `${where}: scrape.pods`, 'use an object with counters by pod')
  const ready = scrape['ready'] === undefined ? [] : listAt(scrape['ready'], `${where}: scrape.ready`)
  const silent = [...Object.keys(asked).filter((name) => asked[name] === null), ...ready.filter((name): name is string => typeof name === 'string' && !Object.hasOwn(asked, name))]
  const at = numberAt(scrape['at'], `${where}: scrape.at`)
  // Before the first complete scrape every pod's past belongs to nobody.
  const prev = present(fields['prev']) ? withoutNulls(fieldsOf(fields['prev'], `${where}: prev`, 'use an object with since and pods')) : { since: at }
  return {
    prev: { since: numberAt(prev['since'], `${where}: prev.since`), pods: readPods(prev['pods'] ?? {}, `${where}: prev.pods`) },
    scrape: { at, pods: readPods(withoutNulls(asked), `${where}: scrape.pods`) },
    silent,
  }
}

function readPods(value: unknown, where: string): Readonly<Record<string, PodCounters>> {
  const pods = withoutNulls(fieldsOf(value, where, 'use an object with counters by pod'))
  return Object.fromEntries(Object.entries(pods).map(([name, pod]) => {
    const { started, requests, bad } = fieldsOf(pod, `${where}.${name}`, 'use an object with started, requests and bad')
    const failed = Array.isArray(bad) ? bad.map((value, i) => countAt(value, `${where}.${name}.bad[${i}]`)) : countAt(bad, `${where}.${name}.bad`)
    return [name, { started: numberAt(started, `${where}.${name}.started`), requests: countAt(requests, `${where}.${name}.requests`), bad: failed }]
  }))
}

/** What the planning formula is asked with: the long names, or the letters of the formula; beside the recording or in its `config`. */
const TERM_NAMES = {
  primaryRate: ['primaryRate', 'primary', 'p'], canaryRate: ['canaryRate', 'canary', 'q'], requestsPerSecond: ['requestsPerSecond', 'rps'],
  weight: ['weight', 'w'], pollSeconds: ['pollSeconds', 'poll', 'seconds'], tolerance: ['tolerance', 'r0'], floor: ['floor', 'm'], limit: ['limit'],
  metrics: ['metrics', 'K'], alpha: ['alpha'], phi: ['phi'],
} as const

function readTerms(fields: Fields, where: string): DetectionTerms {
  const config = present(fields['config']) ? fieldsOf(fields['config'], `${where}: config`, 'use an object') : {}
  const inner = ['terms', 'input', 'params'].flatMap((key) => (present(fields[key]) ? [fieldsOf(fields[key], `${where}: ${key}`, 'use an object')] : []))
  const listed = Array.isArray(config['metrics']) ? (config['metrics'] as readonly unknown[]) : Array.isArray(fields['metrics']) ? (fields['metrics'] as readonly unknown[]) : []
  const first = listed[0] === undefined ? [] : [fieldsOf(listed[0], `${where}: config.metrics[0]`, 'use an object')]
  const sources = [fields, ...inner, config, ...first]
  const given = (term: keyof typeof TERM_NAMES): number | undefined => {
    for (const source of sources) for (const key of TERM_NAMES[term]) {
      if (present(source[key]) && !Array.isArray(source[key])) return countAt(source[key], `${where}: ${key}`)
    }
    return undefined
  }
  const needed = (term: keyof typeof TERM_NAMES): number => given(term) ?? fail(`${where}: ${term}`, undefined, 'use a number')
  const limit = given('limit')
  return {
    primaryRate: needed('primaryRate'), canaryRate: given('canaryRate') ?? (limit === undefined ? needed('canaryRate') : BAD_IN_LIMITS * limit),
    requestsPerSecond: needed('requestsPerSecond'), weight: needed('weight'), pollSeconds: given('pollSeconds') ?? DEFAULT_POLL_SECONDS,
    tolerance: given('tolerance') ?? DEFAULT_TOLERANCE, floor: given('floor') ?? floorAt(limit),
    metrics: given('metrics') ?? Math.max(1, listed.length), alpha: given('alpha') ?? DEFAULT_ALPHA, phi: given('phi') ?? 1,
  }
}

const present = (value: unknown): boolean => value !== undefined && value !== null
const withoutNulls = (fields: Fields): Fields => Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== null))

/** What was found comes with every fault; `wayOut` says what would be taken. */
function fail(where: string, found: unknown, wayOut: string): never {
  throw new SyntaxError(`${where}: ${found === undefined ? 'missing' : `${JSON.stringify(found)} is not usable`}; ${wayOut}`)
}

function fieldsOf(value: unknown, where: string, wayOut: string): Fields {
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? value as Fields : fail(where, value ?? undefined, wayOut)
}

const listAt = (value: unknown, where: string): readonly unknown[] => (Array.isArray(value) ? value : fail(where, value ?? undefined, 'use a list'))
const numbersAt = (value: unknown, where: string): readonly number[] => listAt(value, where).map((number, i) => numberAt(number, `${where}[${i}]`))
const numberAt = (value: unknown, where: string): number => (typeof value === 'number' && Number.isFinite(value) ? value : fail(where, value ?? undefined, 'use a number'))
const countAt = (value: unknown, where: string): number => (numberAt(value, where) >= 0 ? numberAt(value, where) : fail(where, value, 'use a number from 0 on'))
