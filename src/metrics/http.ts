/**
 * The real Http, over undici. Addresses come from resources that a team may write, so this is the place where the cluster is guarded:
 * a name is resolved here, every address checked, and the connection goes to the checked address, not to a second answer of DNS.
 */

import { denialOf, isPublic } from '#api/address-denial.ts'
import { placeOf as placeOfText, type Http, type HttpRequest, type HttpResponse } from '#api/http.ts'
import type { LookupAddress } from 'node:dns'
import { lookup as systemLookup } from 'node:dns/promises'
import { isIP, type LookupFunction } from 'node:net'
import { setTimeout as wait } from 'node:timers/promises'
import { Agent, ProxyAgent, request as undiciRequest, type Dispatcher } from 'undici'
import { basicAuth, HttpError } from '#metrics/provider.ts'

export type HttpOptions = {
  /** Off in a cluster: the agent's own ports and its sidecars are nobody's metric source. */
  readonly allowLoopback?: boolean
  /** All addresses of a name; the system's resolver unless given. */
  readonly resolve?: (hostname: string) => Promise<readonly LookupAddress[]>
  /** To one origin at a time; whatever is beyond waits, and its time runs. */
  readonly connections?: number
}

export type HttpClient = {
  readonly http: Http
  /** The same through an HTTP proxy, which then resolves the names; its own address is checked like any other. */
  readonly through: (proxy: string) => Http
  readonly close: () => Promise<void>
}

/** Largest answer that is read unless a request says otherwise. */
export const MAX_RESPONSE_BYTES = 1024 * 1024
const MAX_CONNECTIONS_PER_ORIGIN = 16
const CONNECT_TIMEOUT_MS = 5_000
/** A busy server that asks for no more than this is asked again in the same exchange (seconds). */
const MAX_PATIENCE_SECONDS = 2
/** Statuses that say "not now". */
const BUSY: readonly number[] = [429, 503]

const resolveWithSystem = (hostname: string): Promise<readonly LookupAddress[]> => systemLookup(hostname, { all: true, order: 'verbatim' })

class DeniedAddressError extends Error {}
class PublicAddressError extends Error {}

type Guard = HttpOptions & { readonly privateOnly?: boolean }

async function checkedAddresses(hostname: string, options: Guard): Promise<readonly [LookupAddress, ...LookupAddress[]]> {
  const [first, ...more] = await (options.resolve ?? resolveWithSystem)(hostname)
  if (!first) throw new Error(`${hostname} has no address`)
  // One denied address denies the name: which of them is connected to is not ours to choose.
  for (const { address } of [first, ...more]) {
    const denial = denialOf(address, options)
    if (denial) throw new DeniedAddressError(`${hostname} is ${denial}`)
    if (options.privateOnly && isPublic(address)) throw new PublicAddressError()
  }
  return [first, ...more]
}

function guardedLookup(options: Guard): LookupFunction {
  return async (hostname, { all }, callback) => {
    const found = await checkedAddresses(hostname, options).catch((err: unknown) => (err instanceof Error ? err : new Error('lookup failed')))
    if (found instanceof Error) callback(found, '')
    else if (all) callback(null, [...found])
    else callback(null, found[0].address, found[0].family)
  }
}

/** A client whose connections are kept; close it at the end. */
export function createHttp(options: HttpOptions = {}): HttpClient {
  const agents = new Map<string, Agent>()
  /** Connections are kept, and only looked up when they are made: those to private addresses alone are others. */
  const agentFor = ({ insecureSkipVerify = false, privateOnly }: HttpRequest): Agent => {
    const key = `${insecureSkipVerify} ${privateOnly !== undefined}`
    const known = agents.get(key) ?? new Agent({
      connections: options.connections ?? MAX_CONNECTIONS_PER_ORIGIN,
      connect: { lookup: guardedLookup({ ...options, privateOnly: privateOnly !== undefined }), timeout: CONNECT_TIMEOUT_MS, rejectUnauthorized: !insecureSkipVerify },
    })
    agents.set(key, known)
    return known
  }
  return {
    http: (request, signal) => exchange(request, signal, agentFor(request), options),
    through: (proxy) => async (request, signal) => {
      // Few alerts go through a proxy: a connection each, and none is left behind.
      const dispatcher = proxyAgent(proxy, request, options)
      return await exchange(request, signal, dispatcher, options).finally(() => dispatcher.destroy())
    },
    close: async () => { await Promise.all([...agents.values()].map((agent) => agent.close())) },
  }
}

