import { createSecureServer, createServer, type Http2Server, type ServerHttp2Stream } from 'node:http2'
import { createServer as createHttpsServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import { setTimeout as pause } from 'node:timers/promises'
import { test, type Test } from 'tap'
import { denialOf } from '#api/address-denial.ts'
import { createForgeIssuer } from '#certs/issue.ts'
import { parseCommand } from '#loadtest/command.ts'
import { runCommand, type CommandResult } from '#loadtest/run.ts'

/** gRPC health checks, and loads of targets with TLS, against real servers. */

const NAME = { service: 'cart', namespace: 'shop' }

async function run(cmd: string, { allowLoopback = true } = {}): Promise<CommandResult> {
  const steps = parseCommand(cmd, { maxWorkers: 10 })
  if (!steps.ok) throw new Error(steps.reason)
  return await runCommand(steps.value, {
    namespace: 'shop', denialOf, allowLoopback, now: () => performance.now(), wait: async (ms, signal) => { await pause(ms, undefined, { signal }).catch(() => undefined) },
    resolve: async (hostname) => (hostname === 'cart.shop' ? [{ address: '127.0.0.1', family: 4 }] : Promise.reject(Object.assign(new Error('no'), { code: 'ENOTFOUND' }))),
  }, new AbortController().signal)
}

async function listen(t: Test, server: Pick<Http2Server, 'listen' | 'close' | 'address'>): Promise<number> {
  await new Promise<void>((resolve) => { server.listen(0, '127.0.0.1', () => { resolve() }) })
  t.teardown(() => { server.close() })
  return (server.address() as AddressInfo).port
}

async function certificate(): Promise<{ readonly cert: string; readonly key: string }> {
  const issuer = createForgeIssuer()
  return await issuer.issueLeaf(await issuer.issueCa(Date.now()), NAME, Date.now())
}

type Called = { readonly path: string; readonly service: string }

function serve(answer: (stream: ServerHttp2Stream, service: string) => void, called: Called[] = []) {
  return (stream: ServerHttp2Stream, headers: Readonly<Record<string, unknown>>): void => {
    const chunks: Buffer[] = []
    stream.on('error', () => {})
    stream.on('data', (chunk: Buffer) => { chunks.push(chunk) })
    stream.on('end', () => {
      const body = Buffer.concat(chunks)
      const service = body.subarray(7).toString()
      called.push({ path: String(headers[':path']), service })
      answer(stream, service)
    })
  }
}

/** `status` as protobuf has it: a zero is left out. */
function says(status: number): (stream: ServerHttp2Stream) => void {
  return (stream) => {
    stream.respond({ ':status': 200, 'content-type': 'application/grpc' }, { waitForTrailers: true })
    stream.on('wantTrailers', () => { stream.sendTrailers({ 'grpc-status': '0' }) })
    stream.end(status === 0 ? Buffer.alloc(5) : Buffer.from([0, 0, 0, 0, 2, 0x08, status]))
  }
}
const fails = (code: string) => (stream: ServerHttp2Stream): void => { stream.respond({ ':status': 200, 'content-type': 'application/grpc', 'grpc-status': code, 'grpc-message': 'no such thing' }, { endStream: true }) }

const answers = [
  { name: 'a server that serves is a yes', answer: says(1), is: { ok: true, output: 'status: SERVING' } },
  { name: 'one that does not is a no', answer: says(2), is: { ok: false, error: 'service unhealthy (responded with "NOT_SERVING")' } },
  { name: 'one that does not know is a no', answer: says(0), is: { ok: false, error: 'service unhealthy (responded with "UNKNOWN")' } },
  { name: 'a server without the protocol is a no', answer: fails('12'), is: { ok: false, error: /does not implement the grpc health protocol/ } },
  { name: 'an unknown service is a no', answer: fails('5'), is: { ok: false, error: 'error: health rpc failed: the service  is unknown' } },
  { name: 'any other code is a no', answer: fails('14'), is: { ok: false, error: 'error: health rpc failed: code 14 no such thing' } },
  { name: 'a server that speaks no gRPC is a no', answer: (stream: ServerHttp2Stream) => { stream.respond({ ':status': 503 }, { endStream: true }) }, is: { ok: false, error: 'error: health rpc failed: HTTP 503 without a gRPC status' } },
  { name: 'a stream that is broken off is a no', answer: (stream: ServerHttp2Stream) => { stream.close(2) }, is: { ok: false, error: /health rpc failed/ } },
  { name: 'no answer in time is a no', within: '100ms', answer: () => {}, is: { ok: false, error: 'timeout: health rpc did not complete within 0.1s' } },
]
for (const { name, answer, is, within = '5s' } of answers) {
  test(`grpc_health_probe: ${name}`, async (t) => {
    const server = createServer()
    server.on('stream', serve(answer))
    const port = await listen(t, server)
    t.match(await run(`grpc_health_probe -addr=127.0.0.1:${port} -connect-timeout 5s -rpc-timeout ${within}`), is)
  })
}

test('grpc_health_probe names the service that it asks about, and looks for a one-word host beside the Canary', async (t) => {
  const called: Called[] = []
  const server = createServer()
  server.on('stream', serve(says(1), called))
  const port = await listen(t, server)
  const service = `shop.${'x'.repeat(200)}`
  t.match(await run(`grpc_health_probe -addr=cart:${port} -connect-timeout 5s -rpc-timeout 5s && grpc_health_probe -addr cart:${port} -connect-timeout 5s -rpc-timeout 5s -service ${service} | grep SERVING`), { ok: true })
  t.match(called, [{ path: '/grpc.health.v1.Health/Check', service: '' }, { path: '/grpc.health.v1.Health/Check' }])
  t.ok(called[1]?.service.endsWith(service))
})

test('grpc_health_probe: over TLS, verified unless told otherwise', async (t) => {
  const server = createSecureServer(await certificate())
  server.on('stream', serve(says(1)))
  const port = await listen(t, server)
  t.match(await run(`grpc_health_probe -addr=127.0.0.1:${port} -tls -tls-no-verify -connect-timeout 5s -rpc-timeout 5s`), { ok: true })
  t.match(await run(`grpc_health_probe -addr=127.0.0.1:${port} -tls -connect-timeout 5s`), { ok: false, error: /failed to connect service at "127.0.0.1:\d+": UNABLE_TO_VERIFY/ })
})

test('grpc_health_probe: nobody there, and nobody that may be asked', async (t) => {
  t.match(await run('grpc_health_probe -addr=127.0.0.1:1'), { ok: false, error: 'error: failed to connect service at "127.0.0.1:1": ECONNREFUSED' })
  t.match(await run('grpc_health_probe -addr=127.0.0.1:1', { allowLoopback: false }), { ok: false, error: 'denied: 127.0.0.1 is loopback' })
  t.match(await run('grpc_health_probe -addr=cart.shop:1', { allowLoopback: false }), { ok: false, error: /denied: cart.shop is loopback/ })
  const silent = (await import('node:net')).createServer(() => {})
  const port = await listen(t, silent as unknown as Http2Server)
  const begun = performance.now()
  t.match(await run(`grpc_health_probe -addr=127.0.0.1:${port} -rpc-timeout 100ms`), { ok: false, error: /timeout/ })
  t.ok(performance.now() - begun < 3_000)
})

test('hey loads a target whose certificate nobody knows, by HTTP/1.1, and with -h2 by HTTP/2', async (t) => {
  const versions = new Set<string>()
  const pair = await certificate()
  const both = createSecureServer({ ...pair, allowHTTP1: true }, (request, response) => { versions.add(request.httpVersion); response.end('ok') })
  const port = await listen(t, both)
  t.match(await run(`hey -n 4 -c 2 https://127.0.0.1:${port}/`), { loads: [{ requests: 4, statuses: { 200: 4 }, errors: {} }] })
  t.same([...versions], ['1.1'])
  versions.clear()
  t.match(await run(`hey -n 4 -c 2 -h2 https://127.0.0.1:${port}/`), { loads: [{ requests: 4, statuses: { 200: 4 }, errors: {} }] })
  t.same([...versions], ['2.0'])
  const plain = createHttpsServer(pair, (_request, response) => { response.end('ok') })
  const curlPort = await listen(t, plain as unknown as Http2Server)
  t.match(await run(`curl -sf https://127.0.0.1:${curlPort}/`), { ok: false, error: /curl: UNABLE_TO_VERIFY/ })
  t.match(await run(`curl -sfk https://127.0.0.1:${curlPort}/`), { ok: true })
})
