import { test, type Test } from 'tap'
import type { KubeObject } from '#api/objects.ts'
import { createKubeClient, KubeError, type KubeClientOptions, type RequestRecord } from '#kube/client.ts'
import { clusterConfig } from '#kube/config.ts'
import { createRateLimit, retryWait } from '#kube/retry.ts'
import { createFakeKube, type FakeKube } from '../fake-kube.ts'
import { createFakeClock } from './fake-clock.ts'

const map = (name: string, more: object = {}): KubeObject => ({ apiVersion: 'v1', kind: 'ConfigMap', metadata: { name, namespace: 'shop' }, data: { a: '1' }, ...more })
const ref = (name: string) => ({ apiVersion: 'v1', kind: 'ConfigMap', namespace: 'shop', name })

async function connect(t: Test, fake: FakeKube, options: Partial<KubeClientOptions> = {}) {
  const server = await fake.listen()
  const records: RequestRecord[] = []
  const client = createKubeClient(server.config, { userAgent: 'canarygate/test', qps: 10_000, burst: 10_000, now: Date.now, random: () => 0, onRequest: (record) => void records.push(record), ...options })
  t.teardown(async () => {
    await server.close()
    await client.close()
  })
  return { server, client, records }
}
const failed = async (call: Promise<unknown>): Promise<KubeError> => await call.then(() => { throw new Error('it succeeded') }, (err: KubeError) => err)

test('a hundred calls one after the other share a connection or two', async (t) => {
  const fake = createFakeKube()
  fake.seed(map('a'))
  const { server, client } = await connect(t, fake)
  for (let at = 0; at < 100; at += 1) await client.get(ref('a'))
  t.ok(server.connections() <= 2, `${server.connections()} connections`)
})

test('many open watches leave room for calls', async (t) => {
  const fake = createFakeKube()
  fake.seed(map('a'))
  const { client } = await connect(t, fake)
  const ending = new AbortController()
  let open = 0
  const watches = Array.from({ length: 30 }, async () => {
    for await (const _ of client.watch('v1', 'ConfigMap', { resourceVersion: '1', signal: ending.signal, onOpen: () => { open += 1 } }));
  })
  const allOpen = (): boolean => open === 30
  while (!allOpen()) await new Promise((resolve) => setTimeout(resolve, 2))
  t.match(await client.get(ref('a'), { timeoutMs: 500 }), { data: { a: '1' } })
  ending.abort()
  t.ok((await Promise.allSettled(watches)).every(({ status }) => status === 'rejected'))
})

test('fields that nobody here knows survive a read and a replace', async (t) => {
  const fake = createFakeKube()
  fake.seed(map('a', { fieldOfNextYear: { deep: [1, null, { x: 'y' }] }, data: { when: '2026-01-01T00:00:00Z' } }))
  const { client } = await connect(t, fake)
  const read = await client.get(ref('a'))
  await client.replace({ ...read, data: { when: '2027-01-01T00:00:00.123456Z' } } as KubeObject)
  t.match(fake.object('v1', 'ConfigMap', 'shop/a'), { fieldOfNextYear: { deep: [1, null, { x: 'y' }] }, data: { when: '2027-01-01T00:00:00.123456Z' } })
})

for (const fault of ['429', '500', '503', 'reset'] as const)
  test(`a read is tried again after ${fault}, three times at most`, async (t) => {
    const fake = createFakeKube()
    fake.seed(map('a'))
    fake.faults.on(({ verb, name, count }) => (verb === 'get' && (name === 'b' || count <= 3) ? fault : undefined))
    const { client } = await connect(t, fake, { after: (_, run) => { setImmediate(run); return () => {} } })
    t.match(await client.get(ref('a')), { data: { a: '1' } })
    t.equal(fake.calls.length, 4)
    const err = await failed(client.get(ref('b')))
    t.equal(err.retryable, true)
    t.equal(fake.calls.length, 8)
  })

for (const { fault, tries } of [{ fault: '429', tries: 4 }, { fault: '500', tries: 1 }, { fault: '503', tries: 1 }, { fault: 'reset', tries: 1 }, { fault: 'conflict', tries: 1 }] as const)
  test(`a write that fails with ${fault} is sent ${tries === 1 ? 'once' : 'again, since it was surely not applied'}`, async (t) => {
    const fake = createFakeKube()
    fake.seed(map('a'))
    fake.faults.on(({ verb }) => (verb === 'patch' ? fault : undefined))
    const { client } = await connect(t, fake, { after: (_, run) => { setImmediate(run); return () => {} } })
    await failed(client.patch(ref('a'), { data: { a: '2' } }, 'merge'))
    t.equal(fake.calls.length, tries)
  })

