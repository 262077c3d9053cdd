import { test, type Test } from 'tap'
import type { Canary, CanaryWebhook, HookType } from '#api/canary.ts'
import type { HttpResponse } from '#api/http.ts'
import { canary, cart, worldWith, type World } from '../agent/world.ts'

/** Hooks as the agent asks them: receivers that hang, lists that change under way, revisions that come and go. */

const hook = (name: string, type: HookType, more: Partial<CanaryWebhook> = {}): CanaryWebhook => ({ name, type, url: `http://hooks/${name}`, ...more })

type Call = { readonly path: string; readonly body: { readonly phase: string; readonly checksum: string }; readonly isGivenUp: () => boolean; readonly answer: (status: number, body?: string) => void }
type Scene = { readonly world: World; readonly calls: Call[]; readonly to: (name: string) => readonly Call[]; readonly no: Set<string> }

/** Receivers say yes at once, or no where the name is in `no`; those in `held` are answered by the test. */
async function scene(webhooks: readonly CanaryWebhook[], held: readonly string[] = [], analysis: Canary['spec']['analysis'] = {}): Promise<Scene> {
  const calls: Call[] = []
  const no = new Set<string>()
  const world = await worldWith([...cart(), canary({ analysis: { stepWeights: [50], ...analysis, webhooks: [...webhooks] } })], {
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
