import { createServer } from 'node:http'
import { createServer as createTlsServer } from 'node:https'
import { connect, type AddressInfo } from 'node:net'
import { test, type Test } from 'tap'
import type { Http, HttpResponse } from '#api/http.ts'
import type { Canary } from '#api/canary.ts'
import { createForgeIssuer } from '#certs/issue.ts'
import { denialOf } from '#api/address-denial.ts'
import { createHttp } from '#metrics/http.ts'
import { HttpError } from '#metrics/provider.ts'
import type { Alert } from '#notify/alert.ts'
import { deliver, type DeliverPorts } from '#notify/deliver.ts'
import { createNotifier, receiversOf, type Notifier, type NotifierOptions, type Receiver } from '#notify/notify.ts'
import { createOutbox } from '#notify/outbox.ts'
import { destinationOf, type Destination } from '#notify/provider.ts'
import { createSmtp } from '#notify/smtp.ts'
import { receiveMail } from './smtp-receiver.ts'

const NOW = Date.parse('2026-03-01T10:00:00.000Z')
const SIGNAL = new AbortController().signal
const SLACK: Destination = { type: 'slack', address: 'https://hooks.slack.example/services/T1/B2/secret-part', channel: 'general', username: 'flagger', secret: {} }

const alert = (change: Partial<Alert> = {}): Alert => ({
  canary: { name: 'shop', namespace: 'prod' }, severity: 'error', reason: 'CanaryThresholdReached', message: 'Failed checks threshold reached 5',
  fields: [], revision: '1abc', at: NOW, ...change,
})
type AlertEntry = NonNullable<Canary['spec']['analysis']['alerts']>[number]
const canaryWith = (alerts: readonly AlertEntry[] = []): Canary => ({
  apiVersion: 'flagger.app/v1beta1', kind: 'Canary', metadata: { name: 'shop', namespace: 'prod' },
  spec: { targetRef: { apiVersion: 'apps/v1', kind: 'Deployment', name: 'shop' }, analysis: { alerts } },
})
const entry = (name: string, severity?: AlertEntry['severity'], namespace?: string): AlertEntry =>
  ({ name, providerRef: { name, ...(namespace ? { namespace } : {}) }, ...(severity === undefined ? {} : { severity }) })

const ladder = [
  { asked: 'info', severity: 'info', told: true }, { asked: 'info', severity: 'warn', told: true }, { asked: 'info', severity: 'error', told: true },
  { asked: 'warn', severity: 'info', told: false }, { asked: 'warn', severity: 'warn', told: true }, { asked: 'warn', severity: 'error', told: true },
  { asked: 'error', severity: 'info', told: false }, { asked: 'error', severity: 'warn', told: false }, { asked: 'error', severity: 'error', told: true },
  { asked: '', severity: 'info', told: true }, { asked: undefined, severity: 'error', told: true },
] as const
for (const { asked, severity, told } of ladder) {
  test(`who asks for ${asked === '' ? 'an empty severity' : asked ?? 'no severity'} is ${told ? '' : 'not '}told of ${severity}`, async (t) => {
    t.equal(receiversOf(canaryWith([entry('oncall', asked)]), severity).length, told ? 1 : 0)
  })
}

test('a provider is looked for in its own namespace, else the Canary\'s; named twice it is told once', async (t) => {
  t.strictSame(receiversOf(canaryWith([entry('oncall', 'info', 'platform'), entry('team', 'info'), entry('team', 'error')]), 'error'), [
    { name: 'oncall', namespace: 'platform' }, { name: 'team', namespace: 'prod' },
  ])
})

test('the receivers for all are told only of Canaries that name none', async (t) => {
  const all = [{ name: 'slack', namespace: '' }]
  t.strictSame(receiversOf(canaryWith(), 'info', all), all)
  t.strictSame(receiversOf(canaryWith([entry('oncall', 'error')]), 'info', all), [])
})