test('a write whose answer was lost is not repeated behind its caller', async (t) => {
  const fake = createFakeKube()
  fake.faults.on(({ verb }) => (verb === 'create' ? 'applied-without-answer' : undefined))
  const { client } = await connect(t, fake)
  t.match(await failed(client.create(map('a'))), { status: 0, reason: 'NetworkError', retryable: true })
  t.ok(fake.object('v1', 'ConfigMap', 'shop/a'))
  t.equal(fake.calls.length, 1)
})

test('a refused connection is tried again even for a write, and then told', async (t) => {
  const fake = createFakeKube()
  const { server, client } = await connect(t, fake, { after: (_, run) => { setImmediate(run); return () => {} } })
  await server.close()
  t.match(await failed(client.create(map('a'))), { status: 0, reason: 'ConnectionRefused', retryable: true })
})

test('a call without an answer ends at its deadline', async (t) => {
  const fake = createFakeKube()
  fake.faults.on(() => 'timeout')
  const { client } = await connect(t, fake)
  const begunAt = performance.now()
  t.match(await failed(client.get(ref('a'), { timeoutMs: 60 })), { status: 0, reason: 'Timeout', retryable: true })
  t.ok(performance.now() - begunAt < 1_000)
})

test("the caller's signal ends a call at once, and is no fault of the server", async (t) => {
  const fake = createFakeKube()
  fake.faults.on(() => 'timeout')
  const { client } = await connect(t, fake)
  const ending = new AbortController()
  const call = failed(client.get(ref('a'), { signal: ending.signal }))
  setTimeout(() => ending.abort(), 10)
  t.match(await call, { reason: 'Aborted', retryable: false })
})

test('an answer that is no JSON is a fault with a name', async (t) => {
  const fake = createFakeKube()
  fake.faults.on(() => 'garbage')
  const { client } = await connect(t, fake)
  t.match(await failed(client.get(ref('a'))), { status: 0, reason: 'BadAnswer', retryable: false })
})

test('a 401 reads the credentials anew, once', async (t) => {
  const fake = createFakeKube()
  fake.seed(map('a'))
  fake.faults.on(({ name, count }) => (name === 'b' || count === 1 ? '401' : undefined))
  const server = await fake.listen()
  let reads = 0
  const config = clusterConfig(server.url, 'default', async () => ({ headers: { authorization: `Bearer ${(reads += 1)}` }, tls: {} }), Date.now)
  const client = createKubeClient(config, { userAgent: 'test', now: Date.now, random: () => 0 })
  t.teardown(async () => { await server.close(); await client.close() })
  t.ok(await client.get(ref('a')))
  t.equal(reads, 2)
  await client.get(ref('a'))
  t.equal(reads, 2, 'kept afterwards')
  t.match(await failed(client.get(ref('b'))), { status: 401, reason: 'Unauthorized', retryable: false })
  t.equal(reads, 3)
})

test('an error tells status, reason and causes, and not the whole body', async (t) => {
  const fake = createFakeKube()
  fake.faults.on(() => { throw new KubeError({ status: 422, reason: 'Invalid', message: `secret ${'x'.repeat(5_000)}`, causes: [{ field: '.spec', message: 'wrong' }] }) })
  const { client } = await connect(t, fake)
  const err = await failed(client.create(map('a')))
  t.match(err, { status: 422, reason: 'Invalid', causes: [{ field: '.spec', message: 'wrong' }] })
  t.ok(err.message.length <= 500)
})

test('every request is reported with its verb, resource and status', async (t) => {
  const fake = createFakeKube()
  const { client, records } = await connect(t, fake)
  await client.create(map('a'))
  await client.get(ref('missing'))
  await client.patch(ref('a'), { data: {} }, 'merge')
  await client.list('v1', 'ConfigMap')
  await client.delete(ref('a'))
  t.same(records.map(({ verb, resource, status }) => `${verb} ${resource} ${status}`), ['create configmaps 201', 'get configmaps 404', 'patch configmaps 200', 'list configmaps 200', 'delete configmaps 200'])
  t.ok(records.every(({ seconds }) => seconds >= 0))
})

