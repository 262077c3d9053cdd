import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { test, type Test } from 'tap'
import type { CanaryWebhook } from '#api/canary.ts'
import type { Http, HttpResponse } from '#api/http.ts'
import { callHook, type HookAnswer, type HookPorts, type HookSubject } from '#hooks/call.ts'
import { createHttp } from '#metrics/http.ts'
import { HttpError } from '#metrics/provider.ts'

const SUBJECT: HookSubject = { name: 'shop', namespace: 'prod', phase: 'Progressing', checksum: '6f9c8d7b54' }
const SIGNAL = new AbortController().signal
const hook = (change: Partial<CanaryWebhook> = {}): CanaryWebhook => ({ name: 'smoke', url: 'http://tester/', ...change })

type Scripted = { readonly answers: readonly (HttpResponse | Error)[]; readonly calls: Parameters<Http>[0][]; readonly waits: number[]; readonly ports: HookPorts }

/** Answers in order, the last one for ever. */
function scripted(...answers: readonly (HttpResponse | Error)[]): Scripted {
  const calls: Parameters<Http>[0][] = []
  const waits: number[] = []
  const http: Http = async (request) => {
    calls.push(request)
    const next = answers[Math.min(calls.length, answers.length) - 1]
    if (next === undefined || next instanceof Error) throw next ?? new Error('no answer')
    return next
  }
  return { answers, calls, waits, ports: { http, random: () => 1, wait: async (milliseconds) => { waits.push(milliseconds) } } }
}

const call = (script: Scripted, change: Partial<CanaryWebhook> = {}): Promise<HookAnswer> => callHook(hook(change), SUBJECT, script.ports, SIGNAL)
const status = (code: number, body = ''): HttpResponse => ({ status: code, body })
const refusedConnection = new HttpError('unreachable', 'http://tester/: ECONNREFUSED')

const answers = [
  { name: '200 is a yes', with: [status(200, 'OK')], says: { ok: true, message: 'OK', attempts: 1 } },
  { name: '201 is a yes', with: [status(201)], says: { ok: true, message: '' } },
  { name: '202 is a yes', with: [status(202)], says: { ok: true } },
  { name: '204 is a no, as in Flagger', with: [status(204)], says: { ok: false, message: 'HTTP 204 without a body' } },
  { name: 'a 4xx is a no, and its body the reason', with: [status(403, 'Forbidden\n')], hook: { retries: 3 }, says: { ok: false, message: 'Forbidden', attempts: 1 } },
  { name: '501 is not tried again', with: [status(501, 'never')], hook: { retries: 3 }, says: { ok: false, message: 'never', attempts: 1 } },
  {
    name: 'a 5xx keeps its body', with: [status(500, 'command hey failed: boom')],
    says: { ok: false, message: 'POST http://tester/ giving up after 1 attempt(s): HTTP 500 command hey failed: boom' },
  },
  { name: 'a 429 is tried again', with: [status(429), status(200, 'yes')], hook: { retries: 1 }, says: { ok: true, message: 'yes', attempts: 2 } },
  {
    name: 'a refused connection is tried again and told', with: [refusedConnection], hook: { retries: 2 },
    says: { ok: false, message: 'POST http://tester/ giving up after 3 attempt(s): ECONNREFUSED', attempts: 3 },
  },
  {
    name: 'a denied address is not tried again', with: [new HttpError('denied', 'tester is in the linkLocal range')], hook: { retries: 5 },
    says: { ok: false, message: 'POST http://tester/: tester is in the linkLocal range', attempts: 1 },
  },
  { name: 'an answer that is too large is a no', with: [new HttpError('too-large', 'http://tester/: the answer is larger than 9 bytes')], says: { ok: false, message: 'POST http://tester/: the answer is larger than 9 bytes' } },
  { name: 'a timeout that cannot be read calls nobody', with: [status(200)], hook: { timeout: '5sfoo' }, says: { ok: false, attempts: 0, message: 'timeout "5sfoo" is no duration; write it like 30s' } },
  { name: 'an address that is none calls nobody', with: [status(200)], hook: { url: 'tester' }, says: { ok: false, attempts: 0, message: 'the url is no absolute http or https address' } },
  { name: 'a type left out is a rollout hook', with: [status(200)], says: { type: 'rollout' } },
  { name: 'muteAlert travels with the answer', with: [status(403)], hook: { type: 'confirm-rollout' as const, muteAlert: true }, says: { muteAlert: true, type: 'confirm-rollout' } },
  { name: 'long answers are cut for the event', with: [status(400, 'x'.repeat(2_000))], says: { message: `${'x'.repeat(512)}...` } },
]
for (const { name, with: given, hook: change, says } of answers) test(name, async (t) => { t.match(await call(scripted(...given), change), says) })

test('retries wait 1 s, 2 s, 4 s and never more than 30 s', async (t) => {
  const script = scripted(status(503))
  await call(script, { retries: 7 })
  t.same(script.waits, [1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000])
  t.equal(script.calls.length, 8)
})

