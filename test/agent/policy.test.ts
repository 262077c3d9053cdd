import { test } from 'tap'
import { pino } from 'pino'
import type { Canary, CanaryStatus } from '#api/canary.ts'
import type { KubeObject } from '#api/objects.ts'
import { createAuthority, VERB_OVERRIDE_FREEZE } from '#agent/authority.ts'
import { createRuns } from '#agent/runs.ts'
import { effectivePolicy } from '#policy/effective.ts'
import type { ClusterCanaryPolicy } from '#api/policies.ts'
import type { CommandSeen } from '#rollout/decision.ts'
import { canary, cart, worldWith, type World } from './world.ts'

const policyObject = (spec: object, name = 'base') => ({ apiVersion: 'canarygate.dev/v1alpha1', kind: 'ClusterCanaryPolicy', metadata: { name }, spec }) as unknown as ClusterCanaryPolicy
const policy = (spec: object) => effectivePolicy([policyObject(spec)], [], { name: 'shop' })
const named = (name: string, status: CanaryStatus = {}, namespace = 'shop'): Canary => ({ ...canary({ name }), metadata: { name, namespace }, status })
const RUNNING: CanaryStatus = { phase: 'Progressing' }
const queuedAt = (second: number): CanaryStatus => ({ phase: 'Initialized', gate: { queuedAt: `2026-01-01T00:00:0${second}.000Z` } })

const turns = [
  { name: 'without a limit everybody runs', spec: {}, others: [named('a', RUNNING)], me: named('me'), held: false },
  { name: 'below the limit it runs', spec: { concurrency: { cluster: 2 } }, others: [named('a', RUNNING)], me: named('me'), held: false },
  { name: 'at the limit it waits', spec: { concurrency: { cluster: 1 } }, others: [named('a', RUNNING)], me: named('me'), held: true },
  { name: 'a run elsewhere counts in the cluster', spec: { concurrency: { cluster: 1 } }, others: [named('a', RUNNING, 'other')], me: named('me'), held: true },
  { name: 'and not in the namespace', spec: { concurrency: { namespace: 1 } }, others: [named('a', RUNNING, 'other')], me: named('me'), held: false },
  { name: 'who waited longer goes first', spec: { concurrency: { cluster: 1 } }, others: [named('a', queuedAt(1))], me: named('me', queuedAt(2)), held: true },
  { name: 'who waited less does not', spec: { concurrency: { cluster: 1 } }, others: [named('a', queuedAt(3))], me: named('me', queuedAt(2)), held: false },
  { name: 'a newcomer does not jump the queue', spec: { concurrency: { cluster: 1 } }, others: [named('a', queuedAt(3))], me: named('me'), held: true },
  { name: 'two places are for the two that wait longest', spec: { concurrency: { cluster: 2 } }, others: [named('a', queuedAt(1)), named('b', queuedAt(3))], me: named('me', queuedAt(2)), held: false },
  { name: 'a wait for approval is a run', spec: { concurrency: { cluster: 1 } }, others: [named('a', { phase: 'WaitingPromotion' })], me: named('me'), held: true },
]
for (const { name, spec, others, me, held } of turns) {
  test(name, async (t) => {
    const runs = createRuns({ canaries: () => [...others, me], wake: () => {} })
    t.equal(runs.claim(me, policy(spec)) !== undefined, held)
  })
}

test('a place is kept from the moment it is given, and the next is told when a run ends', async (t) => {
  const [a, b] = [named('a'), named('b')]
  let all = [a, b]
  const woken: string[] = []
  const runs = createRuns({ canaries: () => all, wake: (keys) => woken.push(...keys) })
  const one = policy({ concurrency: { cluster: 1 } })
  t.equal(runs.claim(a, one), undefined)
  t.match(runs.claim(b, one), { queued: true, reason: '1 canary may run at once in the cluster: it waits for its turn (policy "base")' })
  const started = named('a', RUNNING)
  const waiting = named('b', queuedAt(1))
  all = [started, waiting]
  runs.settle(started)
  runs.settle(waiting)
  t.ok(runs.claim(waiting, one))
  const done = named('a', { phase: 'Succeeded' })
  all = [done, waiting]
  runs.settle(done)
  t.strictSame(woken, ['shop/b'])
  t.equal(runs.claim(waiting, one), undefined)
})

