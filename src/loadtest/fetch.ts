import { request } from 'undici'
import { createClient, DeniedTargetError, nameOf, OWN_MARK, type Client } from '#loadtest/client.ts'
import type { FetchPlan, WRITE_OUTS } from '#loadtest/fetch-plan.ts'
import type { RunContext } from '#loadtest/load.ts'

/** One checked request, with the answers and the words of `curl` and `wget`. */

export type Fetched = { readonly ok: boolean; readonly output: string; readonly error: string }

export const MAX_OUTPUT_BYTES = 1024 * 1024
const FIRST_RETRY_MS = 1_000
const RETRIED_STATUSES = [408, 429, 500, 502, 503, 504]
const MAX_TIMER_MS = 2 ** 31 - 1

type Attempt = { readonly status: number; readonly output: string; readonly written: string; readonly fault: string | undefined; readonly isFinal: boolean }

/** Never rejects. */
export async function runFetch(plan: FetchPlan, context: RunContext, signal: AbortSignal): Promise<Fetched> {
  const client = createClient({ ...context, connections: 1, keepAlive: false, followRedirects: plan.followRedirects, insecure: plan.insecure, http2: true })
  try {
    for (let attempt = 0; ; attempt += 1) {
      const { status, output: printed, written, fault, isFinal } = await tryOnce(plan, context, client, signal)
      const output = printed + written
      const isTransient = fault !== undefined || RETRIED_STATUSES.includes(status)
      if (isTransient && !isFinal && attempt < plan.retries && !signal.aborted) {
        await context.wait(plan.retryDelayMs ?? FIRST_RETRY_MS * 2 ** attempt, signal)
        continue
      }
      if (fault !== undefined) return { ok: false, output: written, error: `${plan.tool}: ${fault}` }
      if (plan.failOnError && status >= 400) return { ok: false, output, error: refusalOf(plan.tool, status) }
      return { ok: true, output, error: '' }
    }
  } finally {
    await client.close()
  }
}

async function tryOnce(plan: FetchPlan, { now, onRequest }: RunContext, client: Client, signal: AbortSignal): Promise<Attempt> {
  const late = new AbortController()
  const timer = plan.timeoutMs === undefined ? undefined : setTimeout(() => { late.abort() }, Math.min(plan.timeoutMs, MAX_TIMER_MS))
  const sentAt = now()
  const written = (values: Partial<Written> = {}): string =>
    writeOutOf(plan.writeOut, { http_code: '000', response_code: '000', time_total: ((now() - sentAt) / 1_000).toFixed(6), size_download: '0', content_type: '', ...values })
  const told = (status: number): void => onRequest?.(status, (now() - sentAt) / 1_000)
  try {
    const answer = await request(plan.url, {
      method: plan.method, headers: { ...plan.headers, [OWN_MARK]: '1' }, dispatcher: client.dispatcher, signal: AbortSignal.any([signal, late.signal]),
      ...(plan.body === undefined ? {} : { body: plan.body }),
    })
    const chunks: Uint8Array[] = []
    let bytes = 0
    for await (const chunk of answer.body) {
      if (!(chunk instanceof Uint8Array)) continue
      bytes += chunk.byteLength
      if (bytes > MAX_OUTPUT_BYTES) {
        told(answer.statusCode)
        return { status: answer.statusCode, output: '', written: written(), fault: `the answer is larger than ${MAX_OUTPUT_BYTES} bytes`, isFinal: true }
      }
      chunks.push(chunk)
    }
    told(answer.statusCode)
    const headers = Object.entries(answer.headers).map(([name, value]) => `${name}: ${String(value)}`)
    const body = Buffer.concat(chunks).toString('utf8')
    const output = { 'nothing': '', 'body': body, 'headers-and-body': `HTTP/1.1 ${answer.statusCode}\n${headers.join('\n')}\n\n${body}` }[plan.prints]
    const code = String(answer.statusCode)
    const said = written({ http_code: code, response_code: code, size_download: String(bytes), content_type: String(answer.headers['content-type'] ?? '') })
    return { status: answer.statusCode, output, written: said, fault: undefined, isFinal: false }
  } catch (err) {
    told(0)
    return { status: 0, output: '', written: written(), fault: signal.aborted ? 'given up at the deadline' : nameOf(err), isFinal: err instanceof DeniedTargetError || signal.aborted }
  } finally {
    clearTimeout(timer)
  }
}

type Written = Record<(typeof WRITE_OUTS)[number], string>

const ESCAPES: Readonly<Record<string, string>> = { n: '\n', t: '\t', r: '\r' }

const writeOutOf = (format: string, values: Written): string => format.replaceAll(/%\{(\w+)\}|%%|\\([ntr])/g, (whole, name?: keyof Written, letter?: string) =>
  (name === undefined ? letter === undefined ? '%' : ESCAPES[letter] ?? whole : values[name]))

const refusalOf = (tool: FetchPlan['tool'], status: number): string =>
  (tool === 'curl' ? `curl: (22) The requested URL returned error: ${status}` : `wget: server returned error: HTTP/1.1 ${status}`)