test('a kind that is not in the table is discovered once, and again when its definition went', async (t) => {
  const fake = createFakeKube()
  const [apiVersion, kind] = ['traefik.io/v1alpha1', 'TraefikService']
  let at = 0
  const { client, records } = await connect(t, fake, { now: () => at })
  const asked = (): readonly string[] => records.splice(0).map(({ verb, status }) => `${verb} ${status}`)
  await t.rejects(client.list(apiVersion, kind), /not served|no such path/)
  fake.serve(apiVersion, kind)
  t.same(asked(), ['discover 404'], 'a list of a kind that is not served')
  await t.rejects(client.list(apiVersion, kind), /not served|no such path/)
  t.same(asked(), [], 'a missing kind is believed to be missing for 5 s')
  at += 5_000
  await client.list(apiVersion, kind)
  t.same(asked(), ['discover 200', 'list 200'], 'then it is found')
  at += 3_600_000
  await client.list(apiVersion, kind)
  t.same(asked(), ['list 200'], 'and not asked for again, however long that is ago')
  fake.unserve(apiVersion, kind)
  await t.rejects(client.list(apiVersion, kind), /not served|no such path/)
  t.same(asked(), ['list 404'], 'its definition is deleted')
  fake.serve(apiVersion, kind)
  await client.list(apiVersion, kind)
  t.same(asked(), ['discover 200', 'list 200'], 'and comes back')
})

test('a name from outside cannot leave its place in the path', async (t) => {
  const fake = createFakeKube()
  const { client } = await connect(t, fake)
  t.equal(await client.get(ref('../../secrets/a?x=y')), undefined)
  t.match(fake.calls, [{ verb: 'get', kind: 'ConfigMap', name: '../../secrets/a?x=y' }])
})

test('a namespaced object without a namespace is refused before it is sent', async (t) => {
  const fake = createFakeKube()
  const { client } = await connect(t, fake)
  t.match(await failed(client.get({ apiVersion: 'v1', kind: 'ConfigMap', name: 'a' })), { status: 400 })
  t.equal(fake.calls.length, 0)
})

test('retries: who may, how often, how long', async (t) => {
  const fault = (status: number, reason: string, retryAfterSeconds?: number): KubeError => new KubeError({ status, reason, message: '', ...(retryAfterSeconds === undefined ? {} : { retryAfterSeconds }) })
  const rows = [
    { name: 'a read after 500', wait: retryWait(true, fault(500, 'InternalError'), 1, () => 1), wants: 100 },
    { name: 'its second wait is longer', wait: retryWait(true, fault(500, 'InternalError'), 2, () => 1), wants: 200 },
    { name: 'half of it is jitter', wait: retryWait(true, fault(500, 'InternalError'), 2, () => 0), wants: 100 },
    { name: 'not a fourth time', wait: retryWait(true, fault(500, 'InternalError'), 4, () => 1), wants: undefined },
    { name: 'Retry-After is honoured', wait: retryWait(false, fault(429, 'TooManyRequests', 3), 1, () => 0), wants: 3_000 },
    { name: 'no write after 500', wait: retryWait(false, fault(500, 'InternalError'), 1, () => 0), wants: undefined },
    { name: 'no read after 404', wait: retryWait(true, fault(404, 'NotFound'), 1, () => 0), wants: undefined },
    { name: 'no read after 409', wait: retryWait(true, fault(409, 'Conflict'), 1, () => 0), wants: undefined },
  ]
  for (const { name, wait, wants } of rows) t.equal(wait, wants, name)
})

test('the rate limit lets a burst through, then one call each interval', async (t) => {
  let at = 1_000
  const limit = createRateLimit(20, 3, () => at)
  t.same([limit.take(), limit.take(), limit.take(), limit.take(), limit.take()], [0, 0, 0, 50, 100])
  at += 10_000
  t.same([limit.take(), limit.take(), limit.take(), limit.take()], [0, 0, 0, 50])
})

test('Events have a rate limit of their own: they neither wait for other calls, nor these for them', async (t) => {
  const clock = createFakeClock()
  const fake = createFakeKube()
  const { client } = await connect(t, fake, { qps: 1, burst: 1, now: clock.now, after: clock.after })
  const answered: string[] = []
  const ask = async (name: string): Promise<void> => {
    await client.get({ apiVersion: 'v1', kind: 'ConfigMap', namespace: 'shop', name: 'none' })
    answered.push(name)
  }
  const tell = async (name: string): Promise<void> => {
    await client.create({ apiVersion: 'v1', kind: 'Event', metadata: { name, namespace: 'shop' } }, { lane: 'events' })
    answered.push(name)
  }
  await ask('first')
  const second = ask('second')
  await tell('event')
  t.same(answered, ['first', 'event'])
  await clock.advance(1_000)
  await second
  t.equal(fake.objects('v1', 'Event').length, 1)
})