const status = (code: number, body = ''): HttpResponse => ({ status: code, body })
function ports(...answers: readonly (HttpResponse | Error)[]): DeliverPorts & { readonly waits: number[]; readonly count: () => number } {
  const waits: number[] = []
  let calls = 0
  const http: Http = async () => {
    const next = answers[Math.min(calls, answers.length - 1)]
    calls += 1
    if (next === undefined || next instanceof Error) throw next ?? new Error('no answer')
    return next
  }
  return { http, waits, count: () => calls, random: () => 1, wait: async (milliseconds) => { waits.push(milliseconds) } }
}

const outcomes = [
  { name: 'a 2xx is a delivery', answers: [status(204)], is: { delivered: true, attempts: 1, reason: '' } },
  { name: 'a 5xx is tried again', answers: [status(503), status(200, 'ok')], is: { delivered: true, attempts: 2 } },
  { name: 'a 429 is tried again', answers: [status(429), status(200)], is: { delivered: true, attempts: 2 } },
  { name: 'a refused connection is tried four times', answers: [new HttpError('unreachable', 'https://hooks.slack.example/services/T1/B2/secret-part: ECONNREFUSED')], is: { delivered: false, attempts: 4, reason: 'https://hooks.slack.example***: ECONNREFUSED' } },
  { name: 'a 404 is the last word', answers: [status(404, 'no_service at /services/T1/B2/secret-part')], is: { delivered: false, attempts: 1, reason: 'HTTP 404 no_service at ***' } },
  { name: 'a denied address is the last word', answers: [new HttpError('denied', 'hooks.slack.example is loopback')], is: { delivered: false, attempts: 1 } },
  { name: 'Slack\'s 200 with an error is a failure', answers: [status(200, '{"ok":false,"error":"channel_not_found"}')], is: { delivered: false, attempts: 1, reason: 'channel_not_found' } },
  { name: 'Slack\'s 200 with an error that is over in a moment is tried again', answers: [status(200, '{"error":"ratelimited","ok":false}'), status(200, '{"ok":true}')], is: { delivered: true, attempts: 2 } },
  { name: 'Slack\'s 200 with ok is a delivery', answers: [status(200, '{"ok":true}')], is: { delivered: true } },
]
for (const { name, answers, is } of outcomes) test(name, async (t) => { t.match(await deliver(alert(), SLACK, ports(...answers), SIGNAL), is) })

const connectorSays = (code: number): HttpResponse => status(200, `Webhook message delivery failed with error: Microsoft Teams endpoint returned HTTP error ${code} with ContextId tcid=0`)
for (const { name, answers, is } of [
  { name: 'a Teams connector\'s 200 that tells of a 429 is tried again', answers: [connectorSays(429), status(200, '1')], is: { delivered: true, attempts: 2 } },
  { name: 'a Teams connector\'s 200 that tells of a 413 is a failure', answers: [connectorSays(413)], is: { delivered: false, attempts: 1, reason: /HTTP error 413/ } },
]) test(name, async (t) => { t.match(await deliver(alert(), { ...SLACK, type: 'msteams' }, ports(...answers), SIGNAL), is) })

test('attempts are 1 s, 2 s and 4 s apart', async (t) => {
  const script = ports(status(500))
  await deliver(alert(), SLACK, script, SIGNAL)
  t.same(script.waits, [1_000, 2_000, 4_000])
})

test('a receiver that asks for time gets it, within limits', async (t) => {
  const script = ports({ status: 429, body: '', retryAfterSeconds: 7 }, { status: 429, body: '', retryAfterSeconds: 3_600 }, status(200))
  t.match(await deliver(alert(), SLACK, script, SIGNAL), { delivered: true, attempts: 3 })
  t.same(script.waits, [7_000, 30_000])
})

test('what the Secret holds stays out of the reason', async (t) => {
  const { reason } = await deliver(alert(), { ...SLACK, secret: { token: 'xoxb-123' } }, ports(status(400, 'bad token xoxb-123')), SIGNAL)
  t.equal(reason, 'HTTP 400 bad token ***')
})

