import { basicAuth, headersOf, parseHeader, parseMethod, parseUrl, type Header } from '#loadtest/request.ts'
import { parsed, refused, type Parsed } from '#loadtest/words.ts'

/** The command lines of `curl` and `wget`, as far as a check needs them. No file is read or written. Pure. */

export type FetchPlan = {
  readonly kind: 'fetch'
  readonly tool: 'curl' | 'wget'
  readonly url: string
  readonly method: string
  readonly headers: Readonly<Record<string, string>>
  readonly body: string | undefined
  /** An answer of 400 or above is a failure. */
  readonly failOnError: boolean
  readonly followRedirects: boolean
  readonly insecure: boolean
  /** For each attempt; undefined: the command's deadline. */
  readonly timeoutMs: number | undefined
  readonly retries: number
  readonly retryDelayMs: number | undefined
  readonly prints: 'body' | 'headers-and-body' | 'nothing'
  /** What is printed after it: `curl -w`. */
  readonly writeOut: string
}

type Draft = {
  readonly urls: string[]
  readonly headers: Header[]
  readonly data: string[]
  method?: string
  fail?: boolean
  follow?: boolean
  insecure?: boolean
  timeoutMs?: number
  retries?: number
  retryDelayMs?: number
  prints?: FetchPlan['prints']
  writeOut?: string
}

/** Why the option is refused, or undefined. */
type Option = { readonly takes: boolean; readonly apply: (draft: Draft, value: string) => string | undefined }

const MAX_RETRIES = 20
const quiet: Option = { takes: false, apply: () => undefined }
const quietWithValue: Option = { takes: true, apply: () => undefined }
const flip = (apply: (draft: Draft) => void): Option => ({ takes: false, apply: (draft) => { apply(draft); return undefined } })
const seconds = (set: (draft: Draft, milliseconds: number) => void): Option => ({ takes: true, apply: (draft, value) => {
  if (!/^\d+(?:\.\d+)?$/.test(value)) return `${value.slice(0, 20)} is no number of seconds`
  set(draft, Number(value) * 1_000)
  return undefined
} })
const count = (set: (draft: Draft, many: number) => void): Option => ({ takes: true, apply: (draft, value) => {
  if (!/^\d{1,3}$/.test(value)) return `${value.slice(0, 20)} is no number of tries`
  set(draft, Math.min(Number(value), MAX_RETRIES))
  return undefined
} })
const header: Option = { takes: true, apply: (draft, value) => addHeader(draft, value) }
const namedHeader = (name: string): Option => ({ takes: true, apply: (draft, value) => addHeader(draft, `${name}: ${value}`) })
const data = (readsFiles: boolean): Option => ({ takes: true, apply: (draft, value) => {
  if (readsFiles && value.startsWith('@')) return `files are not read here: ${value.slice(0, 40)}`
  draft.data.push(value)
  return undefined
} })
const output: Option = { takes: true, apply: (draft, value) => {
  if (value !== '/dev/null' && value !== '-') return `files are not written here: ${value.slice(0, 40)}`
  if (value === '/dev/null') draft.prints = 'nothing'
  return undefined
} }

/** What `-w` can tell. */
export const WRITE_OUTS = ['http_code', 'response_code', 'time_total', 'size_download', 'content_type'] as const

const writeOut: Option = { takes: true, apply: (draft, value) => {
  const unknown = [...value.matchAll(/%\{([^}]*)\}/g)].find(([, name]) => WRITE_OUTS.every((known) => known !== name))
  if (unknown) return `curl -w knows ${WRITE_OUTS.map((name) => `%{${name}}`).join(', ')} here, not ${unknown[0].slice(0, 40)}`
  if (value.startsWith('@')) return `files are not read here: ${value.slice(0, 40)}`
  draft.writeOut = value
  return undefined
} }

function addHeader(draft: Draft, text: string): string | undefined {
  const read = parseHeader(text)
  if (!read.ok) return read.reason
  draft.headers.push(read.value)
  return undefined
}

const timeout = seconds((draft, milliseconds) => { draft.timeoutMs = milliseconds })

const CURL: Readonly<Record<string, Option>> = {
  '-s': quiet, '--silent': quiet, '-S': quiet, '--show-error': quiet, '-v': quiet, '--verbose': quiet, '-4': quiet, '--no-progress-meter': quiet,
  '--compressed': quiet, '--http1.1': quiet, '-N': quiet, '--retry-connrefused': quiet, '--retry-all-errors': quiet, '-#': quiet,
  '-f': flip((draft) => { draft.fail = true }), '--fail': flip((draft) => { draft.fail = true }), '--fail-with-body': flip((draft) => { draft.fail = true }),
  '-L': flip((draft) => { draft.follow = true }), '--location': flip((draft) => { draft.follow = true }),
  '-k': flip((draft) => { draft.insecure = true }), '--insecure': flip((draft) => { draft.insecure = true }),
  '-i': flip((draft) => { draft.prints = 'headers-and-body' }), '--include': flip((draft) => { draft.prints = 'headers-and-body' }),
  '-I': flip((draft) => { draft.method = 'HEAD'; draft.prints = 'headers-and-body' }), '--head': flip((draft) => { draft.method = 'HEAD'; draft.prints = 'headers-and-body' }),
  '-X': { takes: true, apply: setMethod }, '--request': { takes: true, apply: setMethod },
  '-H': header, '--header': header, '-A': namedHeader('user-agent'), '--user-agent': namedHeader('user-agent'),
  '-b': namedHeader('cookie'), '--cookie': namedHeader('cookie'), '-e': namedHeader('referer'),
  '-d': data(true), '--data': data(true), '--data-ascii': data(true), '--data-binary': data(true), '--data-raw': data(false),
  '-u': { takes: true, apply: setUser }, '--user': { takes: true, apply: setUser },
  '-w': writeOut, '--write-out': writeOut,
  '-o': output, '--output': output, '-m': timeout, '--max-time': timeout, '--connect-timeout': quietWithValue,
  '--retry': count((draft, many) => { draft.retries = many }), '--retry-delay': seconds((draft, wait) => { draft.retryDelayMs = wait }), '--retry-max-time': quietWithValue,
  '--url': { takes: true, apply: (draft, value) => { draft.urls.push(value); return undefined } },
}

