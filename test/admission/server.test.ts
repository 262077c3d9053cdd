import { request as httpsRequest, Agent, type RequestOptions } from 'node:https'
import type { IncomingMessage } from 'node:http'
import type { AddressInfo } from 'node:net'
import { connect } from 'node:tls'
import { test } from 'tap'
import type { Answer } from '#admission/answer.ts'
import { type AdmissionServer, type AdmissionServerOptions, createAdmissionServer } from '#admission/server.ts'
import { selfSigned } from './fixtures/certificate.ts'
import { AGENT, applied, canary, finding, NO_RULES, NOW, patchOf, request, reviewBody, stateOf, workload } from './fixtures/reviews.ts'

const PAIR = selfSigned('first')
const JSON_HEADERS = { 'content-type': 'application/json' }

type Line = { readonly level: string; readonly fields: Record<string, unknown>; readonly message: string }
function options(shape: Partial<AdmissionServerOptions> = {}) {
  const lines: Line[] = []
  const write = (level: string) => (fields: unknown, message?: string) => { lines.push({ level, fields: fields as Record<string, unknown>, message: message ?? '' }) }
  const log = { debug: write('debug'), info: write('info'), warn: write('warn'), error: write('error') }
  const all: AdmissionServerOptions = {
    state: stateOf(), rules: NO_RULES, agentUsers: [AGENT], ownNamespace: 'canarygate', log, tls: PAIR, now: () => NOW, random: () => 0.5, ...shape,
  }
  return { lines, all }
}

type Reply = { readonly code: number; readonly headers: Record<string, unknown>; readonly review: { readonly kind: string; readonly apiVersion: string; readonly response: Answer & { readonly uid: string } } }
async function post(server: AdmissionServer, url: string, payload: string, headers: Record<string, string> = JSON_HEADERS): Promise<Reply> {
  const reply = await server.app.inject({ method: 'POST', url, payload, headers })
  return { code: reply.statusCode, headers: reply.headers, review: JSON.parse(reply.body) }
}

const UPDATE = request({ oldObject: workload(), object: workload({ image: 'cart:2.4' }) })
const CANARY_REVIEW = request({ group: 'flagger.app', resource: 'canaries', kind: 'Canary', operation: 'CREATE', object: canary() })

test('set image on a gated Deployment is answered with a patch and the plan', async (t) => {
  const { all, lines } = options()
  const server = createAdmissionServer(all)
  const { code, review } = await post(server, '/mutate?timeout=2s', reviewBody(UPDATE))
  t.equal(code, 200)
  t.match(review, { kind: 'AdmissionReview', apiVersion: 'admission.k8s.io/v1', response: { uid: UPDATE.uid, allowed: true, patchType: 'JSONPatch' } })
  t.match(review.response.warnings, [/held as revision/, /first change/])
  t.match(applied(workload({ image: 'cart:2.4' }), patchOf(review.response)), { spec: { paused: true }, metadata: { annotations: { 'canarygate.dev/gate': 'pending', 'canarygate.dev/requested-by': 'alice@example.com' } } })
  t.match(lines, [{ level: 'info', message: 'request patched', fields: { hook: 'workloads', namespace: 'shop', name: 'cart', user: 'alice@example.com' } }])
})