test('an unknown type names the known ones', async (t) => {
  t.match(await deliver(alert(), { ...SLACK, type: 'pager' }, ports(), SIGNAL), { delivered: false, reason: /type pager is not known; known are slack, msteams/ })
})

test('an address that nothing can be made of is told, and the next alert goes out', async (t) => {
  const addresses = ['smtp://bob%zz:pass@mail.example.org', 'http://hooks.test/x']
  const destination = async (): Promise<Destination> => ({ ...SLACK, type: addresses.length === 2 ? 'email' : 'slack', address: addresses.shift() ?? '', channel: 'a@example.org', username: 'b@example.org' })
  const { notifier, lost } = notifierWith(ports(status(200)), { destination })
  t.match(await Promise.race([notifier.notify(canaryWith(), alert()), new Promise((resolve) => { setTimeout(resolve, 1_000, 'never') })]), [{ state: 'failed' }])
  t.same(lost, ['nothing can be made of the address'])
  t.match(await notifier.notify(canaryWith(), alert()), [{ state: 'delivered' }])
})

test('who answers an alert with a whole page has taken it, and gets it once', async (t) => {
  t.match(await deliver(alert(), SLACK, ports(new HttpError('too-large', 'the answer is larger than 65536 bytes')), SIGNAL), { attempts: 1 })
})

test('a proxy is used, and without a way to use one nothing goes around it', async (t) => {
  const direct = ports(status(200))
  t.match(await deliver(alert(), { ...SLACK, proxy: 'http://proxy:3128' }, direct, SIGNAL), { delivered: false, reason: 'proxies are not set up' })
  t.equal(direct.count(), 0)
  const through = ports(status(200))
  t.match(await deliver(alert(), { ...SLACK, proxy: 'http://proxy:3128' }, { ...direct, httpThrough: () => through.http }, SIGNAL), { delivered: true })
  t.equal(through.count(), 1)
})

type Told = { readonly notifier: Notifier; readonly lost: string[] }
function notifierWith(given: DeliverPorts, options: Partial<NotifierOptions> = {}): Told {
  const lost: string[] = []
  const notifier = createNotifier({
    ...given, outbox: createOutbox(), destination: async () => SLACK, now: () => NOW, fallback: [{ name: 'all', namespace: '' }],
    onOutcome: (outcome) => { if (!outcome.delivered) lost.push(outcome.reason) }, ...options,
  })
  return { notifier, lost }
}

test('the same alert goes out once within ten minutes, and again later', async (t) => {
  let now = NOW
  const script = ports(status(200))
  const { notifier } = notifierWith(script, { now: () => now })
  t.match(await notifier.notify(canaryWith(), alert()), [{ state: 'delivered' }])
  t.match(await notifier.notify(canaryWith(), alert()), [{ state: 'repeated' }])
  t.match(await notifier.notify(canaryWith(), alert({ revision: '1abd' })), [{ state: 'delivered' }], 'another revision is another alert')
  now += 10 * 60_000
  t.match(await notifier.notify(canaryWith(), alert()), [{ state: 'delivered' }])
  t.equal(script.count(), 3)
  t.same(notifier.stats(), { delivered: 3, failed: 0, repeated: 1, dropped: 0 })
})

test('a run that is tried again is told anew, however soon it ends the same way', async (t) => {
  const script = ports(status(200))
  const { notifier } = notifierWith(script)
  const started = alert({ severity: 'info', reason: 'CanaryStarted', message: 'New revision detected, progressing canary analysis.' })
  const other = alert({ canary: { name: 'shop-api', namespace: 'prod' } })
  await notifier.notify(canaryWith(), other)
  for (let run = 0; run < 2; run += 1) {
    t.match(await notifier.notify(canaryWith(), started), [{ state: 'delivered' }])
    t.match(await notifier.notify(canaryWith(), alert()), [{ state: 'delivered' }])
    t.match(await notifier.notify(canaryWith(), alert()), [{ state: 'repeated' }])
  }
  t.match(await notifier.notify(canaryWith(), other), [{ state: 'repeated' }], 'another Canary\'s run is not this one\'s')
})

