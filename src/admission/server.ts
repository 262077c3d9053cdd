import { X509Certificate } from 'node:crypto'
import type { Server } from 'node:https'
import type { Socket } from 'node:net'
import { setTimeout as wait } from 'node:timers/promises'
import Fastify, { type FastifyInstance, type FastifyReply, type FastifyRequest } from 'fastify'
import type { Logger } from 'pino'
import { parseDuration } from '#api/duration.ts'
import { type ProcessUsage, renderUsage } from '#api/process-usage.ts'
import { type Answer, errored, type FailurePolicy, renderReview } from '#admission/answer.ts'
import { FAILURE_POLICIES, HOOK_PATHS, hookOf, type HookName, type HookPath, type HookPorts, judge, type Judged } from '#admission/hooks.ts'
import { createCounter, createHistogram, renderGauge } from '#admission/metrics.ts'
import { type AdmissionRequest, parseReview } from '#admission/review.ts'
import type { Tracing } from '#admission/tracing.ts'

declare module 'fastify' {
  // oxlint-disable-next-line typescript/consistent-type-definitions -- only an interface can be extended
  interface FastifyRequest {
    /** When its headers had been read, in milliseconds. */
    arrivedAt: number
    /** Of its body, as far as it counts as under way; undefined once it is answered. */
    bytesUnderWay: number | undefined
  }
}

export type CertificatePair = { readonly key: string | Buffer; readonly cert: string | Buffer }

export type Limits = {
  readonly bodyBytes: number
  /** Bytes of all bodies that are being read or judged; more is turned away, since memory is what runs out first. */
  readonly inFlightBytes: number
  readonly requestsPerSocket: number
  readonly socketAgeMs: number
  /** How long requests are still taken after `drain()`: until every API server has heard that this endpoint goes. */
  readonly drainMs: number
  /**
   * How long idle connections are left to their clients after that. Closing one which a request is just being written to resets it, and
   * the API server does not send a POST twice: the change would pass ungated. client-go closes idle connections itself after 90 s.
   */
  readonly idleMs: number
  /** After which connections that are still open at the end are cut. */
  readonly closeMs: number
}

const MIB = 1_024 * 1_024
export const DEFAULT_LIMITS: Limits = {
  // The API server takes 3 MiB; a review holds the object twice, and what is stored as protobuf grows as JSON.
  bodyBytes: 16 * MIB,
  inFlightBytes: 64 * MIB,
  // The API server keeps its connections for ever, so a new replica would get no load until they are recycled.
  requestsPerSocket: 1_000,
  socketAgeMs: 5 * 60_000,
  drainMs: 12_000,
  idleMs: 95_000,
  closeMs: 20_000,
}

export type AdmissionServerOptions = HookPorts & {
  readonly log: Pick<Logger, 'debug' | 'info' | 'warn' | 'error'>
  readonly tls: CertificatePair
  readonly limits?: Partial<Limits>
  readonly tracing?: Tracing
  /** Of this process, for its metrics. */
  readonly usage?: () => ProcessUsage
  /** Unix milliseconds, with a fraction if it can. */
  readonly now: () => number
  /** 0 up to 1, for the jitter of connection ages. */
  readonly random: () => number
  readonly sleep?: (milliseconds: number) => Promise<unknown>
}

export type AdmissionServer = {
  readonly app: FastifyInstance<Server>
  /** New handshakes get this pair; a pair that does not match is refused and logged, and the one in use goes on serving. */
  setCertificate(pair: CertificatePair): 'replaced' | 'refused'
  /** Ends without failing one request: not ready at once, then serving for `drainMs`, then closed. A second call joins the first. */
  drain(): Promise<void>
}

/** Above client-go's 90 s for idle connections: a server that hangs up first is seen as `EOF` by the user. */
const KEEP_ALIVE_MS = 120_000
const REQUEST_MS = 35_000
const HEADERS_MS = 30_000
/** `timeout` that the API server uses where a webhook names none. */
const DEFAULT_DEADLINE_MS = 10_000
/** The answer must still travel. */
const DEADLINE_MARGIN_MS = 500
const SWEEP_MS = 100
/** Connection limits vary by as much to either side, so that they do not all end together. */
const JITTER = 0.1
const TLS_MIN_VERSION = 'TLSv1.2'
const JSON_TYPE = 'application/json; charset=utf-8'

/** A review that is not one can only be judged by its path. */
const PATH_POLICIES = { '/mutate': 'Ignore', '/status': 'Ignore', '/validate': 'Fail' } as const satisfies Record<HookPath, FailurePolicy>

