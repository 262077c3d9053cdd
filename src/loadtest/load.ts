import { request, type Dispatcher } from 'undici'
import { createClient, nameOf, OWN_MARK, type TargetGuard } from '#loadtest/client.ts'
import type { LoadPlan } from '#loadtest/hey.ts'
import { createLatencies } from '#loadtest/histogram.ts'

/** Runs a load as `hey` does: each worker sends its next request when the last one has been answered and its pace allows. */

export type RunContext = TargetGuard & {
  readonly namespace: string
  /** Monotonic ms. */
  readonly now: () => number
  /** Resolves after so many milliseconds, or as soon as the signal aborts; never rejects. */
  readonly wait: (milliseconds: number, signal: AbortSignal) => Promise<void>
  /** Told of each request: its status, or 0 for one without an answer. */
  readonly onRequest?: (status: number, seconds: number) => void
}

export type LoadResult = {
  /** Sent and ended, answered or not. */
  readonly requests: number
  readonly seconds: number
  readonly statuses: Readonly<Record<string, number>>
  readonly errors: Readonly<Record<string, number>>
  readonly bytes: number
  /** Of answered requests (ms). */
  readonly latency: { readonly mean: number; readonly p50: number; readonly p90: number; readonly p99: number; readonly max: number }
}

/** Kinds of faults that are told apart. */
const MAX_ERROR_KINDS = 20

/** Resolves when the load is over, or soon after the signal aborts: then with what there is. Never rejects. */
export async function runLoad(plan: LoadPlan, context: RunContext, signal: AbortSignal): Promise<LoadResult> {
  const { now, wait, onRequest } = context
  // As hey: it loads a target, and takes nothing that it answers for true.
  const connect = () => createClient({ ...context, connections: plan.workers, keepAlive: plan.keepAlive, followRedirects: plan.followRedirects, http2: plan.http2, insecure: true })
  let client = connect()
  let connectedAt = now()
  /** Requests under way; those on connections that were renewed since cannot be reached through `client`. */
  const underWay = new Set<AbortController>()
  const latencies = createLatencies()
  const statuses: Record<string, number> = {}
  const errors = new Map<string, number>()
  let bytes = 0
  const startedAt = now()
  const endsAt = startedAt + (plan.durationMs ?? Infinity)
  const stop = new AbortController()
  const end = plan.durationMs === undefined ? signal : AbortSignal.any([signal, stop.signal])

  async function one(): Promise<void> {
    if (now() - connectedAt >= CONNECTION_MS) {
      void client.retire()
      client = connect()
      connectedAt = now()
    }
    const sentAt = now()
    const late = new AbortController()
    underWay.add(late)
    const told = (status: number): number => {
      const elapsed = now() - sentAt
      onRequest?.(status, elapsed / 1_000)
      return elapsed
    }
    try {
      const answer = await exchange(plan, client.dispatcher, late)
      latencies.add(told(answer.status))
      statuses[answer.status] = (statuses[answer.status] ?? 0) + 1
      bytes += answer.bytes
    } catch (err) {
      // What was cut off says nothing of the target.
      if (signal.aborted) return
      told(0)
      const name = nameOf(err)
      const kind = errors.has(name) || errors.size < MAX_ERROR_KINDS ? name : 'others'
      errors.set(kind, (errors.get(kind) ?? 0) + 1)
      // A target that refuses at once must not make a tight loop.
      if (plan.ratePerWorker === 0) await wait(REFUSED_PAUSE_MS, end)
    } finally {
      underWay.delete(late)
    }
  }

  async function work(index: number): Promise<void> {
    const paceMs = plan.ratePerWorker > 0 ? 1_000 / plan.ratePerWorker : 0
    let left = plan.requests === undefined ? Infinity : plan.requests / plan.workers
    // Workers start spread over one pace, not all in the same instant.
    let nextAt = startedAt + (paceMs * index) / plan.workers
    for (; left > 0 && !end.aborted; left -= 1) {
      if (nextAt > now()) await wait(nextAt - now(), end)
      // Timers fire a little early, too: what is due at the end is not sent.
      if (end.aborted || Math.max(now(), nextAt) >= endsAt) return
      // A slow answer is not made up for by a burst; a moment that this process was late is.
      nextAt = Math.max(nextAt, now() - Math.max(paceMs, CATCH_UP_MS)) + paceMs
      await one()
    }
  }

  // Its end stops new requests; those under way are answered, or the target would count them as broken off.
  const cut = plan.durationMs === undefined ? undefined : setTimeout(() => { stop.abort() }, Math.min(plan.durationMs, MAX_TIMER_MS))
  const closeEarly = (): void => { for (const pending of underWay) pending.abort() }
  signal.addEventListener('abort', closeEarly, { once: true })
  await Promise.all(Array.from({ length: plan.workers }, (_, index) => work(index)))
  clearTimeout(cut)
  signal.removeEventListener('abort', closeEarly)
  await client.close()

  const failed = [...errors.values()].reduce((sum, many) => sum + many, 0)
  return {
    requests: latencies.count() + failed, seconds: (now() - startedAt) / 1_000, statuses, errors: Object.fromEntries(errors), bytes,
    latency: {
      mean: latencies.count() === 0 ? 0 : latencies.sum() / latencies.count(),
      p50: latencies.quantile(0.5), p90: latencies.quantile(0.9), p99: latencies.quantile(0.99), max: latencies.max(),
    },
  }
}

const REFUSED_PAUSE_MS = 5
/** `hey` makes up for one request, which is less than a busy moment of one process at paces of a few milliseconds. */
const CATCH_UP_MS = 50
/**
 * Connections are renewed after so long. `hey` keeps them for ever, and behind a plain Service a connection stays with one pod: two of them
 * would never meet a canary of one pod in eleven. No shorter, or a load of many workers would run out of ports.
 */
const CONNECTION_MS = 500

async function exchange({ url, method, headers, body, timeoutMs }: LoadPlan, dispatcher: Dispatcher, late: AbortController): Promise<{ readonly status: number; readonly bytes: number }> {
  const timer = setTimeout(() => { late.abort() }, Math.min(timeoutMs, MAX_TIMER_MS))
  try {
    const answer = await request(url, { method, headers: { ...headers, [OWN_MARK]: '1' }, dispatcher, signal: late.signal, ...(body === undefined ? {} : { body }) })
    let bytes = 0
    for await (const chunk of answer.body) if (chunk instanceof Uint8Array) bytes += chunk.byteLength
    return { status: answer.statusCode, bytes }
  } finally {
    clearTimeout(timer)
  }
}

const MAX_TIMER_MS = 2 ** 31 - 1

/** As a person wants to read it in a log or an answer. */
export function describeLoad({ requests, seconds, statuses, errors, latency }: LoadResult): string {
  const ms = (value: number): string => `${value.toFixed(1)} ms`
  const listed = (counts: Readonly<Record<string, number>>): string => Object.entries(counts).map(([name, many]) => `${name}: ${many}`).join(', ') || 'none'
  return [
    `Requests: ${requests} in ${seconds.toFixed(1)} s (${(requests / Math.max(seconds, 0.001)).toFixed(1)} a second)`,
    `Latency: mean ${ms(latency.mean)}, 50% ${ms(latency.p50)}, 90% ${ms(latency.p90)}, 99% ${ms(latency.p99)}, slowest ${ms(latency.max)}`,
    `Status codes: ${listed(statuses)}`,
    `Errors: ${listed(errors)}`,
  ].join('\n')
}
