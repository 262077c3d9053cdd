import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { test, type Test } from 'tap'
import type { KubeObject } from '#api/objects.ts'
import { createKubeClient, type KubeClient } from '#kube/client.ts'
import { clusterConfig } from '#kube/config.ts'
import { createReflector, type Reflector, type ReflectorOptions } from '#kube/reflector.ts'
import { createFakeKube, type FakeKube } from '../fake-kube.ts'
import { createFakeClock } from './fake-clock.ts'
import { createLogLines } from './log-lines.ts'

const map = (name: string, data: object = {}, metadata: object = {}): KubeObject => ({ apiVersion: 'v1', kind: 'ConfigMap', metadata: { name, namespace: 'shop', ...metadata }, data })
const ref = (name: string) => ({ apiVersion: 'v1', kind: 'ConfigMap', namespace: 'shop', name })
const touch = (fake: FakeKube, name: string, value: string): void => fake.edit(ref(name), (object) => ({ ...object, data: { value } }))

/** Waits for something that real sockets bring, at most a second. */
async function until(isSo: () => boolean, what: string): Promise<void> {
  for (const end = performance.now() + 1_000; !isSo();) {
    if (performance.now() > end) throw new Error(`never came: ${what}`)
    await new Promise((resolve) => setTimeout(resolve, 2))
  }
}

function follow(client: KubeClient, options: Partial<ReflectorOptions> = {}) {
  const { log, lines } = createLogLines()
  const changes: string[] = []
  const reflector: Reflector = createReflector({
    client, apiVersion: 'v1', kind: 'ConfigMap', log, now: Date.now, random: () => 0,
    onChange: (kind, { metadata }) => void changes.push(`${kind} ${metadata.name}`), ...options,
  })
  return { reflector, changes, lines }
}

/** A reflector over HTTP, synced; everything is closed at the end. */
async function overHttp(t: Test, fake: FakeKube, options: Partial<ReflectorOptions> = {}) {
  const server = await fake.listen()
  const client = createKubeClient(server.config, { userAgent: 'canarygate/test', qps: 10_000, burst: 10_000, now: Date.now, random: () => 0 })
  const followed = follow(client, options)
  t.teardown(async () => {
    await followed.reflector.stop()
    await server.close()
    await client.close()
  })
  followed.reflector.start()
  return { ...followed, server, client }
}
const synced = async (fake: FakeKube, reflector: Reflector): Promise<void> =>
  await until(() => reflector.hasSynced() && fake.watchCount() === 1, 'sync')

test('the store follows adds, updates and deletes', async (t) => {
  const fake = createFakeKube()
  fake.seed(map('old'))
  const { reflector, changes } = await overHttp(t, fake)
  await synced(fake, reflector)
  fake.seed(map('new'))
  touch(fake, 'new', '2')
  fake.remove(ref('old'))
  await until(() => changes.length === 4, 'four changes')
  t.same(changes, ['add old', 'add new', 'update new', 'delete old'])
  t.match(reflector.get('shop/new'), { data: { value: '2' } })
  t.equal(reflector.get('shop/old'), undefined)
  t.equal(reflector.list('shop').length, 1)
  t.equal(reflector.list('elsewhere').length, 0)
})

test('a connection cut in mid-watch is taken up where it was, without a list', async (t) => {
  const fake = createFakeKube()
  fake.seed(map('a'))
  const { reflector, changes, server } = await overHttp(t, fake)
  await synced(fake, reflector)
  server.resetConnections()
  touch(fake, 'a', 'while cut')
  await until(() => changes.length === 2, 'the missed update')
  t.same(changes, ['add a', 'update a'])
  t.equal(fake.calls.filter(({ verb }) => verb === 'list').length, 1)
})

for (const fault of ['429', '500', '503', 'reset', 'garbage'] as const)
  test(`a watch that fails with ${fault} is tried again`, async (t) => {
    const fake = createFakeKube()
    fake.seed(map('a'))
    fake.faults.on(({ verb, count }) => (verb === 'watch' && count <= 2 ? fault : undefined))
    const { reflector, changes } = await overHttp(t, fake)
    await until(() => fake.calls.filter(({ verb }) => verb === 'watch').length === 3 && fake.watchCount() === 1, 'the third watch')
    touch(fake, 'a', '2')
    await until(() => changes.includes('update a'), 'the update')
    t.equal(reflector.hasSynced(), true)
    // Garbage may have hidden an event: only a list can tell.
    t.equal(fake.calls.filter(({ verb }) => verb === 'list').length, fault === 'garbage' ? 3 : 1)
  })