test('what is told at every check goes out once, whatever its numbers and identifiers', async (t) => {
  const script = ports(status(200))
  const { notifier } = notifierWith(script)
  const said = async (message: string, severity: Alert['severity'] = 'warn') => notifier.notify(canaryWith(), alert({ reason: 'CanaryMetricUnavailable', severity, message }))
  t.match(await said('HTTP 503 request 6f1c2d9e-77aa-4b failed after 5001 ms'), [{ state: 'delivered' }])
  t.match(await said('HTTP 503 request 9a0b11ce-0000-4c failed after 5003.5 ms'), [{ state: 'repeated' }])
  t.match(await said('the address is denied'), [{ state: 'delivered' }])
  t.match(await said('the address is denied', 'error'), [{ state: 'delivered' }], 'what has become worse is told')
})

test('an alert that did not arrive may be told again', async (t) => {
  const script = ports(status(404), status(200))
  const { notifier, lost } = notifierWith(script)
  t.match(await notifier.notify(canaryWith(), alert()), [{ state: 'failed' }])
  t.match(await notifier.notify(canaryWith(), alert()), [{ state: 'delivered' }])
  t.same(lost, ['HTTP 404'])
})

test('a receiver that cannot be read is a failure with its reason', async (t) => {
  const { notifier, lost } = notifierWith(ports(status(200)), { destination: async () => 'secret s was not found' })
  await notifier.notify(canaryWith(), alert())
  const broken = notifierWith(ports(status(200)), { destination: async () => { throw new Error('forbidden') } })
  await broken.notifier.notify(canaryWith(), alert())
  t.same([...lost, ...broken.lost], ['secret s was not found', 'it cannot be read: forbidden'])
})

test('a dead receiver delays no other, and takes only its share of the places', async (t) => {
  const outbox = createOutbox({ maxWaitingInLane: 2 })
  const hanging: Http = (_request, signal) => new Promise((_resolve, reject) => { signal.addEventListener('abort', () => { reject(new Error('aborted')) }) })
  const dead = new Set(['dead'])
  const delivered: string[] = []
  const destination = async ({ name }: Receiver): Promise<Destination> => ({ ...SLACK, address: `http://${name}/` })
  const given = ports(status(200))
  const http: Http = (request, signal) => (dead.has(new URL(request.url).hostname) ? hanging(request, signal) : given.http(request, signal))
  const { notifier } = notifierWith({ ...given, http }, { outbox, destination, onOutcome: (_outcome, _alert, { name }) => { delivered.push(name) } })
  const canary = canaryWith([entry('dead', 'info'), entry('alive', 'info')])
  const all = ['1', '2', '3', '4'].map((revision) => notifier.notify(canary, alert({ revision })))
  await new Promise((resolve) => { setImmediate(resolve) })
  t.same(delivered.filter((name) => name === 'alive').length, 4)
  await outbox.close(0)
  const states = (await Promise.all(all)).map(([first]) => first?.state)
  t.same(states, ['failed', 'failed', 'failed', 'dropped'])
})

test('an outbox keeps the order within a lane, runs lanes beside each other, and survives a throw', async (t) => {
  const outbox = createOutbox({ maxRunning: 2, maxWaiting: 3 })
  const order: string[] = []
  const job = (name: string) => async (): Promise<void> => {
    await Promise.resolve()
    order.push(name)
    if (name === 'a1') throw new Error('lost')
  }
  t.ok(outbox.add('a', job('a1')))
  t.ok(outbox.add('a', job('a2')))
  t.ok(outbox.add('b', job('b1')))
  t.ok(outbox.add('a', job('a3')))
  t.match(outbox.stats(), { running: 2, waiting: 2 })
  t.ok(outbox.add('c', job('c1')))
  t.notOk(outbox.add('d', job('d1')), 'full')
  await outbox.close(1_000)
  t.same(order.filter((name) => name.startsWith('a')), ['a1', 'a2', 'a3'])
  t.equal(order.length, 5)
  t.notOk(outbox.add('a', job('late')), 'closed')
  t.equal(outbox.stats().refused, 2)
})

