import { createServer, type Server, type Socket } from 'node:net'
import type { AddressInfo } from 'node:net'
import { test, type Test } from 'tap'
import type { CheckedMetric } from '#api/measurement.ts'
import type { Caches } from '#agent/caches.ts'
import { createMeasuring } from '#agent/measuring.ts'
import type { Vigil } from '#agent/vigil.ts'
import { createHttp } from '#metrics/http.ts'
import { NO_BOUNDS } from '#policy/reach.ts'
import type { Seen } from '#rollout/decision.ts'
import { canary } from '../agent/world.ts'
import { createFakeKube } from '../fake-kube.ts'
import { createLogLines } from '../kube/log-lines.ts'

/** A Prometheus that does what docs/metrics.md says about it, byte by byte: what a round of checks makes of it. */

type Reply = (socket: Socket, request: number) => void
const http = (status: string, body: string, headers = ''): string => `HTTP/1.1 ${status}\r\ncontent-length: ${Buffer.byteLength(body)}\r\nconnection: close\r\n${headers}\r\n${body}`
const vector = (...values: readonly string[]): string => JSON.stringify({ status: 'success', data: { resultType: 'vector', result: values.map((value) => ({ metric: {}, value: [1, value] })) } })
const say = (text: string): Reply => (socket) => { socket.end(text) }

async function prometheus(t: Test, reply: Reply): Promise<{ url: string; server: Server }> {
  const sockets = new Set<Socket>()
  let requests = 0
  const server = createServer((socket) => {
    sockets.add(socket)
    socket.on('error', () => {})
    socket.on('data', () => { requests += 1; reply(socket, requests) })
  })
  await new Promise<void>((resolve) => { server.listen(0, '127.0.0.1', resolve) })
  t.teardown(() => { for (const socket of sockets) socket.destroy(); server.close() })
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, server }
}

/** One round: the built-in success rate at the server under test, and a second metric at a good one. */
async function round(t: Test, bad: string): Promise<{ metric: CheckedMetric | undefined; other: CheckedMetric | undefined; seconds: number }> {
  const good = await prometheus(t, say(http('200 OK', vector('7'))))
  const { http: client, close } = createHttp({ allowLoopback: true })
  t.teardown(close)
  const template = { provider: { type: 'prometheus', address: good.url }, query: 'x' }
  const object = canary({ spec: { metricsServer: bad }, analysis: { metrics: [
    { name: 'request-success-rate', interval: '1m', thresholdRange: { min: 99 } }, { name: 'depth', templateRef: { name: 'depth' }, thresholdRange: { max: 5 } },
  ] } })
  const { log } = createLogLines()
  const measuring = createMeasuring({
    reach: () => NO_BOUNDS, http: client, client: createFakeKube().client, metricsServer: undefined, log, now: () => 0, wait: async () => {},
    caches: { metricTemplate: () => ({ spec: template }) } as unknown as Caches, vigil: {} as Vigil,
  })
  const begun = performance.now()
  const { metrics: [metric, other] } = await measuring.measure(object, { name: 'cart', namespace: 'shop', spec: object.spec } as Seen, 'kubernetes')
  return { metric, other, seconds: (performance.now() - begun) / 1_000 }
}