/** AdmissionReview in, AdmissionReview out, whatever was sent. HTTP/1.1, which is all that the API server speaks to webhooks. */
export function createAdmissionServer(options: AdmissionServerOptions): AdmissionServer {
  const { state, log, now, random, tracing, sleep = wait } = options
  const limits = { ...DEFAULT_LIMITS, ...options.limits }
  const meters = createMeters()
  const traffic = createTraffic(limits, now, random)
  let certificateExpiresAt = expiryOf(options.tls)
  let draining = false
  let drained: Promise<void> | undefined

  const app = Fastify({
    https: { ...options.tls, minVersion: TLS_MIN_VERSION },
    bodyLimit: limits.bodyBytes,
    keepAliveTimeout: KEEP_ALIVE_MS,
    requestTimeout: REQUEST_MS,
    // While closing, a 503 would be a denial under `failurePolicy: Fail`.
    return503OnClosing: false,
    logger: false,
  })
  app.server.headersTimeout = HEADERS_MS
  // Fastify's own parser turns a body with a key `__proto__` away; under `Ignore` that key would be a way around the gate.
  app.removeAllContentTypeParsers()
  app.addContentTypeParser('*', { parseAs: 'buffer' }, (_request, body, done) => { done(null, body) })
  app.decorateRequest('arrivedAt', 0)
  app.decorateRequest('bytesUnderWay')

  app.addHook('onRequest', (request, reply, done) => {
    request.arrivedAt = now()
    if (traffic.begin(request)) done()
    // Unread, so the connection cannot be used again.
    else sendReview(reply.code(503).header('connection', 'close'), '', errored(new Error('too many requests are under way'), policyOf(request)))
  })

  app.setErrorHandler((err, request, reply) => {
    const code = isRecordWithStatus(err) ? err.statusCode : 500
    if (code >= 500) log.error({ err }, 'request failed')
    reply.code(code)
    sendReview(reply, '', errored(err, policyOf(request)))
  })
  app.setNotFoundHandler((request, reply) => {
    reply.code(404)
    sendReview(reply, '', errored(new Error(`nothing answers at ${request.method} ${pathOf(request)}`), policyOf(request)))
  })

  for (const path of HOOK_PATHS) {
    app.post(path, (request, reply) => {
      const parsed = parseBody(request.body)
      if (!parsed.ok) {
        log.warn({ reason: parsed.message, path }, 'review was malformed')
        meters.reviews.add({ hook: path.slice(1), outcome: 'malformed' })
        // Without its uid the answer is void whatever it says; the code then tells the API server to follow the failure policy.
        if (parsed.uid === '') reply.code(400)
        return sendReview(reply, parsed.uid, errored(new Error(parsed.message), PATH_POLICIES[path]))
      }
      const hook = hookOf(path, parsed.request)
      const { answer, findings, fault } = answerInTime(hook, parsed.request, request)
      sendReview(reply, parsed.request.uid, answer)
      // The answer does not wait for the books.
      const outcome = fault ?? outcomeOf(answer)
      meters.reviews.add({ hook, outcome })
      for (const { rule, severity } of findings) {
        meters.findings.add({ rule, severity })
        // What would be refused were it no rehearsal counts where it is not.
        if (!parsed.request.dryRun) meters.policyFindings.add({ namespace: parsed.request.namespace, rule, severity })
      }
      report(hook, parsed.request, answer, findings)
      const endedAt = now()
      meters.duration.observe(hook, (endedAt - request.arrivedAt) / 1_000)
      if (tracing !== undefined) {
        const { namespace, kind, name, operation, dryRun } = parsed.request
        tracing.review({
          hook, namespace, kind, name, operation, dryRun, outcome, rules: findings.map(({ rule }) => rule), ...(fault === undefined ? {} : { fault }),
          startedAt: request.arrivedAt, endedAt, headers: request.headers,
        })
      }
      return reply
    })
  }

  app.get('/healthz', (_request, reply) => send(reply.type('text/plain'), 'ok\n'))
  app.get('/readyz', (_request, reply) => {
    const obstacle = draining ? 'draining' : state.synced() ? undefined : 'caches are not filled yet'
    return send(reply.code(obstacle === undefined ? 200 : 503).type('text/plain'), `${obstacle ?? 'ok'}\n`)
  })
  app.get('/metrics', (_request, reply) => send(reply.type('text/plain; version=0.0.4'), meters.render([
    { name: 'canarygate_admission_in_flight', help: 'Reviews under way.', read: () => traffic.underWay() },
    { name: 'canarygate_admission_in_flight_bytes', help: 'Bytes of the bodies under way.', read: () => traffic.bytesUnderWay() },
    {
      name: 'canarygate_admission_certificate_expiry_timestamp_seconds', help: 'When the serving certificate expires.',
      read: () => (certificateExpiresAt === undefined ? undefined : certificateExpiresAt / 1_000),
    },
  ]) + (options.usage ? renderUsage(options.usage()) : '')))

  const sendReview = (reply: FastifyReply, uid: string, answer: Answer): FastifyReply => send(reply.header('content-type', JSON_TYPE), renderReview(uid, answer))

  /** Every answer goes out by here: hooks of the framework would do the same, and cost a gated update some hundredths of its time. */
  function send(reply: FastifyReply, text: string): FastifyReply {
    traffic.end(reply.request)
    if (draining || traffic.isWornOut(reply.request)) reply.header('connection', 'close')
    return reply.send(text)
  }

  function answerInTime(hook: HookName, review: AdmissionRequest, request: FastifyRequest): Judged {
    const failurePolicy = FAILURE_POLICIES[hook]
    if (now() - request.arrivedAt > deadlineMs(request)) {
      return { answer: errored(new Error('it arrived too slowly to be judged in time'), failurePolicy), findings: [], fault: 'late' }
    }
    try {
      return judge(hook, review, options)
    } catch (err) {
      log.error({ err, hook, namespace: review.namespace, name: review.name }, 'review failed')
      return { answer: errored(err, failurePolicy), findings: [], fault: 'errored' }
    }
  }

  function report(hook: HookName, review: AdmissionRequest, answer: Answer, findings: Judged['findings']): void {
    const silent = findings.filter(({ severity }) => severity === 'audit')
    if (answer.allowed && answer.patch === undefined && silent.length === 0) return
    const { namespace, name, kind, operation, dryRun, user } = review
    const what = { hook, namespace, name, kind, operation, user: user.username }
    if (silent.length > 0 && !dryRun) log.info({ ...what, rules: silent.map(({ rule }) => rule), fields: silent.map(({ field }) => field) }, 'findings counted only')
    if (answer.allowed && answer.patch === undefined) return
    if (!answer.allowed) log.info({ ...what, rules: findings.map((finding) => finding.rule) }, 'request denied')
    else if (dryRun || hook === 'status') log.debug(what, 'request patched')
    else log.info(what, 'request patched')
  }

  async function close(): Promise<void> {
    draining = true
    await sleep(limits.drainMs)
    for (let waited = 0; waited < limits.idleMs && (await openConnections(app.server)) > 0; waited += SWEEP_MS) await sleep(SWEEP_MS)
    // `close()` ends the connections that are idle at that moment only; one in mid-request would hold it for its whole keep-alive.
    const sweep = setInterval(() => { app.server.closeIdleConnections() }, SWEEP_MS)
    const cut = setTimeout(() => { app.server.closeAllConnections() }, limits.closeMs)
    try {
      await app.close()
    } finally {
      clearInterval(sweep)
      clearTimeout(cut)
    }
  }

  return {
    app,
    setCertificate(pair) {
      try {
        const expiresAt = expiryOf(pair)
        // It replaces all options and merges none.
        app.server.setSecureContext({ ...pair, minVersion: TLS_MIN_VERSION })
        certificateExpiresAt = expiresAt
        return 'replaced'
      } catch (err) {
        log.error({ err }, 'certificate was refused')
        return 'refused'
      }
    },
    drain: () => (drained ??= close()),
  }
}

