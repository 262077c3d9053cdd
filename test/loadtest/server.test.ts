import { createServer, type IncomingMessage, type RequestListener } from 'node:http'
import type { AddressInfo } from 'node:net'
import { performance } from 'node:perf_hooks'
import { setTimeout as sleep } from 'node:timers/promises'
import type { FastifyInstance } from 'fastify'
import { pino } from 'pino'
import { test, type Test } from 'tap'
import { createLoadTester, type LoadTesterOptions } from '#loadtest/server.ts'
import { denialOf } from '#api/address-denial.ts'

type Tester = { readonly app: FastifyInstance; readonly lines: Record<string, unknown>[]; readonly until: (message: string) => Promise<Record<string, unknown>> }

function tester(t: Test, options: Partial<LoadTesterOptions> = {}): Tester {
  const lines: Record<string, unknown>[] = []
  const log = pino({ level: 'debug' }, { write: (line: string) => { lines.push(JSON.parse(line)) } })
  const app = createLoadTester({
    log, now: () => performance.now(), denialOf, allowLoopback: true,
    wait: async (milliseconds, signal) => { await sleep(milliseconds, undefined, { signal }).catch(() => undefined) },
    ...options,
  })
  t.teardown(async () => await app.close())
  const until = async (message: string): Promise<Record<string, unknown>> => {
    for (let tries = 0; tries < 500; tries += 1) {
      const line = lines.find(({ msg }) => msg === message)
      if (line) return line
      await sleep(10)
    }
    throw new Error(`never logged: ${message}; logged: ${lines.map(({ msg }) => msg).join(', ')}`)
  }
  return { app, lines, until }
}

async function target(t: Test, listener: RequestListener = (_, response) => response.end('ok')): Promise<{ url: string; port: number; seen: IncomingMessage[] }> {
  const seen: IncomingMessage[] = []
  const server = createServer((request, response) => {
    seen.push(request)
    listener(request, response)
  })
  await new Promise<void>((resolve) => { server.listen(0, '127.0.0.1', resolve) })
  t.teardown(() => { server.closeAllConnections(); server.close() })
  const { port } = server.address() as AddressInfo
  return { url: `http://127.0.0.1:${port}`, port, seen }
}

const SHOP = { name: 'shop', namespace: 'prod' }
const post = async (app: FastifyInstance, url: string, body: unknown): Promise<{ status: number; body: string }> => {
  const answer = await app.inject({ method: 'POST', url, headers: { 'content-type': 'application/json' }, payload: typeof body === 'string' ? body : JSON.stringify(body) })
  return { status: answer.statusCode, body: answer.body }
}
const launch = (app: FastifyInstance, metadata: Record<string, string>, who = SHOP): Promise<{ status: number; body: string }> =>
  post(app, '/', { ...who, phase: 'Progressing', checksum: 'x', metadata })

for (const path of ['/gate', '/rollback']) {
  test(`${path}: closed at first, open until closed, each Canary for itself`, async (t) => {
    const { app } = tester(t)
    t.same(await post(app, `${path}/check`, SHOP), { status: 403, body: 'Forbidden' })
    t.match(await post(app, `${path}/open`, SHOP), { status: 202 })
    t.same(await post(app, `${path}/check`, SHOP), { status: 200, body: 'Approved' })
    t.match(await post(app, `${path}/check`, { ...SHOP, namespace: 'other' }), { status: 403 })
    t.match(await post(app, `${path === '/gate' ? '/rollback' : '/gate'}/check`, SHOP), { status: 403 }, 'the other kind of gate stays closed')
    t.match(await post(app, `${path}/close`, SHOP), { status: 202 })
    t.match(await post(app, `${path}/check`, SHOP), { status: 403 })
  })
}

