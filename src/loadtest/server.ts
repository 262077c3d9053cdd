import type { IncomingMessage } from 'node:http'
import Fastify, { type FastifyInstance, type FastifyReply, type FastifyRequest } from 'fastify'
import type { Logger } from 'pino'
import { excerpt, isSecretName, redact, secretsInUrl } from '#api/http.ts'
import { literalDenial, OWN_MARK, type TargetGuard } from '#loadtest/client.ts'
import { parseCommand, urlsOf, workersOf, type Step } from '#loadtest/command.ts'
import { createGates, type Gates } from '#loadtest/gates.ts'
import type { RunContext } from '#loadtest/load.ts'
import { createMeters } from '#loadtest/meters.ts'
import { parsePayload, type Payload } from '#loadtest/payload.ts'
import { createCommandQueue } from '#loadtest/queue.ts'
import { runCommand } from '#loadtest/run.ts'

/** The load tester: Flagger's HTTP API, without a shell and without programs. Read this first. */

export type LoadTesterOptions = TargetGuard & {
  readonly log: Pick<Logger, 'info' | 'warn' | 'error' | 'debug'>
  /** Monotonic ms. */
  readonly now: () => number
  /** Resolves after so many milliseconds, or as soon as the signal aborts; never rejects. */
  readonly wait: (milliseconds: number, signal: AbortSignal) => Promise<void>
  /** Longest time for one command (ms); an hour as in Flagger. */
  readonly commandDeadlineMs?: number
  /** Namespaces whose Canaries may ask; all when left out. */
  readonly namespaces?: RegExp
  readonly limits?: Partial<LoadTesterLimits>
  /** For a request to arrive (ms); 10 s unless given. */
  readonly requestTimeoutMs?: number
}

export type LoadTesterLimits = {
  /** Commands of type `cmd` that run at a time, and that wait. */
  readonly maxRunning: number
  readonly maxWaiting: number
  /** Checks of type `bash` that are answered at a time. */
  readonly maxChecks: number
  /** `-c` of one command, and of all that run together. */
  readonly maxWorkers: number
  readonly maxAllWorkers: number
}

const DEFAULT_LIMITS: LoadTesterLimits = { maxRunning: 50, maxWaiting: 200, maxChecks: 50, maxWorkers: 200, maxAllWorkers: 500 }
const DEFAULT_DEADLINE_MS = 3_600_000
const MAX_BODY_BYTES = 256 * 1024
const MAX_OUTPUT_CHARS = 64 * 1024
const MAX_SHOWN_CHARS = 200
/** So much of a command is looked at to show it. */
const MAX_READ_CHARS = 2_000
/** For a request to arrive as a whole (ms): nobody holds a connection by sending slowly. */
const REQUEST_TIMEOUT_MS = 10_000
/** What a command may ask of the tester that runs it. */
const FOR_ITSELF = /^\/(?:healthz|metrics|gate\/approve|gate\/halt|(?:gate|rollback)\/check)\/?(?:\?|$)/
/** Task types of Flagger's tester that need programs of their own. */
const ELSEWHERE = ['helm', 'helmv3', 'kubectl', 'concord', 'ngrinder']

