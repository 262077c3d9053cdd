import t from 'tap'
import { ANNOTATION_GATE } from '#api/names.ts'
import type { KubeObject, PodTemplate, Workload } from '#api/objects.ts'
import { canary, configuredCart, NAMESPACE, worldWith, type World } from './world.ts'

const { test } = t

const adopted = (more: Parameters<typeof canary>[0] = {}, options: Parameters<typeof worldWith>[1] = {}): Promise<World> => worldWith([...configuredCart(), canary(more)], options)
const setConfig = (world: World, kind: 'ConfigMap' | 'Secret', name: string, data: Readonly<Record<string, string>>): void =>
  world.fake.edit({ apiVersion: 'v1', kind, namespace: NAMESPACE, name }, (object) => ({ ...object, data }) as KubeObject)
const specOf = (template: PodTemplate | undefined) => template?.spec as unknown as { readonly containers: readonly [{ readonly envFrom: readonly [{ readonly configMapRef: { readonly name: string } }] }]; readonly volumes: readonly [{ readonly secret: { readonly secretName: string } }] }
/** What pods of a workload read. */
function contentOf(world: World, name: string) {
  const spec = specOf(world.workload(name)?.spec.template)
  const settings = spec.containers[0].envFrom[0].configMapRef.name
  const keys = spec.volumes[0].secret.secretName
  return {
    settings: world.fake.object('v1', 'ConfigMap', `${NAMESPACE}/${settings}`)?.['data'],
    keys: world.fake.object('v1', 'Secret', `${NAMESPACE}/${keys}`)?.['data'],
  }
}
const copies = (world: World) => [...world.fake.objects('v1', 'ConfigMap', NAMESPACE), ...world.fake.objects('v1', 'Secret', NAMESPACE)].filter(({ metadata }) => metadata.ownerReferences)
const generation = (world: World): number | undefined => world.workload('cart-primary')?.metadata.generation

test('the primary reads copies of its own, and no run starts of it', async (t) => {
  const world = await adopted()
  t.equal(world.status().phase, 'Initialized')
  t.same(Object.keys(world.status().trackedConfigs ?? {}).toSorted(), ['configmap/settings', 'secret/keys'])
  t.same(contentOf(world, 'cart-primary'), { settings: { COLOUR: 'green' }, keys: { key: 'cw==' } })
  t.equal(copies(world).length, 2)
  t.match(copies(world), [{ immutable: true, metadata: { ownerReferences: [{ kind: 'Canary', name: 'cart' }] } }, { immutable: true }])
  t.same(specOf(world.target().spec.template), specOf((configuredCart()[0] as Workload).spec.template), 'the target stands as written')
})

test('a change of a ConfigMap alone is released like an image', async (t) => {
  const world = await adopted()
  const before = world.status().trackedConfigs?.['configmap/settings']
  setConfig(world, 'ConfigMap', 'settings', { COLOUR: 'red' })
  await world.run({ until: () => world.status().canaryWeight === 50 })
  t.same(contentOf(world, 'cart-canary').settings, { COLOUR: 'red' })
  t.same(contentOf(world, 'cart-primary').settings, { COLOUR: 'green' }, 'nobody else has it yet')
  t.equal(world.target().metadata.annotations?.[ANNOTATION_GATE], 'pending')
  await world.run()
  t.equal(world.status().phase, 'Succeeded')
  t.same(contentOf(world, 'cart-primary'), { settings: { COLOUR: 'red' }, keys: { key: 'cw==' } })
  t.not(world.status().trackedConfigs?.['configmap/settings'], before)
  t.ok(world.events().some((line) => line.startsWith('CanaryStarted: New revision detected!')))
})

test('a bad Secret is rolled back, and the primary\'s stays', async (t) => {
  const metrics = [{ name: 'request-success-rate', interval: '1m', thresholdRange: { min: 99 } }]
  const world = await adopted({ spec: { metricsServer: 'http://prometheus.test' }, analysis: { metrics } })
  world.metrics.prometheus = () => 50
  const before = generation(world)
  setConfig(world, 'Secret', 'keys', { key: 'YmFk' })
  await world.run()
  t.equal(world.status().phase, 'Failed')
  t.same(contentOf(world, 'cart-primary'), { settings: { COLOUR: 'green' }, keys: { key: 'cw==' } })
  t.equal(generation(world), before)
  setConfig(world, 'Secret', 'keys', { key: 'cw==' })
  await world.run()
  t.equal(world.target().metadata.annotations?.[ANNOTATION_GATE], 'passed', 'put back, it is the revision that serves')
  t.equal(generation(world), before)
})

test('a change in mid-run begins the analysis anew, with pods of the new content', async (t) => {
  const world = await adopted()
  world.setImage('cart:2')
  await world.run({ until: () => world.status().canaryWeight === 50 })
  setConfig(world, 'ConfigMap', 'settings', { COLOUR: 'blue' })
  await world.run({ until: () => world.reasons().includes('CanaryRestarted') })
  await world.run()
  t.equal(world.status().phase, 'Succeeded')
  t.same(contentOf(world, 'cart-primary').settings, { COLOUR: 'blue' })
})

