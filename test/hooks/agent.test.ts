import { test, type Test } from 'tap'
import type { Canary, CanaryWebhook, HookType } from '#api/canary.ts'
import type { HttpResponse } from '#api/http.ts'
import { canary, cart, worldWith, type World, type WorldOptions } from '../agent/world.ts'

/** Hooks as the agent asks them: receivers that hang, lists that change under way, revisions that come and go. */

const hook = (name: string, type: HookType, more: Partial<CanaryWebhook> = {}): CanaryWebhook => ({ name, type, url: `http://hooks/${name}`, ...more })

type Call = { readonly path: string; readonly body: { readonly phase: string; readonly checksum: string }; readonly isGivenUp: () => boolean; readonly answer: (status: number, body?: string) => void }
type Scene = { readonly world: World; readonly calls: Call[]; readonly to: (name: string) => readonly Call[]; readonly no: Set<string> }

/** Receivers say yes at once, or no where the name is in `no`; those in `held` are answered by the test. */
async function scene(webhooks: readonly CanaryWebhook[], held: readonly string[] = [], analysis: Canary['spec']['analysis'] = {}, { spec = {}, ...options }: Pick<WorldOptions, 'isStarting'> & { readonly spec?: Partial<Canary['spec']> } = {}): Promise<Scene> {
  const calls: Call[] = []
  const no = new Set<string>()
  const world = await worldWith([...cart(), canary({ spec, analysis: { stepWeights: [50], ...analysis, webhooks: [...webhooks] } })], {
    ...options,
    hooks: async ({ url, body = '{}' }, signal) => {
      const path = new URL(url).pathname.slice(1)
      const { promise, resolve, reject } = Promise.withResolvers<HttpResponse>()
      promise.catch(() => undefined)
      signal.addEventListener('abort', () => { reject(Object.assign(new Error('given up'), { fault: 'aborted' })) }, { once: true })
      calls.push({ path, body: JSON.parse(body), isGivenUp: () => signal.aborted, answer: (status, text = '') => { resolve({ status, body: text }) } })
      if (held.includes(path)) return await promise
      return no.has(path) ? { status: 403, body: 'Forbidden' } : { status: 200, body: 'OK' }
    },
  })
  return { world, calls, no, to: (name) => calls.filter(({ path }) => path === name) }
}

const webhooksOf = (world: World, webhooks: readonly CanaryWebhook[]): void =>
  world.edit('Canary', 'cart', (object) => ({ ...object, spec: { ...object.spec, analysis: { ...object.spec.analysis, webhooks } } }))
const phaseIs = (world: World, phase: string) => (): boolean => world.status().phase === phase
const told = (t: Test, world: World, text: RegExp): void => { t.ok(world.events().some((event) => text.test(event)), `${text} in ${world.events().join(' | ')}`) }

test('two gates of one name: the second one, closed, is not passed with the answer of the first', async (t) => {
  const { world, no } = await scene([hook('open', 'confirm-promotion', { name: 'gate' }), hook('closed', 'confirm-promotion', { name: 'gate' })])
  no.add('closed')
  world.setImage('cart:2')
  await world.pass(60_000)
  t.equal(world.status().phase, 'WaitingPromotion')
  no.delete('closed')
  await world.pass(30_000)
  t.equal(world.status().phase, 'Succeeded')
})

test('two rollback hooks of one name: the second one is heard', async (t) => {
  const { world, no } = await scene([hook('one', 'rollback', { name: 'stop' }), hook('two', 'rollback', { name: 'stop' })])
  no.add('one')
  no.add('two')
  world.setImage('cart:2')
  await world.run({ until: () => world.status().canaryWeight === 50 })
  no.delete('two')
  await world.pass(12_000)
  t.equal(world.status().phase, 'Failed')
  told(t, world, /Rolling back cart.shop manual webhook invoked/)
})

test('a list that is edited while it is asked is asked anew, and the run goes on', async (t) => {
  const { world, to } = await scene([hook('slow', 'pre-rollout')], ['slow'])
  world.setImage('cart:2')
  await world.pass(10_000)
  t.equal(to('slow').length, 1)
  webhooksOf(world, [hook('other', 'pre-rollout')])
  await world.pass(1_000)
  t.ok(to('slow')[0]?.isGivenUp())
  await world.pass(60_000)
  t.equal(to('other').length, 1)
  t.equal(world.status().phase, 'Succeeded')
})

test('a smoke test that takes longer than an interval is not started anew by the rollback hooks asked meanwhile', async (t) => {
  const { world, to, no } = await scene([hook('smoke', 'pre-rollout', { timeout: '2m' }), hook('stop', 'rollback')], ['smoke'])
  no.add('stop')
  world.setImage('cart:2')
  await world.pass(45_000)
  t.ok(to('stop').length >= 4, `${to('stop').length} polls`)
  t.equal(to('smoke').length, 1)
  to('smoke')[0]?.answer(200)
  await world.pass(5_000)
  t.equal(world.status().canaryWeight, 50)
})