/** An app that does not listen yet; closing it gives up what runs. */
export function createLoadTester(options: LoadTesterOptions): FastifyInstance {
  const { log, now, wait, namespaces, commandDeadlineMs = DEFAULT_DEADLINE_MS } = options
  const limits = { ...DEFAULT_LIMITS, ...options.limits }
  const meters = createMeters()
  const gates = createGates()
  const rollbackGates = createGates()
  const queue = createCommandQueue({ maxRunning: limits.maxRunning, maxWorkers: limits.maxAllWorkers, maxWaiting: limits.maxWaiting, deadlineMs: commandDeadlineMs })
  const closing = new AbortController()
  let checks = 0

  const app = Fastify({ logger: false, bodyLimit: MAX_BODY_BYTES, requestTimeout: options.requestTimeoutMs ?? REQUEST_TIMEOUT_MS, return503OnClosing: false, routerOptions: { ignoreTrailingSlash: true } })
  app.removeAllContentTypeParsers()
  // `curl -d` calls its body a form; the API looks at the text alone.
  app.addContentTypeParser('*', { parseAs: 'string' }, (_request, body, done) => { done(null, body) })
  // Whoever may write a Canary names the commands that are run here: they open no gate of another's, and start no further commands.
  app.addHook('onRequest', async (request, reply) => {
    if (request.headers[OWN_MARK] === undefined || FOR_ITSELF.test(request.url)) return
    return text(reply, 403, 'the load tester takes no orders from its own commands')
  })
  // Before it waits for the answers that are under way: these are what it would wait for.
  app.addHook('preClose', async () => {
    closing.abort()
    await queue.close()
  })
  app.setErrorHandler((err, _request, reply) => {
    const status = typeof err === 'object' && err !== null && 'statusCode' in err && typeof err.statusCode === 'number' ? err.statusCode : 500
    if (status >= 500) log.error({ err }, 'request failed')
    return text(reply, status, err instanceof Error && status < 500 ? err.message : 'Internal Server Error')
  })

  app.get('/healthz', (_request, reply) => text(reply, 200, 'OK'))
  app.get('/metrics', (_request, reply) => reply.type('text/plain; version=0.0.4').send(
    meters.render({ ...queue.stats(), openGates: gates.count() + rollbackGates.count() }),
  ))
  app.all('/gate/approve', (_request, reply) => text(reply, 200, 'OK'))
  app.all('/gate/halt', (_request, reply) => text(reply, 403, 'Forbidden'))
  addGate('/gate', gates)
  addGate('/rollback', rollbackGates)
  app.all('/', async (request, reply) => {
    const payload = await payloadOf(request)
    if (!payload.ok) return text(reply, payload.status, payload.reason)
    return await launch(payload.value, request, reply)
  })

  function addGate(path: string, known: Gates): void {
    const act = (verb: string, run: (payload: Payload, reply: FastifyReply) => FastifyReply): void => {
      app.all(`${path}/${verb}`, async (request, reply) => {
        const payload = await payloadOf(request)
        if (!payload.ok) return text(reply, payload.status, payload.reason)
        return run(payload.value, reply)
      })
    }
    act('check', (payload, reply) => (known.isOpen(payload) ? text(reply, 200, 'Approved') : text(reply, 403, 'Forbidden')))
    act('open', (payload, reply) => {
      if (!known.open(payload)) return text(reply, 429, 'too many gates are open')
      log.info({ canary: payload.name, namespace: payload.namespace, gate: path }, 'gate opened')
      return text(reply, 202, 'Accepted')
    })
    act('close', (payload, reply) => {
      known.close(payload)
      log.info({ canary: payload.name, namespace: payload.namespace, gate: path }, 'gate closed')
      return text(reply, 202, 'Accepted')
    })
  }

  type Admitted = { readonly ok: true; readonly value: Payload } | { readonly ok: false; readonly status: number; readonly reason: string }

  async function payloadOf(request: FastifyRequest): Promise<Admitted> {
    // A body with GET is allowed here as in Flagger, and read by hand: the framework leaves it alone.
    const body = typeof request.body === 'string' ? request.body : await readText(request.raw)
    if (body === undefined) return { ok: false, status: 413, reason: 'the body is too large' }
    const payload = parsePayload(body)
    if (!payload.ok) return { ok: false, status: 400, reason: payload.reason }
    if (namespaces && !namespaces.test(payload.value.namespace)) return { ok: false, status: 403, reason: 'Forbidden' }
    return payload
  }

  async function launch(payload: Payload, request: FastifyRequest, reply: FastifyReply): Promise<FastifyReply> {
    const { metadata } = payload
    if (metadata === undefined) return text(reply, 400, 'metadata not found in payload')
    const type = metadata['type'] || 'cmd'
    if (ELSEWHERE.includes(type)) return turnAway(reply, type, `task type ${type} is not run here: this load tester starts no programs; Flagger's own can run beside it for such hooks`)
    if (type !== 'cmd' && type !== 'bash') return turnAway(reply, 'unknown', `unknown task type ${excerpt(type, 40)}`)
    const { cmd = '' } = metadata
    if (cmd === '') return turnAway(reply, type, 'cmd not found in metadata')
    const shown = showCommand(cmd)
    const steps = parseCommand(cmd, limits)
    if (!steps.ok) return turnAway(reply, type, `command ${shown} refused: ${steps.reason}`)
    const denial = urlsOf(steps.value).map((url) => denialOfUrl(url)).find((reason) => reason !== undefined)
    if (denial !== undefined) return turnAway(reply, type, `command ${shown} refused: ${denial}`)
    return type === 'cmd' ? place(payload, shown, steps.value, reply) : await check(payload, shown, steps.value, request, reply)
  }

  function turnAway(reply: FastifyReply, type: string, reason: string): FastifyReply {
    meters.command(type, 'refused')
    log.warn({ reason }, 'command refused')
    return text(reply, 400, reason)
  }

  function denialOfUrl(url: string): string | undefined {
    const { hostname } = new URL(url)
    const denial = literalDenial(hostname, options)
    return denial === undefined ? undefined : `${hostname} is ${denial}`
  }

  function contextOf({ name, namespace }: Payload): RunContext {
    return {
      denialOf: options.denialOf, allowLoopback: options.allowLoopback, ...(options.resolve ? { resolve: options.resolve } : {}),
      namespace, now, wait, onRequest: (status, seconds) => { meters.request({ name, namespace }, status, seconds) },
    }
  }

  /** `cmd`: answered at once, run beside. */
  function place(payload: Payload, shown: string, steps: readonly Step[], reply: FastifyReply): FastifyReply {
    const { name: canary, namespace, metadata } = payload
    const who = { canary, namespace, command: shown }
    const placed = queue.add(JSON.stringify([canary, namespace, metadata?.['cmd']]), workersOf(steps), async (signal) => {
      log.info(who, 'command started')
      const { ok, output, error, loads } = await runCommand(steps, contextOf(payload), signal)
      meters.command('cmd', ok ? 'done' : 'failed')
      const told = { ...who, loads, ...(error === '' ? {} : { reason: error }), ...(metadata?.['logCmdOutput'] === 'true' ? { output: output.slice(0, MAX_OUTPUT_CHARS) } : {}) }
      if (ok) log.info(told, 'command finished')
      else log.warn(told, 'command failed')
    })
    if (placed === 'full') {
      meters.command('cmd', 'dropped')
      log.warn(who, 'too many commands wait')
      return text(reply, 429, 'too many commands wait here; try again later')
    }
    if (placed === 'running') {
      meters.command('cmd', 'skipped')
      log.debug(who, 'command skipped: it runs already')
      return text(reply, 202, `command ${shown} skipped: it is already running`)
    }
    return text(reply, 202, 'Accepted')
  }

  /** `bash`: the answer is the result. */
  async function check(payload: Payload, shown: string, steps: readonly Step[], request: FastifyRequest, reply: FastifyReply): Promise<FastifyReply> {
    if (checks >= limits.maxChecks) {
      meters.command('bash', 'dropped')
      return text(reply, 429, 'too many checks run here; try again later')
    }
    const { name: canary, namespace, metadata } = payload
    const left = new AbortController()
    // Whoever asked has gone: nobody wants the answer.
    reply.raw.once('close', () => { if (!reply.raw.writableFinished) left.abort() })
    checks += 1
    try {
      const { ok, output, error } = await runCommand(steps, contextOf(payload), AbortSignal.any([closing.signal, left.signal, AbortSignal.timeout(commandDeadlineMs)]))
      meters.command('bash', ok ? 'done' : 'failed')
      log.info({ canary, namespace, command: shown, ok, ...(metadata?.['logCmdOutput'] === 'true' ? { output: output.slice(0, MAX_OUTPUT_CHARS) } : {}) }, 'check finished')
      if (ok) return text(reply, 200, metadata?.['returnCmdOutput'] === 'true' ? output.slice(0, MAX_OUTPUT_CHARS) : 'OK')
      return text(reply, 500, `command ${shown} failed: ${output.slice(0, MAX_OUTPUT_CHARS)}: ${error}`)
    } finally {
      checks -= 1
    }
  }

  return app
}