test('each path and resource reaches its hook', async (t) => {
  const asked: string[] = []
  const rules = { ...NO_RULES, canary: () => { asked.push('canary'); return [finding()] }, object: () => { asked.push('object'); return [] } }
  const server = createAdmissionServer(options({ rules }).all)
  const status = await post(server, '/status', reviewBody(request({ subResource: 'status', oldObject: workload({ annotations: { 'canarygate.dev/gate': 'pending' } }), object: workload() })))
  t.same(patchOf(status.review.response), [{ op: 'add', path: '/status/observedGeneration', value: 3 }])
  const denial = await post(server, '/validate', reviewBody(CANARY_REVIEW))
  t.match(denial, { code: 200, review: { response: { allowed: false, status: { code: 403, message: /use at most 50/ } } } })
  await post(server, '/validate', reviewBody({ ...CANARY_REVIEW, resource: 'metrictemplates', kind: 'MetricTemplate' }))
  await post(server, '/validate', reviewBody({ ...CANARY_REVIEW, group: 'canarygate.dev', resource: 'clustercanarypolicies', kind: 'ClusterCanaryPolicy' }))
  t.same(asked, ['canary', 'object', 'object'])
  const primary = (image: string) => workload({ image, name: 'cart-primary', labels: { 'canarygate.dev/role': 'primary' } })
  const guarded = await post(server, '/validate', reviewBody(request({ name: 'cart-primary', oldObject: primary('cart:2.3'), object: primary('cart:2.4') })))
  t.match(guarded.review.response, { allowed: false, status: { message: /set the image of deployment\/cart/ } })
  for (const other of [request({ group: '', resource: 'pods', kind: 'Pod', object: workload() }), request({ subResource: 'exec', object: workload() })]) {
    t.match(await post(server, '/mutate', reviewBody(other)), { code: 200, review: { response: { allowed: true } } }, 'what no hook is about passes')
  }
})

test('our own namespace is never gated', async (t) => {
  const server = createAdmissionServer(options().all)
  const { review } = await post(server, '/mutate', reviewBody({ ...UPDATE, namespace: 'canarygate' }))
  t.same(review.response, { uid: UPDATE.uid, allowed: true })
})

test('a fault in a cache or a rule is answered by the failure policy of its hook', async (t) => {
  const { all, lines } = options({
    state: stateOf({ canaryFor: () => { throw new Error('cache is torn') } }), rules: { ...NO_RULES, canary: () => { throw new Error('rule is broken') } },
  })
  const server = createAdmissionServer(all)
  t.match((await post(server, '/mutate', reviewBody(UPDATE))).review.response, { uid: UPDATE.uid, allowed: true, warnings: [/cache is torn; it passes without a canary/] })
  t.match((await post(server, '/validate', reviewBody(CANARY_REVIEW))).review.response, { uid: UPDATE.uid, allowed: false, status: { code: 500, message: /rule is broken/ } })
  t.match(lines, [{ level: 'error', message: 'review failed', fields: { err: Error, hook: 'workloads' } }, { level: 'error', fields: { hook: 'canaries' } }])
  t.match((await server.app.inject('/metrics')).body, /canarygate_admission_reviews_total\{hook="workloads",outcome="errored"\} 1/)
})

const rubbish: readonly [string, string][] = [['nothing', ''], ['no JSON', '{'], ['a number', '7'], ['null', 'null'], ['a list', '[]'], ['an empty review', '{"kind":"AdmissionReview","apiVersion":"admission.k8s.io/v1"}']]
for (const [name, body] of rubbish) {
  test(`a body with ${name} is still answered with a review`, async (t) => {
    const server = createAdmissionServer(options().all)
    t.match(await post(server, '/validate', body), { code: 400, review: { kind: 'AdmissionReview', response: { uid: '', allowed: false } } })
    t.match(await post(server, '/mutate', body), { review: { kind: 'AdmissionReview', response: { allowed: true } } })
    t.match(await post(server, '/nowhere', body), { code: 404, review: { kind: 'AdmissionReview', response: { allowed: false } } })
  })
}

test('[trap 10] a key __proto__ in an object neither fails the request nor gets around the gate', async (t) => {
  const server = createAdmissionServer(options().all)
  const body = reviewBody(UPDATE).replaceAll('"labels":{"app":"cart"}', '"labels":{"app":"cart","__proto__":"x","constructor":{"prototype":{"a":1}}}')
  t.match(await post(server, '/mutate', body), { code: 200, review: { response: { allowed: true, patchType: 'JSONPatch' } } })
})