async function receiver(t: Test): Promise<{ url: string; seen: { path: string | undefined; authorization: string | undefined; body: unknown }[] }> {
  const seen: { path: string | undefined; authorization: string | undefined; body: unknown }[] = []
  const server = createServer((request, response) => {
    let body = ''
    request.on('data', (chunk: Buffer) => { body += chunk.toString() })
    request.on('end', () => {
      seen.push({ path: request.url, authorization: request.headers.authorization, body: JSON.parse(body) })
      response.end('ok')
    })
  })
  await new Promise<void>((resolve) => { server.listen(0, '127.0.0.1', resolve) })
  t.teardown(() => { server.closeAllConnections(); server.close() })
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, seen }
}

test('on the wire: Slack gets Flagger\'s payload with the token', async (t) => {
  const { url, seen } = await receiver(t)
  const { http, close } = createHttp({ allowLoopback: true })
  t.teardown(close)
  const to = destinationOf({ type: 'slack', channel: 'oncall', username: 'canary-bot', secretRef: { name: 'hook' } }, { address: `${url}/services/x`, token: 'xoxb-1' })
  const { notifier } = notifierWith({ ...ports(), http }, { destination: async () => to })
  t.match(await notifier.notify(canaryWith([entry('oncall', 'error')]), alert()), [{ state: 'delivered', receiver: { name: 'oncall', namespace: 'prod' } }])
  t.strictSame(seen, [{ path: '/services/x', authorization: 'Bearer xoxb-1', body: {
    channel: 'oncall', username: 'canary-bot', icon_url: '', icon_emoji: ':rocket:',
    attachments: [{ color: 'danger', author_name: 'shop.prod', text: 'Failed checks threshold reached 5', mrkdwn_in: ['text'], fields: [] }],
  } }])
})

/** A proxy that finds every host here: plain HTTP by absolute address, TLS through a tunnel. */
async function proxyHere(t: Test): Promise<{ address: string; seen: { asked: string | undefined; as: string | undefined }[] }> {
  const seen: { asked: string | undefined; as: string | undefined }[] = []
  const proxy = createServer((request, response) => {
    seen.push({ asked: `${request.method} ${request.url}`, as: request.headers['proxy-authorization'] })
    request.resume().on('end', () => response.end('ok'))
  })
  proxy.on('connect', (request, socket) => {
    seen.push({ asked: `CONNECT ${request.url}`, as: request.headers['proxy-authorization'] })
    const upstream = connect(Number(request.url?.split(':')[1]), '127.0.0.1', () => { socket.write('HTTP/1.1 200 OK\r\n\r\n'); upstream.pipe(socket).pipe(upstream) })
    for (const one of [socket, upstream]) one.on('error', () => { upstream.destroy(); socket.destroy() })
  })
  await new Promise<void>((resolve) => { proxy.listen(0, '127.0.0.1', resolve) })
  t.teardown(() => { proxy.closeAllConnections(); proxy.close() })
  return { address: `127.0.0.1:${(proxy.address() as AddressInfo).port}`, seen }
}

test('on the wire: the proxy is asked, with the user of its address, and is itself checked', async (t) => {
  const { address, seen } = await proxyHere(t)
  const { http, through, close } = createHttp({ allowLoopback: true })
  const careful = createHttp()
  t.teardown(async () => { await Promise.all([close(), careful.close()]) })
  const to: Destination = { ...SLACK, address: 'http://hooks.inside.example/services/x', proxy: `http://bob:pass@${address}` }
  t.match(await deliver(alert(), to, { ...ports(), http, httpThrough: through }, SIGNAL), { delivered: true, attempts: 1 })
  t.same(seen, [{ asked: 'POST http://hooks.inside.example/services/x', as: 'Basic Ym9iOnBhc3M=' }])
  t.match(await deliver(alert(), to, { ...ports(), http: careful.http, httpThrough: careful.through }, SIGNAL), { delivered: false, attempts: 1, reason: /loopback/ })
  t.match(await deliver(alert(), { ...to, proxy: 'socks5://p' }, { ...ports(), http, httpThrough: through }, SIGNAL), { delivered: false, attempts: 1, reason: /socks5: is not http or https/ })
  t.equal(seen.length, 1)
})

