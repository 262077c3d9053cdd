import type { KubeObject } from '#api/objects.ts'
import type { WatchEvent } from '#kube/answers.ts'
import type { KubeClient } from '#kube/client.ts'
import type { Test } from 'tap'

/** What the cases need: a client, and a namespace of their own. */
export type World = { readonly client: KubeClient; readonly namespace: string }
export type Case = { readonly name: string; readonly run: (t: Test, world: World) => Promise<void> }

const configMap = (namespace: string, name: string, more: object = {}): KubeObject => ({
  apiVersion: 'v1', kind: 'ConfigMap', metadata: { name, namespace, ...more }, data: { a: '1' },
})
const deployment = (namespace: string, name: string, more: object = {}): KubeObject => ({
  apiVersion: 'apps/v1', kind: 'Deployment', metadata: { name, namespace },
  spec: {
    replicas: 0, selector: { matchLabels: { app: name } },
    template: { metadata: { labels: { app: name } }, spec: { containers: [{ name: 'web', image: 'example.invalid/web:1' }] } }, ...more,
  },
})
const lease = (namespace: string, name: string): KubeObject => ({
  apiVersion: 'coordination.k8s.io/v1', kind: 'Lease', metadata: { name, namespace },
  spec: { holderIdentity: 'a', leaseDurationSeconds: 6, renewTime: '2026-01-01T00:00:00.000000Z', leaseTransitions: 0 },
})
const refOf = ({ apiVersion, kind, metadata: { name, namespace } }: KubeObject) => ({ apiVersion, kind, name, ...(namespace ? { namespace } : {}) })
const must = <T>(value: T | undefined): T => {
  if (value === undefined) throw new Error('the object is missing')
  return value
}

/** The call fails, and its error looks so. */
async function refused(t: Test, call: Promise<unknown>, error: object, message?: string): Promise<void> {
  const caught: unknown = await call.then(() => 'it succeeded', (err: unknown) => err)
  t.match(caught, error, message ?? JSON.stringify(error))
}

/** Events until there are `count`, or two seconds have passed. */
async function collect(world: World, from: string, count: number, act: () => Promise<void>, labelSelector?: string): Promise<WatchEvent[]> {
  const ending = new AbortController()
  const cancel = setTimeout(() => ending.abort(), 2_000)
  const events: WatchEvent[] = []
  const options = { namespace: world.namespace, resourceVersion: from, signal: ending.signal, ...(labelSelector ? { labelSelector } : {}), onOpen: () => void act() }
  try {
    for await (const event of world.client.watch('v1', 'ConfigMap', options)) {
      if (event.type !== 'BOOKMARK') events.push(event)
      if (events.length >= count) break
    }
  } catch (err) {
    if (!ending.signal.aborted) throw err
  } finally {
    clearTimeout(cancel)
  }
  return events
}
const told = (events: readonly WatchEvent[]): string[] => events.map((event) => ('object' in event ? `${event.type} ${event.object.metadata.name}` : event.type))

