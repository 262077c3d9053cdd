import { Agent, request, type Dispatcher } from 'undici'
import type { ClusterConfig } from '#kube/config.ts'
import type { TlsOptions } from '#kube/credentials.ts'
import { KubeError } from '#kube/error.ts'

export type Lane = 'calls' | 'events' | 'watches' | 'lease'

export type WireRequest = {
  readonly method: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE'
  /** With its query, beginning with `/`. */
  readonly path: string
  readonly body?: string
  readonly contentType?: string
  readonly lane: Lane
  readonly signal: AbortSignal
}

export type WireAnswer = Pick<Dispatcher.ResponseData, 'statusCode' | 'headers' | 'body'>

export type Transport = {
  /** One HTTP request on a shared connection, sent again once with fresh credentials after a 401. Throws a `KubeError` when no answer came. */
  send(wire: WireRequest): Promise<WireAnswer>
  close(): Promise<void>
}

/** Calls share a few connections; each watch needs its own, so a cap there would starve the ones that come last. */
const CALL_CONNECTIONS = 16
const EVENT_CONNECTIONS = 4
const CONNECT_TIMEOUT_MS = 5_000
const KEEP_ALIVE_MS = 30_000
/** How soon TCP notices a peer that vanished without a word. */
const KEEP_ALIVE_PROBE_MS = 30_000

export function createTransport(config: ClusterConfig, userAgent: string): Transport {
  const { origin, pathname } = new URL(config.server)
  const prefix = pathname.replace(/\/+$/, '')
  let agents: { readonly version: string; readonly lanes: Readonly<Record<Lane, Agent>> } | undefined

  /** A changed CA or client certificate means new connections; the old ones finish what they have. */
  function agentFor(lane: Lane, version: string, tls: TlsOptions): Agent {
    if (agents?.version !== version) {
      const old = agents
      agents = { version, lanes: { calls: agentOf(tls, CALL_CONNECTIONS), events: agentOf(tls, EVENT_CONNECTIONS), watches: agentOf(tls, null), lease: agentOf(tls, 2) } }
      if (old) closeAll(old.lanes).catch(() => {})
    }
    return agents.lanes[lane]
  }

  async function sendOnce(wire: WireRequest): Promise<WireAnswer> {
    const credentials = await config.credentials()
    return await request(origin + prefix + wire.path, {
      method: wire.method,
      dispatcher: agentFor(wire.lane, credentials.tlsVersion, credentials.tls),
      signal: wire.signal,
      headers: {
        accept: 'application/json',
        'user-agent': userAgent,
        ...credentials.headers,
        ...(wire.contentType ? { 'content-type': wire.contentType } : {}),
      },
      ...(wire.body === undefined ? {} : { body: wire.body }),
    })
  }
  return {
    send: async (wire) => {
      try {
        const answer = await sendOnce(wire)
        if (answer.statusCode !== 401) return answer
        await answer.body.dump()
        config.refresh()
        return await sendOnce(wire)
      } catch (err) {
        throw networkError(`${wire.method} ${pathOnly(wire.path)}`, err)
      }
    },
    close: async () => {
      if (agents) await closeAll(agents.lanes)
    },
  }
}

/** HTTP/1.1: one connection a watch is cheap, and a GOAWAY cannot block everything that shares a session. */
function agentOf(tls: TlsOptions, connections: number | null): Agent {
  return new Agent({
    allowH2: false,
    connections,
    keepAliveTimeout: KEEP_ALIVE_MS,
    // Deadlines come with each request's signal; a quiet watch is no fault.
    headersTimeout: 0,
    bodyTimeout: 0,
    connect: { timeout: CONNECT_TIMEOUT_MS, keepAlive: true, keepAliveInitialDelay: KEEP_ALIVE_PROBE_MS, ...tls },
  })
}

async function closeAll(lanes: Readonly<Record<Lane, Agent>>): Promise<void> {
  await Promise.all(Object.values(lanes).map((agent) => agent.close()))
}

const pathOnly = (path: string): string => path.split('?', 1)[0] ?? path

/** Nothing was sent, so nothing was applied. */
const NO_CONNECTION = ['ECONNREFUSED', 'UND_ERR_CONNECT_TIMEOUT', 'ENOTFOUND', 'EAI_AGAIN', 'EHOSTUNREACH', 'ENETUNREACH']

/** What undici threw as a `KubeError`: `Timeout`, `Aborted`, `ConnectionRefused` (no connection was made) or `NetworkError`. */
export function networkError(call: string, err: unknown): KubeError {
  if (err instanceof KubeError) return err
  const { name, code, message } = err as { readonly name?: string; readonly code?: string; readonly message?: string }
  const reason =
    name === 'TimeoutError' ? 'Timeout'
    : name === 'AbortError' ? 'Aborted'
    : NO_CONNECTION.includes(code ?? '') ? 'ConnectionRefused'
    : 'NetworkError'
  return new KubeError({ status: 0, reason, message: `${call}: ${reason === 'Timeout' ? 'no answer in time' : (code ?? message ?? 'failed')}`, cause: err })
}