test('on the wire: TLS goes through the proxy\'s tunnel, and the receiver\'s certificate is verified', async (t) => {
  const issuer = createForgeIssuer()
  const leaf = await issuer.issueLeaf(await issuer.issueCa(Date.now()), { service: 'hooks', namespace: 'test' }, Date.now())
  const server = createTlsServer(leaf, (request, response) => { request.resume().on('end', () => response.end('ok')) })
  await new Promise<void>((resolve) => { server.listen(0, '127.0.0.1', resolve) })
  t.teardown(() => { server.closeAllConnections(); server.close() })
  const { address, seen } = await proxyHere(t)
  const { through, close } = createHttp({ allowLoopback: true })
  t.teardown(close)
  const host = `hooks.test.svc:${(server.address() as AddressInfo).port}`
  const request = { method: 'POST', url: `https://${host}/x`, body: '{}', deadlineMs: 5_000 } as const
  await t.rejects(through(`http://${address}`)(request, SIGNAL), { name: 'HttpError', message: /CERT|certificate|SELF_SIGNED|UNABLE_TO/ })
  t.match(await through(`http://${address}`)({ ...request, insecureSkipVerify: true }, SIGNAL), { status: 200, body: 'ok' })
  t.same(seen.map(({ asked }) => asked), [`CONNECT ${host}`, `CONNECT ${host}`])
})

const smtpTo = (port: number, change: Partial<Destination> = {}): Destination =>
  ({ type: 'email', address: `smtp://127.0.0.1:${port}`, channel: 'oncall@example.org,team@example.org', username: 'canary@example.org', secret: {}, ...change })
const sendMail = createSmtp({ denialOf: (address) => denialOf(address, { allowLoopback: true }), stepMs: 300 })

test('on the wire: a mail server gets the alert', async (t) => {
  const server = await receiveMail(t)
  t.match(await deliver(alert({ message: '오류율이 높습니다' }), smtpTo(server.port), { ...ports(), sendMail }, SIGNAL), { delivered: true, attempts: 1 })
  t.equal(server.mails.length, 1)
  const [mail] = server.mails
  t.match(mail, { from: /^<canary@example\.org>/, to: [/^<oncall@example\.org>/, /^<team@example\.org>/] })
  t.match(mail?.data, /^Subject: =\?UTF-8\?/m)
  t.match(mail?.data, /^From: canary@example\.org$/m)
  t.match(mail?.data, /^To: oncall@example\.org, team@example\.org$/m)
})

test('on the wire: a password is never sent without TLS', async (t) => {
  const server = await receiveMail(t)
  const { delivered, reason } = await deliver(alert(), smtpTo(server.port, { secret: { username: 'bob', password: 'hunter22' } }), { ...ports(), sendMail }, SIGNAL)
  t.equal(delivered, false)
  t.notMatch(reason, /hunter22/)
  t.same(server.mails, [])
})

test('on the wire: a recipient refused for good is not tried again, one refused for now is', async (t) => {
  const forGood = await receiveMail(t, { recipientReply: '550 no such user' })
  t.match(await deliver(alert(), smtpTo(forGood.port), { ...ports(), sendMail }, SIGNAL), { delivered: false, attempts: 1, reason: /550 no such user/ })
  const forNow = await receiveMail(t, { recipientReply: '450 try later' })
  t.match(await deliver(alert(), smtpTo(forNow.port), { ...ports(), sendMail }, SIGNAL), { delivered: false, attempts: 4, reason: /450 try later/ })
})