const plain = [
  { name: 'approve says yes to anybody', url: '/gate/approve', body: '', is: { status: 200, body: 'OK' } },
  { name: 'halt says no to anybody', url: '/gate/halt', body: '', is: { status: 403, body: 'Forbidden' } },
  { name: 'a gate without a payload is a bad request', url: '/gate/check', body: '', is: { status: 400 } },
  { name: 'no metadata is a bad request', url: '/', body: SHOP, is: { status: 400, body: 'metadata not found in payload' } },
  { name: 'no JSON is a bad request', url: '/', body: 'hey', is: { status: 400, body: 'the body is not JSON' } },
  { name: 'no command is a bad request', url: '/', body: { ...SHOP, metadata: { type: 'cmd' } }, is: { status: 400, body: 'cmd not found in metadata' } },
  { name: 'an unknown type is a bad request', url: '/', body: { ...SHOP, metadata: { type: 'python', cmd: 'x' } }, is: { status: 400, body: 'unknown task type python' } },
  { name: 'a type that needs a program is refused by name', url: '/', body: { ...SHOP, metadata: { type: 'helmv3', cmd: 'test shop' } }, is: { status: 400, body: 'task type helmv3 is not run here: this load tester starts no programs' } },
  { name: 'an unknown path is not found', url: '/gates', body: SHOP, is: { status: 404 } },
]
for (const { name, url, body, is } of plain) test(name, async (t) => { t.match(await post(tester(t).app, url, body), is) })

test('methods are not looked at: GET with a body, and curl -d without a type', async (t) => {
  const { app } = tester(t)
  await app.listen({ port: 0, host: '127.0.0.1' })
  t.match(await app.inject({ method: 'POST', url: '/gate/open', headers: { 'content-type': 'application/x-www-form-urlencoded' }, payload: JSON.stringify(SHOP) }), { statusCode: 202 })
  t.match(await app.inject({ method: 'GET', url: '/gate/check', payload: JSON.stringify(SHOP) }), { statusCode: 200, body: 'Approved' })
  t.match(await app.inject({ method: 'PUT', url: '/gate/check', payload: JSON.stringify(SHOP) }), { statusCode: 200 })
  t.match(await app.inject('/healthz'), { statusCode: 200, body: 'OK' })
})

test('bodies beyond the limit are turned away', async (t) => {
  const huge = JSON.stringify({ ...SHOP, metadata: { cmd: 'x'.repeat(300_000) } })
  const { app } = tester(t)
  t.match(await post(app, '/', huge), { status: 413 })
  t.match(await app.inject({ method: 'GET', url: '/gate/check', payload: huge }), { statusCode: 413 })
})

test('other namespaces are forbidden when the operator says so', async (t) => {
  const { app } = tester(t, { namespaces: /^prod$/ })
  t.match(await post(app, '/gate/open', SHOP), { status: 202 })
  t.same(await post(app, '/gate/open', { name: 'shop', namespace: 'test' }), { status: 403, body: 'Forbidden' })
})

test('cmd: accepted at once, run beside, and logged with its output', async (t) => {
  const { url, seen } = await target(t)
  const { app, until } = tester(t)
  t.same(await launch(app, { type: 'cmd', cmd: `hey -n 20 -c 4 -host shop.example.org -H 'X-Canary: insider' ${url}/health`, logCmdOutput: 'true' }), { status: 202, body: 'Accepted' })
  const line = await until('command finished')
  t.match(line, { canary: 'shop', namespace: 'prod', output: /Requests: 20 in .*\n.*\nStatus codes: 200: 20\nErrors: none/, loads: [{ requests: 20, statuses: { 200: 20 } }] })
  t.equal(seen.length, 20)
  t.match(seen[0], { method: 'GET', url: '/health', headers: { 'host': 'shop.example.org', 'x-canary': 'insider', 'user-agent': 'hey/0.0.1' } })
  t.match((await app.inject('/metrics')).body, /canarygate_loadtest_requests_total\{name="shop",namespace="prod",code="200"\} 20\n/)
  t.match((await app.inject('/metrics')).body, /canarygate_loadtest_request_duration_seconds_count\{name="shop",namespace="prod"\} 20\n/)
  t.match((await app.inject('/metrics')).body, /canarygate_loadtest_commands_total\{type="cmd",outcome="done"\} 1\n/)
})