test('a rollback hook that hangs keeps no pods from starting, and none that cannot start from being rolled back', async (t) => {
  const { world, to } = await scene([hook('stop', 'rollback', { timeout: '2h' })], ['stop'], {}, { isStarting: (image, owner) => image !== 'cart:2' || owner.startsWith('cart-primary'), spec: { progressDeadlineSeconds: 60 } })
  world.setImage('cart:2')
  await world.pass(10_000)
  t.equal(world.workload('cart-canary')?.spec.replicas, 2)
  t.equal(to('stop').length, 1)
  await world.pass(80_000)
  t.equal(world.status().phase, 'Failed')
  t.ok(to('stop')[0]?.isGivenUp())
})

test('a rollback hook that hangs holds the first weight', async (t) => {
  const { world, to, no } = await scene([hook('stop', 'rollback', { timeout: '2h' })], ['stop'])
  no.add('stop')
  world.setImage('cart:2')
  await world.pass(60_000)
  t.match(world.status(), { phase: 'Progressing', canaryWeight: 0 })
  to('stop')[0]?.answer(403)
  await world.pass(3_000)
  t.equal(world.status().canaryWeight, 50)
})

test('hooks of a run that was aborted are given up, with the attempts that they had left', async (t) => {
  const { world, to } = await scene([hook('load', 'rollout', { retries: 20 })], ['load'])
  world.setImage('cart:2')
  await world.run({ until: () => to('load').length === 1 })
  to('load')[0]?.answer(503)
  await world.run({ until: () => to('load').length === 2 })
  world.annotate({ 'canarygate.dev/abort': 'enough' })
  await world.pass(1_000)
  t.equal(world.status().phase, 'Failed')
  t.ok(to('load')[1]?.isGivenUp())
  await world.pass(120_000)
  t.equal(to('load').length, 2)
})

test('a fresh revision while a hook is under way: its answer is for the revision that was asked about, and counts for no other', async (t) => {
  const { world, to } = await scene([hook('smoke', 'pre-rollout')], ['smoke'])
  world.setImage('cart:2')
  await world.run({ until: () => to('smoke').length === 1 })
  world.setImage('cart:3')
  await world.pass(10_000)
  t.ok(to('smoke')[0]?.isGivenUp())
  to('smoke')[0]?.answer(200)
  await world.pass(2_000)
  t.equal(world.status().canaryWeight, 0)
  t.equal(to('smoke').length, 2)
  t.not(to('smoke')[0]?.body.checksum, to('smoke')[1]?.body.checksum)
  to('smoke')[1]?.answer(200)
  await world.run()
  t.equal(world.status().phase, 'Succeeded')
})

test('the checksum is that of the revision which wants to start, from the first approval to the last word', async (t) => {
  const { world, to, calls } = await scene([hook('start', 'confirm-rollout'), hook('load', 'rollout'), hook('end', 'post-rollout')])
  world.setImage('cart:2')
  await world.run()
  t.equal(world.status().phase, 'Succeeded')
  t.equal(new Set(calls.map(({ body }) => body.checksum)).size, 1)
  world.setImage('cart:3')
  await world.run()
  t.equal(to('start').length, 2)
  t.equal(new Set(calls.map(({ body }) => body.checksum)).size, 2)
  t.same(to('start').map(({ body }) => body.phase), ['Initialized', 'Succeeded'])
  t.same(to('end').map(({ body }) => body.phase), ['Succeeded', 'Succeeded'])
})

test('an agent that dies while a hook is under way calls it again, with the same checksum', async (t) => {
  const { world, to } = await scene([hook('smoke', 'pre-rollout')], ['smoke'])
  world.setImage('cart:2')
  await world.run({ until: () => to('smoke').length === 1 })
  world.crash()
  await world.pass(5_000)
  t.equal(to('smoke').length, 2)
  t.equal(to('smoke')[0]?.body.checksum, to('smoke')[1]?.body.checksum)
  to('smoke')[1]?.answer(200)
  await world.run()
  t.equal(world.status().phase, 'Succeeded')
})

test('while the promotion waits for its approval, nobody is asked to approve an increase', async (t) => {
  const { world, to, no } = await scene([hook('more', 'confirm-traffic-increase'), hook('last', 'confirm-promotion')])
  no.add('last')
  world.setImage('cart:2')
  await world.run({ until: phaseIs(world, 'WaitingPromotion') })
  const asked = to('more').length
  no.add('more')
  await world.pass(40_000)
  t.equal(to('more').length, asked)
  no.delete('last')
  await world.pass(15_000)
  t.equal(world.status().phase, 'Succeeded')
  t.equal(world.reasons().filter((reason) => reason === 'CanaryAwaitingPromotion').length, 1)
})

test('all hooks are taken away while one is under way: it is given up, and the run goes on', async (t) => {
  const { world, to } = await scene([hook('smoke', 'pre-rollout')], ['smoke'])
  world.setImage('cart:2')
  await world.run({ until: () => to('smoke').length === 1 })
  webhooksOf(world, [])
  await world.run()
  t.ok(to('smoke')[0]?.isGivenUp())
  t.equal(world.status().phase, 'Succeeded')
})