const openConnections = (server: Server): Promise<number> => new Promise((resolve, reject) => {
  server.getConnections((err, count) => { if (err) reject(err); else resolve(count) })
})

function createMeters() {
  const reviews = createCounter('canarygate_admission_reviews_total', 'AdmissionReviews answered, by hook and outcome.')
  // What begins with its first fault is no increase to Prometheus, which then sees none.
  for (const hook of Object.keys(FAILURE_POLICIES)) for (const outcome of ['errored', 'late']) reviews.add({ hook, outcome }, 0)
  for (const path of HOOK_PATHS) reviews.add({ hook: path.slice(1), outcome: 'malformed' }, 0)
  const findings = createCounter('canarygate_admission_findings_total', 'Findings of the rules, by rule and severity.')
  const policyFindings = createCounter('canarygate_policy_findings_total', 'Findings of requests that were no dry-run, by namespace: of severity audit, what a policy would have refused.')
  const duration = createHistogram('canarygate_admission_review_duration_seconds', 'From the headers of a review to its answer.', 'hook')
  return {
    reviews, findings, policyFindings, duration,
    render: (gauges: readonly Parameters<typeof renderGauge>[0][]): string =>
      reviews.render() + findings.render() + policyFindings.render() + duration.render() + gauges.map(renderGauge).join(''),
  }
}

