import { test } from 'tap'
import type { KubeObject } from '#api/objects.ts'
import type { KubeClient } from '#kube/client.ts'
import { createLeader, microTime, type Leader, type LeaderOptions } from '#kube/lease.ts'
import { createFakeKube, type FakeKube } from '../fake-kube.ts'
import { createFakeClock, type FakeClock } from './fake-clock.ts'
import { createLogLines } from './log-lines.ts'

const REF = { apiVersion: 'coordination.k8s.io/v1', kind: 'Lease', namespace: 'canarygate', name: 'agent' }
type Spec = { holderIdentity: string; renewTime: string; leaseTransitions: number; leaseDurationSeconds: number }
const specOf = (fake: FakeKube): Spec => (fake.object(REF.apiVersion, 'Lease', 'canarygate/agent') as unknown as { spec: Spec }).spec

type Candidate = { readonly leader: Leader; readonly news: string[] }

function candidate(clock: FakeClock, client: KubeClient, identity: string, options: Partial<LeaderOptions> = {}): Candidate {
  const news: string[] = []
  const leader = createLeader({
    client, namespace: 'canarygate', name: 'agent', identity, log: createLogLines().log,
    onStartedLeading: (epoch) => void news.push(`started ${epoch}`),
    onStoppedLeading: (reason) => void news.push(`stopped: ${reason}`),
    now: clock.now, monotonic: clock.now, after: clock.after, random: () => 0.5, ...options,
  })
  leader.start()
  return { leader, news }
}

/** A client that can be cut off, as by a network fault; `hang` never answers. */
function cuttable(client: KubeClient) {
  const state = { mode: 'open' as 'open' | 'cut' | 'hang' }
  const guard = async (): Promise<void> => {
    if (state.mode === 'cut') throw new Error('network is down')
    if (state.mode === 'hang') await new Promise(() => {})
  }
  const cut: KubeClient = {
    ...client,
    get: async <T extends KubeObject>(...args: Parameters<KubeClient['get']>) => { await guard(); return await client.get<T>(...args) },
    replace: async <T extends KubeObject>(...args: Parameters<KubeClient['replace']>) => { await guard(); return await client.replace<T>(...args) },
  }
  return { state, client: cut }
}

test('the first candidate leads, a second does not while it renews', async (t) => {
  const clock = createFakeClock()
  const fake = createFakeKube({ now: clock.now })
  const a = candidate(clock, fake.client, 'a')
  await clock.settle()
  const b = candidate(clock, fake.client, 'b')
  await clock.advance(60_000)
  t.equal(a.leader.isLeader(), true)
  t.equal(a.leader.epoch(), 0)
  t.equal(b.leader.isLeader(), false)
  t.equal(b.leader.holder(), 'a')
  t.same([a.news, b.news], [['started 0'], []])
  await Promise.all([a.leader.stop(), b.leader.stop()])
})

test('a stop hands over within a second, with the next epoch', async (t) => {
  const clock = createFakeClock()
  const fake = createFakeKube({ now: clock.now })
  const a = candidate(clock, fake.client, 'a')
  await clock.settle()
  const b = candidate(clock, fake.client, 'b')
  await clock.advance(10_000)
  await a.leader.stop()
  t.equal(specOf(fake).holderIdentity, '', 'released')
  t.same(a.news, ['started 0', 'stopped: stopped'])
  await clock.advance(1_000)
  t.equal(b.leader.isLeader(), true)
  t.equal(b.leader.epoch(), 1)
  await b.leader.stop()
})

test('a crash is taken over within eight seconds, and not before the Lease has expired', async (t) => {
  const clock = createFakeClock()
  const fake = createFakeKube({ now: clock.now })
  const cut = cuttable(fake.client)
  const a = candidate(clock, cut.client, 'a')
  await clock.settle()
  const b = candidate(clock, fake.client, 'b')
  await clock.advance(10_000)
  cut.state.mode = 'hang'
  await clock.advance(4_900)
  t.equal(b.leader.isLeader(), false)
  t.equal(a.leader.isLeader(), false, 'the old leader has stopped before')
  await clock.advance(3_000)
  t.equal(b.leader.isLeader(), true)
  t.same(a.news, ['started 0', 'stopped: the Lease could not be renewed in time'])
})

test('expiry is judged by our own clock: a renewTime of years ago from a live holder is respected', async (t) => {
  const clock = createFakeClock()
  const fake = createFakeKube({ now: clock.now })
  const wrong = { now: () => clock.now() - 5 * 365 * 86_400_000 }
  const a = candidate(clock, fake.client, 'a', wrong)
  await clock.settle()
  const b = candidate(clock, fake.client, 'b')
  await clock.advance(30_000)
  t.match(specOf(fake).renewTime, /^2020|^2021/)
  t.equal(b.leader.isLeader(), false)
  await Promise.all([a.leader.stop(), b.leader.stop()])
})