test('the random part shortens a wait by up to a half', async (t) => {
  const script = scripted(status(503))
  await callHook(hook({ retries: 1 }), SUBJECT, { ...script.ports, random: () => 0 }, SIGNAL)
  t.same(script.waits, [500])
})

const timeouts = [
  { timeout: undefined, deadlineMs: 10_000 }, { timeout: '', deadlineMs: 10_000 }, { timeout: '5', deadlineMs: 10_000 },
  { timeout: '5s', deadlineMs: 5_000 }, { timeout: '2m', deadlineMs: 120_000 },
]
for (const { timeout, deadlineMs } of timeouts) {
  test(`timeout ${timeout ?? 'left out'} gives each attempt ${deadlineMs} ms`, async (t) => {
    const script = scripted(status(200))
    await call(script, timeout === undefined ? {} : { timeout })
    t.match(script.calls, [{ deadlineMs }])
  })
}

test('disableTLS skips the verification, and only then', async (t) => {
  const script = scripted(status(200))
  await call(script)
  await call(script, { disableTLS: true })
  t.same(script.calls.map(({ insecureSkipVerify }) => insecureSkipVerify), [undefined, true])
})

test('given up while waiting, it ends at once', async (t) => {
  const stop = new AbortController()
  const script = scripted(status(503))
  const answer = await callHook(hook({ retries: 9 }), SUBJECT, { ...script.ports, wait: async () => { stop.abort() } }, stop.signal)
  t.match(answer, { ok: false, attempts: 1 })
})

test('secrets of the address and the metadata stay out of the message', async (t) => {
  const script = scripted(status(400, 'no: tok-12345 hunter22 s3cr3t-value, Progressing'))
  const { message } = await call(script, { url: 'http://bob:hunter22@tester/?token=tok-12345&env=prod', metadata: { apiKey: 's3cr3t-value', cmd: 'Progressing' } })
  t.equal(message, 'no: *** *** ***, Progressing')
  const second = await call(scripted(status(500)), { url: 'http://bob:hunter22@tester/a?token=tok-12345' })
  t.equal(second.message, 'POST http://tester/a giving up after 1 attempt(s): HTTP 500')
})

test('what a terminal would obey is not in the message, and half a character neither', async (t) => {
  const { message } = await call(scripted(status(400, '\u001B[2J\u001B]0;owned\u0007no\u0000 \u202Eevil\u0085')))
  t.equal(message, '[2J ]0;owned no evil')
  const cut = await call(scripted(status(400, `${'x'.repeat(511)}\u{1F600}`)))
  t.ok(cut.message.isWellFormed())
})

const places = [
  { url: 'https://hooks.slack.com/services/T0001/B0002/abcDEF0123456789abcDEF01', shown: 'https://hooks.slack.com/services/T0001/B0002/***' },
  { url: 'https://discord.com/api/webhooks/123456789012345678/a-B_c0d1E2f3G4h5I6j7K8l9M0n1O2p3', shown: 'https://discord.com/api/webhooks/123456789012345678/***' },
  { url: 'https://outlook.office.com/webhook/0f1e2d3c-0000-1111-2222-333344445555@x/IncomingWebhook/0123456789abcdef0123456789abcdef', shown: 'https://outlook.office.com/webhook/***/IncomingWebhook/***' },
  { url: 'http://tester.payments-canary-v2/gate/check', shown: 'http://tester.payments-canary-v2/gate/check' },
  { url: 'http://ci/projects/payment-service-backend-2024/hooks', shown: 'http://ci/projects/payment-service-backend-2024/hooks' },
]
for (const { url, shown } of places) {
  test(`a secret in the path is not shown: ${shown}`, async (t) => {
    const answer = await call(scripted(new HttpError('unreachable', `${shown}: ECONNREFUSED`)), { url })
    t.equal(answer.message, `POST ${shown} giving up after 1 attempt(s): ECONNREFUSED`)
  })
}

test('redirects are followed: 307 with the body, 302 without', async (t) => {
  const kept = scripted({ status: 307, body: '', location: '/next' }, status(200, 'there'))
  t.match(await call(kept), { ok: true, message: 'there' })
  t.match(kept.calls[1], { url: 'http://tester/next', method: 'POST', body: /shop/ })
  const dropped = scripted({ status: 302, body: '', location: 'http://other/' }, status(200))
  await call(dropped)
  t.match(dropped.calls[1], { url: 'http://other/', method: 'GET' })
  t.equal(dropped.calls[1]?.body, undefined)
})

test('redirects in a circle end as a no', async (t) => {
  const script = scripted({ status: 302, body: '', location: '/' })
  t.match(await call(script), { ok: false, message: 'HTTP 302 without a body' })
  t.equal(script.calls.length, 11)
})

test('a one-word host that is unknown is looked for in the namespace of the Canary', async (t) => {
  const unknown = new HttpError('unreachable', 'http://tester/: ENOTFOUND', { cause: Object.assign(new Error('no'), { code: 'ENOTFOUND' }) })
  const script = scripted(unknown, status(200))
  t.match(await call(script, { url: 'http://tester:8080/gate/check' }), { ok: true })
  t.same(script.calls.map(({ url }) => url), ['http://tester:8080/gate/check', 'http://tester.prod:8080/gate/check'])
  const dotted = scripted(unknown)
  t.match(await call(dotted, { url: 'http://tester.example.org/' }), { ok: false })
  t.equal(dotted.calls.length, 1)
})

