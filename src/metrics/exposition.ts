/** The Prometheus text format (and OpenMetrics, where the two agree): counters and classic histograms, read fast and bounded. */

export type Sample = { readonly name: string; readonly labels: Readonly<Record<string, string>>; readonly value: number }

/** Most samples of wanted names that one page may have: a page with more has a label that should be none. */
export const MAX_SAMPLES = 20_000
const MAX_LINE_CHARS = 8_192

/**
 * What a page says about the wanted names, or why it is no page. Lines of other names are passed over without being parsed, and so are
 * those without the text `containing`: a proxy's page is about everybody.
 */
export function parseExposition(text: string, names: ReadonlySet<string>, containing = ''): { readonly samples: readonly Sample[]; readonly fault?: undefined } | { readonly samples?: undefined; readonly fault: string } {
  const samples: Sample[] = []
  let start = 0
  let found = -1
  while (start < text.length) {
    if (containing !== '' && found < start) {
      found = text.indexOf(containing, start)
      if (found < 0) break
      // Of a proxy's page nearly every line is about somebody else.
      start = text.lastIndexOf('\n', found) + 1
    }
    const newline = text.indexOf('\n', start)
    const end = newline < 0 ? text.length : newline
    const name = found >= end ? undefined : wantedName(text, start, end, names)
    if (name !== undefined) {
      if (end - start > MAX_LINE_CHARS) return { fault: `a line of ${name} is longer than ${MAX_LINE_CHARS} characters` }
      const sample = parseSample(name, text.slice(start + name.length, end))
      if (!sample) return { fault: `a line of ${name} is no sample` }
      samples.push(sample)
      if (samples.length > MAX_SAMPLES) return { fault: `more than ${MAX_SAMPLES} samples` }
    }
    start = end + 1
  }
  return { samples }
}

const HASH = 35
const BRACE = 123
const SPACE = 32
const TAB = 9

function wantedName(text: string, start: number, end: number, names: ReadonlySet<string>): string | undefined {
  if (text.charCodeAt(start) === HASH) return undefined
  let index = start
  while (index < end) {
    const code = text.charCodeAt(index)
    if (code === BRACE || code === SPACE || code === TAB) break
    index += 1
  }
  const name = text.slice(start, index)
  return names.has(name) ? name : undefined
}

const LABEL = /[ \t]*([a-zA-Z_][a-zA-Z0-9_]*)[ \t]*=[ \t]*"((?:[^"\\]|\\.)*)"[ \t]*,?[ \t]*/y
const VALUE = /^[ \t]*([^ \t]+)/

/** The rest of a line, after its name. Time stamps and exemplars, which follow the value, are not read. */
function parseSample(name: string, rest: string): Sample | undefined {
  if (!rest.startsWith('{')) return withValue(name, {}, rest)
  const labels: [string, string][] = []
  let index = 1
  while (rest[index] !== '}') {
    LABEL.lastIndex = index
    const found = LABEL.exec(rest)
    const [whole, key, value] = found ?? []
    if (whole === undefined || key === undefined || value === undefined) return undefined
    labels.push([key, value.includes('\\') ? unescapeLabel(value) : value])
    index += whole.length
  }
  return withValue(name, Object.fromEntries(labels), rest.slice(index + 1))
}

const unescapeLabel = (value: string): string => value.replaceAll(/\\(.)/g, (_, char: string) => (char === 'n' ? '\n' : char))

function withValue(name: string, labels: Readonly<Record<string, string>>, rest: string): Sample | undefined {
  const [, text] = VALUE.exec(rest) ?? []
  if (text === undefined) return undefined
  const value = Number(text === '+Inf' ? 'Infinity' : text)
  // Go writes NaN for what it does not know; a counter is never that.
  return Number.isNaN(value) || text === '' ? undefined : { name, labels, value }
}

/** Where the counters of a service are, when its pods do not follow a known convention. */
export type CounterNames = {
  readonly requests?: { readonly name: string; readonly statusLabel?: string }
  /** Of a histogram, without `_bucket`. Milliseconds if the name or the unit says so, else seconds. */
  readonly duration?: { readonly name: string; readonly unit?: 'ms' }
  /** Of a page about many services: whose samples are meant. `containing` is a part of each of their lines, to find them fast. */
  readonly where?: { readonly label: string; readonly pattern: RegExp; readonly containing: string }
}