const NOW = 1_800_000_000_000
const minutesAgo = (minutes: number): number => NOW - minutes * 60_000
const ALICE = { username: 'alice', groups: ['devs'] }
const command = (more: Partial<CommandSeen> = {}): CommandSeen => ({ command: 'promote', reason: 'it is urgent', by: 'alice', actor: ALICE, ...more })
const judgements = [
  { name: 'open authority obeys whoever may update', spec: {}, seen: command({ reason: 'true' }), verbs: [], then: { rule: 'may update the object' } },
  { name: 'with the verb', spec: { authority: 'enforced' }, seen: command(), verbs: ['promote'], then: { rule: 'verb promote (policy "base")' } },
  { name: 'without the verb', spec: { authority: 'enforced' }, seen: command(), verbs: ['abort'], then: { refused: /alice lacks the verb promote on canaries\.flagger\.app in namespace shop/ } },
  { name: 'without a reason', spec: { authority: 'enforced' }, seen: command({ reason: 'true' }), verbs: ['promote'], then: { refused: /needs a reason/ } },
  { name: 'unsigned', spec: { authority: 'enforced' }, seen: { command: 'promote', reason: 'it is urgent', by: 'an operator' } as const, verbs: ['promote'], then: { refused: /nobody has signed it/ } },
  { name: 'past a freeze with one verb of two', spec: { authority: 'enforced' }, frozen: true, seen: command(), verbs: ['promote'], then: { refused: /lacks the verb override-freeze/ } },
  { name: 'past a freeze with both', spec: { authority: 'enforced' }, frozen: true, seen: command(), verbs: ['promote', VERB_OVERRIDE_FREEZE], then: { rule: 'verb promote and override-freeze (policy "base")' } },
  { name: 'an abort in a freeze needs no more than ever', spec: { authority: 'enforced' }, frozen: true, seen: command({ command: 'abort' }), verbs: ['abort'], then: { rule: 'verb abort (policy "base")' } },
  { name: 'of half an hour ago', spec: {}, seen: command({ givenAt: minutesAgo(30) }), verbs: [], then: { rule: 'may update the object' } },
  { name: 'of two hours ago', spec: {}, seen: command({ givenAt: minutesAgo(120) }), verbs: [], then: { refused: 'it was given at 2027-01-15T06:00:00.000Z and holds for 1h: if it is still meant, give it again' } },
  { name: 'of two hours ago whose author may', spec: { authority: 'enforced' }, seen: command({ givenAt: minutesAgo(120) }), verbs: ['promote'], then: { refused: /holds for 1h/ } },
  { name: 'of half an hour ago where a policy gives less', spec: { limits: { maxCommandAge: '15m' } }, seen: command({ givenAt: minutesAgo(30) }), verbs: [], then: { refused: /holds for 15m/ } },
  { name: 'of two hours ago where a policy gives more than there is', spec: { limits: { maxCommandAge: '24h' } }, seen: command({ givenAt: minutesAgo(120) }), verbs: [], then: { refused: /holds for 1h/ } },
]
const SILENT = pino({ level: 'silent' })
for (const { name, spec, frozen = false, seen, verbs, then } of judgements) {
  test(`a command ${name}`, async (t) => {
    const authority = createAuthority(async (_, verb) => verbs.some((one) => one === verb), SILENT)
    await authority.judge(named('cart'), [seen], policy(spec), NOW, frozen)
    t.match(authority.judged(named('cart'), [seen], policy(spec), NOW), [then])
  })
}
test('a command is not shown before it is judged, and asked for again when that failed', async (t) => {
  let isDown = true
  const authority = createAuthority(async () => { if (isDown) throw new Error('connection refused'); return true }, SILENT)
  const enforced = policy({ authority: 'enforced' })
  await authority.judge(named('cart'), [command()], enforced, NOW, false)
  t.strictSame(authority.judged(named('cart'), [command()], enforced, NOW), [])
  t.ok(authority.isOpen('shop/cart'))
  isDown = false
  await authority.judge(named('cart'), [command()], enforced, NOW, false)
  t.equal(authority.judged(named('cart'), [command()], enforced, NOW).length, 1)
  t.notOk(authority.isOpen('shop/cart'))
  const taken = named('cart', { gate: { taken: ['promote by alice: it is urgent'] } })
  authority.forget('shop/cart')
  t.equal(authority.judged(taken, [command()], enforced, NOW).length, 1, 'one that was obeyed stays in sight until it is gone')
})