test('a promotion that fails gives the primary its previous content back', async (t) => {
  let broken = false
  const world = await adopted({ spec: { progressDeadlineSeconds: 60 } }, { isStarting: (_, owner) => !broken || !owner.startsWith('cart-primary') })
  world.edit('Deployment', 'cart', (target) => ({ ...target, spec: { ...target.spec, progressDeadlineSeconds: 30 } }))
  setConfig(world, 'ConfigMap', 'settings', { COLOUR: 'red' })
  await world.run({ until: () => world.status().canaryWeight === 50 })
  await world.run({ until: () => world.status().phase === 'Promoting' })
  broken = true
  await world.run({ until: () => world.status().phase === 'Failed' })
  broken = false
  await world.run()
  t.same(contentOf(world, 'cart-primary').settings, { COLOUR: 'green' })
})

test('copies that nobody needs any more go', async (t) => {
  const world = await adopted()
  for (const colour of ['red', 'blue', 'white']) {
    setConfig(world, 'ConfigMap', 'settings', { COLOUR: colour })
    await world.run()
    t.equal(world.status().phase, 'Succeeded', colour)
  }
  t.same(copies(world).filter(({ kind }) => kind === 'ConfigMap').map((copy) => copy['data']), [{ COLOUR: 'blue' }, { COLOUR: 'white' }], 'what serves, and what served before it')
  t.equal(copies(world).filter(({ kind }) => kind === 'Secret').length, 1)
})

test('a config that is opted out is the pods\' own business', async (t) => {
  const annotations = { 'flagger.app/config-tracking': 'disabled' }
  const world = await worldWith([...configuredCart().map((object) => (object.kind === 'ConfigMap' ? { ...object, metadata: { ...object.metadata, annotations } } : object)), canary()])
  t.equal(specOf(world.workload('cart-primary')?.spec.template).containers[0].envFrom[0].configMapRef.name, 'settings')
  setConfig(world, 'ConfigMap', 'settings', { COLOUR: 'red' })
  await world.run()
  t.equal(world.status().phase, 'Initialized')
})

test('spec.gate.configTracking: false leaves all references as they are', async (t) => {
  const world = await adopted({ spec: { gate: { configTracking: false } } })
  t.same(specOf(world.workload('cart-primary')?.spec.template), specOf(world.target().spec.template))
  t.same(copies(world), [])
})

test('Secrets that may not be read are left alone, and that is told with the way out', async (t) => {
  const world = await worldWith(configuredCart())
  world.fake.faults.on(({ verb, kind }) => (kind === 'Secret' && verb === 'list' ? '403' : undefined))
  world.fake.seed(canary())
  await world.run()
  t.equal(world.status().phase, 'Initialized')
  t.same(Object.keys(world.status().trackedConfigs ?? {}), ['configmap/settings'])
  t.match(world.events().join(), /CanaryConfigsUntracked: the agent may not read Secrets in namespace shop.*create rolebinding/)
})

test('a ConfigMap that is replaced by deletion and creation starts nothing', async (t) => {
  const world = await adopted()
  const ref = { apiVersion: 'v1', kind: 'ConfigMap', namespace: NAMESPACE, name: 'settings' }
  await world.fake.client.delete(ref)
  await world.run()
  t.equal(world.status().phase, 'Initialized')
  world.fake.seed({ apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'settings', namespace: NAMESPACE }, data: { COLOUR: 'green' } })
  await world.run()
  t.equal(world.status().phase, 'Initialized')
})

test('a change that is held before adoption: the old template is adopted with what it refers to', async (t) => {
  const world = await worldWith(configuredCart())
  world.holdImage('cart:2')
  world.fake.seed(canary())
  await world.run({ until: () => world.status().phase === 'Progressing' })
  t.same(contentOf(world, 'cart-primary'), { settings: { COLOUR: 'green' }, keys: { key: 'cw==' } })
  world.setImage('cart:1')
  await world.run()
  t.equal(world.reasons().at(-1), 'CanaryAborted', 'the old one, asked for again, is known although it was recorded by its template alone')
  t.same(contentOf(world, 'cart-primary'), { settings: { COLOUR: 'green' }, keys: { key: 'cw==' } })
})

test('at rest nothing is asked and nothing written', async (t) => {
  const world = await adopted()
  await world.pass(30_000)
  world.fake.clearCalls()
  await world.pass(120_000)
  t.same(world.fake.calls.filter(({ verb }) => verb !== 'watch'), [])
})

test('content is in no log line', async (t) => {
  const world = await adopted()
  setConfig(world, 'Secret', 'keys', { key: 'c2VjcmV0' })
  await world.run()
  t.notMatch(JSON.stringify(world.lines), /c2VjcmV0|cw==/)
})