test('cmd: the type is cmd when left out, and output is logged only on demand', async (t) => {
  const { url } = await target(t)
  const { app, until } = tester(t)
  t.match(await launch(app, { cmd: `hey -n 2 -c 1 ${url}` }), { status: 202 })
  t.equal((await until('command finished'))['output'], undefined)
})

test('hey: -q is the pace of each worker, and -z ends it', async (t) => {
  const { url, seen } = await target(t)
  const { app, until } = tester(t)
  await launch(app, { cmd: `hey -z 500ms -q 20 -c 2 ${url}` })
  const { loads } = await until('command finished') as { loads: { requests: number; seconds: number }[] }
  // 2 workers, 20 a second each, half a second: 20, and the machine may be slow.
  t.ok(seen.length >= 10 && seen.length <= 22, `${seen.length} requests`)
  t.equal(loads[0]?.requests, seen.length)
})

test('hey: body, type and method arrive; statuses and errors are counted apart', async (t) => {
  const bodies: string[] = []
  const { url } = await target(t, (request, response) => {
    let body = ''
    request.on('data', (chunk: Buffer) => { body += chunk.toString() })
    request.on('end', () => {
      bodies.push(`${request.method} ${request.headers['content-type']} ${body}`)
      if (bodies.length % 3 === 0) request.socket.destroy()
      else response.writeHead(bodies.length % 3 === 1 ? 200 : 500).end()
    })
  })
  const { app, until } = tester(t)
  await launch(app, { cmd: `hey -n 6 -c 1 -m POST -T text/plain -d 'a b' ${url}` })
  const { loads } = await until('command finished') as { loads: { requests: number; statuses: Record<string, number>; errors: Record<string, number> }[] }
  t.match(loads[0], { requests: 6, statuses: { 200: 2, 500: 2 } })
  t.equal(Object.values(loads[0]?.errors ?? {}).reduce((sum, many) => sum + many, 0), 2)
  t.equal(bodies[0], 'POST text/plain a b')
})

test('hey: -t ends a request that hangs, and -disable-keepalive uses a connection once', async (t) => {
  const ports = new Set<number | undefined>()
  const { url } = await target(t, (request, response) => {
    ports.add(request.socket.remotePort)
    if (request.url !== '/hang') response.end()
  })
  const hanging = tester(t)
  await launch(hanging.app, { cmd: `hey -n 1 -c 1 -t 1 ${url}/hang` })
  t.match(await hanging.until('command finished'), { loads: [{ requests: 1, errors: { timeout: 1 } }] })
  ports.clear()
  const single = tester(t)
  await launch(single.app, { cmd: `hey -n 3 -c 1 -disable-keepalive ${url}` })
  await single.until('command finished')
  t.equal(ports.size, 3)
  ports.clear()
  const kept = tester(t)
  await launch(kept.app, { cmd: `hey -n 3 -c 1 ${url}` })
  await kept.until('command finished')
  t.equal(ports.size, 1)
})

test('the same command of the same Canary is not started twice, another Canary\'s is', async (t) => {
  const held: (() => void)[] = []
  const { url, seen } = await target(t, (_, response) => { held.push(() => response.end()) })
  const { app, until } = tester(t)
  const cmd = `hey -n 1 -c 1 ${url}`
  t.match(await launch(app, { cmd }), { status: 202, body: 'Accepted' })
  t.match(await launch(app, { cmd }), { status: 202, body: /is already running/ })
  t.match(await launch(app, { cmd }, { name: 'cart', namespace: 'prod' }), { status: 202, body: 'Accepted' })
  while (held.length < 2) await sleep(5)
  for (const release of held) release()
  await until('command finished')
  t.equal(seen.length, 2)
  // It is forgotten just after it was logged.
  await sleep(20)
  t.match(await launch(app, { cmd }), { status: 202, body: 'Accepted' }, 'once it has ended, it may be started again')
  while (held.length < 3) await sleep(5)
  held[2]?.()
})