test('a watch from a version that is too old lists again and finds what was missed', async (t) => {
  const fake = createFakeKube()
  fake.seed(map('kept'), map('gone'))
  const { reflector, changes } = await overHttp(t, fake)
  await synced(fake, reflector)
  fake.faults.on(({ verb, count }) => (verb === 'watch' && count === 2 ? '410' : undefined))
  fake.endWatches()
  fake.remove(ref('gone'))
  fake.seed(map('new'))
  touch(fake, 'kept', '2')
  await until(() => changes.length === 5, 'the differences')
  t.same(changes.toSorted(), ['add gone', 'add kept', 'add new', 'delete gone', 'update kept'])
})

test('a 410 inside the stream lists again too', async (t) => {
  const fake = createFakeKube()
  fake.seed(map('a'))
  const { reflector, server, changes } = await overHttp(t, fake)
  await synced(fake, reflector)
  fake.forgetHistory()
  server.resetConnections()
  await until(() => fake.calls.filter(({ verb }) => verb === 'list').length === 2, 'the second list')
  await until(() => fake.watchCount() === 1, 'the watch after it')
  touch(fake, 'a', '2')
  await until(() => changes.includes('update a'), 'the update')
  t.same(changes, ['add a', 'update a'], 'what did not change was not reported again')
})

test('a bookmark moves the version on, so that a forgotten history needs no list', async (t) => {
  const fake = createFakeKube()
  fake.seed(map('a'))
  const { reflector } = await overHttp(t, fake)
  await synced(fake, reflector)
  fake.forgetHistory()
  fake.bookmark()
  await new Promise((resolve) => setTimeout(resolve, 20))
  fake.endWatches()
  await until(() => fake.calls.filter(({ verb }) => verb === 'watch').length === 2 && fake.watchCount() === 1, 'the second watch')
  await new Promise((resolve) => setTimeout(resolve, 20))
  t.equal(fake.calls.filter(({ verb }) => verb === 'list').length, 1)
})

test('a list of many pages deletes nothing that is on a later page', async (t) => {
  const fake = createFakeKube()
  fake.seed(...Array.from({ length: 1_201 }, (_, at) => map(`m${at}`)))
  const { reflector, changes } = await overHttp(t, fake)
  await synced(fake, reflector)
  t.equal(reflector.list().length, 1_201)
  fake.forgetHistory()
  fake.endWatches()
  await until(() => fake.calls.filter(({ verb }) => verb === 'list').length === 6 && fake.watchCount() === 1, 'the second list of three pages')
  t.equal(reflector.list().length, 1_201)
  t.equal(changes.filter((change) => change.startsWith('delete')).length, 0)
})

test('a continue token that expired between two pages begins the list anew', async (t) => {
  const fake = createFakeKube()
  fake.seed(...Array.from({ length: 600 }, (_, at) => map(`m${at}`)))
  fake.faults.on(({ verb, count }) => (verb === 'list' && count === 2 ? '410' : undefined))
  const { reflector, changes } = await overHttp(t, fake)
  await synced(fake, reflector)
  t.equal(reflector.list().length, 600)
  t.equal(changes.length, 600)
})

test('a stop during the list opens no watch afterwards', async (t) => {
  const fake = createFakeKube()
  fake.seed(map('a'))
  fake.faults.on(({ verb }) => (verb === 'list' ? 'timeout' : undefined))
  const { reflector, changes } = await overHttp(t, fake)
  await until(() => fake.calls.length === 1, 'the list')
  await reflector.stop()
  reflector.start()
  await new Promise((resolve) => setTimeout(resolve, 30))
  t.same(fake.calls.map(({ verb }) => verb), ['list'])
  t.same(changes, [])
  t.equal(fake.watchCount(), 0)
})

test('a list that answers after the stop changes nothing and opens no watch', async (t) => {
  const fake = createFakeKube()
  fake.seed(map('a'))
  let answer = (): void => {}
  const slow: KubeClient = {
    ...fake.client,
    // Deaf to the signal, as an answer that was on its way already.
    list: async <T extends KubeObject>(apiVersion: string, kind: string) => {
      await new Promise<void>((resolve) => { answer = resolve })
      return await fake.client.list<T>(apiVersion, kind)
    },
  }
  const { reflector, changes } = follow(slow)
  reflector.start()
  const stopped = reflector.stop()
  answer()
  await stopped
  t.same(changes, [])
  t.equal(reflector.hasSynced(), false)
  t.same(fake.calls.map(({ verb }) => verb), ['list'])
})

