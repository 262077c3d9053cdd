import { test } from 'tap'
import type { Canary } from '#api/canary.ts'
import { createSavedStatuses } from '#agent/saved-status.ts'
import { createFakeKube } from '../fake-kube.ts'
import { canary, NAMESPACE } from './world.ts'

const KEY = `${NAMESPACE}/cart`
const IDENTITY = { apiVersion: 'flagger.app/v1beta1', kind: 'Canary', namespace: NAMESPACE, name: 'cart' } as const

function scene() {
  let at = 0
  const fake = createFakeKube()
  fake.seed(canary())
  const saved = createSavedStatuses(fake.client, () => at)
  const stored = (): Canary => fake.object<Canary>('flagger.app/v1beta1', 'Canary', KEY) as Canary
  return { fake, saved, stored, pass: (ms: number): void => { at += ms } }
}

test('what was saved counts before the watch has brought it, and carries the version to write upon', async (t) => {
  const { saved, stored } = scene()
  const cached = stored()
  await saved.save(cached, { phase: 'Progressing' })
  t.match(saved.current(cached), { status: { phase: 'Progressing' }, metadata: { resourceVersion: stored().metadata.resourceVersion } })
  await saved.save(saved.current(cached), { phase: 'Promoting' })
  t.match(saved.current(cached), { status: { phase: 'Promoting' } }, 'again and again')
})

test('the watch has the word as soon as it has brought that version', async (t) => {
  const { fake, saved, stored } = scene()
  const cached = stored()
  await saved.save(cached, { phase: 'Progressing' })
  saved.seen(stored())
  fake.edit(IDENTITY, (object) => ({ ...object, status: { phase: 'Failed' } }))
  t.match(saved.current(stored()), { status: { phase: 'Failed' } })
})

test('a spec that is newer in the cache is used with the status that was saved', async (t) => {
  const { saved, stored } = scene()
  const cached = stored()
  await saved.save(cached, { phase: 'Progressing' })
  const newer = { ...cached, spec: { ...cached.spec, suspend: true }, metadata: { ...cached.metadata, resourceVersion: 'between' } }
  t.match(saved.current(newer), { spec: { suspend: true }, status: { phase: 'Progressing' } })
})

test('a save that is refused takes nothing back: what was saved before is newer than the copy, until the watch has brought as much', async (t) => {
  const { fake, saved, stored } = scene()
  const cached = stored()
  await saved.save(cached, { phase: 'Progressing' })
  fake.edit(IDENTITY, (object) => ({ ...object, spec: { ...(object['spec'] as object), suspend: true } }))
  await t.rejects(saved.save(saved.current(cached), { phase: 'Failed' }), { name: 'KubeError', message: /has been modified/ })
  t.match(saved.current(cached), { status: { phase: 'Progressing' } })
  t.match(stored(), { status: { phase: 'Progressing' }, spec: { suspend: true } })
  saved.seen(stored())
  t.same(saved.current(stored()), stored(), 'also when it jumped over the version that was saved')
})

test('after 5 seconds, for another object of the name, and when forgotten, the cache counts', async (t) => {
  const { saved, stored, pass } = scene()
  const cached = stored()
  await saved.save(cached, { phase: 'Progressing' })
  t.match(saved.current({ ...cached, metadata: { ...cached.metadata, uid: 'another' } }).status, undefined)
  await saved.save(stored(), { phase: 'Progressing' })
  pass(5_001)
  t.same(saved.current(cached), cached)
  await saved.save(stored(), { phase: 'Promoting' })
  saved.forget(KEY)
  t.same(saved.current(cached), cached)
})

test('a deferred status counts at once, and is written by the next save', async (t) => {
  const { fake, saved, stored } = scene()
  const cached = stored()
  t.equal(saved.defer(cached, { phase: 'Progressing', canaryWeight: 20 }), true)
  t.match(saved.current(cached), { status: { canaryWeight: 20 }, metadata: { resourceVersion: cached.metadata.resourceVersion } })
  t.equal(stored().status, undefined)
  t.equal(saved.dueAt(KEY), 2_500)
  t.equal(saved.defer(saved.current(cached), { phase: 'Progressing', canaryWeight: 30 }), false, 'one at a time')
  saved.seen(cached)
  fake.edit(IDENTITY, (object) => ({ ...object, spec: { ...(object['spec'] as object), suspend: true } }))
  await saved.save(saved.current(stored()), { ...saved.current(stored()).status, phase: 'Promoting' })
  t.match(stored(), { status: { phase: 'Promoting', canaryWeight: 20 }, spec: { suspend: true } })
  t.equal(saved.dueAt(KEY), undefined)
  t.equal(saved.defer(stored(), { phase: 'Failed' }), false, 'not before the watch has brought what was saved')
})

test('a deferred status is dropped when another one was stored meanwhile, and after 5 seconds', async (t) => {
  const { fake, saved, stored, pass } = scene()
  saved.defer(stored(), { phase: 'Progressing' })
  fake.edit(IDENTITY, (object) => ({ ...object, status: { phase: 'Failed' } }))
  t.match(saved.current(stored()), { status: { phase: 'Failed' } })
  t.equal(saved.dueAt(KEY), undefined)
  saved.defer(stored(), { phase: 'Progressing' })
  pass(5_001)
  t.match(saved.current(stored()), { status: { phase: 'Failed' } })
})
