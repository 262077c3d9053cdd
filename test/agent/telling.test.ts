import { test } from 'tap'
import type { AlertProvider } from '#api/alert-provider.ts'
import type { Canary } from '#api/canary.ts'
import type { Http, HttpRequest } from '#api/http.ts'
import type { Caches } from '#agent/caches.ts'
import { createTelling, type Telling, type TellingOptions } from '#agent/telling.ts'
import { alertReceiverOf } from '#settings.ts'
import type { News } from '#rollout/decision.ts'
import { createFakeKube } from '../fake-kube.ts'
import { createLogLines } from '../kube/log-lines.ts'
import { canary } from './world.ts'

const ROLLED_BACK: News = { reason: 'CanaryThresholdReached', type: 'Warning', severity: 'error', message: 'Rolling back cart.shop failed checks threshold reached 5' }
const PROVIDER: AlertProvider = { apiVersion: 'flagger.app/v1beta1', kind: 'AlertProvider', metadata: { name: 'oncall', namespace: 'shop' }, spec: { type: 'slack', secretRef: { name: 'hook' } } }
const secret = (address: string) => ({ apiVersion: 'v1', kind: 'Secret', metadata: { name: 'hook', namespace: 'shop' }, data: { address: Buffer.from(address).toString('base64') } })
const alerting = (): Canary => canary({ analysis: { alerts: [{ name: 'oncall', severity: 'error', providerRef: { name: 'oncall' } }] } })

type Scene = { readonly http?: Http; readonly secrets?: boolean } & Partial<Pick<TellingOptions, 'alertReceiver' | 'eventWebhook' | 'httpThrough'>>

function scene({ http, secrets = true, ...options }: Scene = {}): { telling: Telling; sent: HttpRequest[]; kube: ReturnType<typeof createFakeKube>; events: string[]; outcomes: string[]; logged: () => string } {
  const sent: HttpRequest[] = []
  const events: string[] = []
  const outcomes: string[] = []
  const kube = createFakeKube()
  if (secrets) kube.seed(secret('http://hooks.test/one'))
  const { lines, log } = createLogLines()
  const telling = createTelling({
    client: kube.client, log, now: () => 0, random: () => 1, wait: async () => {}, denialOf: () => undefined,
    caches: () => ({ reader: { get: () => PROVIDER } }) as unknown as Caches,
    events: { record: async (_object: unknown, { reason }: { reason: string }) => { events.push(reason) }, close: async () => {} } as unknown as TellingOptions['events'],
    http: async (request, signal) => { sent.push(request); return http ? await http(request, signal) : { status: 200, body: 'ok' } },
    onAlert: (outcome) => { outcomes.push(outcome) }, ...options,
  })
  return { telling, sent, kube, events, outcomes, logged: () => JSON.stringify(lines) }
}

const settled = async (): Promise<void> => { for (let i = 0; i < 20; i += 1) await new Promise((resolve) => { setImmediate(resolve) }) }

test('a receiver and an event hook that hang delay nothing: the event is there, the loop goes on, the end is bounded', async (t) => {
  const hangs: Http = (_request, signal) => new Promise((_resolve, reject) => {
    const giveUp = (): void => { reject(new Error('aborted')) }
    if (signal.aborted) giveUp()
    else signal.addEventListener('abort', giveUp)
  })
  const { telling, sent, events, outcomes } = scene({ http: hangs, eventWebhook: 'http://events.test' })
  const begun = performance.now()
  for (let i = 0; i < 20; i += 1) await telling.announce(alerting(), { ...ROLLED_BACK, message: 'again '.repeat(i) })
  t.ok(performance.now() - begun < 1_000)
  t.equal(events.length, 20)
  await settled()
  t.same(sent.map(({ url }) => url).toSorted(), ['http://events.test', 'http://hooks.test/one'], 'both were tried, one at a time each')
  await telling.close(50)
  t.ok(performance.now() - begun < 3_000)
  t.ok(outcomes.length > 0 && outcomes.every((outcome) => outcome === 'lost'))
})