function proxyAgent(proxy: string, request: HttpRequest, options: HttpOptions): ProxyAgent {
  const url = checkedUrl(proxy, options)
  const { hostname } = checkedUrl(request.url, options)
  return new ProxyAgent({
    uri: withoutUser(url).href, ...(url.username === '' ? {} : { token: userOf(url) }),
    proxyTls: { lookup: guardedLookup(options), timeout: CONNECT_TIMEOUT_MS }, requestTls: { rejectUnauthorized: request.insecureSkipVerify !== true, ...(isIP(hostname) === 0 ? { servername: hostname } : {}) },
  })
}

async function exchange(request: HttpRequest, signal: AbortSignal, dispatcher: Dispatcher, options: HttpOptions): Promise<HttpResponse> {
  const url = checkedUrl(request.url, options)
  // Literal addresses are never looked up.
  if (request.privateOnly !== undefined && isIP(literalOf(url)) !== 0 && isPublic(literalOf(url))) throw new HttpError('denied', request.privateOnly)
  const deadline = AbortSignal.timeout(request.deadlineMs)
  const either = AbortSignal.any([signal, deadline])
  try {
    const first = await attempt(url, request, either, dispatcher).catch((err: unknown) => {
      // A pod that is just being replaced refuses once; nothing was sent, so nothing is done twice.
      if (codeOf(err) === 'ECONNREFUSED' && !either.aborted) return undefined
      throw err
    })
    const pauseSeconds = first ? pauseBefore(first, request) : 0
    if (first && pauseSeconds === undefined) return first
    if (pauseSeconds) await wait(pauseSeconds * 1_000, undefined, { signal: either })
    return await attempt(url, request, either, dispatcher)
  } catch (err) {
    throw faultOf(err, url, request, signal, deadline)
  }
}

/** How long to wait before the second and last try; undefined when the first answer stands. */
function pauseBefore({ status, retryAfterSeconds }: HttpResponse, { method = 'GET', repeatable = method === 'GET', deadlineMs }: HttpRequest): number | undefined {
  if (!repeatable || !BUSY.includes(status)) return undefined
  // A pod that is just starting says 503 and no more; who throttles without a time gets no second request at once.
  if (retryAfterSeconds === undefined) return status === 503 ? 0 : undefined
  return retryAfterSeconds <= MAX_PATIENCE_SECONDS && retryAfterSeconds * 2_000 <= deadlineMs ? retryAfterSeconds : undefined
}

function checkedUrl(text: string, options: HttpOptions): URL {
  if (!URL.canParse(text)) throw new HttpError('denied', 'the address is no URL')
  const url = new URL(text)
  if (url.protocol !== 'http:' && url.protocol !== 'https:') throw new HttpError('denied', `${url.protocol} is not http or https`)
  const literal = literalOf(url)
  const denial = isIP(literal) === 0 ? undefined : denialOf(literal, options)
  if (denial) throw new HttpError('denied', `${placeOf(url)}: the address is ${denial}`)
  return url
}

const literalOf = ({ hostname }: URL): string => hostname.replace(/^\[(.*)\]$/, '$1')