const SUCCESS = http('200 OK', vector('99.9'))
const rows: readonly { readonly name: string; readonly reply: Reply; readonly halt?: RegExp; readonly failure?: RegExp }[] = [
  { name: 'says nothing', reply: () => {}, halt: /no answer within 5000 ms/ },
  { name: 'begins and never ends', reply: (socket) => { socket.write('HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n{"status":') }, halt: /no answer within 5000 ms/ },
  { name: 'drips a byte at a time', reply: (socket) => {
    socket.write('HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n')
    const timer = setInterval(() => { socket.write('1\r\n \r\n') }, 200)
    socket.on('close', () => { clearInterval(timer) })
  }, halt: /no answer within 5000 ms/ },
  { name: 'answers 503 twice', reply: say(http('503 Service Unavailable', 'Service Unavailable')), halt: /^Prometheus query failed: error response: 503 Service Unavailable$/ },
  { name: 'answers 503 once', reply: (socket, request) => { socket.end(request === 1 ? http('503 Service Unavailable', '') : SUCCESS) } },
  { name: 'throttles for a second', reply: (socket, request) => { socket.end(request === 1 ? http('429 Too Many Requests', '', 'retry-after: 1\r\n') : SUCCESS) } },
  { name: 'throttles for a minute', reply: say(http('429 Too Many Requests', 'slow down', 'retry-after: 60\r\n')), halt: /429 slow down \(asks to wait 60 s\)/ },
  { name: 'answers 500', reply: say(http('500 Internal Server Error', '{"status":"error","error":"out of memory"}')), halt: /500 out of memory/ },
  { name: 'calls it a bad query', reply: say(http('400 Bad Request', '{"status":"error","errorType":"bad_data","error":"parse error"}')), halt: /400 parse error/ },
  { name: 'shows a login page', reply: say(http('200 OK', '<html>sign in</html>')), halt: /not one of a Prometheus query/ },
  { name: 'redirects to one', reply: say(http('302 Found', '', 'location: http://169.254.169.254/\r\n')), halt: /error response: 302/ },
  { name: 'speaks no HTTP', reply: say('\u0000\u0001garbage\r\n'), halt: /no HTTP/ },
  { name: 'answers half a JSON', reply: say(http('200 OK', vector('99.9').slice(0, 60))), halt: /not one of a Prometheus query/ },
  { name: 'hangs up in the middle', reply: (socket) => { socket.write('HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n{"status":'); setTimeout(() => { socket.resetAndDestroy() }, 20) }, halt: /^Prometheus query failed: http:/ },
  { name: 'hangs up at once', reply: (socket) => { socket.resetAndDestroy() }, halt: /^Prometheus query failed: http:/ },
  { name: 'answers too much', reply: say(http('200 OK', 'x'.repeat(2_000_000))), halt: /larger than 1048576 bytes/ },
  { name: 'answers with a range', reply: say(http('200 OK', '{"status":"success","data":{"resultType":"matrix","result":[]}}')), halt: /multiple values/ },
  { name: 'has no series', reply: say(http('200 OK', vector())), failure: /^Halt advancement no values found for kubernetes metric request-success-rate probably cart\.shop is not receiving traffic/ },
  { name: 'divides nothing by nothing', reply: say(http('200 OK', vector('NaN'))), failure: /no values found/ },
  { name: 'answers well', reply: say(SUCCESS) },
]

test('whatever Prometheus does, it fails no canary and keeps no other metric from being judged', async (t) => {
  await Promise.all(rows.map(async ({ name, reply, halt, failure }) => {
    const { metric, other, seconds } = await round(t, (await prometheus(t, reply)).url)
    t.match(metric, { halt, failure, name: 'request-success-rate' }, `${name}: ${metric?.halt ?? metric?.failure ?? 'passes'}`)
    t.same([metric?.halt === undefined, metric?.failure === undefined], [halt === undefined, failure === undefined], name)
    t.match(other, { failure: 'Halt cart.shop advancement depth 7.00 > 5' }, `${name}: the other is judged`)
    t.ok(seconds < 12, `${name}: ${seconds.toFixed(1)} s`)
  }))
})

test('a Prometheus that is not there holds, by refusal and by name', async (t) => {
  const { url, server } = await prometheus(t, say(SUCCESS))
  await new Promise<void>((resolve) => { server.close(() => { resolve() }) })
  t.match((await round(t, url)).metric, { halt: /ECONNREFUSED/, failure: undefined })
  t.match((await round(t, 'http://prometheus.nowhere.invalid:9090')).metric, { halt: /ENOTFOUND|EAI_AGAIN/, failure: undefined })
})