/** What one page says about HTTP requests. */
export type PageCounters = {
  /** Undefined when the page has no counter of requests that is known (yet: many appear with the first request). */
  readonly errors?: { readonly source: string; readonly requests: number; readonly failures: number }
  readonly latency?: {
    readonly source: string
    readonly requests: number
    /** Finite bounds that every series has, milliseconds, ascending. */
    readonly bounds: readonly number[]
    /** Requests slower than each bound. */
    readonly slower: readonly number[]
  }
}

type RequestSource = { readonly name: string; readonly statusLabels: readonly string[] }

/** Known conventions, the likeliest first. */
const REQUEST_SOURCES: readonly RequestSource[] = [
  { name: 'http_requests_total', statusLabels: ['code', 'status', 'status_code'] },
  { name: 'http_request_duration_seconds_count', statusLabels: ['status', 'code', 'status_code'] },
  { name: 'http_server_request_duration_seconds_count', statusLabels: ['http_response_status_code'] },
  // Spring Boot's.
  { name: 'http_server_requests_seconds_count', statusLabels: ['status'] },
]
const DURATION_SOURCES = ['http_request_duration_seconds', 'http_server_request_duration_seconds', 'http_server_requests_seconds']
const STATUS_LABELS = ['code', 'status', 'status_code', 'http_response_status_code']

/** The counters of a page, or why it could not be read. */
export function readPage(text: string, names: CounterNames = {}): { readonly page: PageCounters; readonly fault?: undefined } | { readonly page?: undefined; readonly fault: string } {
  const requests = names.requests ? [{ name: names.requests.name, statusLabels: names.requests.statusLabel ? [names.requests.statusLabel] : STATUS_LABELS }] : REQUEST_SOURCES
  const durations: readonly NonNullable<CounterNames['duration']>[] = names.duration ? [names.duration] : DURATION_SOURCES.map((name) => ({ name }))
  const wanted = new Set([...requests.map(({ name }) => name), ...durations.map(({ name }) => `${name}_bucket`)])
  const { samples: all, fault } = parseExposition(text, wanted, names.where?.containing)
  if (!all) return { fault }
  const { where } = names
  const samples = where ? all.filter(({ labels }) => where.pattern.test(labels[where.label] ?? '')) : all
  // An infinite count would make every later difference NaN, which the judge refuses: no poll would count while it lasts.
  const odd = samples.find(({ value }) => !(value >= 0 && value <= Number.MAX_SAFE_INTEGER))
  if (odd) return { fault: `${odd.name} is no count: ${odd.value}` }
  const errors = firstOf(requests, (source) => readErrors(samples, source))
  const latency = firstOf(durations, (source) => readLatency(samples, source))
  return { page: { ...(errors ? { errors } : {}), ...(latency ? { latency } : {}) } }
}

function firstOf<T, R>(values: readonly T[], read: (value: T) => R | undefined): R | undefined {
  for (const value of values) {
    const found = read(value)
    if (found !== undefined) return found
  }
  return undefined
}

/** Requests and those answered with 5xx; undefined without a status, since requests alone tell nothing. */
function readErrors(samples: readonly Sample[], { name, statusLabels }: RequestSource): PageCounters['errors'] {
  const own = samples.filter((sample) => sample.name === name)
  const label = statusLabels.find((candidate) => own.some(({ labels }) => Object.hasOwn(labels, candidate)))
  if (label === undefined) return undefined
  let requests = 0
  let failures = 0
  for (const { labels, value } of own) {
    requests += value
    if (labels[label]?.startsWith('5')) failures += value
  }
  return { source: `${name}{${label}}`, requests, failures }
}

function readLatency(samples: readonly Sample[], { name: source, unit }: NonNullable<CounterNames['duration']>): PageCounters['latency'] {
  const toMs = unit === 'ms' || /_(?:ms|milliseconds)$/.test(source) ? 1 : 1_000
  let requests = 0
  let series = 0
  const buckets = new Map<number, { total: number; series: number }>()
  for (const { name, labels, value } of samples) {
    if (name !== `${source}_bucket`) continue
    if (labels['le'] === '+Inf') {
      requests += value
      series += 1
      continue
    }
    // Seconds times 1000 is not exact: 0.005 must be the same bound in every page.
    const bound = Math.round(Number(labels['le']) * toMs * 1e6) / 1e6
    const bucket = buckets.get(bound) ?? { total: 0, series: 0 }
    buckets.set(bound, { total: bucket.total + value, series: bucket.series + 1 })
  }
  if (series === 0) return undefined
  const whole = [...buckets].filter(([bound, bucket]) => Number.isFinite(bound) && bucket.series === series).sort(([a], [b]) => a - b)
  return { source, requests, bounds: whole.map(([bound]) => bound), slower: whole.map(([, { total }]) => Math.max(0, requests - total)) }
}