test('commands beyond the places are turned away with 429', async (t) => {
  const { url } = await target(t, () => {})
  const { app } = tester(t, { limits: { maxRunning: 1, maxWaiting: 1 } })
  t.match(await launch(app, { cmd: `hey -n 1 -c 1 ${url}/1` }), { status: 202 })
  t.match(await launch(app, { cmd: `hey -n 1 -c 1 ${url}/2` }), { status: 202 })
  t.match(await launch(app, { cmd: `hey -n 1 -c 1 ${url}/3` }), { status: 429 })
  t.match((await app.inject('/metrics')).body, /commands_running 1\n[^]*commands_waiting 1\n/)
})

test('a command ends at its deadline, and closing the server ends it too', async (t) => {
  const { url } = await target(t, () => {})
  const short = tester(t, { commandDeadlineMs: 100 })
  await launch(short.app, { cmd: `hey -z 1h -c 2 ${url}` })
  t.match(await short.until('command failed'), { reason: 'given up at the deadline' })
  const closed = tester(t)
  await launch(closed.app, { cmd: `hey -z 1h -c 2 ${url}` })
  await closed.until('command started')
  await closed.app.close()
  t.match(await closed.until('command failed'), { reason: 'given up at the deadline' })
})

const site: RequestListener = (request, response) => {
  if (request.url === '/broken') response.writeHead(503).end('down\n')
  else if (request.url === '/moved') response.writeHead(302, { location: '/token' }).end()
  else if (request.url === '/inside') response.writeHead(302, { location: 'http://169.254.169.254/latest' }).end()
  else if (request.url === '/huge') response.end(Buffer.alloc(1_100_000))
  else response.end('line one\n{"token": "abc"}\n')
}
const checks = [
  { name: 'a good answer is a yes', cmd: 'curl -sf URL/healthz', is: { status: 200, body: 'OK' } },
  { name: 'with -f a 503 is a no, with its body and curl\'s words', cmd: 'curl -sf URL/broken', is: { status: 500, body: /^command curl -sf .*\/broken failed: down\n?: curl: \(22\) The requested URL returned error: 503$/ } },
  { name: 'without -f a 503 is a yes, as with curl', cmd: 'curl -s URL/broken', is: { status: 200 } },
  { name: 'grep finds', cmd: `curl -sd 'test' URL/token | grep token`, is: { status: 200 } },
  { name: 'grep finds nothing', cmd: 'curl -s URL/token | grep missing', is: { status: 500, body: /grep found nothing$/ } },
  { name: 'output comes back on demand, filtered', cmd: 'curl -s URL/token | grep token', returns: true, is: { status: 200, body: '{"token": "abc"}' } },
  { name: 'all parts of && must succeed', cmd: 'curl -sf URL/a && curl -sf URL/broken && curl -sf URL/never', is: { status: 500 } },
  { name: 'redirects are followed with -L only', cmd: 'curl -sfL URL/moved | grep token', is: { status: 200 } },
  { name: 'without -L a redirect is an answer', cmd: 'curl -sf URL/moved | grep token', is: { status: 500 } },
  { name: 'a redirect inside is not followed', cmd: 'curl -sfL URL/inside', is: { status: 500, body: /denied: 169\.254\.169\.254 is in the linkLocal range/ } },
  { name: 'wget takes a 503 for a no', cmd: 'wget -qO- URL/broken', is: { status: 500, body: /HTTP\/1\.1 503/ } },
  { name: 'wget --spider asks for the head alone', cmd: 'wget -q --spider URL/', is: { status: 200 } },
  { name: 'an answer that is too large is a no', cmd: 'curl -s URL/huge', is: { status: 500, body: /larger than/ } },
  { name: 'hey runs as a check too', cmd: 'hey -n 2 -c 1 URL/', returns: true, is: { status: 200, body: /Requests: 2 in/ } },
  { name: 'retries reach a target that recovers too late as a no', cmd: 'curl -sf --retry 2 --retry-delay 0 URL/broken', is: { status: 500 } },
  { name: 'the status alone, as most checks ask for it', cmd: `curl -s -o /dev/null -w '%{http_code}' URL/ | grep 200`, returns: true, is: { status: 200, body: /^200$/ } },
  { name: 'another status', cmd: `curl -s -o /dev/null -w "%{http_code}\\n" URL/broken | grep 200`, is: { status: 500, body: /grep found nothing$/ } },
  { name: 'no status at all is 000, as with curl', cmd: `curl -s -o /dev/null -w '%{http_code}' http://127.0.0.1:1/ | grep 000`, is: { status: 200 } },
  { name: 'size and type', cmd: `curl -s -o /dev/null -w '%{size_download} %{content_type} 100%%' URL/`, returns: true, is: { status: 200, body: '26  100%' } },
  { name: 'a pause between two parts', cmd: 'sleep 0.05 && curl -sf URL/', is: { status: 200 } },
  { name: 'nobody listening is a no', cmd: 'curl -s http://127.0.0.1:1/', is: { status: 500, body: /curl: ECONNREFUSED$/ } },
]
for (const { name, cmd, returns = false, is } of checks) {
  test(`bash: ${name}`, async (t) => {
    const { url } = await target(t, site)
    t.match(await launch(tester(t).app, { type: 'bash', cmd: cmd.replaceAll('URL', url), ...(returns ? { returnCmdOutput: 'true' } : {}) }), is)
  })
}