export const cases: readonly Case[] = [
  {
    name: 'what was created is read back with uid, version and time',
    run: async (t, { client, namespace }) => {
      const created = await client.create(configMap(namespace, 'made'))
      const read = await client.get({ apiVersion: 'v1', kind: 'ConfigMap', namespace, name: 'made' })
      t.same(read, created)
      t.ok(read?.metadata.uid && read.metadata.resourceVersion && read.metadata.creationTimestamp)
    },
  },
  {
    name: 'a missing object is undefined, and deleting it is false',
    run: async (t, { client, namespace }) => {
      const ref = { apiVersion: 'v1', kind: 'ConfigMap', namespace, name: 'never' }
      t.equal(await client.get(ref), undefined)
      t.equal(await client.delete(ref), false)
      await refused(t, client.patch(ref, { data: {} }, 'merge'), { status: 404, reason: 'NotFound' })
    },
  },
  {
    name: 'a second create is 409 AlreadyExists',
    run: async (t, { client, namespace }) => {
      await client.create(configMap(namespace, 'twice'))
      await refused(t, client.create(configMap(namespace, 'twice')), { status: 409, reason: 'AlreadyExists', retryable: false })
    },
  },
  {
    name: 'a replace with an old resourceVersion is 409 Conflict and changes nothing',
    run: async (t, { client, namespace }) => {
      const first = await client.create(configMap(namespace, 'raced'))
      const second = await client.replace({ ...first, data: { a: '2' } })
      t.not(second.metadata.resourceVersion, first.metadata.resourceVersion)
      await refused(t, client.replace({ ...first, data: { a: '3' } }), { status: 409, reason: 'Conflict' })
      t.match(await client.get(refOf(first)), { data: { a: '2' } })
    },
  },
  {
    name: 'a write that changes nothing keeps the resourceVersion',
    run: async (t, { client, namespace }) => {
      const first = await client.create(configMap(namespace, 'same'))
      const second = await client.patch(refOf(first), { data: { a: '1' } }, 'merge')
      t.equal(second.metadata.resourceVersion, first.metadata.resourceVersion)
    },
  },
  {
    name: 'a JSON patch whose test fails is 422 and changes nothing',
    run: async (t, { client, namespace }) => {
      const made = await client.create(configMap(namespace, 'tested'))
      const patch = [{ op: 'test', path: '/data/a', value: '9' }, { op: 'replace', path: '/data/a', value: '2' }]
      await refused(t, client.patch(refOf(made), patch, 'json'), { status: 422 })
      t.match(await client.get(refOf(made)), { data: { a: '1' } })
    },
  },
  {
    name: 'server-side apply removes what its manager drops and leaves foreign fields alone',
    run: async (t, { client, namespace }) => {
      const own = (data: object): KubeObject => ({ ...configMap(namespace, 'applied'), data })
      await client.apply(own({ a: '1', b: '1' }), { fieldManager: 'one', force: false })
      await client.patch(refOf(own({})), { data: { foreign: 'x' } }, 'merge', { fieldManager: 'two' })
      const stored = await client.apply(own({ a: '2' }), { fieldManager: 'one', force: false })
      t.same(stored['data'], { a: '2', foreign: 'x' })
    },
  },
  {
    name: 'server-side apply of the same again keeps the resourceVersion',
    run: async (t, { client, namespace }) => {
      const first = await client.apply(configMap(namespace, 'steady'), { fieldManager: 'one', force: true })
      const second = await client.apply(configMap(namespace, 'steady'), { fieldManager: 'one', force: true })
      t.equal(second.metadata.resourceVersion, first.metadata.resourceVersion)
    },
  },
  {
    name: 'server-side apply over a foreign field is 409 with its path, and force takes it',
    run: async (t, { client, namespace }) => {
      const mine = (value: string): KubeObject => ({ ...configMap(namespace, 'disputed'), data: { a: value } })
      await client.apply(mine('1'), { fieldManager: 'one', force: false })
      await refused(t, client.apply(mine('2'), { fieldManager: 'two', force: false }), { status: 409, causes: [{ reason: 'FieldManagerConflict', field: '.data.a' }] })
      t.match(await client.apply(mine('2'), { fieldManager: 'two', force: true }), { data: { a: '2' } })
      await refused(t, client.apply(mine('3'), { fieldManager: 'one', force: false }), { status: 409 }, 'the first manager has lost the field')
    },
  },
  {
    name: 'server-side apply merges containers by name',
    run: async (t, { client, namespace }) => {
      const made = await client.create(deployment(namespace, 'merged'))
      const { spec: { selector } } = made as unknown as { spec: { selector: unknown } }
      const sidecar = { apiVersion: 'apps/v1', kind: 'Deployment', metadata: made.metadata.namespace ? { name: 'merged', namespace } : { name: 'merged' }, spec: { selector, template: { spec: { containers: [{ name: 'side', image: 'example.invalid/side:1' }] } } } }
      const stored = await client.apply(sidecar, { fieldManager: 'two', force: false })
      const { containers } = (stored as unknown as { spec: { template: { spec: { containers: { name: string }[] } } } }).spec.template.spec
      t.same(containers.map(({ name }) => name).sort(), ['side', 'web'])
    },
  },
  {
    name: 'an annotation raises the generation of a Deployment',
    run: async (t, { client, namespace }) => {
      const made = await client.create(deployment(namespace, 'counted'))
      t.equal(made.metadata.generation, 1)
      const patched = await client.patch(refOf(made), { metadata: { annotations: { 'example.com/note': 'x' } } }, 'merge')
      t.equal(patched.metadata.generation, 2)
      const labelled = await client.patch(refOf(made), { metadata: { labels: { note: 'x' } } }, 'merge')
      t.equal(labelled.metadata.generation, 2, 'a label does not')
    },
  },
  {
    name: 'status is changed by its subresource alone, which changes nothing else',
    run: async (t, { client, namespace }) => {
      // Paused, so that no controller writes status at the same time.
      const made = await client.create(deployment(namespace, 'reported', { paused: true }))
      const ignored = await client.patch(refOf(made), { status: { collisionCount: 7 } }, 'merge')
      t.notMatch(ignored, { status: { collisionCount: 7 } })
      const stored = await client.patch(refOf(made), { status: { collisionCount: 7 }, spec: { replicas: 3 } }, 'merge', { subresource: 'status' })
      t.match(stored, { spec: { replicas: 0 }, status: { collisionCount: 7 } })
      t.equal(stored.metadata.generation, 1)
    },
  },
  {
    name: 'a finalizer holds a deleted object until it is taken off',
    run: async (t, { client, namespace }) => {
      const made = await client.create(configMap(namespace, 'held', { finalizers: ['example.com/hold'] }))
      t.equal(await client.delete(refOf(made)), true)
      t.ok((await client.get(refOf(made)))?.metadata.deletionTimestamp)
      await client.patch(refOf(made), { metadata: { finalizers: null } }, 'merge')
      t.equal(await client.get(refOf(made)), undefined)
    },
  },
  {
    name: 'a delete with another uid as precondition is 409',
    run: async (t, { client, namespace }) => {
      const made = await client.create(configMap(namespace, 'kept'))
      await refused(t, client.delete(refOf(made), { preconditions: { uid: '00000000-0000-0000-0000-000000000000' } }), { status: 409 })
      t.ok(await client.get(refOf(made)))
    },
  },
  {
    name: 'a watch tells changes in their order, from the version it was given',
    run: async (t, world) => {
      const { client, namespace } = world
      const { resourceVersion } = await client.list('v1', 'ConfigMap', { namespace })
      const made = await client.create(configMap(namespace, 'followed'))
      const events = await collect(world, resourceVersion, 3, async () => {
        await client.patch(refOf(made), { data: { a: '2' } }, 'merge')
        await client.delete(refOf(made))
      })
      t.same(told(events), ['ADDED followed', 'MODIFIED followed', 'DELETED followed'])
    },
  },
  {
    name: 'a watch with a selector tells a lost label as DELETED',
    run: async (t, world) => {
      const { client, namespace } = world
      const made = await client.create(configMap(namespace, 'labelled', { labels: { watched: 'yes' } }))
      const events = await collect(world, must(made.metadata.resourceVersion), 2, async () => {
        await client.patch(refOf(made), { metadata: { labels: { watched: 'no' } } }, 'merge')
        await client.patch(refOf(made), { metadata: { labels: { watched: 'yes' } } }, 'merge')
      }, 'watched=yes')
      t.same(told(events), ['DELETED labelled', 'ADDED labelled'])
    },
  },
  {
    name: 'a list by pages shows every object once, at one version',
    run: async (t, { client, namespace }) => {
      const names = ['p1', 'p2', 'p3', 'p4', 'p5']
      for (const name of names) await client.create(configMap(namespace, name, { labels: { paged: 'yes' } }))
      const found: string[] = []
      const versions = new Set<string>()
      let token: string | undefined
      do {
        const page = await client.list('v1', 'ConfigMap', { namespace, labelSelector: 'paged=yes', limit: 2, ...(token ? { continue: token } : {}) })
        t.ok(page.items.length <= 2)
        found.push(...page.items.map(({ metadata }) => metadata.name))
        versions.add(page.resourceVersion)
        token = page.continue
      } while (token)
      t.same(found, names)
      t.equal(versions.size, 1)
      t.equal((await client.list('v1', 'ConfigMap', { namespace, labelSelector: 'paged=yes' })).items[0]?.kind, 'ConfigMap', 'items say what they are')
    },
  },
  {
    name: 'label selectors: equal, unequal, in, notin, present, absent',
    run: async (t, { client, namespace }) => {
      for (const tier of ['gold', 'silver', 'tin']) await client.create(configMap(namespace, `tier-${tier}`, { labels: { tier, case: 'selectors' } }))
      const rows: [string, string[]][] = [
        ['tier=gold', ['tier-gold']],
        ['tier!=gold,case=selectors', ['tier-silver', 'tier-tin']],
        ['tier in (gold,tin)', ['tier-gold', 'tier-tin']],
        ['tier notin (gold,tin),tier', ['tier-silver']],
        ['!tier,case=selectors', []],
      ]
      for (const [labelSelector, names] of rows) {
        const { items } = await client.list('v1', 'ConfigMap', { namespace, labelSelector })
        t.same(items.map(({ metadata }) => metadata.name), names, labelSelector)
      }
    },
  },
  {
    name: 'of two renewals of a Lease with the same version one is 409',
    run: async (t, { client, namespace }) => {
      const made = await client.create(lease(namespace, 'contested'))
      const renewed = (holderIdentity: string): KubeObject => ({ ...made, spec: { ...(made['spec'] as object), holderIdentity } })
      const results = await Promise.allSettled([client.replace(renewed('b')), client.replace(renewed('c'))])
      t.same(results.map(({ status }) => status).sort(), ['fulfilled', 'rejected'])
      t.match(results.find(({ status }) => status === 'rejected'), { reason: { status: 409, reason: 'Conflict' } })
    },
  },
  {
    name: 'a kind that is not served is known as such',
    run: async (t, { client, namespace }) => {
      t.equal(await client.get({ apiVersion: 'example.invalid/v1', kind: 'Nothing', namespace, name: 'x' }), undefined)
      await refused(t, client.list('example.invalid/v1', 'Nothing'), { status: 404 })
    },
  },
  {
    name: 'a dry run answers as a write would and stores nothing',
    run: async (t, { client, namespace }) => {
      const made = await client.create(configMap(namespace, 'imagined'), { dryRun: true })
      t.equal(made.metadata.name, 'imagined')
      t.equal(await client.get(refOf(made)), undefined)
    },
  },
]
