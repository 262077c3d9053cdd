/** One HTTP exchange, as it is handed to those who ask or tell somebody outside. Whoever provides it guards the cluster: addresses, size, time. */

export type HttpRequest = {
  readonly method?: 'GET' | 'POST'
  readonly url: string
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: string
  /** For the whole exchange. */
  readonly deadlineMs: number
  /** Largest answer that is read. */
  readonly maxBytes?: number
  readonly insecureSkipVerify?: boolean
  /** Asking once more does no harm, and is done when the server is busy. A GET unless told. */
  readonly repeatable?: boolean
  /** Private addresses alone: of a public one this is the reason why it is not called. */
  readonly privateOnly?: string
}

export type HttpResponse = {
  readonly status: number
  readonly body: string
  /** The Location header; an implementation that leaves it out makes a redirect an answer like any other. */
  readonly location?: string
  /** The Retry-After header, in seconds from now. */
  readonly retryAfterSeconds?: number
}

/** Sends one request and reads its answer, within deadline and size. Redirects are answers. What brought no answer rejects. */
export type Http = (request: HttpRequest, signal: AbortSignal) => Promise<HttpResponse>

const FAULTS = ['timeout', 'aborted', 'too-large', 'denied', 'unreachable', 'malformed'] as const
export type HttpFault = (typeof FAULTS)[number]

/** Why an exchange brought no answer, by the `fault` of what it rejected with. */
export function faultOf(err: unknown): HttpFault {
  const fault: unknown = typeof err === 'object' && err !== null ? Reflect.get(err, 'fault') : undefined
  return FAULTS.find((known) => known === fault) ?? 'unreachable'
}

/** The resolver's word in an error or its cause: there is no such name. */
export function isUnknownName(err: unknown): boolean {
  if (typeof err !== 'object' || err === null) return false
  const code: unknown = Reflect.get(err, 'code')
  return code === 'ENOTFOUND' || code === 'EAI_AGAIN' || isUnknownName(Reflect.get(err, 'cause'))
}

/** A part of a path that no person wrote: many receivers have their secret there, as Slack, Discord and Teams do. */
const isTokenLike = (part: string): boolean => {
  const [run = ''] = /\w{20,}/.exec(part) ?? []
  return (/\d/.test(run) && /[a-z]/i.test(run)) || /[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-/i.test(part)
}

/** Scheme, host and path: user, password and query may be secrets, and so may what looks like one in the path. */
export function placeOf(url: string): string {
  if (!URL.canParse(url)) return 'the address'
  const { protocol, host, pathname } = new URL(url)
  return `${protocol}//${host}${pathname.split('/').map((part) => (isTokenLike(part) ? '***' : part)).join('/')}`
}

/** Shorter values are words that occur by accident. */
const MIN_SECRET_CHARS = 4

/** Foreign text without the values that are secret, longest first, so that a part does not uncover the rest. */
export function redact(text: string, secrets: readonly string[]): string {
  const known = [...new Set(secrets)].filter((secret) => secret.length >= MIN_SECRET_CHARS).sort((a, b) => b.length - a.length)
  return known.reduce((clean, secret) => clean.replaceAll(secret, '***'), text)
}

/** What a terminal obeys instead of showing, and what turns the direction of the text after it. */
const UNSHOWN = /[\s\p{Cc}\u200E\u200F\u202A-\u202E\u2066-\u2069]+/gu

/** Foreign text on one line, with nothing that a terminal would obey, and cut short. */
export function excerpt(text: string, maxChars: number): string {
  const line = text.replaceAll(UNSHOWN, ' ').trim()
  return (line.length > maxChars ? `${line.slice(0, maxChars)}...` : line).toWellFormed()
}

const SECRET_NAME = /auth|key|token|cookie|secret|passw|signature|^sig$/i
export const isSecretName = (name: string): boolean => SECRET_NAME.test(name)

/** User, password and secret-looking parameters of an address. */
export function secretsInUrl(url: string): string[] {
  if (!URL.canParse(url)) return []
  const { username, password, searchParams } = new URL(url)
  const parameters = [...searchParams].filter(([name]) => isSecretName(name)).map(([, value]) => value)
  return [username, password, safeDecode(password), ...parameters, ...parameters.map((value) => encodeURIComponent(value))].filter((text) => text !== '')
}

function safeDecode(text: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    return text
  }
}