async function worldUnder(spec: object, ...more: readonly KubeObject[]): Promise<World> {
  const world = await worldWith([...cart(), canary(), ...more])
  world.fake.seed(policyObject(spec))
  await world.pass(100)
  return world
}

test('a change in a freeze window starts by itself at its end', async (t) => {
  const world = await worldWith([...cart(), canary()])
  const start = new Date(Math.floor(world.clock.now() / 60_000) * 60_000)
  const endsAt = start.getTime() + 180_000
  world.fake.seed(policyObject({ freeze: [{ name: 'now', start: `${start.getUTCMinutes()} ${start.getUTCHours()} * * *`, duration: '3m' }] }))
  await world.pass(100)
  world.setImage('cart:2')
  await world.run({ until: () => world.status().phase === 'Progressing' })
  t.ok(world.clock.now() >= endsAt && world.clock.now() < endsAt + 1_000, 'at its end')
  await world.run()
  t.equal(world.status().phase, 'Succeeded')
  t.equal(world.reasons().filter((reason) => reason === 'CanaryHeldByPolicy').length, 1, 'told once')
})

test('a run that meets a freeze keeps its weight until the end', async (t) => {
  const world = await worldWith([...cart(), canary({ analysis: { interval: '30s', threshold: 2, stepWeights: [20, 50] } })])
  world.setImage('cart:2')
  await world.run({ until: () => world.status().canaryWeight === 20 })
  const start = new Date(Math.floor(world.clock.now() / 60_000) * 60_000)
  const endsAt = start.getTime() + 300_000
  world.fake.seed(policyObject({ freeze: [{ name: 'now', start: `${start.getUTCMinutes()} ${start.getUTCHours()} * * *`, duration: '5m' }] }))
  await world.run({ until: () => world.status().canaryWeight !== 20 })
  t.ok(world.clock.now() >= endsAt)
  await world.run()
  t.equal(world.status().phase, 'Succeeded')
})

test('a second run waits for the first, and neither is forgotten', async (t) => {
  const world = await worldUnder({ concurrency: { namespace: 1 } }, ...cart({ name: 'pay' }), canary({ name: 'pay' }))
  world.setImage('cart:2')
  world.setImage('pay:2', 'pay')
  let both = 0
  await world.run({ until: () => {
    const isRunning = (name: string) => ['Progressing', 'Promoting', 'Finalising'].includes(world.status(name).phase ?? '')
    if (isRunning('cart') && isRunning('pay')) both += 1
    return ['cart', 'pay'].every((name) => world.status(name).phase === 'Succeeded')
  } })
  t.equal(both, 0)
  t.strictSame([world.status('cart').phase, world.status('pay').phase], ['Succeeded', 'Succeeded'])
  t.equal(world.status('pay').gate?.queuedAt, undefined)
})

