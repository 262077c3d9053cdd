import { test } from 'tap'
import type { Canary, CanaryWebhook } from '#api/canary.ts'
import { checksumOf } from '#hooks/checksum.ts'
import type { HookAnswer, HookPorts } from '#hooks/call.ts'
import { createEventHooks, eventHooksOf } from '#hooks/event.ts'
import { hooksOf, runHooks, subjectOf } from '#hooks/hooks.ts'
import { createHookRounds, type HookRound } from '#hooks/rounds.ts'

const NOW = 1_700_000_000_000
const SIGNAL = new AbortController().signal

const canaryWith = (webhooks: readonly CanaryWebhook[]): Canary => ({
  apiVersion: 'flagger.app/v1beta1', kind: 'Canary', metadata: { name: 'shop', namespace: 'prod' },
  spec: { targetRef: { apiVersion: 'apps/v1', kind: 'Deployment', name: 'shop' }, analysis: { webhooks } },
  status: { phase: 'Progressing', lastAppliedSpec: '1abc', trackedConfigs: { 'configmap/a': 'ff' } },
})
const hook = (name: string, type: NonNullable<CanaryWebhook['type']> = 'rollout'): CanaryWebhook => ({ name, type, url: `http://tester/${name}` })

/** A receiver that says yes, unless the path is in `no`. */
function ports(no: readonly string[] = []): HookPorts & { readonly called: string[]; readonly bodies: string[] } {
  const called: string[] = []
  const bodies: string[] = []
  return {
    called, bodies, random: () => 1, wait: async () => {},
    http: async ({ url, body = '' }) => {
      const name = new URL(url).pathname.slice(1)
      called.push(name)
      bodies.push(body)
      return no.includes(name) ? { status: 403, body: 'Forbidden' } : { status: 200, body: 'OK' }
    },
  }
}

const rounds = [
  { name: 'hooks of a type run in list order', type: 'rollout', hooks: ['a', 'b'], no: [], called: ['a', 'b'], ok: [true, true] },
  { name: 'the first refusal ends the list', type: 'pre-rollout', hooks: ['a', 'b', 'c'], no: ['b'], called: ['a', 'b'], ok: [true, false] },
  { name: 'rollback hooks are asked until one says yes', type: 'rollback', hooks: ['a', 'b', 'c'], no: ['a'], called: ['a', 'b'], ok: [false, true] },
  { name: 'rollback hooks that all refuse ask for nothing', type: 'rollback', hooks: ['a', 'b'], no: ['a', 'b'], called: ['a', 'b'], ok: [false, false] },
  { name: 'no hooks, no answers', type: 'rollout', hooks: [], no: [], called: [], ok: [] },
] as const
for (const { name, type, hooks, no, called, ok } of rounds) {
  test(name, async (t) => {
    const receiver = ports(no)
    const answers = await runHooks(type, hooks.map((one) => hook(one, type)), subjectOf(canaryWith([])), receiver, SIGNAL)
    t.same(receiver.called, called)
    t.same(answers.map((answer) => answer.ok), ok)
  })
}

test('hooks are picked by type, and without a type they are rollout hooks', async (t) => {
  const canary = canaryWith([{ name: 'bare', url: 'http://a' }, { name: 'empty', type: '', url: 'http://a' }, hook('gate', 'confirm-promotion')])
  t.same(hooksOf(canary, 'rollout').map(({ name }) => name), ['bare', 'empty'])
  t.same(hooksOf(canary, 'confirm-promotion').map(({ name }) => name), ['gate'])
})

test('the checksum follows the revision and the tracked configs, and nothing else', async (t) => {
  const base = checksumOf({ lastAppliedSpec: '1abc', trackedConfigs: { 'configmap/a': 'ff', 'secret/b': '00' } })
  t.match(base, /^[0-9a-f]{10}$/)
  t.equal(checksumOf({ trackedConfigs: { 'secret/b': '00', 'configmap/a': 'ff' }, lastAppliedSpec: '1abc' }), base)
  t.not(checksumOf({ lastAppliedSpec: '1abd', trackedConfigs: { 'configmap/a': 'ff', 'secret/b': '00' } }), base)
  t.not(checksumOf({ lastAppliedSpec: '1abc' }), base)
})

/** A receiver that answers when told to. */
function gated(): HookPorts & { readonly waiting: (() => void)[] } {
  const waiting: (() => void)[] = []
  return {
    waiting, random: () => 1, wait: async () => {},
    http: (_request, signal) => new Promise((resolve, reject) => {
      waiting.push(() => resolve({ status: 200, body: 'OK' }))
      signal.addEventListener('abort', () => { reject(new Error('aborted')) }, { once: true })
    }),
  }
}
const round = (id: string, key = 'prod/shop'): HookRound => ({ key, id, type: 'rollout', hooks: [hook('a')], subject: subjectOf(canaryWith([])) })
const settle = async (): Promise<void> => { for (let i = 0; i < 10; i += 1) await Promise.resolve() }

