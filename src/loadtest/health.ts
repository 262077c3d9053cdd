import { connect, type ClientHttp2Session } from 'node:http2'
import { guardedLookup, literalDenial, nameOf, OWN_MARK } from '#loadtest/client.ts'
import type { Fetched } from '#loadtest/fetch.ts'
import type { HealthPlan } from '#loadtest/health-plan.ts'
import type { RunContext } from '#loadtest/load.ts'

/** One call of `grpc.health.v1.Health/Check`, with the answers and the words of `grpc_health_probe`. */

const PATH = '/grpc.health.v1.Health/Check'
const STATUSES = ['UNKNOWN', 'SERVING', 'NOT_SERVING', 'SERVICE_UNKNOWN'] as const
const NOT_FOUND = '5'
const UNIMPLEMENTED = '12'
/** An answer has a handful of bytes. */
const MAX_ANSWER_BYTES = 64 * 1024
const FRAME_HEAD_BYTES = 5

type Answer = { readonly http: number; readonly code: string; readonly message: string; readonly body: Uint8Array }

/** Never rejects. */
export async function runHealthProbe(plan: HealthPlan, context: RunContext, signal: AbortSignal): Promise<Fetched> {
  const { host, hostname } = new URL(plan.url)
  const no = (error: string): Fetched => ({ ok: false, output: '', error })
  const denial = literalDenial(hostname, context)
  if (denial !== undefined) return no(`denied: ${hostname} is ${denial}`)
  const beganAt = context.now()
  const told = (status: number): void => context.onRequest?.(status, (context.now() - beganAt) / 1_000)
  const session = connect(plan.url, {
    lookup: guardedLookup(context), rejectUnauthorized: !plan.insecure, ...(plan.serverName === undefined ? {} : { servername: plan.serverName }),
  })
  try {
    const connecting = AbortSignal.any([signal, AbortSignal.timeout(plan.connectTimeoutMs)])
    const fault = await connected(session, connecting)
    if (fault !== undefined) {
      told(0)
      return no(connecting.aborted ? `timeout: failed to connect service "${host}" within ${plan.connectTimeoutMs / 1_000}s` : `error: failed to connect service at "${host}": ${fault}`)
    }
    const calling = AbortSignal.any([signal, AbortSignal.timeout(plan.rpcTimeoutMs)])
    const answer = await call(session, plan, calling).catch((err: unknown) => (calling.aborted ? `timeout: health rpc did not complete within ${plan.rpcTimeoutMs / 1_000}s` : `error: health rpc failed: ${nameOf(err)}`))
    told(typeof answer === 'string' ? 0 : answer.http)
    return typeof answer === 'string' ? no(answer) : verdictOf(answer, plan.service)
  } finally {
    session.destroy()
  }
}

/** Why there is no connection, or undefined when there is one. */
function connected(session: ClientHttp2Session, signal: AbortSignal): Promise<string | undefined> {
  return new Promise((resolve) => {
    session.once('connect', () => { resolve(undefined) })
    // It stays: what happens to the connection later is told by the stream, and an unheard error would end the process.
    session.on('error', (err) => { resolve(nameOf(err)) })
    signal.addEventListener('abort', () => { resolve('given up') }, { once: true })
  })
}

function call(session: ClientHttp2Session, { service, headers }: HealthPlan, signal: AbortSignal): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const stream = session.request({
      ':method': 'POST', ':path': PATH, 'content-type': 'application/grpc', 'te': 'trailers', ...Object.fromEntries(headers), [OWN_MARK]: '1',
    }, { signal })
    const chunks: Buffer[] = []
    let bytes = 0
    let http = 0
    let code = ''
    let message = ''
    const read = (from: Readonly<Record<string, unknown>>): void => {
      if (typeof from['grpc-status'] === 'string') code = from['grpc-status']
      if (typeof from['grpc-message'] === 'string') message = from['grpc-message']
    }
    stream.on('response', (from) => {
      http = Number(from[':status'] ?? 0)
      read(from)
    })
    stream.on('trailers', read)
    stream.on('data', (chunk: Buffer) => {
      bytes += chunk.byteLength
      if (bytes > MAX_ANSWER_BYTES) stream.destroy(new Error(`the answer is larger than ${MAX_ANSWER_BYTES} bytes`))
      else chunks.push(chunk)
    })
    stream.on('error', reject)
    stream.on('close', () => { reject(new Error('the connection was closed')) })
    stream.on('end', () => { resolve({ http, code, message, body: Buffer.concat(chunks) }) })
    stream.end(frame(checkRequest(service)))
  })
}

function verdictOf({ http, code, message, body }: Answer, service: string): Fetched {
  const no = (error: string): Fetched => ({ ok: false, output: '', error })
  if (code === UNIMPLEMENTED) return no('error: this server does not implement the grpc health protocol (grpc.health.v1.Health)')
  if (code === NOT_FOUND) return no(`error: health rpc failed: the service ${service} is unknown`)
  if (code !== '0') return no(`error: health rpc failed: ${code === '' ? `HTTP ${http} without a gRPC status` : `code ${code} ${message}`}`.trim())
  const status = STATUSES[statusIn(body)] ?? 'UNKNOWN'
  return status === 'SERVING' ? { ok: true, output: 'status: SERVING', error: '' } : no(`service unhealthy (responded with "${status}")`)
}

/** `HealthCheckRequest{service = 1}`. */
function checkRequest(service: string): Buffer {
  const name = Buffer.from(service)
  if (name.length === 0) return Buffer.alloc(0)
  const length: number[] = []
  for (let rest = name.length; ; rest >>>= 7) {
    if (rest < 0x80) return Buffer.concat([Buffer.from([0x0a, ...length, rest]), name])
    length.push((rest & 0x7f) | 0x80)
  }
}

/** A message on the wire: not compressed, its length, itself. */
function frame(message: Buffer): Buffer {
  const head = Buffer.alloc(FRAME_HEAD_BYTES)
  head.writeUInt32BE(message.length, 1)
  return Buffer.concat([head, message])
}

/** `HealthCheckResponse{status = 1}`: a message without the field says 0, as protobuf leaves zeros out. */
const statusIn = (body: Uint8Array): number => (body[FRAME_HEAD_BYTES] === 0x08 ? body[FRAME_HEAD_BYTES + 1] ?? 0 : 0)