async function receiver(t: Test, answer: (request: IncomingMessage, body: string) => { status: number; body: string }): Promise<string> {
  const server = createServer((request, response) => {
    let body = ''
    request.on('data', (chunk: Buffer) => { body += chunk.toString() })
    request.on('end', () => {
      const { status: code, body: text } = answer(request, body)
      response.writeHead(code).end(text)
    })
  })
  await new Promise<void>((resolve) => { server.listen(0, '127.0.0.1', resolve) })
  t.teardown(() => { server.closeAllConnections(); server.close() })
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`
}

test('on the wire: one POST of JSON with exactly the fields of Flagger', async (t) => {
  const seen: { method: string | undefined; type: string | undefined; body: string }[] = []
  const url = await receiver(t, (request, body) => {
    seen.push({ method: request.method, type: request.headers['content-type'], body })
    return { status: 200, body: 'Approved' }
  })
  const { http, close } = createHttp({ allowLoopback: true })
  t.teardown(close)
  const ports: HookPorts = { http, random: () => 1, wait: async () => {} }
  t.match(await callHook(hook({ url, metadata: { type: 'cmd', cmd: 'hey -z 1m http://shop-canary/' } }), SUBJECT, ports, SIGNAL), { ok: true, message: 'Approved' })
  t.match(await callHook(hook({ url }), SUBJECT, ports, SIGNAL), { ok: true })
  t.same(seen, [
    { method: 'POST', type: 'application/json', body: '{"name":"shop","namespace":"prod","phase":"Progressing","checksum":"6f9c8d7b54","metadata":{"type":"cmd","cmd":"hey -z 1m http://shop-canary/"}}' },
    { method: 'POST', type: 'application/json', body: '{"name":"shop","namespace":"prod","phase":"Progressing","checksum":"6f9c8d7b54"}' },
  ])
})

type Serving = (request: IncomingMessage, response: ServerResponse) => void
async function serving(t: Test, serve: Serving): Promise<{ url: string; http: Http }> {
  const server = createServer(serve)
  await new Promise<void>((resolve) => { server.listen(0, '127.0.0.1', resolve) })
  const { http, close } = createHttp({ allowLoopback: true, connections: 100 })
  t.teardown(async () => { server.closeAllConnections(); server.close(); await close() })
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, http }
}

const trickle: Serving = (_request, response) => {
  response.writeHead(200)
  const timer = setInterval(() => { response.write('x') }, 20)
  response.once('close', () => { clearInterval(timer) })
}
const slow: readonly { readonly name: string; readonly serve: Serving; readonly says: RegExp }[] = [
  { name: 'never answers', serve: () => {}, says: /giving up after 2 attempt\(s\): no answer within 200 ms$/ },
  { name: 'answers a byte at a time', serve: trickle, says: /giving up after 2 attempt\(s\): no answer within 200 ms$/ },
  { name: 'redirects for ever, slowly', serve: (_request, response) => { setTimeout(() => { response.writeHead(302, { location: '/' }).end() }, 60) }, says: /giving up after 2 attempt\(s\): no answer within 200 ms$/ },
  { name: 'sends 10 MB', serve: (_request, response) => { response.end(Buffer.alloc(10 * 1024 * 1024)) }, says: /: the answer is larger than 1048576 bytes$/ },
  { name: 'redirects to a metadata service', serve: (_request, response) => { response.writeHead(302, { location: 'http://169.254.169.254/latest' }).end() }, says: /: the address is in the linkLocal range$/ },
]
for (const { name, serve, says } of slow) {
  test(`on the wire: a receiver that ${name} is a no, in time`, async (t) => {
    const { url, http } = await serving(t, serve)
    const begun = performance.now()
    const answer = await callHook(hook({ url, timeout: '200ms', retries: 1 }), SUBJECT, { http, random: () => 1, wait: async () => {} }, SIGNAL)
    t.match(answer, { ok: false, message: says })
    t.ok(performance.now() - begun < 2_000)
  })
}

test('on the wire: many slow hooks of one receiver do not wait for each other', async (t) => {
  const { url, http } = await serving(t, (_request, response) => { setTimeout(() => { response.end('OK') }, 600) })
  const ports: HookPorts = { http, random: () => 1, wait: async () => {} }
  const said = await Promise.all(Array.from({ length: 40 }, () => callHook(hook({ url, timeout: '1s' }), SUBJECT, ports, SIGNAL)))
  t.same(said.filter(({ ok }) => !ok).map(({ message }) => message), [])
})

test('on the wire: loopback is denied as the guard is set for a cluster', async (t) => {
  const url = await receiver(t, () => ({ status: 200, body: '' }))
  const { http, close } = createHttp()
  t.teardown(close)
  const answer = await callHook(hook({ url, retries: 2 }), SUBJECT, { http, random: () => 1, wait: async () => {} }, SIGNAL)
  t.match(answer, { ok: false, attempts: 1, message: /loopback/ })
})