test('on the wire: a recipient of several who is refused is named, and the others get the mail once', async (t) => {
  const server = await receiveMail(t, { recipientReply: (recipient) => (recipient.includes('team@') ? '450 no such user' : '250 ok') })
  t.match(await deliver(alert(), smtpTo(server.port), { ...ports(), sendMail }, SIGNAL), { delivered: false, attempts: 1, reason: /not taken for team@example\.org: .*450 no such user/ })
  t.equal(server.mails.length, 1)
})

test('on the wire: without a password a relay\'s own certificate will do, as TLS need not be offered at all', async (t) => {
  const issuer = createForgeIssuer()
  const leaf = await issuer.issueLeaf(await issuer.issueCa(Date.now()), { service: 'relay', namespace: 'test' }, Date.now())
  const server = await receiveMail(t, { tls: { ...leaf, from: 'starttls' } })
  t.match(await deliver(alert(), smtpTo(server.port), { ...ports(), sendMail }, SIGNAL), { delivered: true, attempts: 1, reason: '' })
  t.match(server.mails, [{ encrypted: true, login: '' }])
  const first = await receiveMail(t, { tls: { ...leaf, from: 'start' } })
  t.match(await deliver(alert(), smtpTo(first.port, { address: `smtps://127.0.0.1:${first.port}` }), { ...ports(), sendMail }, SIGNAL), { delivered: false }, 'who asks for TLS gets a certificate that is verified')
})

test('on the wire: a mail server that says nothing is given up', async (t) => {
  const server = await receiveMail(t, { silent: true })
  t.match(await deliver(alert(), smtpTo(server.port), { ...ports(), sendMail }, SIGNAL), { delivered: false, attempts: 4 })
})

test('a mail server on a denied address is not connected to, by number or by name', async (t) => {
  const server = await receiveMail(t)
  const careful = createSmtp({ denialOf: (address) => denialOf(address, {}), resolve: async () => [{ address: '127.0.0.1', family: 4 }] })
  t.match(await deliver(alert(), smtpTo(server.port), { ...ports(), sendMail: careful }, SIGNAL), { delivered: false, reason: /loopback/ })
  t.match(await deliver(alert(), smtpTo(server.port, { address: `smtp://mail.example.org:${server.port}` }), { ...ports(), sendMail: careful }, SIGNAL), { delivered: false, reason: /loopback/ })
  t.equal(server.connections(), 0)
})

test('on the wire: with TLS, from the first byte or by STARTTLS, the password is sent and the mail taken', async (t) => {
  const issuer = createForgeIssuer()
  const ca = await issuer.issueCa(Date.now())
  const leaf = await issuer.issueLeaf(ca, { service: 'mail', namespace: 'test' }, Date.now())
  const resolve = async (): Promise<{ address: string; family: number }[]> => [{ address: '127.0.0.1', family: 4 }]
  const trusting = createSmtp({ denialOf: (address) => denialOf(address, { allowLoopback: true }), resolve, ca: ca.cert })
  const doubting = createSmtp({ denialOf: (address) => denialOf(address, { allowLoopback: true }), resolve })
  for (const [from, scheme] of [['start', 'smtps'], ['starttls', 'smtp']] as const) {
    const server = await receiveMail(t, { tls: { ...leaf, from } })
    const to = smtpTo(server.port, { address: `${scheme}://mail.test.svc:${server.port}`, secret: { username: 'bob', password: 'hunter22' } })
    t.match(await deliver(alert(), to, { ...ports(), sendMail: trusting }, SIGNAL), { delivered: true, attempts: 1, reason: '' }, from)
    t.match(server.mails, [{ login: '\0bob\0hunter22', encrypted: true }])
    t.match(await deliver(alert(), to, { ...ports(), sendMail: doubting }, SIGNAL), { delivered: false }, 'a certificate of nobody known is not trusted')
    t.equal(server.mails.length, 1)
  }
})