test('[trap 6] nothing is coerced, filled in or stripped from the objects that are looked at', async (t) => {
  let seen: unknown
  const server = createAdmissionServer(options({ rules: { ...NO_RULES, canary: (object) => { seen = object; return [] } } }).all)
  const odd = { ...canary(), spec: { ...canary().spec, analysis: { threshold: '5', unknown: { deep: [null, '1', 1.0] } } }, extra: true }
  await post(server, '/validate', reviewBody({ ...CANARY_REVIEW, object: odd as never }))
  t.same(seen, JSON.parse(JSON.stringify(odd)))
})

test('[trap 7] warnings survive on their way out', async (t) => {
  const server = createAdmissionServer(options({ rules: { ...NO_RULES, canary: () => [finding({ severity: 'warn' })] } }).all)
  t.match((await post(server, '/validate', reviewBody(CANARY_REVIEW))).review.response, { allowed: true, warnings: [/^CanaryGate: spec.analysis.stepWeight/] })
})

test('any content type is read, also none', async (t) => {
  const server = createAdmissionServer(options().all)
  for (const headers of [{ 'content-type': 'application/json; charset=utf-8' }, { 'content-type': 'text/plain' }, { 'content-type': 'application/vnd.kubernetes.protobuf' }]) {
    t.match(await post(server, '/mutate', reviewBody(UPDATE), headers), { code: 200, review: { response: { patchType: 'JSONPatch' } } })
  }
})

test('a body over the limit is turned away with a review', async (t) => {
  const server = createAdmissionServer(options({ limits: { bodyBytes: 1_000 } }).all)
  t.match(await post(server, '/mutate', reviewBody(UPDATE)), { code: 413, review: { kind: 'AdmissionReview', response: { allowed: true } } })
  t.match(await post(server, '/validate', reviewBody(UPDATE)), { code: 413, review: { response: { allowed: false } } })
})

test('more bytes in flight than the budget are turned away, and the budget comes back', async (t) => {
  const { server, base, agent } = await listening(t, { limits: { inFlightBytes: 10_000, bodyBytes: 10_000 } })
  const slow = open(base, agent, '/mutate', { 'content-length': '9000' })
  slow.request.write('{')
  await until(async () => /canarygate_admission_in_flight_bytes 9000/.test((await server.app.inject('/metrics')).body))
  const refused = await send(base, agent, '/mutate', reviewBody(UPDATE))
  t.match(refused, { code: 503, review: { kind: 'AdmissionReview', response: { allowed: true, warnings: [/too many requests are under way/] } } })
  t.equal(refused.headers['connection'], 'close')
  slow.request.destroy()
  await slow.reply.catch(() => undefined)
  await until(async () => /in_flight_bytes 0\n/.test((await server.app.inject('/metrics')).body))
  t.match(await send(base, agent, '/mutate', reviewBody(UPDATE)), { code: 200 })
})

test('[trap 20] what comes later than ?timeout= less half a second is answered by policy', async (t) => {
  let at = NOW
  const clock = () => { at += 400; return at }
  const server = createAdmissionServer(options({ now: clock }).all)
  t.match((await post(server, '/mutate?timeout=500ms', reviewBody(UPDATE))).review.response, { allowed: true, warnings: [/too slowly/] })
  t.match((await post(server, '/validate?timeout=500ms', reviewBody(CANARY_REVIEW))).review.response, { allowed: false, status: { code: 500 } })
  t.match((await post(server, '/mutate?timeout=10s', reviewBody(UPDATE))).review.response, { patchType: 'JSONPatch' })
  t.match((await post(server, '/mutate?timeout=rubbish&timeout=2s', reviewBody(UPDATE))).review.response, { patchType: 'JSONPatch' }, 'an odd timeout is no reason to fail')
})

test('ready only when the caches are filled; healthy throughout', async (t) => {
  let synced = false
  const server = createAdmissionServer(options({ state: stateOf({ synced: () => synced }) }).all)
  t.match(await server.app.inject('/readyz'), { statusCode: 503, body: 'caches are not filled yet\n' })
  t.match(await server.app.inject('/healthz'), { statusCode: 200 })
  synced = true
  t.match(await server.app.inject('/readyz'), { statusCode: 200, body: 'ok\n' })
})

