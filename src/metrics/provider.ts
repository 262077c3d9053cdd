/** A metric source outside: asks one server for one number. Read this first. */

import { excerpt as shorten, isSecretName, redact, secretsInUrl, type Http, type HttpFault, type HttpRequest } from '#api/http.ts'
import type { Measurement } from '#api/measurement.ts'

/** Where to ask, with what rights, and for which stretch of time. */
export type MetricAddress = {
  /** `spec.provider.address`; some providers have one of their own. */
  readonly url?: string
  /** `spec.provider.headers`. */
  readonly headers?: Readonly<Record<string, readonly string[]>>
  /** Decoded data of the referenced Secret; absent when none is referenced. */
  readonly secret?: Readonly<Record<string, string>>
  readonly region?: string
  readonly insecureSkipVerify?: boolean
  /** Unix milliseconds at which the check is made, for providers that must be told from when to when. */
  readonly at: number
  /** The metric's interval. */
  readonly intervalSeconds: number
  /** Namespaces in which the metric may make objects: the Canary's and its template's. */
  readonly namespaces?: readonly string[]
}

/** The cluster's own API, for sources that are objects in it. Rejects with the HTTP status as `status`. */
export type ClusterApi = {
  raw(method: 'GET' | 'POST' | 'DELETE', path: string, options?: {
    readonly query?: Readonly<Record<string, string>>; readonly body?: unknown; readonly signal?: AbortSignal; readonly timeoutMs?: number
  }): Promise<unknown>
}

/** Resolves after so many milliseconds, or as soon as the signal aborts; never rejects. */
export type Wait = (milliseconds: number, signal: AbortSignal) => Promise<void>

export type MetricProvider = {
  /** As in `spec.provider.type`. */
  readonly type: string
  /** What the source says now. Never throws: what cannot be asked is `unavailable`, what has no points is `no-data`. */
  query(query: string, address: MetricAddress, http: Http, signal: AbortSignal): Promise<Measurement>
}

/** An exchange that brought no answer. The message is free of secrets: no header, no query, no user. */
export class HttpError extends Error {
  readonly fault: HttpFault
  constructor(fault: HttpFault, message: string, options?: ErrorOptions) {
    super(message, options)
    this.name = 'HttpError'
    this.fault = fault
  }
}

export const value = (number: number): Measurement =>
  // A ratio of nothing by nothing is no measurement; infinity is one.
  Number.isNaN(number) ? noData('the value is NaN') : { kind: 'value', value: number }
export const noData = (reason: string): Measurement => ({ kind: 'no-data', reason })
export const unavailable = (reason: string): Measurement => ({ kind: 'unavailable', reason })

/** Longest piece of a foreign answer in a reason. */
const MAX_EXCERPT_CHARS = 200

/** Text of a foreign server, cut short, on one line, and without the values that are secret. */
export const excerpt = (text: string, secrets: readonly string[]): string => shorten(redact(text, secrets), MAX_EXCERPT_CHARS)

/** Values that must not be told, of one request: as they are stored, and as they are sent. */
export function secretsOf({ url = '', secret = {}, headers = {} }: Pick<MetricAddress, 'url' | 'secret' | 'headers'>): string[] {
  const { username, password } = secret
  const encoded = username !== undefined && password !== undefined ? [basicAuth(username, password).slice('Basic '.length)] : []
  const sent = Object.entries(headers).filter(([name]) => isSecretName(name)).flatMap(([, values]) => values.flatMap((text) => [text, ...text.split(/\s+/)]))
  // Whoever makes a Secret with `echo` stores a line feed that is not sent.
  return [...encoded, ...Object.values(secret).flatMap((text) => [text, text.trim()]), ...sent, ...secretsInUrl(url)]
}

/** One exchange with a provider: the body of a 2xx answer goes to `parse`, anything else is `unavailable`. */
export async function ask(request: HttpRequest, address: MetricAddress, http: Http, signal: AbortSignal, parse: (body: string) => Measurement): Promise<Measurement> {
  const secrets = secretsOf(address)
  try {
    const { status, body, retryAfterSeconds } = await http({ ...request, ...(address.insecureSkipVerify ? { insecureSkipVerify: true } : {}) }, signal)
    if (status >= 200 && status < 300) return parse(body)
    const later = retryAfterSeconds === undefined ? '' : ` (asks to wait ${retryAfterSeconds} s)`
    return unavailable(`${`error response: ${status} ${excerpt(explanationOf(body), secrets)}`.trim()}${later}`)
  } catch (err) {
    return unavailable(excerpt(err instanceof Error ? err.message : 'request failed', secrets))
  }
}

/** `error.message` of an answer, as Google, Kubernetes and others explain themselves; else the text. */
const explanationOf = (body: string): string => {
  const answer = parseJson(body)
  const told = [dig(answer, 'error', 'message'), dig(answer, 'error'), dig(answer, 'message')].find((text) => typeof text === 'string')
  return typeof told === 'string' ? told : body
}

/** How far back sources that keep samples are asked (s). Points come late and coarse: looking back over ten intervals finds one. */
export const windowSeconds = ({ intervalSeconds }: Pick<MetricAddress, 'intervalSeconds'>): number => WINDOW_INTERVALS * intervalSeconds
const WINDOW_INTERVALS = 10

/** The address with path segments and parameters added; undefined when it is no http(s) URL. */
export function urlOf(address: string, path: string, parameters: Readonly<Record<string, string>>): URL | undefined {
  if (!URL.canParse(address)) return undefined
  const url = new URL(address)
  if (url.protocol !== 'http:' && url.protocol !== 'https:') return undefined
  url.pathname = `${url.pathname.replace(/\/+$/, '')}${path}`
  for (const [name, text] of Object.entries(parameters)) url.searchParams.set(name, text)
  return url
}

/** A JSON value, or undefined when the text is none. */
export function parseJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

/** What lies under the keys, or undefined. */
export function dig(from: unknown, ...keys: readonly (string | number)[]): unknown {
  let found = from
  for (const key of keys) {
    if (typeof found !== 'object' || found === null || !Object.hasOwn(found, key)) return undefined
    found = Reflect.get(found, key)
  }
  return found
}

export const basicAuth = (username: string, password: string): string => `Basic ${Buffer.from(`${username}:${password}`).toString('base64')}`
