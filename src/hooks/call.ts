/** Calls one hook (`spec.analysis.webhooks[]`) in Flagger's format. Read this first. */

import { HOOK_TYPES, type CanaryWebhook } from '#api/canary.ts'
import { DEFAULT_HOOK_TIMEOUT_SECONDS } from '#api/defaults.ts'
import { parseDuration } from '#api/duration.ts'
import { excerpt, faultOf, isSecretName, isUnknownName, placeOf, redact, secretsInUrl, type Http, type HttpRequest, type HttpResponse } from '#api/http.ts'

export type HookType = (typeof HOOK_TYPES)[number]

/** Whom a hook is called for; the body's fields. */
export type HookSubject = {
  /** Of the Canary, not of its target. */
  readonly name: string
  readonly namespace: string
  readonly phase: string
  /** The same during one revision: receivers use it as an idempotency key. */
  readonly checksum: string
}

export type HookPorts = {
  readonly http: Http
  /** Resolves after so many milliseconds, or as soon as the signal aborts; never rejects. */
  readonly wait: (milliseconds: number, signal: AbortSignal) => Promise<void>
  /** 0 up to 1. */
  readonly random: () => number
}

export type HookAnswer = {
  readonly name: string
  readonly type: HookType
  /** The receiver said yes. For a `rollback` hook that means: roll back. */
  readonly ok: boolean
  /** Ready for an event: what the receiver said, or why it said nothing; empty when it agreed without a word. */
  readonly message: string
  /** No alert is wanted when this hook halts the rollout. */
  readonly muteAlert: boolean
  readonly attempts: number
}

/** Above it an answer means no: 204 too, as in Flagger. */
const LAST_GOOD_STATUS = 202
/** An event's message holds 1 KiB, and has words of its own. */
const MAX_MESSAGE_CHARS = 512
const MAX_ANSWER_BYTES = 1024 * 1024
const MAX_REDIRECTS = 10
const REDIRECTS = [301, 302, 303, 307, 308]
const FIRST_BACKOFF_MS = 1_000
const LONGEST_BACKOFF_MS = 30_000
/** Flagger takes a shorter text for none. */
const MIN_TIMEOUT_CHARS = 2

export const typeOf = ({ type }: Pick<CanaryWebhook, 'type'>): HookType => HOOK_TYPES.find((known) => known === type) ?? 'rollout'

/** Milliseconds an attempt may take, or undefined when the text cannot be read. */
export function timeoutOf({ timeout = '' }: Pick<CanaryWebhook, 'timeout'>): number | undefined {
  if (timeout.length < MIN_TIMEOUT_CHARS) return DEFAULT_HOOK_TIMEOUT_SECONDS * 1_000
  const milliseconds = parseDuration(timeout)
  return milliseconds !== undefined && milliseconds > 0 ? milliseconds : undefined
}

export function renderBody({ name, namespace, phase, checksum }: HookSubject, metadata: Readonly<Record<string, string>> = {}): string {
  return JSON.stringify({ name, namespace, phase, checksum, ...(Object.keys(metadata).length > 0 ? { metadata } : {}) })
}

/** What the receiver answers, after as many attempts as the hook allows. Never rejects. */
export async function callHook(hook: CanaryWebhook, subject: HookSubject, ports: HookPorts, signal: AbortSignal): Promise<HookAnswer> {
  const secrets = secretsOf(hook)
  const answer = (ok: boolean, attempts: number, text: string): HookAnswer => ({
    name: hook.name, type: typeOf(hook), ok, attempts, muteAlert: hook.muteAlert ?? false, message: excerpt(redact(text, secrets), MAX_MESSAGE_CHARS),
  })
  const deadlineMs = timeoutOf(hook)
  if (deadlineMs === undefined) return answer(false, 0, `timeout "${hook.timeout ?? ''}" is no duration; write it like 30s`)
  if (!isWebAddress(hook.url)) return answer(false, 0, 'the url is no absolute http or https address')

  const request: HttpRequest = {
    method: 'POST', url: hook.url, body: renderBody(subject, hook.metadata), headers: { 'content-type': 'application/json' }, deadlineMs,
    maxBytes: MAX_ANSWER_BYTES, ...(hook.disableTLS ? { insecureSkipVerify: true } : {}),
  }
  const most = 1 + Math.max(0, hook.retries ?? 0)
  for (let attempt = 1; ; attempt += 1) {
    const got = await exchange(request, subject.namespace, ports.http, signal)
    if (got.kind === 'answer' && !isRetryable(got.status)) {
      return answer(got.status <= LAST_GOOD_STATUS, attempt, got.status <= LAST_GOOD_STATUS ? got.body : got.body.trim() || `HTTP ${got.status} without a body`)
    }
    const reason = got.kind === 'answer' ? `HTTP ${got.status} ${got.body}`.trim() : got.message
    if (got.kind === 'fault' && !got.repeatable) return answer(false, attempt, `POST ${placeOf(hook.url)}: ${reason}`)
    if (attempt < most) await ports.wait(backoffMs(attempt, ports.random), signal)
    if (attempt >= most || signal.aborted) return answer(false, attempt, `POST ${placeOf(hook.url)} giving up after ${attempt} attempt(s): ${reason}`)
  }
}