test('metrics count reviews, findings, time and the certificate\'s end', async (t) => {
  const server = createAdmissionServer(options({ rules: { ...NO_RULES, canary: () => [finding()] } }).all)
  await post(server, '/mutate', reviewBody(UPDATE))
  await post(server, '/validate', reviewBody(CANARY_REVIEW))
  await post(server, '/validate', '{')
  const { body, headers } = await server.app.inject('/metrics')
  t.match(headers['content-type'], /^text\/plain; version=0.0.4/)
  for (const line of [
    'canarygate_admission_reviews_total{hook="workloads",outcome="patched"} 1', 'canarygate_admission_reviews_total{hook="canaries",outcome="denied"} 1',
    'canarygate_admission_reviews_total{hook="validate",outcome="malformed"} 1', 'canarygate_admission_findings_total{rule="step-weight-over-max",severity="deny"} 1',
    'canarygate_admission_review_duration_seconds_bucket{hook="workloads",le="0.00025"} 1', 'canarygate_admission_review_duration_seconds_count{hook="workloads"} 1',
    'canarygate_admission_certificate_expiry_timestamp_seconds 2208988800',
  ]) t.ok(body.includes(`${line}\n`), line)
})

test('[trap 9] idle connections outlive the API server\'s', async (t) => {
  const { server } = await listening(t)
  t.equal(server.app.server.keepAliveTimeout, 120_000)
  t.equal(server.app.server.requestTimeout, 35_000)
  t.equal(server.app.server.headersTimeout, 30_000)
})

test('a connection is recycled after so many requests, give or take a tenth', async (t) => {
  const { base, agent } = await listening(t, { limits: { requestsPerSocket: 10 }, random: () => 0 })
  const connections: unknown[] = []
  for (let index = 0; index < 10; index += 1) connections.push((await send(base, agent, '/mutate', reviewBody(UPDATE))).headers['connection'])
  t.same(connections, [...Array.from({ length: 8 }, () => 'keep-alive'), 'close', 'keep-alive'])
})

test('a connection is recycled after so many minutes', async (t) => {
  let at = NOW
  const { base, agent } = await listening(t, { now: () => at })
  t.equal((await send(base, agent, '/mutate', reviewBody(UPDATE))).headers['connection'], 'keep-alive')
  at += 5 * 60_000
  t.equal((await send(base, agent, '/mutate', reviewBody(UPDATE))).headers['connection'], 'close')
})

test('[trap 8] draining fails no request and does not wait for idle connections', async (t) => {
  const { server, base, agent } = await listening(t, { sleep: async () => undefined })
  await send(base, agent, '/mutate', reviewBody(UPDATE))
  const body = reviewBody(UPDATE)
  const slow = open(base, agent, '/mutate', { 'content-length': String(Buffer.byteLength(body)) })
  slow.request.write(body.slice(0, 10))
  await until(async () => /in_flight 2\n/.test((await server.app.inject('/metrics')).body))
  const started = performance.now()
  const done = server.drain()
  t.equal(server.drain(), done, 'a second call joins the first')
  t.equal((await server.app.inject('/readyz').catch(() => ({ statusCode: 503 }))).statusCode, 503)
  slow.request.end(body.slice(10))
  const answer = await slow.reply
  t.match(answer, { code: 200, review: { response: { allowed: true, patchType: 'JSONPatch' } } })
  t.equal(answer.headers['connection'], 'close')
  await done
  t.ok(performance.now() - started < 5_000, 'within a pod\'s grace period')
})

test('[trap 8] while it still serves, before it closes, a new request is answered and its connection closed', async (t) => {
  let wake = (): void => undefined
  const { server, base, agent } = await listening(t, { sleep: () => new Promise((resolve) => { wake = () => { resolve(undefined) } }) })
  const done = server.drain()
  const answer = await send(base, agent, '/validate', reviewBody(CANARY_REVIEW))
  t.match(answer, { code: 200, review: { response: { allowed: true } } })
  t.equal(answer.headers['connection'], 'close')
  t.match(await server.app.inject('/readyz'), { statusCode: 503, body: 'draining\n' })
  wake()
  await done
})