const denied = [
  'http://169.254.169.254/latest/meta-data', 'http://[fd00:ec2::254]/', 'http://127.0.0.1/', 'http://[::1]/', 'http://2130706433/', 'http://0x7f.1/', 'http://[::ffff:127.0.0.1]/', 'http://0.0.0.0/',
  'http://100.100.100.200/',
]
for (const url of denied) {
  test(`in a cluster ${url} is refused before anything is sent`, async (t) => {
    t.match(await launch(tester(t, { allowLoopback: false }).app, { cmd: `hey -n 1 -c 1 ${url}` }), { status: 400, body: /refused: .* is / })
  })
}

test('a name that leads to a denied address is refused when it is looked up', async (t) => {
  const { url, port, seen } = await target(t)
  const { app } = tester(t, { allowLoopback: false, resolve: async () => [{ address: '10.0.0.1', family: 4 }, { address: '127.0.0.1', family: 4 }] })
  t.match(await launch(app, { type: 'bash', cmd: `curl -s http://rebinding.example.org:${port}/` }), { status: 500, body: /denied: rebinding\.example\.org is loopback/ })
  t.equal(seen.length, 0, url)
})

test('a one-word name that is unknown is looked for in the namespace of the Canary', async (t) => {
  const { port } = await target(t)
  const asked: string[] = []
  const { app } = tester(t, { resolve: async (hostname) => {
    asked.push(hostname)
    if (hostname === 'payment-service.prod') return [{ address: '127.0.0.1', family: 4 }]
    throw Object.assign(new Error('no'), { code: 'ENOTFOUND' })
  } })
  t.match(await launch(app, { type: 'bash', cmd: `curl -sf http://payment-service:${port}/health` }), { status: 200 })
  t.same(asked, ['payment-service', 'payment-service.prod'])
  t.match(await launch(app, { type: 'bash', cmd: `curl -sf http://payment.example.org:${port}/` }), { status: 500, body: /ENOTFOUND/ })
})

test('secrets of a command are neither logged nor told', async (t) => {
  const { url } = await target(t, site)
  const { app, lines } = tester(t)
  const { body } = await launch(app, { type: 'bash', cmd: `curl -sf -H 'Authorization: Bearer tok-1234' ${url}/broken` })
  t.match(body, /Authorization: \*\*\*/)
  t.notMatch(JSON.stringify(lines) + body, /tok-1234/)
})