test('a renewTime in the future of a holder that is gone is waited for one duration, not for ever', async (t) => {
  const clock = createFakeClock()
  const fake = createFakeKube({ now: clock.now })
  fake.seed({ ...REF, metadata: { name: 'agent', namespace: 'canarygate' }, spec: { holderIdentity: 'gone', leaseDurationSeconds: 6, renewTime: '2036-01-01T00:00:00.000000Z', leaseTransitions: 4 } })
  const b = candidate(clock, fake.client, 'b')
  await clock.advance(5_900)
  t.equal(b.leader.isLeader(), false)
  await clock.advance(700)
  t.equal(b.leader.isLeader(), true)
  t.equal(b.leader.epoch(), 5)
  await b.leader.stop()
})

test('a paused process is no leader the moment it wakes, before any timer ran', async (t) => {
  const clock = createFakeClock()
  const fake = createFakeKube({ now: clock.now })
  const a = candidate(clock, fake.client, 'a')
  await clock.advance(2_500)
  t.equal(a.leader.isLeader(), true)
  clock.stall(4_000)
  t.equal(a.leader.isLeader(), false)
  t.equal(a.leader.epoch(), undefined)
  await clock.settle()
  await clock.advance(1)
  t.match(a.news, ['started 0', 'stopped: the Lease could not be renewed in time'])
  await a.leader.stop()
})

test('a short fault of the API server does not end a term', async (t) => {
  const clock = createFakeClock()
  const fake = createFakeKube({ now: clock.now })
  const cut = cuttable(fake.client)
  const a = candidate(clock, cut.client, 'a')
  await clock.advance(5_000)
  cut.state.mode = 'cut'
  await clock.advance(2_500)
  t.equal(a.leader.isLeader(), true)
  cut.state.mode = 'open'
  await clock.advance(5_000)
  t.equal(a.leader.isLeader(), true)
  t.same(a.news, ['started 0'])
  await a.leader.stop()
})

test('a renewal that was applied but not answered goes on, by reading again', async (t) => {
  const clock = createFakeClock()
  const fake = createFakeKube({ now: clock.now })
  fake.faults.on(({ verb, kind, count }) => (verb === 'update' && kind === 'Lease' && count === 3 ? 'applied-without-answer' : undefined))
  const a = candidate(clock, fake.client, 'a')
  await clock.advance(20_000)
  t.same(a.news, ['started 0'])
  t.equal(a.leader.isLeader(), true)
  await a.leader.stop()
  t.equal(specOf(fake).holderIdentity, '')
})

test('a Lease taken by another ends the term at the next renewal', async (t) => {
  const clock = createFakeClock()
  const fake = createFakeKube({ now: clock.now })
  const a = candidate(clock, fake.client, 'a')
  await clock.advance(3_000)
  fake.edit(REF, (lease) => ({ ...lease, spec: { ...(lease['spec'] as object), holderIdentity: 'thief' } }))
  await clock.advance(1_100)
  t.equal(a.leader.isLeader(), false)
  t.same(a.news, ['started 0', 'stopped: another holds the Lease'])
  await a.leader.stop()
  t.equal(specOf(fake).holderIdentity, 'thief', 'not released for another')
})

test('a deleted Lease is made again', async (t) => {
  const clock = createFakeClock()
  const fake = createFakeKube({ now: clock.now })
  const a = candidate(clock, fake.client, 'a')
  await clock.advance(2_000)
  fake.remove(REF)
  await clock.advance(6_000)
  t.equal(specOf(fake).holderIdentity, 'a')
  t.equal(a.leader.isLeader(), true)
  await a.leader.stop()
})

test('of many candidates at once exactly one leads at any time', async (t) => {
  const clock = createFakeClock()
  const fake = createFakeKube({ now: clock.now })
  const all = ['a', 'b', 'c', 'd'].map((identity, at) => candidate(clock, fake.client, identity, { random: () => at / 4 }))
  const leaders = (): number => all.filter(({ leader }) => leader.isLeader()).length
  for (let turn = 0; turn < 30; turn += 1) {
    await clock.advance(333)
    t.equal(leaders(), 1, `at ${turn}`)
  }
  await all.find(({ leader }) => leader.isLeader())?.leader.stop()
  t.equal(leaders(), 0)
  await clock.advance(1_000)
  t.equal(leaders(), 1)
  await Promise.all(all.map(({ leader }) => leader.stop()))
})

test('a time of a Lease has exactly six digits', async (t) => {
  t.equal(microTime(Date.UTC(2026, 0, 1)), '2026-01-01T00:00:00.000000Z')
})

test('times that could let two lead are refused', async (t) => {
  const clock = createFakeClock()
  const fake = createFakeKube()
  t.throws(() => candidate(clock, fake.client, 'a', { leaseDurationMs: 4_000 }), { message: /leaseDurationMs must exceed/ })
})