test('draining leaves an idle connection to its client, and ends as soon as that closes it', async (t) => {
  const { server, base, agent } = await listening(t, { limits: { drainMs: 0, idleMs: 60_000 } })
  await send(base, agent, '/mutate', reviewBody(UPDATE))
  let isOver = false
  const done = server.drain().finally(() => { isOver = true })
  await new Promise((resolve) => { setTimeout(resolve, 250) })
  t.notOk(isOver, 'it waits for the connection, on which a request may be under way')
  agent.destroy()
  await done
})

test('[trap 14] a new certificate is used at once, keeps the lowest TLS version, and a wrong pair is refused', async (t) => {
  const { server, base, lines } = await listening(t)
  const second = selfSigned('second', new Date('2039-01-01T00:00:00Z'))
  t.equal(await subjectOf(base), 'first')
  t.equal(server.setCertificate({ key: PAIR.key, cert: second.cert }), 'refused')
  t.match(lines.at(-1), { level: 'error', message: 'certificate was refused', fields: { err: Error } })
  t.equal(server.setCertificate({ key: 'rubbish', cert: 'rubbish' }), 'refused')
  t.equal(await subjectOf(base), 'first', 'the old one goes on serving')
  t.equal(server.setCertificate(second), 'replaced')
  t.equal(await subjectOf(base), 'second')
  await t.rejects(subjectOf(base, 'TLSv1.1'))
  t.match((await server.app.inject('/metrics')).body, /certificate_expiry_timestamp_seconds 2177452800\n/)
})

type Scope = { teardown(fn: () => Promise<unknown>): void }
async function listening(t: Scope, shape: Partial<AdmissionServerOptions> = {}) {
  const { all, lines } = options(shape)
  const server = createAdmissionServer(all)
  await server.app.listen({ host: '127.0.0.1', port: 0 })
  const base = (server.app.server.address() as AddressInfo).port
  const agent = new Agent({ keepAlive: true, rejectUnauthorized: false })
  t.teardown(async () => {
    agent.destroy()
    server.app.server.closeAllConnections()
    await server.app.close()
  })
  return { server, base, agent, lines }
}

function open(port: number, agent: Agent, path: string, headers: RequestOptions['headers'] = {}) {
  const request = httpsRequest({ host: '127.0.0.1', port, path, method: 'POST', agent, headers: { ...JSON_HEADERS, ...headers } })
  const reply = new Promise<Reply>((resolve, reject) => {
    request.on('error', reject)
    request.on('response', (response: IncomingMessage) => {
      const parts: Buffer[] = []
      response.on('data', (part: Buffer) => parts.push(part))
      response.on('end', () => { resolve({ code: response.statusCode ?? 0, headers: response.headers, review: JSON.parse(Buffer.concat(parts).toString()) }) })
    })
  })
  return { request, reply }
}

function send(port: number, agent: Agent, path: string, body: string): Promise<Reply> {
  const { request, reply } = open(port, agent, path, { 'content-length': String(Buffer.byteLength(body)) })
  request.end(body)
  return reply
}

function subjectOf(port: number, version?: 'TLSv1.1'): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect({ host: '127.0.0.1', port, rejectUnauthorized: false, ...(version ? { maxVersion: version, minVersion: version } : {}) }, () => {
      const { subject } = socket.getPeerCertificate()
      socket.destroy()
      resolve(String(subject.CN))
    })
    socket.on('error', reject)
  })
}

async function until(claim: () => Promise<boolean>): Promise<void> {
  for (let turn = 0; turn < 500; turn += 1) {
    if (await claim()) return
    await new Promise((resolve) => { setTimeout(resolve, 10) })
  }
  throw new Error('it never came true')
}