type Exchanged =
  | { readonly kind: 'answer'; readonly status: number; readonly body: string }
  | { readonly kind: 'fault'; readonly repeatable: boolean; readonly message: string }

/** One attempt, redirects included, within one deadline. */
async function exchange(request: HttpRequest, namespace: string, http: Http, signal: AbortSignal): Promise<Exchanged> {
  const late = AbortSignal.timeout(request.deadlineMs)
  const got = await resolved(request, namespace, http, AbortSignal.any([signal, late]))
  const isLate = got.kind === 'fault' && late.aborted && !signal.aborted
  return isLate ? { kind: 'fault', repeatable: true, message: `no answer within ${request.deadlineMs} ms` } : got
}

/** A name that is not known here is looked for in the Canary's namespace, where the people who wrote it meant it. */
async function resolved(request: HttpRequest, namespace: string, http: Http, signal: AbortSignal): Promise<Exchanged> {
  try {
    return { kind: 'answer', ...await follow(request, http, signal) }
  } catch (err) {
    const elsewhere = isUnknownName(err) ? inNamespace(request.url, namespace) : undefined
    if (elsewhere === undefined) return faulty(err, request.url)
    try {
      return { kind: 'answer', ...await follow({ ...request, url: elsewhere }, http, signal) }
    } catch (second) {
      return faulty(second, elsewhere)
    }
  }
}

/** The answer after redirects; each of them goes through the same guard. */
async function follow(first: HttpRequest, http: Http, signal: AbortSignal): Promise<HttpResponse> {
  let request = first
  for (let hops = 0; ; hops += 1) {
    const response = await http(request, signal)
    const { status, location } = response
    if (!REDIRECTS.includes(status) || location === undefined || !URL.canParse(location, request.url) || hops === MAX_REDIRECTS) return response
    const url = new URL(location, request.url).href
    const { body, ...bodiless } = request
    // As browsers and Go do it: only 307 and 308 repeat the body.
    request = status >= 307 ? { ...request, url } : { ...bodiless, method: 'GET', url }
  }
}

function faulty(err: unknown, url: string): Exchanged {
  const fault = faultOf(err)
  const text = err instanceof Error ? err.message : 'request failed'
  const place = `${placeOf(url)}: `
  return { kind: 'fault', repeatable: !['denied', 'aborted', 'too-large'].includes(fault), message: text.startsWith(place) ? text.slice(place.length) : text }
}

const isRetryable = (status: number): boolean => status === 429 || (status >= 500 && status !== 501)

/** 1 s, 2 s, 4 s up to 30 s, each shortened by up to a half so that many Canaries do not call together. */
const backoffMs = (attempt: number, random: () => number): number =>
  Math.min(FIRST_BACKOFF_MS * 2 ** (attempt - 1), LONGEST_BACKOFF_MS) * (0.5 + random() / 2)

/** The address with a one-word host completed by a namespace; undefined for any other host. */
function inNamespace(url: string, namespace: string): string | undefined {
  const completed = new URL(url)
  if (completed.hostname.includes('.') || completed.hostname.includes(':')) return undefined
  completed.hostname = `${completed.hostname}.${namespace}`
  return completed.href
}

const isWebAddress = (url: string): boolean => URL.canParse(url) && ['http:', 'https:'].includes(new URL(url).protocol)

/** Flagger has no header for a secret, so people put it into the address or the metadata. */
const secretsOf = ({ url, metadata = {} }: CanaryWebhook): string[] =>
  [...secretsInUrl(url), ...Object.entries(metadata).filter(([name]) => isSecretName(name)).map(([, value]) => value)]