type Connection = { answersLeft: number; readonly until: number; readonly requests: Set<FastifyRequest> }

/** What is under way, and which connections have served enough, so that load moves to new replicas. */
function createTraffic(limits: Limits, now: () => number, random: () => number) {
  const connections = new WeakMap<Socket, Connection>()
  const jittered = (value: number): number => value * (1 - JITTER + 2 * JITTER * random())
  let underWay = 0
  let bytesUnderWay = 0

  function connectionOf({ raw: { socket } }: FastifyRequest): Connection {
    const known = connections.get(socket)
    if (known !== undefined) return known
    const connection: Connection = { answersLeft: Math.round(jittered(limits.requestsPerSocket)), until: now() + jittered(limits.socketAgeMs), requests: new Set() }
    connections.set(socket, connection)
    // A client that goes away gets no answer.
    socket.once('close', () => { for (const request of connection.requests) end(request) })
    return connection
  }

  function end(request: FastifyRequest): void {
    if (request.bytesUnderWay === undefined) return
    underWay -= 1
    bytesUnderWay -= request.bytesUnderWay
    request.bytesUnderWay = undefined
    connectionOf(request).requests.delete(request)
  }

  return {
    /** False: no room for its body. */
    begin(request: FastifyRequest): boolean {
      const bytes = bodyBytesOf(request, limits.bodyBytes)
      if (bytes > 0 && bytesUnderWay + bytes > limits.inFlightBytes) return false
      request.bytesUnderWay = bytes
      underWay += 1
      bytesUnderWay += bytes
      connectionOf(request).requests.add(request)
      return true
    },
    end,
    isWornOut(request: FastifyRequest): boolean {
      const connection = connectionOf(request)
      connection.answersLeft -= 1
      return connection.answersLeft <= 0 || now() >= connection.until
    },
    underWay: () => underWay,
    bytesUnderWay: () => bytesUnderWay,
  }
}

function parseBody(body: unknown): ReturnType<typeof parseReview> {
  try {
    // Plain JSON.parse makes `__proto__` an ordinary key.
    return parseReview(Buffer.isBuffer(body) ? JSON.parse(body.toString('utf8')) : undefined)
  } catch {
    return { ok: false, uid: '', message: 'not an AdmissionReview: the body is not JSON' }
  }
}

function outcomeOf(answer: Answer): string {
  if (!answer.allowed) return 'denied'
  return answer.patch === undefined ? 'allowed' : 'patched'
}

/** A body without a stated length may become as long as is allowed. */
function bodyBytesOf(request: FastifyRequest, most: number): number {
  const { 'content-length': length, 'transfer-encoding': encoding } = request.headers
  if (length !== undefined) return Number(length)
  return encoding === undefined ? 0 : most
}

/** `?timeout=10s`: what is left of the API server's patience, less the way back. */
function deadlineMs(request: FastifyRequest): number {
  const query: unknown = request.query
  const timeout: unknown = typeof query === 'object' && query !== null && 'timeout' in query ? query.timeout : undefined
  const milliseconds = typeof timeout === 'string' ? knownDuration(timeout) : undefined
  return Math.max(0, (milliseconds ?? DEFAULT_DEADLINE_MS) - DEADLINE_MARGIN_MS)
}

/** The API server sends the same few whole seconds for ever: looked up, they cost nothing. */
const WHOLE_SECONDS: ReadonlyMap<string, number> = new Map(Array.from({ length: 31 }, (_, seconds) => [`${seconds}s`, seconds * 1_000]))
const knownDuration = (text: string): number | undefined => WHOLE_SECONDS.get(text) ?? parseDuration(text)

const pathOf = (request: FastifyRequest): string => request.url.split('?', 1)[0] ?? ''

function policyOf(request: FastifyRequest): FailurePolicy {
  const path = HOOK_PATHS.find((known) => known === pathOf(request))
  return path === undefined ? 'Fail' : PATH_POLICIES[path]
}

const isRecordWithStatus = (err: unknown): err is { readonly statusCode: number } =>
  typeof err === 'object' && err !== null && 'statusCode' in err && typeof err.statusCode === 'number'

/** Unix milliseconds of the first certificate's end. */
const expiryOf = ({ cert }: CertificatePair): number => new X509Certificate(cert).validToDate.getTime()
