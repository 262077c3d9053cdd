import type { Http } from '#api/http.ts'
import { once } from 'node:events'
import { createServer, type AddressInfo, type Socket } from 'node:net'
import { gzipSync } from 'node:zlib'
import { test } from 'tap'
import { createHttp } from '#metrics/http.ts'
import { HttpError } from '#metrics/provider.ts'
import { scrapePods, scrapeTargetOf, type ScrapePod } from '#metrics/scrape.ts'

const SIGNAL = new AbortController().signal
const PORTS = [{ containerPort: 8080, name: 'http' }, { containerPort: 9797, name: 'metrics' }, { containerPort: 53, protocol: 'UDP' }]

const targets = [
  { name: 'annotations', annotations: { 'prometheus.io/port': '9000', 'prometheus.io/path': 'stats' }, gives: { port: 9000, path: '/stats', scheme: 'http' } },
  { name: 'a port by its name', annotations: {}, gives: { port: 9797, path: '/metrics', scheme: 'http' } },
  { name: 'the first port', annotations: {}, ports: [{ containerPort: 53, protocol: 'UDP' }, { containerPort: 8080 }], gives: { port: 8080, path: '/metrics' } },
  { name: 'settings over annotations', annotations: { 'prometheus.io/port': '9000', 'prometheus.io/scheme': 'https' }, settings: { port: 1234, path: '/p' }, gives: { port: 1234, path: '/p', scheme: 'https' } },
  { name: 'a pod that says no', annotations: { 'prometheus.io/scrape': 'false' }, gives: undefined },
  { name: 'a pod that says no, named by its owner', annotations: { 'prometheus.io/scrape': 'false' }, settings: { port: 1 }, gives: { port: 1 } },
  { name: 'a pod without ports', annotations: {}, ports: [], gives: undefined },
  { name: 'a port that is none', annotations: { 'prometheus.io/port': 'http' }, gives: { port: 9797 } },
  { name: 'a port out of range', annotations: { 'prometheus.io/port': '99999' }, gives: undefined },
]
for (const { name, annotations, ports, settings, gives } of targets) {
  test(`where a page is: ${name}`, async (t) => {
    const target = scrapeTargetOf(annotations, ports ?? PORTS, settings)
    if (gives === undefined) t.equal(target, undefined)
    else t.match(target, gives)
  })
}

const pod = (name: string, more: Partial<ScrapePod> = {}): ScrapePod => ({ name, ip: '10.0.0.1', port: 8080, path: '/metrics', scheme: 'http', startedAtMs: 0, ready: true, ...more })

test('all pods of both arms are asked at once, and none spoils the round', async (t) => {
  const asked: string[] = []
  let open = 0
  const most: number[] = []
  const http: Http = async ({ url, deadlineMs, headers }) => {
    asked.push(url)
    t.same(headers, { accept: 'text/plain;version=0.0.4', 'accept-encoding': 'identity' }, 'as it can be read: no protocol buffers, nothing compressed')
    t.equal(deadlineMs, 900)
    open += 1
    most.push(open)
    await new Promise((resolve) => { setImmediate(resolve) })
    open -= 1
    if (url.includes('10.0.0.2')) return { status: 404, body: '' }
    if (url.includes('10.0.0.3')) return { status: 200, body: 'http_requests_total{code="200"} x\n' }
    if (url.includes('10.0.0.4')) throw new HttpError('timeout', 'no answer')
    return { status: 200, body: 'http_requests_total{code="200"} 7\n' }
  }
  const round = await scrapePods(
    { canary: [pod('a', { ip: 'fd00::1', path: '/m?x=1' }), pod('b', { ip: '10.0.0.2' })], primary: [pod('c', { ip: '10.0.0.3' }), pod('d', { ip: '10.0.0.4' })] },
    http,
    { deadlineMs: 900, signal: SIGNAL, now: () => 5_000 },
  )
  t.same(asked, ['http://[fd00::1]:8080/m?x=1', 'http://10.0.0.2:8080/metrics', 'http://10.0.0.3:8080/metrics', 'http://10.0.0.4:8080/metrics'])
  t.equal(Math.max(...most), 4)
  t.match(round.canary, [
    { name: 'a', answer: { kind: 'page', atMs: 5_000, page: { errors: { requests: 7, failures: 0 } } } },
    { name: 'b', answer: { kind: 'failed', reason: 'status 404' } },
  ])
  t.match(round.primary, [{ answer: { kind: 'failed', reason: /no sample/ } }, { answer: { kind: 'failed', reason: 'no answer' } }])
})

const answer = (status: string, body: string | Buffer, headers = ''): Buffer =>
  Buffer.concat([Buffer.from(`HTTP/1.1 ${status}\r\ncontent-length: ${Buffer.byteLength(body)}\r\nconnection: close\r\n${headers}\r\n`), Buffer.from(body)])
const PAGE = 'http_requests_total{code="200"} 7\n'

/** Pods that misbehave, byte by byte: none of them costs more than the round's time, none is taken for a page without requests. */
const misbehaving: readonly { readonly name: string; readonly reply: (socket: Socket) => void; readonly reason: RegExp }[] = [
  { name: 'says nothing', reply: () => {}, reason: /no answer within \d+ ms/ },
  { name: 'trickles', reply: (socket) => { socket.write('HTTP/1.1 200 OK\r\ncontent-length: 100000\r\n\r\n'); const timer = setInterval(() => { socket.write('# a\n') }, 20); socket.on('close', () => { clearInterval(timer) }) }, reason: /no answer within \d+ ms/ },
  { name: 'hangs up in the middle', reply: (socket) => { socket.end(`HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n${PAGE}`) }, reason: /UND_ERR_SOCKET|ECONNRESET|closed/ },
  { name: 'breaks off its chunks', reply: (socket) => { socket.end(`HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n22\r\n${PAGE}\r\nzz\r\n`) }, reason: /no HTTP/ },
  { name: 'sends its caller elsewhere', reply: (socket) => { socket.end(answer('302 Found', '', 'location: http://169.254.169.254/\r\n')) }, reason: /^status 302$/ },
  { name: 'fails', reply: (socket) => { socket.end(answer('500 Internal Server Error', PAGE)) }, reason: /^status 500$/ },
  { name: 'never stops', reply: (socket) => { socket.write('HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n'); const more = () => { while (!socket.destroyed && socket.write('# nothing of interest\n'.repeat(10_000))) { /* until it is full */ } }; socket.on('drain', more); more() }, reason: /larger than 4194304 bytes|no answer within/ },
  { name: 'compresses what nobody asked for', reply: (socket) => { socket.end(answer('200 OK', gzipSync(PAGE), 'content-encoding: gzip\r\n')) }, reason: /compressed/ },
]
for (const { name, reply, reason } of misbehaving) {
  test(`a pod that ${name} has not answered, in time`, async (t) => {
    const sockets = new Set<Socket>()
    const server = createServer((socket) => { sockets.add(socket); socket.on('error', () => {}); socket.once('data', () => { reply(socket) }) })
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    const { http, close } = createHttp({ allowLoopback: true })
    t.teardown(async () => { for (const socket of sockets) socket.destroy(); server.close(); await close() })
    const begun = performance.now()
    const round = await scrapePods({ canary: [pod('a', { ip: '127.0.0.1', port: (server.address() as AddressInfo).port })], primary: [] }, http, { deadlineMs: 500, signal: SIGNAL, now: () => 5_000 })
    t.match(round.canary, [{ answer: { kind: 'failed', reason } }])
    t.ok(performance.now() - begun < 5_000)
  })
}
