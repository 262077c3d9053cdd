import { test } from 'tap'
import { createOwnWrites } from '#agent/own-writes.ts'
import type { KubeObject, ObjectRef } from '#api/objects.ts'

const ROUTE: ObjectRef = { apiVersion: 'traefik.io/v1alpha1', kind: 'TraefikService', namespace: 'shop', name: 'cart' }
const at = (resourceVersion: string, weight: number, name = 'cart'): KubeObject =>
  ({ apiVersion: ROUTE.apiVersion, kind: ROUTE.kind, metadata: { name, namespace: 'shop', resourceVersion, managedFields: [] } as KubeObject['metadata'], spec: { weight } })

function scene(first?: KubeObject) {
  let cached = first
  let now = 0
  const own = createOwnWrites({ cached: ({ name }) => (name === 'cart' ? cached : undefined), now: () => now })
  const weight = (object: KubeObject | undefined): unknown => (object?.['spec'] as { readonly weight?: number } | undefined)?.weight
  return {
    own, brings: (object: KubeObject | undefined) => { cached = object }, passes: (milliseconds: number) => { now += milliseconds },
    weight: () => weight(own.get(ROUTE)),
    list: (namespace = 'shop') => own.over(ROUTE.apiVersion, ROUTE.kind, namespace, cached ? [cached] : []).map(weight),
  }
}

test('what was written is seen at once, and what the watch brings later wins', async (t) => {
  const { own, brings, weight, list } = scene(at('7', 0))
  own.note(at('9', 20))
  t.same([weight(), list(), list('')], [20, [20], [20]])
  t.notOk('managedFields' in (own.get(ROUTE)?.metadata ?? {}), 'which server-side apply refuses')
  brings(at('8', 5))
  t.equal(weight(), 20, 'an older version is not believed')
  brings(at('10', 50))
  t.same([weight(), list()], [50, [50]])
  brings(at('9', 20))
  t.equal(weight(), 20, 'nor is anything kept of it')
})

test('what was made is seen beside what the caches list, in its own namespace', async (t) => {
  const { own, list } = scene(at('7', 0))
  own.note(at('9', 30, 'till'))
  t.same(list(), [0, 30])
  t.same(list('other'), [0], 'the list is the cache\'s business')
})

test('an answer that comes later than the watch is old news', async (t) => {
  const { own, brings, weight } = scene(at('7', 0))
  brings(at('12', 40))
  own.note(at('9', 20))
  t.equal(weight(), 40)
})

test('what was deleted since is gone, and so is what no watch ever brings', async (t) => {
  const { own, brings, weight, passes } = scene(at('7', 0))
  own.note(at('9', 20))
  brings(undefined)
  own.forget(at('9', 20))
  t.equal(weight(), undefined)
  own.note(at('11', 30))
  t.equal(weight(), 30)
  passes(5_001)
  t.equal(weight(), undefined)
})

test('a watch may be late, however late: an older version is not believed', async (t) => {
  const { own, weight, passes, brings } = scene(at('7', 0))
  own.note(at('9', 20))
  passes(60_000)
  own.note(at('9', 20, 'till'))
  t.equal(weight(), 20)
  brings(at('9', 20))
  t.equal(weight(), 20)
})

test('the end of an object is not the end of one that was made in its place', async (t) => {
  const { own, weight, brings } = scene(at('7', 0))
  const identified = (object: KubeObject, uid: string): KubeObject => ({ ...object, metadata: { ...object.metadata, uid } })
  own.note(identified(at('12', 20), 'new'))
  brings(undefined)
  own.forget(identified(at('11', 0), 'old'))
  t.equal(weight(), 20)
  own.forget(identified(at('13', 20), 'new'))
  t.equal(weight(), undefined)
})