test('names made up by callers do not fill the memory', async (t) => {
  const { app } = tester(t)
  for (let index = 0; index < 50; index += 1) await launch(app, { type: `made-up-${index}`, cmd: 'x' })
  t.match((await app.inject('/metrics')).body, /commands_total\{type="unknown",outcome="refused"\} 50\n/)
})

test('a command opens no gate and starts no command through the tester that runs it', async (t) => {
  const { app } = tester(t)
  const url = await app.listen({ port: 0, host: '127.0.0.1' })
  const other = JSON.stringify({ name: 'cart', namespace: 'other', metadata: { cmd: 'hey -z 1h http://10.0.0.1/' } })
  for (const path of ['/gate/open', '/rollback/open', '/gate/close', '/gate/open/', '//gate/open', '/gate/open?x=/gate/check', '/']) {
    t.match(await launch(app, { type: 'bash', cmd: `curl -sf -H 'X-Canarygate-Loadtest:' -d '${other}' ${url}${path}` }), { status: 500 }, path)
  }
  t.match(await app.inject('/metrics').then(({ body }) => body), /gates_open 0\n/)
  t.match(await post(app, '/gate/check', { name: 'cart', namespace: 'other' }), { status: 403 })
  t.match(await launch(app, { type: 'bash', cmd: `curl -sf ${url}/healthz | grep OK` }), { status: 200 })
})

test('a request that does not arrive is not waited for', async (t) => {
  const { app } = tester(t, { requestTimeoutMs: 100 })
  await app.listen({ port: 0, host: '127.0.0.1' })
  t.equal(app.server.requestTimeout, 100)
  const usual = tester(t).app
  await usual.ready()
  t.equal(usual.server.requestTimeout, 10_000)
})

test('a long command is shown in no time, cut short', async (t) => {
  const { app } = tester(t)
  const begun = performance.now()
  t.match(await launch(app, { cmd: 'a'.repeat(200_000) }), { status: 400 })
  t.ok(performance.now() - begun < 1_000, `${performance.now() - begun} ms`)
})

test('loads beyond the workers of all together wait for their turn', async (t) => {
  const { url } = await target(t, () => {})
  const { app, lines } = tester(t, { limits: { maxWorkers: 10, maxAllWorkers: 12, maxWaiting: 1 } })
  for (const path of ['/1', '/2']) t.match(await launch(app, { cmd: `hey -z 1m -c 10 ${url}${path}` }), { status: 202, body: 'Accepted' })
  t.match(await launch(app, { cmd: `hey -z 1m -c 2 ${url}/3` }), { status: 429 }, 'nobody overtakes')
  t.equal(lines.filter(({ msg }) => msg === 'command started').length, 1)
  t.match((await app.inject('/metrics')).body, /commands_running 1\n[^]*commands_waiting 1\n/)
})

test('a load that is given up lets go of requests on connections that it had renewed, too', async (t) => {
  let first = true
  const { url, seen } = await target(t, (_, response) => {
    if (!first) response.end()
    first = false
  })
  const { app, until } = tester(t)
  await launch(app, { cmd: `hey -z 1h -t 0 -q 20 -c 2 ${url}` })
  await until('command started')
  while (seen.length < 20) await sleep(20)
  const begun = performance.now()
  await app.close()
  await until('command failed')
  t.ok(performance.now() - begun < 2_000, `${performance.now() - begun} ms`)
})

test('closing gives up a check that somebody waits for, and tells them', async (t) => {
  const { app } = tester(t)
  const url = await app.listen({ port: 0, host: '127.0.0.1' })
  const answer = fetch(url, { method: 'POST', body: JSON.stringify({ ...SHOP, metadata: { type: 'bash', cmd: 'sleep 30' } }) })
  await sleep(200)
  const begun = performance.now()
  await app.close()
  t.ok(performance.now() - begun < 5_000, `${performance.now() - begun} ms`)
  t.equal((await answer).status, 500)
})