const WGET: Readonly<Record<string, Option>> = {
  '-q': quiet, '--quiet': quiet, '-nv': quiet, '-S': quiet, '--server-response': quiet, '-4': quiet, '--no-verbose': quiet,
  '-O': output, '--output-document': output,
  '--spider': flip((draft) => { draft.method = 'HEAD'; draft.prints = 'nothing' }),
  '-T': timeout, '--timeout': timeout,
  // Tries, not retries.
  '-t': count((draft, many) => { draft.retries = Math.max(0, many - 1) }), '--tries': count((draft, many) => { draft.retries = Math.max(0, many - 1) }),
  '--header': header, '-U': namedHeader('user-agent'), '--user-agent': namedHeader('user-agent'),
  '--post-data': data(false), '--method': { takes: true, apply: setMethod }, '--body-data': data(false),
  '--no-check-certificate': flip((draft) => { draft.insecure = true }),
}

function setMethod(draft: Draft, value: string): string | undefined {
  const method = parseMethod(value)
  if (!method.ok) return method.reason
  draft.method = method.value
  return undefined
}

function setUser(draft: Draft, value: string): string | undefined {
  draft.headers.push(basicAuth(value))
  return undefined
}

/** `words` without the program's name. */
export const parseCurl = (words: readonly string[]): Parsed<FetchPlan> => parseFetch('curl', words, CURL)
export const parseWget = (words: readonly string[]): Parsed<FetchPlan> => parseFetch('wget', words, WGET)

function parseFetch(tool: FetchPlan['tool'], words: readonly string[], options: Readonly<Record<string, Option>>): Parsed<FetchPlan> {
  const draft: Draft = { urls: [], headers: [], data: [] }
  const left = [...words]
  for (let word = left.shift(); word !== undefined; word = left.shift()) {
    if (word === '-' || !word.startsWith('-')) {
      draft.urls.push(word)
      continue
    }
    const [name, inline] = splitOption(word, options)
    const option = Object.hasOwn(options, name) ? options[name] : undefined
    if (!option) return refused(`${tool} ${name.slice(0, 40)} is not supported here`)
    if (!option.takes) {
      // `-sf` is `-s -f`, and `-sd x` is `-s -d x`.
      if (inline !== undefined) left.unshift(`-${inline}`)
      const reason = option.apply(draft, '')
      if (reason !== undefined) return refused(reason)
      continue
    }
    const value = inline ?? left.shift()
    if (value === undefined) return refused(`${tool} ${name} has no value`)
    const reason = option.apply(draft, value)
    if (reason !== undefined) return refused(reason)
  }
  return settle(tool, draft)
}

/** The option's name, and what is written together with it. */
function splitOption(word: string, options: Readonly<Record<string, Option>>): readonly [string, string | undefined] {
  if (word.startsWith('--')) {
    const equals = word.indexOf('=')
    return equals < 0 ? [word, undefined] : [word.slice(0, equals), word.slice(equals + 1)]
  }
  if (Object.hasOwn(options, word)) return [word, undefined]
  return [word.slice(0, 2), word.length > 2 ? word.slice(2) : undefined]
}

function settle(tool: FetchPlan['tool'], draft: Draft): Parsed<FetchPlan> {
  if (draft.urls.length > 1) return refused(`${tool} takes one URL here; join several calls with &&`)
  const [place] = draft.urls
  const url = parseUrl(place === undefined || place.includes('://') ? place : `http://${place}`)
  if (!url.ok) return url
  const body = draft.data.length > 0 ? draft.data.join('&') : undefined
  return parsed({
    kind: 'fetch', tool, url: url.value, body,
    method: draft.method ?? (body === undefined ? 'GET' : 'POST'),
    headers: headersOf([
      ['user-agent', tool], ['accept', '*/*'], ...(body === undefined ? [] : [['content-type', 'application/x-www-form-urlencoded'] as const]), ...draft.headers,
    ]),
    failOnError: tool === 'wget' || (draft.fail ?? false),
    followRedirects: tool === 'wget' || (draft.follow ?? false),
    insecure: draft.insecure ?? false,
    timeoutMs: draft.timeoutMs,
    retries: draft.retries ?? 0,
    retryDelayMs: draft.retryDelayMs,
    prints: draft.prints ?? 'body',
    writeOut: draft.writeOut ?? '',
  })
}
