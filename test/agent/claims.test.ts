import { test } from 'tap'
import { createClaims } from '#agent/claims.ts'
import type { Caches } from '#agent/caches.ts'
import type { KubeObject } from '#api/objects.ts'
import { isClaimed } from '#kube/claims.ts'
import type { KubeClient } from '#kube/client.ts'

/** Services of a namespace whose specs count as ours, an API server that keeps them, and a cache that lags behind until it is told. */
function scene(count: number) {
  const managedFields = [{ manager: 'canarygate', operation: 'Update', fieldsV1: { 'f:spec': {} } }, { manager: 'kubectl', operation: 'Apply', fieldsV1: { 'f:spec': {} } }]
  const stored = new Map(Array.from({ length: count }, (_, index): [string, KubeObject] => [
    `app-${index}`, { apiVersion: 'v1', kind: 'Service', metadata: { name: `app-${index}`, namespace: 'shop', resourceVersion: '1', managedFields } as KubeObject['metadata'] },
  ]))
  let cached = [...stored.values()]
  const calls: string[] = []
  const client = {
    get: async ({ name }: { readonly name: string }) => { calls.push(`get ${name}`); return stored.get(name) },
    patch: async ({ name }: { readonly name: string }, { metadata }: { readonly metadata: object }) => {
      calls.push(`patch ${name}`)
      const object = stored.get(name)
      if (object) stored.set(name, { ...object, metadata: { ...object.metadata, ...metadata, resourceVersion: '2' } })
    },
  } as unknown as KubeClient
  const claims = createClaims({ client, caches: { claimed: () => cached.filter(isClaimed) } as unknown as Caches })
  return { claims, calls, stored, catchUp: () => { cached = [...stored.values()] } }
}

test('many claims are given back some at a time, each once, however late the watch tells of it', async (t) => {
  const { claims, calls, stored, catchUp } = scene(50)
  t.equal(await claims.giveBack('shop'), 'more')
  t.equal(calls.length, 40, 'a turn looks at twenty')
  t.equal(await claims.giveBack('shop'), 'more')
  t.equal(await claims.giveBack('shop'), 'done')
  t.equal(calls.length, 100, 'each was read and written once')
  t.notOk([...stored.values()].some(isClaimed))
  t.equal(await claims.giveBack('shop'), 'done')
  catchUp()
  t.equal(await claims.giveBack('shop'), 'done')
  t.equal(calls.length, 100, 'and nothing is asked any more')
})

test('two turns in one namespace do not do the same work twice', async (t) => {
  const { claims, calls } = scene(10)
  t.same(await Promise.all([claims.giveBack('shop'), claims.giveBack('shop')]), ['done', 'done'])
  t.equal(calls.length, 20)
})

test('one that cannot be given back keeps none of the others', async (t) => {
  const { claims, stored } = scene(3)
  const broken = stored.get('app-0')
  stored.set('app-0', { ...broken, get metadata(): never { throw new Error('forbidden') } } as unknown as KubeObject)
  await t.rejects(claims.giveBack('shop'), { message: '1 of 3 objects in namespace shop' })
  t.notOk(['app-1', 'app-2'].map((name) => stored.get(name)).some((object) => object !== undefined && isClaimed(object)))
})