test('a stop ends the watch and stays stopped, and nothing is reported any more', async (t) => {
  const fake = createFakeKube()
  const { reflector, changes, lines } = await overHttp(t, fake)
  await synced(fake, reflector)
  await reflector.stop()
  await until(() => fake.watchCount() === 0, 'the end of the watch')
  fake.seed(map('late'))
  await new Promise((resolve) => setTimeout(resolve, 30))
  t.same(changes, [])
  t.equal(fake.calls.filter(({ verb }) => verb === 'watch').length, 1)
  t.same(lines, [], 'a stop is no fault')
})

test('two starts are one watch', async (t) => {
  const fake = createFakeKube()
  const { reflector } = await overHttp(t, fake)
  reflector.start()
  await synced(fake, reflector)
  t.equal(fake.calls.filter(({ verb }) => verb === 'list').length, 1)
})

test('a handler that throws or rejects is logged, and the next change still comes', async (t) => {
  const fake = createFakeKube()
  fake.seed(map('a'))
  let calls = 0
  const onChange = (): void => {
    calls += 1
    if (calls === 1) throw new Error('handler is broken')
    if (calls === 2) return Promise.reject(new Error('later')) as unknown as undefined
  }
  const { reflector, lines } = await overHttp(t, fake, { onChange })
  await synced(fake, reflector)
  touch(fake, 'a', '2')
  touch(fake, 'a', '3')
  await until(() => calls === 3, 'the third change')
  t.same(lines.map(({ msg }) => msg), ['change handler failed', 'change handler failed'])
})

test('an object that cannot be transformed is left out, the others are there', async (t) => {
  const fake = createFakeKube()
  fake.seed(map('bad'), map('good'))
  const transform = (object: KubeObject): KubeObject => {
    if (object.metadata.name === 'bad') throw new Error('odd')
    return object
  }
  const { reflector, lines } = await overHttp(t, fake, { transform })
  await synced(fake, reflector)
  t.same(reflector.list().map(({ metadata }) => metadata.name), ['good'])
  t.match(lines, [{ msg: 'object left out of the cache', key: 'shop/bad' }])
})

test('deleted and made again in a gap is a delete and an add', async (t) => {
  const fake = createFakeKube()
  fake.seed(map('a'))
  const { reflector, changes } = await overHttp(t, fake)
  await synced(fake, reflector)
  fake.faults.on(({ verb, count }) => (verb === 'watch' && count === 2 ? '410' : undefined))
  fake.endWatches()
  fake.remove(ref('a'))
  fake.seed(map('a'))
  await until(() => changes.length === 3, 'both')
  t.same(changes, ['add a', 'delete a', 'add a'])
})

test('what is stored has no managedFields and no last-applied-configuration', async (t) => {
  const fake = createFakeKube()
  fake.seed(map('a', {}, { annotations: { 'kubectl.kubernetes.io/last-applied-configuration': '{}', kept: 'yes' } }))
  t.ok('managedFields' in (fake.object('v1', 'ConfigMap', 'shop/a')?.metadata ?? {}))
  const { reflector } = await overHttp(t, fake)
  await synced(fake, reflector)
  t.same(reflector.get('shop/a')?.metadata.annotations, { kept: 'yes' })
  t.notOk('managedFields' in (reflector.get('shop/a')?.metadata ?? {}))
})

test('indexes follow the objects', async (t) => {
  const fake = createFakeKube()
  fake.seed(map('a', {}, { labels: { app: 'x' } }), map('b', {}, { labels: { app: 'x' } }))
  const { reflector, changes } = await overHttp(t, fake, { indexes: { app: ({ metadata }) => (metadata.labels?.['app'] ? [metadata.labels['app']] : []) } })
  await synced(fake, reflector)
  t.equal(reflector.byIndex('app', 'x').length, 2)
  fake.edit(ref('a'), (object) => ({ ...object, metadata: { ...object.metadata, labels: { app: 'y' } } }))
  fake.remove(ref('b'))
  await until(() => changes.length === 4, 'the changes')
  t.same(reflector.byIndex('app', 'x'), [])
  t.equal(reflector.byIndex('app', 'y')[0]?.metadata.name, 'a')
  t.throws(() => reflector.byIndex('nothing', 'x'))
})

