import { excerpt, faultOf, redact, secretsInUrl, type Http } from '#api/http.ts'
import type { Alert } from '#notify/alert.ts'
import { NOTIFY_PROVIDERS, notifyProvider } from '#notify/registry.ts'
import type { Delivery, Destination, NotifyProvider } from '#notify/provider.ts'
import type { SendMail } from '#notify/smtp.ts'

/** Brings one alert to one destination. */

export type DeliverPorts = {
  readonly http: Http
  /** The same through an HTTP proxy; without it, destinations that name a proxy are refused. */
  readonly httpThrough?: (proxy: string) => Http
  readonly sendMail?: SendMail
  /** Resolves after so many milliseconds, or as soon as the signal aborts; never rejects. */
  readonly wait: (milliseconds: number, signal: AbortSignal) => Promise<void>
  /** 0 up to 1. */
  readonly random: () => number
}

export type Outcome = { readonly delivered: boolean; readonly attempts: number; readonly reason: string }

const MAX_ATTEMPTS = 4
const FIRST_BACKOFF_MS = 1_000
/** Flagger's. */
const POST_DEADLINE_MS = 5_000
const MAX_ANSWER_BYTES = 64 * 1024
const MAX_REASON_CHARS = 200
/** Longest wait that a busy receiver may ask for (s): an alert has two minutes in all. */
const MAX_RETRY_AFTER_SECONDS = 30

type Attempt = { readonly state: 'delivered' | 'failed' | 'refused'; readonly reason: string; readonly retryAfterSeconds?: number | undefined }

/** Never rejects. A reason names neither address nor secret: the address of a chat's hook is one. */
export async function deliver(alert: Alert, to: Destination, ports: DeliverPorts, signal: AbortSignal): Promise<Outcome> {
  const provider = notifyProvider(to.type)
  if (!provider) return refused(0, `type ${to.type} is not known; known are ${NOTIFY_PROVIDERS.map(({ type }) => type).join(', ')}`)
  const delivery = rendered(() => provider.render(alert, to))
  if (delivery.kind === 'fault') return refused(0, delivery.reason)
  const secrets = secretsOf(to, delivery)
  if (signal.aborted) return refused(0, 'given up')
  for (let attempt = 1; ; attempt += 1) {
    const { state, reason, retryAfterSeconds = 0 } = await once(delivery, to, provider.refusal, ports, signal).catch((err: unknown): Attempt => ({
      // Nothing about a refused address changes by trying it again; who answers with a whole page has taken the alert.
      state: ['denied', 'too-large'].includes(faultOf(err)) ? 'refused' : 'failed', reason: err instanceof Error ? err.message : 'failed',
    }))
    const told = excerpt(redact(reason, secrets), MAX_REASON_CHARS)
    if (state === 'delivered') return { delivered: true, attempts: attempt, reason: '' }
    if (state === 'refused' || attempt >= MAX_ATTEMPTS || signal.aborted) return refused(attempt, told)
    const backoffMs = FIRST_BACKOFF_MS * 2 ** (attempt - 1) * (0.5 + ports.random() / 2)
    await ports.wait(Math.max(backoffMs, Math.min(retryAfterSeconds, MAX_RETRY_AFTER_SECONDS) * 1_000), signal)
    if (signal.aborted) return refused(attempt, told)
  }
}

/** An address that a provider cannot make anything of must not be the end of a lane's job: nobody would hear of it. */
function rendered(render: () => Delivery): Delivery {
  try {
    return render()
  } catch {
    return { kind: 'fault', reason: 'nothing can be made of the address' }
  }
}

const refused = (attempts: number, reason: string): Outcome => ({ delivered: false, attempts, reason })

async function once(
  delivery: Exclude<Delivery, { kind: 'fault' }>, to: Destination, refusal: NotifyProvider['refusal'], ports: DeliverPorts, signal: AbortSignal,
): Promise<Attempt> {
  if (delivery.kind === 'mail') {
    if (!ports.sendMail) return { state: 'refused', reason: 'e-mail is not set up' }
    try {
      await ports.sendMail(delivery.mail, signal)
      return { state: 'delivered', reason: '' }
    } catch (err) {
      // The server's 5xx is its last word (RFC 5321, 4.2.1).
      const code: unknown = typeof err === 'object' && err !== null ? Reflect.get(err, 'responseCode') : undefined
      if (typeof code === 'number' && code >= 500) return { state: 'refused', reason: err instanceof Error ? err.message : String(code) }
      throw err
    }
  }
  const http = to.proxy === undefined ? ports.http : ports.httpThrough?.(to.proxy)
  if (!http) return { state: 'refused', reason: 'proxies are not set up' }
  const { status, body, retryAfterSeconds } = await http({
    method: 'POST', url: delivery.url, headers: delivery.headers, body: JSON.stringify(delivery.body), deadlineMs: POST_DEADLINE_MS, maxBytes: MAX_ANSWER_BYTES,
  }, signal)
  const isGood = status >= 200 && status < 300
  const because = isGood ? refusal?.(body) : undefined
  if (isGood && because === undefined) return { state: 'delivered', reason: '' }
  const isTransient = because?.isTransient ?? (status === 429 || status >= 500)
  return { state: isTransient ? 'failed' : 'refused', reason: because?.reason ?? `HTTP ${status} ${body}`.trim(), retryAfterSeconds }
}

/** Of an address everything behind the host, and all that the Secret holds. */
function secretsOf(to: Destination, delivery: Delivery): string[] {
  const urls = [to.address, ...(delivery.kind === 'post' ? [delivery.url] : []), ...(to.proxy === undefined ? [] : [to.proxy])]
  const parts = urls.filter((url) => URL.canParse(url)).flatMap((url) => {
    const { pathname, search } = new URL(url)
    return [`${pathname}${search}`, pathname, ...secretsInUrl(url)]
  })
  return [...parts, ...Object.values(to.secret).map((value) => value.trim())]
}