const text = (reply: FastifyReply, status: number, body: string): FastifyReply => reply.code(status).type('text/plain; charset=utf-8').send(body)

/** The command as it may be logged and told: without passwords, tokens and cookies. */
export function showCommand(cmd: string): string {
  const read = cmd.slice(0, MAX_READ_CHARS)
  const quoted = String.raw`(?:'[^']*'?|"[^"]*"?|\S+)`
  const credentials = new RegExp(String.raw`(\s(?:-[a-zA-Z]*u|-a|-b|--user|--cookie)(?:\s+|=)?)${quoted}`, 'g')
  // Header lines up to their quote; names and values of JSON and of forms.
  const named = [/\b([\w-]{1,64})\s*:\s*([^'"]+)/g, /\b([\w-]{1,64})\\?["']?\s*[:=]\s*\\?["']?([^\s'"\\&,;}]+)/g].flatMap((pattern) => [...read.matchAll(pattern)])
  const values = named.filter(([, name = '']) => isSecretName(name)).map(([, , value = '']) => value.trim())
  const urls = [...read.matchAll(/https?:\/\/[^\s'"]+/g)].flatMap(([url]) => secretsInUrl(url))
  return excerpt(redact(read.replace(credentials, '$1***'), [...values, ...urls]), MAX_SHOWN_CHARS)
}

async function readText(raw: IncomingMessage): Promise<string | undefined> {
  const chunks: Uint8Array[] = []
  let bytes = 0
  for await (const chunk of raw) {
    if (!(chunk instanceof Uint8Array)) continue
    bytes += chunk.byteLength
    if (bytes > MAX_BODY_BYTES) return undefined
    chunks.push(chunk)
  }
  return Buffer.concat(chunks).toString('utf8')
}
