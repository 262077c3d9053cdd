import { test } from 'tap'
import type { KubeObject } from '#api/objects.ts'
import { createEventRecorder } from '#kube/events.ts'
import { createFakeKube } from '../fake-kube.ts'
import { createFakeClock } from './fake-clock.ts'
import { createLogLines } from './log-lines.ts'

const canary = { apiVersion: 'flagger.app/v1beta1', kind: 'Canary', metadata: { name: 'cart', namespace: 'shop', uid: 'uid-9', resourceVersion: '5' } }
const rolledBack = { type: 'Warning', reason: 'CanaryRolledBack', message: 'success rate 90 is below 99' } as const

function recording() {
  const clock = createFakeClock()
  const fake = createFakeKube({ now: clock.now })
  const { log, lines } = createLogLines()
  let random = 0
  const recorder = createEventRecorder({ client: fake.client, component: 'canarygate', instance: 'canarygate-0', log, now: clock.now, random: () => (random += 0.001) })
  const events = (): KubeObject[] => fake.objects('v1', 'Event')
  return { clock, fake, lines, recorder, events }
}

test('an event names its object, reason and reporter', async (t) => {
  const { recorder, events } = recording()
  await recorder.record(canary, rolledBack)
  t.match(events(), [{
    metadata: { namespace: 'shop' }, involvedObject: { kind: 'Canary', name: 'cart', namespace: 'shop', uid: 'uid-9', apiVersion: 'flagger.app/v1beta1' },
    type: 'Warning', reason: 'CanaryRolledBack', message: 'success rate 90 is below 99', count: 1,
    firstTimestamp: '2026-01-01T00:00:00Z', lastTimestamp: '2026-01-01T00:00:00Z', source: { component: 'canarygate' }, reportingInstance: 'canarygate-0',
  }])
})

test('the same news within ten minutes is counted, other news is told', async (t) => {
  const { clock, recorder, events } = recording()
  await recorder.record(canary, rolledBack)
  await clock.advance(9 * 60_000)
  await recorder.record(canary, rolledBack)
  await recorder.record(canary, { ...rolledBack, message: 'success rate 80 is below 99' })
  await recorder.record(canary, { ...rolledBack, reason: 'CanaryHalted' })
  t.same(events().map((event) => `${event['reason']} ${event['count']} ${event['lastTimestamp']}`).toSorted(), [
    'CanaryHalted 1 2026-01-01T00:09:00Z', 'CanaryRolledBack 1 2026-01-01T00:09:00Z', 'CanaryRolledBack 2 2026-01-01T00:09:00Z',
  ])
  await clock.advance(10 * 60_000)
  await recorder.record(canary, rolledBack)
  t.equal(events().length, 4, 'after ten minutes it is news again')
})

test('the same news twice at once is one event with the count two', async (t) => {
  const { recorder, events } = recording()
  await Promise.all([recorder.record(canary, rolledBack), recorder.record(canary, rolledBack)])
  t.same(events().map((event) => event['count']), [2])
})

test('an event that has vanished meanwhile is told anew', async (t) => {
  const { fake, recorder, events } = recording()
  await recorder.record(canary, rolledBack)
  fake.remove({ apiVersion: 'v1', kind: 'Event', namespace: 'shop', name: events()[0]?.metadata.name ?? '' })
  await recorder.record(canary, rolledBack)
  t.match(events(), [{ count: 2 }])
})

test('a failed write is logged with the news and fails nobody', async (t) => {
  const { fake, lines, recorder, events } = recording()
  const allow = fake.faults.on(() => '500')
  await recorder.record(canary, rolledBack)
  t.match(lines, [{ level: 40, msg: 'event not written', reason: 'CanaryRolledBack', message: 'success rate 90 is below 99', err: { message: /500/ } }])
  allow()
  await recorder.record(canary, rolledBack)
  t.match(events(), [{ count: 2 }], 'and the next one is told')
})

test('a long message is cut at 1024 bytes, between two characters', async (t) => {
  const { recorder, events } = recording()
  await recorder.record(canary, { ...rolledBack, message: 'é'.repeat(2_000) })
  const message = String(events()[0]?.['message'])
  t.ok(Buffer.byteLength(message) <= 1_024 && Buffer.byteLength(message) > 1_020)
  t.match(message, /^é+…$/)
})

test('an event about an object without namespace lives in default', async (t) => {
  const { recorder, events } = recording()
  await recorder.record({ apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'shop' } }, rolledBack)
  t.match(events(), [{ metadata: { namespace: 'default' } }])
})

test('a slow API server holds up what is told about one object, in its order, and nothing about another', async (t) => {
  const { fake, recorder, events } = recording()
  const first = Promise.withResolvers<void>()
  let isFirst = true
  const slow = createEventRecorder({
    client: { ...fake.client, create: async (...call: Parameters<typeof fake.client.create>) => {
      if (isFirst) {
        isFirst = false
        await first.promise
      }
      return await fake.client.create(...call)
    } } as typeof fake.client,
    component: 'canarygate', instance: 'canarygate-0', log: createLogLines().log, now: Date.now, random: Math.random,
  })
  const told = [slow.record(canary, rolledBack), slow.record(canary, { ...rolledBack, reason: 'CanaryHalted' })]
  await slow.record({ ...canary, metadata: { ...canary.metadata, name: 'till' } }, rolledBack)
  t.same(events().map((event) => event.metadata.name.split('.')[0]), ['till'])
  await slow.close(0)
  t.equal(events().length, 1, 'who closes does not wait longer than it says')
  first.resolve()
  await slow.close(60_000)
  await Promise.all(told)
  const own = events().filter(({ metadata }) => metadata.name.startsWith('cart'))
  t.same(own.toSorted((a, b) => Number(a.metadata.resourceVersion) - Number(b.metadata.resourceVersion)).map((event) => event['reason']), ['CanaryRolledBack', 'CanaryHalted'])
  await recorder.close(0)
})
