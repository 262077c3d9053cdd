import { parseDuration } from '#api/duration.ts'
import { basicAuth, headersOf, parseHeader, parseMethod, parseUrl, type Header } from '#loadtest/request.ts'
import { parsed, refused, type Parsed } from '#loadtest/words.ts'

/** `hey`'s command line, with its meaning and its defaults. Pure. */

export type LoadPlan = {
  readonly kind: 'load'
  readonly url: string
  readonly method: string
  readonly headers: Readonly<Record<string, string>>
  readonly body: string | undefined
  readonly workers: number
  /** Of all workers together; undefined when time ends it. */
  readonly requests: number | undefined
  readonly durationMs: number | undefined
  /** Requests a second of *each* worker; 0 is as fast as it goes. */
  readonly ratePerWorker: number
  /** For one request. */
  readonly timeoutMs: number
  readonly keepAlive: boolean
  readonly followRedirects: boolean
  /** Where the target has TLS and agrees; without TLS `hey` does not either. */
  readonly http2: boolean
}

export type LoadLimits = { readonly maxWorkers: number }

const DEFAULTS = { requests: 200, workers: 50, timeoutSeconds: 20, contentType: 'text/html', userAgent: 'hey/0.0.1' } as const
const MAX_REQUESTS = 10_000_000

type Draft = {
  url?: string
  method?: string
  readonly headers: Header[]
  body?: string
  workers?: number
  requests?: number
  durationMs?: number
  rate?: number
  timeoutSeconds?: number
  keepAlive?: boolean
  followRedirects?: boolean
  http2?: boolean
}

type Flag = (draft: Draft, value: string) => string | undefined

const whole = (name: 'workers' | 'requests' | 'timeoutSeconds', flag: string): Flag => (draft, value) => {
  if (!/^\d{1,9}$/.test(value)) return `${flag} ${value} is no whole number`
  draft[name] = Number(value)
  return undefined
}
const header = (name: string): Flag => (draft, value) => {
  const read = parseHeader(`${name}: ${value}`)
  if (!read.ok) return read.reason
  draft.headers.push(read.value)
  return undefined
}
const cannot = (what: string): Flag => () => `${what} is not supported here`

const FLAGS: Readonly<Record<string, Flag>> = {
  z: (draft, value) => {
    const milliseconds = parseDuration(value)
    if (milliseconds === undefined || milliseconds <= 0) return `-z ${value} is no duration; write it like 1m30s`
    draft.durationMs = milliseconds
    return undefined
  },
  q: (draft, value) => {
    if (!/^\d+(?:\.\d+)?$/.test(value)) return `-q ${value} is no rate`
    draft.rate = Number(value)
    return undefined
  },
  n: whole('requests', '-n'),
  c: whole('workers', '-c'),
  t: whole('timeoutSeconds', '-t'),
  m: (draft, value) => {
    const method = parseMethod(value)
    if (!method.ok) return method.reason
    draft.method = method.value
    return undefined
  },
  H: (draft, value) => {
    const read = parseHeader(value)
    if (!read.ok) return read.reason
    draft.headers.push(read.value)
    return undefined
  },
  d: (draft, value) => {
    draft.body = value
    return undefined
  },
  a: (draft, value) => {
    draft.headers.push(basicAuth(value))
    return undefined
  },
  host: header('host'),
  A: header('accept'),
  T: header('content-type'),
  U: (draft, value) => header('user-agent')(draft, `${value} ${DEFAULTS.userAgent}`),
  cpus: () => undefined,
  D: cannot('-D (a body from a file)'),
  o: cannot('-o (another output)'),
  x: cannot('-x (a proxy)'),
}

const SWITCHES: Readonly<Record<string, (draft: Draft) => string | undefined>> = {
  'disable-keepalive': (draft) => {
    draft.keepAlive = false
    return undefined
  },
  'disable-redirects': (draft) => {
    draft.followRedirects = false
    return undefined
  },
  'disable-compression': () => undefined,
  'h2': (draft) => {
    draft.http2 = true
    return undefined
  },
}

/** `words` without the program's name. */
export function parseHey(words: readonly string[], { maxWorkers }: LoadLimits): Parsed<LoadPlan> {
  const draft: Draft = { headers: [] }
  let at = 0
  // Go's flags: one dash or two, `-c 2` or `-c=2`, and the first word that is none ends them.
  for (; at < words.length && /^--?[A-Za-z]/.test(words[at] ?? ''); at += 1) {
    const [, name = '', inline] = /^--?([^=]+)(?:=([\s\S]*))?$/.exec(words[at] ?? '') ?? []
    const flip = Object.hasOwn(SWITCHES, name) ? SWITCHES[name] : undefined
    const flag = Object.hasOwn(FLAGS, name) ? FLAGS[name] : undefined
    if (!flip && !flag) return refused(`hey has no option -${name.slice(0, 30)}`)
    if (flip) {
      const reason = inline === 'false' ? undefined : flip(draft)
      if (reason !== undefined) return refused(reason)
      continue
    }
    const value = inline ?? words[at += 1]
    if (value === undefined) return refused(`-${name} has no value`)
    const reason = flag?.(draft, value)
    if (reason !== undefined) return refused(reason)
  }
  if (words.length > at + 1) return refused(`hey takes its options before the URL; after it stands ${words.slice(at + 1).join(' ').slice(0, 60)}`)
  const url = parseUrl(words[at])
  return url.ok ? settle(draft, url.value, maxWorkers) : url
}

function settle(draft: Draft, url: string, maxWorkers: number): Parsed<LoadPlan> {
  const { workers = DEFAULTS.workers, requests = DEFAULTS.requests, timeoutSeconds = DEFAULTS.timeoutSeconds, durationMs } = draft
  if (workers < 1) return refused('-c must be 1 or more')
  if (workers > maxWorkers) return refused(`-c ${workers} is more than the ${maxWorkers} workers allowed here`)
  if (durationMs === undefined && requests < workers) return refused(`-n ${requests} is less than -c ${workers}`)
  if (requests > MAX_REQUESTS) return refused(`-n ${requests} is more than ${MAX_REQUESTS}`)
  return parsed({
    kind: 'load', url, workers, durationMs,
    method: draft.method ?? 'GET',
    headers: headersOf([['content-type', DEFAULTS.contentType], ['user-agent', DEFAULTS.userAgent], ...draft.headers]),
    body: draft.body,
    // hey gives every worker the same number and leaves the remainder out.
    requests: durationMs === undefined ? Math.floor(requests / workers) * workers : undefined,
    ratePerWorker: draft.rate ?? 0,
    // 0 is no limit in hey; here a day is one, and the command's deadline comes first.
    timeoutMs: (timeoutSeconds || 86_400) * 1_000,
    keepAlive: draft.keepAlive ?? true,
    followRedirects: draft.followRedirects ?? true,
    http2: draft.http2 ?? false,
  })
}