test('a round runs beside the loop and is told when it has ended', async (t) => {
  const done: string[] = []
  const receiver = gated()
  const rounds = createHookRounds({ ...receiver, onDone: (key) => { done.push(key) } })
  t.equal(rounds.ask(round('1')), undefined, 'started')
  t.equal(rounds.ask(round('1')), undefined, 'still running')
  t.equal(receiver.waiting.length, 1, 'called once')
  receiver.waiting[0]?.()
  await settle()
  t.same(done, ['prod/shop'])
  t.match(rounds.ask(round('1')), [{ name: 'a', ok: true }])
  t.equal(rounds.ask(round('2')), undefined, 'another id is another round')
  t.equal(receiver.waiting.length, 2)
  await rounds.close()
})

test('a newer round gives the older one up, and its answer tells nobody', async (t) => {
  const done: string[] = []
  const receiver = gated()
  const rounds = createHookRounds({ ...receiver, onDone: (key) => { done.push(key) } })
  rounds.ask(round('1'))
  rounds.ask(round('2'))
  await settle()
  t.same(done, [])
  receiver.waiting[1]?.()
  await settle()
  t.same(done, ['prod/shop'])
  await rounds.close()
})

test('a round without hooks is answered at once', async (t) => {
  const rounds = createHookRounds({ ...gated(), onDone: () => {} })
  t.same(rounds.ask({ ...round('1'), hooks: [] }), [])
  await rounds.close()
})

test('rounds beyond the limit wait, and a forgotten one is never called', async (t) => {
  const receiver = gated()
  const rounds = createHookRounds({ ...receiver, maxRunning: 1, onDone: () => {} })
  rounds.ask(round('1', 'prod/a'))
  rounds.ask(round('1', 'prod/b'))
  rounds.ask(round('1', 'prod/c'))
  t.equal(receiver.waiting.length, 1)
  rounds.forget('prod/b')
  receiver.waiting[0]?.()
  await settle()
  t.equal(receiver.waiting.length, 2)
  await rounds.close()
})

test('rounds of another namespace do not wait for those that hang in this one', async (t) => {
  const receiver = gated()
  const rounds = createHookRounds({ ...receiver, maxRunning: 1, onDone: () => {} })
  const elsewhere = round('1', 'test/a')
  rounds.ask(round('1', 'prod/a'))
  rounds.ask(round('1', 'prod/b'))
  rounds.ask({ ...elsewhere, subject: { ...elsewhere.subject, namespace: 'test' } })
  t.equal(receiver.waiting.length, 2)
  await rounds.close()
})

test('event hooks get the event in the metadata, which the user cannot replace', async (t) => {
  const receiver = ports()
  const running: Promise<void>[] = []
  const events = createEventHooks({ ...receiver, background: { add: (_lane, run) => { running.push(run(SIGNAL)); return true } } })
  const canary = canaryWith([{ ...hook('audit', 'event'), metadata: { environment: 'prod', eventType: 'mine' } }])
  events.tell(canary, { type: 'Warning', message: 'Canary failed! Scaling down shop.prod' }, NOW)
  await Promise.all(running)
  t.strictSame(JSON.parse(receiver.bodies[0] ?? ''), {
    name: 'shop', namespace: 'prod', phase: 'Progressing', checksum: checksumOf(canary.status ?? {}),
    metadata: { environment: 'prod', eventType: 'Warning', eventMessage: 'Canary failed! Scaling down shop.prod', timestamp: '1700000000000' },
  })
})

const receivers = [
  { name: 'a Canary without event hooks uses the one for all', hooks: [hook('load')], eventWebhook: 'http://all/', urls: ['http://all/'] },
  { name: 'a Canary with its own does not use the one for all', hooks: [hook('audit', 'event')], eventWebhook: 'http://all/', urls: ['http://tester/audit'] },
  { name: 'with neither, nobody is told', hooks: [hook('load')], eventWebhook: undefined, urls: [] },
]
for (const { name, hooks, eventWebhook, urls } of receivers) {
  test(name, async (t) => { t.same(eventHooksOf(canaryWith(hooks), eventWebhook).map(({ url }) => url), urls) })
}

test('an event hook that fails, or finds no place, is told and throws nothing', async (t) => {
  const failures: (HookAnswer | undefined)[] = []
  const running: Promise<void>[] = []
  const options = { ...ports(['audit']), onFailure: (_key: string, _hook: CanaryWebhook, answer: HookAnswer | undefined) => { failures.push(answer) } }
  const canary = canaryWith([hook('audit', 'event')])
  createEventHooks({ ...options, background: { add: (_lane, run) => { running.push(run(SIGNAL)); return true } } }).tell(canary, { type: 'Normal', message: 'x' }, NOW)
  await Promise.all(running)
  createEventHooks({ ...options, background: { add: () => false } }).tell(canary, { type: 'Normal', message: 'x' }, NOW)
  t.match(failures, [{ ok: false, message: 'Forbidden' }, undefined])
})
