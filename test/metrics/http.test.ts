import type { HttpRequest, HttpResponse } from '#api/http.ts'
import { createServer, type RequestListener, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { test, type Test } from 'tap'
import { denialOf, isPublic } from '#api/address-denial.ts'
import { createHttp, type HttpOptions } from '#metrics/http.ts'
import { HttpError } from '#metrics/provider.ts'

const SIGNAL = new AbortController().signal

async function serve(t: Test, listener: RequestListener): Promise<{ url: string; port: number; server: Server }> {
  const server = createServer(listener)
  await new Promise<void>((resolve) => { server.listen(0, '127.0.0.1', resolve) })
  t.teardown(() => { server.closeAllConnections(); server.close() })
  const { port } = server.address() as AddressInfo
  return { url: `http://127.0.0.1:${port}`, port, server }
}

function client(t: Test, options: HttpOptions = { allowLoopback: true }): (request: Partial<HttpRequest> & { url: string }, signal?: AbortSignal) => Promise<HttpResponse> {
  const { http, close } = createHttp(options)
  t.teardown(close)
  return (request, signal = SIGNAL) => http({ deadlineMs: 2_000, ...request }, signal)
}

const faultOf = (exchange: Promise<HttpResponse>): Promise<unknown> =>
  exchange.then(() => 'none', (err: unknown) => (err instanceof HttpError ? err.fault : err))

const addresses = [
  { address: '10.96.0.10', denial: undefined },
  { address: '192.168.1.1', denial: undefined },
  { address: '100.64.1.1', denial: undefined },
  { address: '240.10.0.1', denial: undefined },
  { address: 'fd12:3456::1', denial: undefined },
  { address: '8.8.8.8', denial: undefined },
  { address: '127.0.0.1', denial: 'loopback' },
  { address: '127.8.8.8', denial: 'loopback' },
  { address: '::1', denial: 'loopback' },
  { address: '::ffff:127.0.0.1', denial: 'loopback' },
  { address: '169.254.169.254', denial: 'in the linkLocal range' },
  { address: '::ffff:169.254.169.254', denial: 'in the linkLocal range' },
  { address: '::127.0.0.1', denial: 'loopback' },
  { address: '::ffff:0:127.0.0.1', denial: 'loopback' },
  { address: '64:ff9b:1::7f00:1', denial: 'loopback' },
  { address: '192.0.0.192', denial: 'a metadata service' },
  { address: '64:ff9b::a9fe:a9fe', denial: 'in the linkLocal range' },
  { address: 'fe80::1', denial: 'in the linkLocal range' },
  { address: '0.0.0.0', denial: 'in the unspecified range' },
  { address: '::', denial: 'in the unspecified range' },
  { address: '224.0.0.1', denial: 'in the multicast range' },
  { address: '255.255.255.255', denial: 'in the broadcast range' },
  { address: '2002:a9fe:a9fe::1', denial: 'in the 6to4 range' },
  { address: 'fd00:ec2::254', denial: 'a metadata service' },
  { address: 'fd00:ec2::23', denial: 'a metadata service' },
  { address: 'fd20:ce:0::254', denial: 'a metadata service' },
  { address: 'fd00:42::42', denial: 'a metadata service' },
  { address: '100.100.100.200', denial: 'a metadata service' },
  { address: '168.63.129.16', denial: 'a metadata service' },
  { address: 'prometheus', denial: 'no IP address' },
]
for (const { address, denial } of addresses) test(`${address} is ${denial ?? 'allowed'}`, async (t) => t.equal(denialOf(address, {}), denial))

const publics = [
  { address: '8.8.8.8', is: true }, { address: '2001:4860:4860::8888', is: true }, { address: '::ffff:8.8.8.8', is: true }, { address: '64:ff9b::808:808', is: true },
  { address: '10.1.2.3', is: false }, { address: '100.64.0.1', is: false }, { address: '240.0.0.1', is: false }, { address: 'fd12::1', is: false }, { address: '::ffff:10.0.0.1', is: false },
]
for (const { address, is } of publics) test(`${address} is ${is ? 'public' : 'private'}`, async (t) => t.equal(isPublic(address), is))

test('what may only be private is never asked in public, whatever its name leads to', async (t) => {
  const { url } = await serve(t, (_, response) => response.end('here'))
  const { port } = new URL(url)
  let address = '127.0.0.1'
  const ask = client(t, { allowLoopback: true, resolve: async () => [{ address, family: 4 }] })
  t.match(await ask({ url: `http://prom.example:${port}` }), { body: 'here' })
  t.match(await ask({ url: `http://prom.example:${port}`, privateOnly: 'policy base' }), { body: 'here' })
  address = '8.8.8.8'
  await t.rejects(ask({ url: `http://prom.example:${Number(port) + 1}`, privateOnly: 'policy base' }), { fault: 'denied', message: 'policy base' })
  await t.rejects(ask({ url: 'http://8.8.8.8', privateOnly: 'policy base' }), { fault: 'denied', message: 'policy base' })
  await t.rejects(ask({ url: 'http://[2001:4860:4860::8888]', privateOnly: 'policy base' }), { fault: 'denied', message: 'policy base' })
})

test('an answer is status and text', async (t) => {
  const { url } = await serve(t, (request, response) => {
    response.statusCode = 418
    response.end(`${request.method} ${request.url} ${request.headers['x-a']}`)
  })
  t.same(await client(t)({ url: `${url}/a?b=c`, headers: { 'x-a': 'a' } }), { status: 418, body: 'GET /a?b=c a' })
})

test('a request says whose it is, unless its sender does', async (t) => {
  const { url } = await serve(t, (request, response) => response.end(request.headers['user-agent']))
  t.match(await client(t)({ url }), { body: /^canarygate/ })
  t.match(await client(t)({ url, headers: { 'User-Agent': 'sdk/1' } }), { body: 'sdk/1' })
})

test('user and password of an address become credentials', async (t) => {
  const { url } = await serve(t, (request, response) => response.end(request.headers.authorization))
  const named = url.replace('http://', 'http://bob:a%40b@')
  t.match(await client(t)({ url: named }), { body: 'Basic Ym9iOmFAYg==' })
  t.match(await client(t)({ url: named, headers: { Authorization: 'Bearer x' } }), { body: 'Bearer x' })
})

test('redirects are answers, not followed', async (t) => {
  const { url } = await serve(t, (_, response) => response.writeHead(302, { location: 'http://169.254.169.254/' }).end())
  t.match(await client(t)({ url }), { status: 302 })
})

test('loopback is denied unless allowed, literally and by name', async (t) => {
  const { url, port } = await serve(t, (_, response) => response.end('secret'))
  const cautious = client(t, {})
  await t.rejects(cautious({ url }), { fault: 'denied', message: /loopback/ })
  await t.rejects(cautious({ url: `http://localhost:${port}` }), { fault: 'denied', message: /loopback/ })
  t.equal(await faultOf(cautious({ url: `http://0x7f.1:${port}` })), 'denied')
  t.equal(await faultOf(cautious({ url: `http://[::ffff:127.0.0.1]:${port}` })), 'denied')
})

test('a name with one denied address is denied, and the checked address is connected to', async (t) => {
  const { port } = await serve(t, (_, response) => response.end('here'))
  const resolving = (...found: string[]): HttpOptions => ({ allowLoopback: true, resolve: async () => found.map((address) => ({ address, family: 4 })) })
  t.match(await client(t, resolving('127.0.0.1'))({ url: `http://anything.example:${port}` }), { body: 'here' })
  t.equal(await faultOf(client(t, resolving('127.0.0.1', '169.254.169.254'))({ url: `http://rebind.example:${port}` })), 'denied')
  t.equal(await faultOf(client(t, resolving())({ url: `http://nowhere.example:${port}` })), 'unreachable')
})

test('other schemes and no URL are denied', async (t) => {
  t.equal(await faultOf(client(t)({ url: 'file:///etc/passwd' })), 'denied')
  t.equal(await faultOf(client(t)({ url: 'prometheus:9090' })), 'denied')
  t.equal(await faultOf(client(t)({ url: '' })), 'denied')
})

test('an answer that is too large is given up', async (t) => {
  const { url } = await serve(t, (_, response) => response.end('x'.repeat(5_000)))
  await t.rejects(client(t)({ url, maxBytes: 1_000 }), { fault: 'too-large', message: /1000 bytes/ })
  t.match(await client(t)({ url, maxBytes: 5_000 }), { status: 200 })
})

test('a server that never answers, or never ends, meets the deadline', async (t) => {
  const { url } = await serve(t, (request, response) => { if (request.url === '/slow') response.write('x') })
  await t.rejects(client(t)({ url, deadlineMs: 100 }), { fault: 'timeout', message: /100 ms/ })
  t.equal(await faultOf(client(t)({ url: `${url}/slow`, deadlineMs: 100 })), 'timeout')
})

test('a caller may give up', async (t) => {
  const { url } = await serve(t, () => {})
  const given = new AbortController()
  const pending = client(t)({ url }, given.signal)
  given.abort()
  t.equal(await faultOf(pending), 'aborted')
})

test('503 and a refused connection are tried once more, a POST answered with 503 is not', async (t) => {
  let asked = 0
  const { url } = await serve(t, (_, response) => {
    asked += 1
    response.writeHead(asked === 1 || asked > 2 ? 503 : 200).end()
  })
  t.match(await client(t)({ url }), { status: 200 })
  t.equal(asked, 2)
  t.match(await client(t)({ url, method: 'POST', body: '{}' }), { status: 503 })
  t.equal(asked, 3)
  t.match(await client(t)({ url }), { status: 503 })
  t.equal(asked, 5)
  const gone = await serve(t, () => {})
  gone.server.close()
  await t.rejects(client(t)({ url: gone.url }), { fault: 'unreachable', message: /ECONNREFUSED/ })
})

const busy = [
  { name: 'a 429 with a short Retry-After is asked again after it', status: 429, retryAfter: '1', asked: 2, waits: true },
  { name: 'a 503 with one, too', status: 503, retryAfter: '1', asked: 2, waits: true },
  { name: 'a 429 without one stands', status: 429, asked: 1 },
  { name: 'a longer one than anybody waits for stands, and is told', status: 429, retryAfter: '30', asked: 1, told: 30 },
  { name: 'a date is as good as none', status: 429, retryAfter: 'Wed, 21 Oct 2026 07:28:00 GMT', asked: 1 },
  { name: 'a POST is asked again only where that does no harm', status: 429, retryAfter: '0', method: 'POST', asked: 1, told: 0 },
  { name: 'a POST that only asks is a question', status: 429, retryAfter: '0', method: 'POST', repeatable: true, asked: 2 },
] as const
for (const { name, status, asked, ...row } of busy) {
  test(name, async (t) => {
    let requests = 0
    const { url } = await serve(t, (_, response) => {
      requests += 1
      response.writeHead(requests === 1 ? status : 200, 'retryAfter' in row && requests === 1 ? { 'retry-after': row.retryAfter } : {}).end()
    })
    const begun = performance.now()
    const answer = await client(t)({ url, ...('method' in row ? { method: row.method } : {}), ...('repeatable' in row ? { repeatable: true } : {}) })
    t.same([requests, answer.status, answer.retryAfterSeconds], [asked, asked === 2 ? 200 : status, 'told' in row ? row.told : undefined])
    if ('waits' in row) t.ok(performance.now() - begun > 900)
  })
}

test('a refused connection is tried once more', async (t) => {
  const { port } = await serve(t, (_, response) => response.end('here'))
  // Nobody listens on the second loopback address: a pod that is just being replaced.
  const answers = ['127.0.0.2', '127.0.0.1', '127.0.0.2', '127.0.0.2', '127.0.0.1']
  const options: HttpOptions = { allowLoopback: true, resolve: async () => [{ address: answers.shift() ?? '', family: 4 }] }
  t.match(await client(t, options)({ url: `http://pod.example:${port}`, method: 'POST' }), { body: 'here' })
  t.equal(await faultOf(client(t, options)({ url: `http://pod.example:${port}` })), 'unreachable')
  t.same(answers, ['127.0.0.1'], 'once, not twice')
})

test('a body is sent, credentials are not invented', async (t) => {
  const { url } = await serve(t, (request, response) => {
    response.write(`${request.method} ${request.headers.authorization} `)
    request.pipe(response)
  })
  t.match(await client(t)({ url, method: 'POST', body: 'hello' }), { body: 'POST undefined hello' })
})

test('errors tell neither user, password nor query', async (t) => {
  const { url, server } = await serve(t, () => {})
  server.close()
  const error: unknown = await client(t)({ url: url.replace('http://', 'http://bob:hunter2@').concat('/a?token=hunter3'), headers: { authorization: 'hunter4' } }).catch((err: unknown) => err)
  t.type(error, HttpError)
  t.match(String(error), /\/a: /)
  t.notMatch(String(error), /bob|hunter/)
})