test('a kind whose CRD is missing counts as synced and empty, and is followed when it appears', async (t) => {
  const clock = createFakeClock()
  const fake = createFakeKube()
  const { reflector, changes, lines } = follow(fake.client, { apiVersion: 'traefik.io/v1alpha1', kind: 'TraefikService', now: clock.now, after: clock.after })
  reflector.start()
  await clock.settle()
  t.match([reflector.hasSynced(), reflector.isServed(), reflector.list()], [true, false, []])
  await clock.advance(120_000)
  t.same(fake.calls.filter(({ verb }) => verb === 'list').length, 5, 'once in 30 s')
  t.same(lines.map(({ level, msg }) => `${level} ${msg}`), ['30 kind is not served, asked again later'], 'said once')
  fake.serve('traefik.io/v1alpha1', 'TraefikService')
  fake.seed({ apiVersion: 'traefik.io/v1alpha1', kind: 'TraefikService', metadata: { name: 'a', namespace: 'shop' } })
  reflector.wake()
  await clock.settle()
  t.equal(reflector.isServed(), true)
  t.same(changes, ['add a'])
  await reflector.stop()
})

test('a server that keeps failing is asked less and less often, with jitter, and a person is told', async (t) => {
  const clock = createFakeClock()
  const fake = createFakeKube()
  fake.faults.on(() => '503')
  const { reflector, lines } = follow(fake.client, { now: clock.now, after: clock.after, random: () => 1 })
  reflector.start()
  const waits: number[] = []
  for (let turn = 0; turn < 8; turn += 1) {
    await clock.settle()
    waits.push(clock.waits()[0] ?? 0)
    await clock.advance(waits.at(-1) ?? 0)
  }
  t.same(waits, [800, 1_600, 3_200, 6_400, 12_800, 25_600, 30_000, 30_000])
  t.equal(reflector.hasSynced(), false)
  t.ok(lines.some(({ level, msg }) => level === 40 && msg === 'watch keeps failing'))
  await reflector.stop()
})

test('a silent connection is cut by the watchdog and taken up again', async (t) => {
  const clock = createFakeClock()
  const fake = createFakeKube()
  fake.seed(map('a'))
  const { reflector, lines } = follow(fake.client, { now: clock.now, after: clock.after })
  reflector.start()
  await clock.settle()
  await clock.advance(330_000)
  t.equal(fake.calls.filter(({ verb }) => verb === 'watch').length, 2)
  t.equal(fake.calls.filter(({ verb }) => verb === 'list').length, 1)
  t.same(lines, [])
  await reflector.stop()
})

test('lines are split at newlines alone: not at U+2028, not in the middle of a character', async (t) => {
  const object = JSON.stringify(map('ünïcødé-\u2028-line', {}, { uid: 'u', resourceVersion: '2' }))
  const bytes = Buffer.from(`${JSON.stringify({ type: 'BOOKMARK', object: { metadata: { resourceVersion: '1' } } })}\n\n{"type":"ADDED","object":${object}}\n{"type":"ADD`)
  const server = createServer((request, response) => {
    response.setHeader('content-type', 'application/json')
    if (!request.url?.includes('watch=true')) return void response.end('{"items":null,"metadata":{"resourceVersion":"1"}}')
    response.flushHeaders()
    void (async () => {
      for (const byte of bytes) {
        response.write(Buffer.from([byte]))
        if (byte > 0x7f || byte === 0x0a) await new Promise((resolve) => setImmediate(resolve))
      }
    })()
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const config = clusterConfig(`http://127.0.0.1:${(server.address() as AddressInfo).port}`, 'default', async () => ({ headers: {}, tls: {} }), () => 0)
  const { reflector, changes } = follow(createKubeClient(config, { userAgent: 'test', now: Date.now, random: () => 0 }))
  reflector.start()
  t.teardown(async () => {
    await reflector.stop()
    server.closeAllConnections()
    server.close()
  })
  await until(() => changes.length === 1, 'the object')
  t.same(changes, ['add ünïcødé-\u2028-line'])
})

test('what has not changed is not taken out of a list a second time', async (t) => {
  const fake = createFakeKube()
  fake.seed(map('old'), map('edited'))
  const taken: string[] = []
  const { reflector, changes } = await overHttp(t, fake, { transform: (object) => { taken.push(object.metadata.name); return object } })
  await synced(fake, reflector)
  const before = reflector.get('shop/old')
  fake.faults.on(({ verb, count }) => (verb === 'watch' && count === 2 ? '410' : undefined))
  fake.endWatches()
  touch(fake, 'edited', '2')
  await until(() => changes.includes('update edited'), 'the second list')
  t.same(taken.toSorted(), ['edited', 'edited', 'old'])
  t.equal(reflector.get('shop/old'), before)
})