test('a command without the verb is taken away and told; with it, obeyed and on record', async (t) => {
  const world = await worldUnder({ authority: 'enforced' })
  world.fake.rawHandler((_method, _path, body) => ({ status: { allowed: (body as { spec: { user: string } }).spec.user === 'bob' } }))
  world.setImage('cart:2')
  await world.run({ until: () => world.status().phase === 'Progressing' })
  const promote = (by: string) => world.edit('Canary', 'cart', (object) => ({ ...object, metadata: { ...object.metadata, annotations: { ...object.metadata.annotations, 'canarygate.dev/promote': 'it is urgent', 'canarygate.dev/promote-by': by, 'canarygate.dev/promote-groups': 'devs' } } }))
  promote('alice')
  await world.run({ until: () => world.reasons().includes('CanaryCommandRefused') && world.canary().metadata.annotations?.['canarygate.dev/promote'] === undefined })
  t.equal(world.canary().metadata.annotations?.['canarygate.dev/promote-groups'], undefined)
  t.equal(world.status().phase, 'Progressing')
  promote('bob')
  await world.run({ until: () => world.status().phase === 'Succeeded' })
  t.match(world.status().gate?.audit, [
    { by: 'alice', command: 'promote', refused: /alice lacks the verb/ }, { by: 'bob', command: 'promote', reason: 'it is urgent', rule: /verb promote/ },
  ])
})

test('an agent that was away for hours does not obey what was asked for then', async (t) => {
  const world = await worldWith([...cart(), canary()])
  world.setImage('cart:2')
  await world.run({ until: () => world.status().phase === 'Progressing' })
  world.crash()
  const givenAt = new Date(world.clock.now()).toISOString()
  const signed = { 'canarygate.dev/promote': 'the old one leaks', 'canarygate.dev/promote-by': 'alice', 'canarygate.dev/promote-groups': 'devs', 'canarygate.dev/promote-at': givenAt }
  world.edit('Canary', 'cart', (object) => ({ ...object, metadata: { ...object.metadata, annotations: { ...object.metadata.annotations, ...signed } } }))
  await world.clock.advance(3 * 3_600_000)
  await world.start()
  await world.run({ until: () => world.canary().metadata.annotations?.['canarygate.dev/promote'] === undefined })
  t.equal(world.canary().metadata.annotations?.['canarygate.dev/promote-at'], undefined)
  t.not(world.status().phase, 'Succeeded')
  t.match(world.status().gate?.audit, [{ by: 'alice', command: 'promote', refused: `it was given at ${givenAt} and holds for 1h: if it is still meant, give it again` }])
  t.ok(world.reasons().includes('CanaryCommandRefused'))
})

test('a retry in a freeze window is taken at once, and its run starts at the end', async (t) => {
  const world = await worldWith([...cart(), canary()])
  world.setImage('cart:2')
  await world.run({ until: () => world.status().phase === 'Progressing' })
  world.annotate({ 'canarygate.dev/abort': 'too slow' })
  await world.run()
  t.equal(world.status().phase, 'Failed')
  const start = new Date(Math.floor(world.clock.now() / 60_000) * 60_000)
  const endsAt = start.getTime() + 240_000
  world.fake.seed(policyObject({ freeze: [{ name: 'now', start: `${start.getUTCMinutes()} ${start.getUTCHours()} * * *`, duration: '4m' }] }))
  await world.pass(100)
  world.annotate({ 'canarygate.dev/retry': 'fixed' })
  await world.run({ until: () => world.canary().metadata.annotations?.['canarygate.dev/retry'] === undefined })
  t.ok(world.clock.now() < endsAt)
  t.equal(world.status().phase, 'Failed')
  await world.run({ until: () => world.status().phase === 'Progressing' })
  t.ok(world.clock.now() >= endsAt && world.clock.now() < endsAt + 1_000, 'at its end')
  await world.run()
  t.equal(world.status().phase, 'Succeeded')
})