async function attempt(url: URL, { method = 'GET', headers, body, maxBytes = MAX_RESPONSE_BYTES }: HttpRequest, signal: AbortSignal, dispatcher: Dispatcher): Promise<HttpResponse> {
  const answer = await undiciRequest(withoutUser(url), { method, dispatcher, signal, headers: withUser(withSender({ ...headers }), url), ...(body === undefined ? {} : { body }) })
  const chunks: Buffer[] = []
  let bytes = 0
  for await (const chunk of answer.body) {
    if (!(chunk instanceof Uint8Array)) throw new TypeError('a body of bytes was expected')
    bytes += chunk.byteLength
    if (bytes > maxBytes) throw new HttpError('too-large', `${placeOf(url)}: the answer is larger than ${maxBytes} bytes`)
    chunks.push(Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength))
  }
  const { location, 'retry-after': retryAfter } = answer.headers
  const retryAfterSeconds = typeof retryAfter === 'string' ? secondsOf(retryAfter) : undefined
  return {
    status: answer.statusCode, body: Buffer.concat(chunks).toString('utf8'),
    ...(typeof location === 'string' ? { location } : {}), ...(retryAfterSeconds === undefined ? {} : { retryAfterSeconds }),
  }
}

/** Retry-After in seconds. Its other form, a date, needs clocks that agree: it is as good as none. */
const secondsOf = (text: string): number | undefined => (/^\s*\d{1,9}\s*$/.test(text) ? Number(text) : undefined)

function withoutUser(url: URL): URL {
  const plain = new URL(url)
  plain.username = ''
  plain.password = ''
  return plain
}

/** Vendors and proxies turn senders without a name away. */
const withSender = (headers: Readonly<Record<string, string>>): Readonly<Record<string, string>> => (hasHeader(headers, 'user-agent') ? headers : { ...headers, 'user-agent': 'canarygate-agent' })

const hasHeader = (headers: Readonly<Record<string, string>>, wanted: string): boolean => Object.keys(headers).some((name) => name.toLowerCase() === wanted)

/** User and password in an address are credentials, unless the request has others. */
function withUser(headers: Readonly<Record<string, string>>, url: URL): Readonly<Record<string, string>> {
  if (url.username === '' || hasHeader(headers, 'authorization')) return headers
  return { ...headers, authorization: userOf(url) }
}

const userOf = ({ username, password }: URL): string => basicAuth(decodeURIComponent(username), decodeURIComponent(password))

const placeOf = (url: URL): string => placeOfText(url.href)

function codeOf(err: unknown): string | undefined {
  if (typeof err !== 'object' || err === null) return undefined
  const code: unknown = Reflect.get(err, 'code')
  if (typeof code === 'string') return code
  // A name with several addresses fails with all their errors at once.
  const errors: unknown = Reflect.get(err, 'errors')
  return Array.isArray(errors) ? codeOf(errors[0]) : undefined
}

function faultOf(err: unknown, url: URL, { deadlineMs, privateOnly = '' }: HttpRequest, signal: AbortSignal, deadline: AbortSignal): HttpError {
  if (err instanceof HttpError) return err
  const place = placeOf(url)
  if (signal.aborted) return new HttpError('aborted', `${place}: given up`, { cause: err })
  if (deadline.aborted) return new HttpError('timeout', `${place}: no answer within ${deadlineMs} ms`, { cause: err })
  const denied = err instanceof DeniedAddressError ? err : undefined
  if (denied) return new HttpError('denied', denied.message)
  if (err instanceof PublicAddressError) return new HttpError('denied', privateOnly)
  const code = codeOf(err)
  // Not every fault that the parser finds has a code.
  if (code?.startsWith('HPE_') || (err instanceof Error && err.name === 'HTTPParserError')) return new HttpError('malformed', `${place}: the answer is no HTTP${code ? ` (${code})` : ''}`, { cause: err })
  return new HttpError('unreachable', `${place}: ${code ?? (err instanceof Error ? err.name : 'failed')}`, { cause: err })
}
