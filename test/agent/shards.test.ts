import t from 'tap'
import type { Canary, CanaryStatus } from '#api/canary.ts'
import { createRuns } from '#agent/runs.ts'
import { createShards, shardOf, type Shards } from '#agent/shards.ts'
import type { ClusterCanaryPolicy } from '#api/policies.ts'
import type { KubeClient } from '#kube/client.ts'
import { effectivePolicy } from '#policy/effective.ts'
import { createFakeKube } from '../fake-kube.ts'
import { createFakeClock } from '../kube/fake-clock.ts'
import { createLogLines } from '../kube/log-lines.ts'
import { canary, cart, worldWith } from './world.ts'

const { test } = t
const KEYS = Array.from({ length: 1_000 }, (_, i) => `team-${i % 7}/app-${i}`)

test('shards get like shares, and a key is always of the same one', async (t) => {
  for (const count of [2, 3, 8]) {
    const sizes = Array.from({ length: count }, (_, shard) => KEYS.filter((key) => shardOf(key, count) === shard).length)
    for (const size of sizes) t.ok(size > (0.7 * KEYS.length) / count && size < (1.3 * KEYS.length) / count, sizes.join(' '))
  }
  t.strictSame(['shop/cart', 'shop/pay', 'team-a/checkout'].map((key) => shardOf(key, 8)), [ 0, 4, 7 ], 'and in every version: two that disagree would write for one Canary')
  t.equal(shardOf('shop/cart', 1), 0)
})

/** Agents at one API server; `silence` cuts one off without its knowing. */
function scene(count: number) {
  const clock = createFakeClock()
  const fake = createFakeKube({ now: clock.now })
  const agents = new Map<string, { readonly shards: Shards; isCut: boolean; lost: boolean }>()
  return {
    agents,
    start(identity: string) {
      const state = { isCut: false, lost: false }
      const guard = async (): Promise<void> => { if (state.isCut) await new Promise(() => {}) }
      const client: KubeClient = {
        ...fake.client,
        get: (async (...args: Parameters<KubeClient['get']>) => { await guard(); return await fake.client.get(...args) }) as KubeClient['get'],
        replace: (async (...args: Parameters<KubeClient['replace']>) => { await guard(); return await fake.client.replace(...args) }) as KubeClient['replace'],
        create: (async (...args: Parameters<KubeClient['create']>) => { await guard(); return await fake.client.create(...args) }) as KubeClient['create'],
      }
      const shards = createShards({
        client, namespace: 'canarygate', name: 'agent', identity, count, log: createLogLines().log, now: clock.now, monotonic: clock.now, after: clock.after, random: () => 0.5,
        onStarted: () => {}, onStopped: () => { state.lost = true },
      })
      const agent = Object.assign(state, { shards })
      agents.set(identity, agent)
      shards.start()
      return agent
    },
    /** Time passes; at no moment may two agents lead one Canary. Answers for how long some key was nobody's (ms). */
    async pass(milliseconds: number): Promise<number> {
      let orphaned = 0
      for (let at = 0; at < milliseconds; at += 250) {
        await clock.advance(250)
        const leaders = KEYS.map((key) => [...agents.values()].filter(({ shards }) => shards.leads(key)).length)
        if (leaders.some((number) => number > 1)) throw new Error('two agents lead one Canary')
        if (leaders.some((number) => number === 0)) orphaned += 250
      }
      return orphaned
    },
    held: (identity: string) => Array.from({ length: count }, (_, shard) => agents.get(identity)?.shards.holds(shard)).filter(Boolean).length,
  }
}

test('one agent takes every shard, two divide them', async (t) => {
  const alone = scene(4)
  alone.start('a')
  await alone.pass(6_000)
  t.equal(alone.held('a'), 4)
  const both = scene(4)
  both.start('a')
  both.start('c')
  await both.pass(6_000)
  t.strictSame([both.held('a'), both.held('c')], [2, 2])
})

test('a leaving agent\'s shards are taken within two seconds, and spread to a newcomer', async (t) => {
  const { start, pass, held, agents } = scene(4)
  start('a')
  start('c')
  await pass(6_000)
  start('d')
  await pass(2_000)
  t.equal(held('d'), 0, 'nothing is taken from anybody')
  await agents.get('a')?.shards.stop()
  t.ok((await pass(5_000)) <= 2_000)
  t.strictSame([held('c'), held('d')], [2, 2])
})

test('a dead agent\'s shards go to those who are left, and nobody leads twice meanwhile', async (t) => {
  const { start, pass, held, agents } = scene(3)
  start('a')
  start('c')
  await pass(6_000)
  const dead = agents.get('a')
  if (!dead) throw new Error('no agent')
  dead.isCut = true
  t.ok((await pass(14_000)) <= 10_000)
  t.equal(held('c'), 3)
  t.ok(dead.lost, 'who is cut off notices by itself')
  t.notOk(dead.shards.isHolding())
})

test('a number of shards that cannot be is refused', async (t) => {
  for (const count of [0, -1, 1.5, 9, Number.NaN]) t.throws(() => scene(count).start('a'), /SHARDS: .* is no whole number from 1 to 8/)
})

test('another\'s Canaries are looked at and never written', async (t) => {
  const world = await worldWith([...cart(), canary(), ...cart({ name: 'pay' }), canary({ name: 'pay' })], { leads: (key) => key === 'shop/cart' })
  world.setImage('cart:2')
  world.setImage('pay:2', 'pay')
  await world.run()
  t.equal(world.status('cart').phase, 'Succeeded')
  t.strictSame(world.status('pay'), {}, 'somebody else\'s')
  t.equal(world.workload('pay-primary'), undefined)
})

test('where agents share the runs, the last place is given to one of them', async (t) => {
  const policy = effectivePolicy([{ apiVersion: 'canarygate.dev/v1alpha1', kind: 'ClusterCanaryPolicy', metadata: { name: 'base' }, spec: { concurrency: { cluster: 1 } } } as unknown as ClusterCanaryPolicy], [], { name: 'shop' })
  let now = 1_000_000
  const statuses = new Map<string, CanaryStatus>([['a', {}], ['b', {}]])
  const named = (name: string): Canary => ({ ...canary({ name }), status: statuses.get(name) ?? {} }) as Canary
  const agents = ['a', 'b'].map(() => createRuns({ canaries: () => ['a', 'b'].map(named), wake: () => {}, shared: { now: () => now } }))
  const claim = (i: number, name: string) => agents[i]?.claim(named(name), policy)
  t.match(claim(0, 'a'), { queued: true, until: now + 1_000 }, 'its wish is made known first')
  t.match(claim(1, 'b'), { queued: true })
  statuses.set('a', { gate: { queuedAt: new Date(now).toISOString() } })
  statuses.set('b', { gate: { queuedAt: new Date(now + 10).toISOString() } })
  now += 1_020
  t.equal(claim(0, 'a'), undefined)
  t.match(claim(1, 'b'), { queued: true, reason: /1 canary may run at once in the cluster/ })
})