test('an alert that is under way at the end is neither waited for by the Lease nor lost', async (t) => {
  const slow: Http = (_request, signal) => new Promise((resolve, reject) => {
    const timer = setTimeout(() => { resolve({ status: 200, body: 'ok' }) }, 300)
    signal.addEventListener('abort', () => { clearTimeout(timer); reject(new Error('aborted')) })
  })
  const { telling, outcomes } = scene({ http: slow })
  telling.announce(alerting(), ROLLED_BACK)
  await settled()
  const begun = performance.now()
  await telling.settle(50)
  t.ok(performance.now() - begun < 200, 'the Lease can be released')
  await telling.close(5_000)
  t.same(outcomes, ['delivered'])
  t.ok(performance.now() - begun < 3_000, 'no longer than it takes')
})

test('a Secret is read for each alert, so a rotated address counts at once', async (t) => {
  const { telling, sent, kube } = scene()
  await telling.announce(alerting(), ROLLED_BACK)
  await settled()
  kube.edit({ apiVersion: 'v1', kind: 'Secret', namespace: 'shop', name: 'hook' }, () => secret('http://hooks.test/two'))
  await telling.announce(alerting(), { ...ROLLED_BACK, reason: 'CanaryProvedWorse' })
  await settled()
  t.same(sent.map(({ url }) => url), ['http://hooks.test/one', 'http://hooks.test/two'])
})

test('a Secret that is missing, or not ours to read, is a line in the log with the way out', async (t) => {
  const missing = scene({ secrets: false })
  await missing.telling.announce(alerting(), ROLLED_BACK)
  await settled()
  t.match(missing.logged(), /alert was not delivered.*secret hook in namespace shop was not found|secret hook in namespace shop was not found.*alert was not delivered/)
  const forbidden = scene()
  forbidden.kube.faults.on(({ kind }) => (kind === 'Secret' ? '403' : undefined))
  await forbidden.telling.announce(alerting(), ROLLED_BACK)
  await settled()
  t.match(forbidden.logged(), /create rolebinding canarygate-secrets/)
  for (const { outcomes, sent } of [missing, forbidden]) t.same([outcomes, sent], [['lost'], []])
})

test('Canaries that name nobody go to the agent\'s own receiver, the others do not', async (t) => {
  const receiver = alertReceiverOf({ SLACK_URL: 'http://all.test/hook', SLACK_TOKEN: 'xoxb-1', SLACK_CHANNEL: 'releases' })
  const { telling, sent } = scene(receiver ? { alertReceiver: receiver } : {})
  await telling.announce(canary(), ROLLED_BACK)
  await telling.announce(alerting(), ROLLED_BACK)
  await settled()
  t.same(sent.map(({ url }) => url).toSorted(), ['http://all.test/hook', 'http://hooks.test/one'])
  const toAll = sent.find(({ url }) => url === 'http://all.test/hook')
  t.match(toAll?.headers, { authorization: 'Bearer xoxb-1' })
  t.match(JSON.parse(toAll?.body ?? '{}'), { channel: 'releases', username: 'flagger' })
})

test('the agent\'s own receiver is named by Flagger\'s variables', async (t) => {
  t.equal(alertReceiverOf({}), undefined)
  t.match(alertReceiverOf({ SLACK_URL: 'http://s', MSTEAMS_URL: 'http://m', MSTEAMS_PROXY_URL: 'http://p', SLACK_TOKEN: 'x' }), { type: 'msteams', address: 'http://m', proxy: 'http://p', secret: {} })
  t.match(alertReceiverOf({ SLACK_URL: 'http://s', SLACK_PROXY_URL: 'http://p' }), { type: 'slack', address: 'http://s', proxy: 'http://p', channel: 'general' })
})
