import t from 'tap'
import { ANNOTATION_REPLICAS } from '#api/names.ts'
import type { KubeObject, Workload } from '#api/objects.ts'
import { canary, cart, configuredCart, createWorld, gatedNamespace, imageOf, ingressRoute, NAMESPACE, worldWith, type World, type WorldOptions } from './world.ts'

/** What is there already when a Canary comes: a primary of Flagger's, of an earlier Canary, of a cluster that is no more. */
const { test } = t
const PROVIDER = { spec: { provider: 'traefik' } } as const
const CANARY = { apiVersion: 'flagger.app/v1beta1', kind: 'Canary', namespace: NAMESPACE, name: 'cart' } as const

const serving = (world: World): readonly string[] => world.readyBehind('cart').map((pod) => imageOf({ spec: { template: pod } } as unknown as Workload) ?? '')
const without = ({ uid: _, resourceVersion: __, ownerReferences: ___, ...metadata }: KubeObject['metadata']): KubeObject['metadata'] => metadata

/** An agent starts in a cluster with these objects. `broken`: what must never be seen. */
async function startWith(objects: readonly KubeObject[], options: WorldOptions = {}): Promise<{ readonly world: World; readonly broken: readonly string[] }> {
  const world = createWorld(options)
  world.fake.seed(...objects.filter(({ kind }) => kind !== 'Canary'))
  await world.run()
  world.fake.seed(...objects.filter(({ kind }) => kind === 'Canary'))
  const broken: string[] = []
  let hadWeight = false
  world.fake.onChange(() => {
    hadWeight ||= (world.status().canaryWeight ?? 0) > 0
    if (!hadWeight && imageOf(world.workload('cart-primary')) === 'cart:2') broken.push('the primary runs what nobody has analysed')
    if (serving(world).length === 0) broken.push('nobody serves')
  })
  await world.start()
  return { world, broken }
}

for (const { name, adopted } of [{ name: 'made anew from manifests', adopted: false }, { name: 'restored with its annotations', adopted: true }]) {
  test(`a cluster that is rebuilt in mid-canary, the target ${name}: what the primary runs stays until the change is analysed`, async (t) => {
    const before = await worldWith([...cart(), canary(PROVIDER)])
    const primary = before.workload('cart-primary') as Workload
    const [deployment, service] = cart({ image: 'cart:2', replicas: adopted ? 0 : 2 }) as [Workload, KubeObject]
    const target = adopted ? { ...deployment, metadata: { ...deployment.metadata, annotations: { [ANNOTATION_REPLICAS]: '2' } } } : deployment
    const { world, broken } = await startWith([target, service, { ...primary, metadata: without(primary.metadata) } as KubeObject, canary(PROVIDER)])
    await world.run({ until: () => world.reasons().includes('CanaryInitialized') })
    t.equal(imageOf(world.workload('cart-primary')), 'cart:1')
    t.match(world.workload('cart-primary'), { metadata: { ownerReferences: [{ uid: world.canary().metadata.uid ?? '' }] } }, 'it belongs to the new Canary')
    t.same(new Set(serving(world)), new Set(['cart:1']))
    await world.run()
    t.equal(world.status().phase, 'Succeeded')
    t.same(serving(world), ['cart:2', 'cart:2'])
    t.same(broken, [])
  })
}

test('the same with a ConfigMap in the template: the copies of the primary are what is stable', async (t) => {
  const before = await worldWith([...configuredCart(), canary(PROVIDER)])
  const primary = before.workload('cart-primary') as Workload
  const copies = [...before.fake.objects('v1', 'ConfigMap', NAMESPACE), ...before.fake.objects('v1', 'Secret', NAMESPACE)].filter(({ metadata }) => metadata.ownerReferences)
  const objects = configuredCart().map((object) => (object.kind === 'ConfigMap' ? { ...object, data: { COLOUR: 'red' } } : object))
  const kept = [primary, ...copies].map((object) => ({ ...object, metadata: without(object.metadata) }) as KubeObject)
  const { world, broken } = await startWith([...objects, ...kept, canary({ ...PROVIDER, analysis: { interval: '5m' } })])
  await world.run({ until: () => world.status().canaryWeight === 50 })
  const nameIn = (name: string): string => (world.workload(name)?.spec.template.spec.containers[0]?.['envFrom'] as [{ configMapRef: { name: string } }] | undefined)?.[0].configMapRef.name ?? ''
  const contentOf = (name: string): unknown => world.fake.object('v1', 'ConfigMap', `${NAMESPACE}/${nameIn(name)}`)?.['data']
  t.same(contentOf('cart-primary'), { COLOUR: 'green' })
  t.same(contentOf('cart-canary'), { COLOUR: 'red' })
  t.same(broken, [])
})

/** As Flagger leaves it: the primary with suffixed labels and configs, the target at 0, hashes of its own in the status. */
function flaggers(image: string, phase: 'Succeeded' | 'Failed' | 'Progressing'): readonly KubeObject[] {
  const [deployment, service, ...configs] = configuredCart() as readonly [Workload, KubeObject, ...KubeObject[]]
  const { template } = deployment.spec
  const containers = [{ ...template.spec.containers[0], image }]
  const primary = {
    ...deployment, metadata: { name: 'cart-primary', namespace: NAMESPACE, labels: { app: 'cart-primary' } },
    spec: {
      replicas: 2, selector: { matchLabels: { app: 'cart-primary' } },
      template: {
        metadata: { labels: { app: 'cart-primary' }, annotations: { 'flagger-id': '7c1f' } },
        spec: { ...template.spec, containers: [{ ...template.spec.containers[0], envFrom: [{ configMapRef: { name: 'settings-primary' } }] }], volumes: [{ name: 'keys', secret: { secretName: 'keys-primary' } }] },
      },
    },
  }
  const copies = configs.map((config) => ({ ...config, metadata: { ...config.metadata, name: `${config.metadata.name}-primary` } }))
  const status = { phase, lastAppliedSpec: '6d9f7f5d8c', lastPromotedSpec: '6d9f7f5d8c', canaryWeight: 0, failedChecks: 0, iterations: 0 }
  return [
    { ...deployment, spec: { ...deployment.spec, replicas: 0, template: { ...template, spec: { ...template.spec, containers } } } } as KubeObject,
    { ...service, spec: { ...(service['spec'] as object), selector: { app: 'cart-primary' } } }, primary as unknown as KubeObject, ...configs, ...copies,
    { ...canary(PROVIDER), status } as KubeObject,
  ]
}

test('a primary that Flagger left is adopted as it is, and no run starts of it', async (t) => {
  const { world, broken } = await startWith(flaggers('cart:1', 'Succeeded'))
  await world.run()
  t.equal(world.status().phase, 'Initialized')
  t.same(world.workload('cart-primary')?.spec.selector, { matchLabels: { app: 'cart-primary' } })
  t.same(serving(world), ['cart:1', 'cart:1'])
  t.equal(world.target().metadata.annotations?.[ANNOTATION_REPLICAS], '2')
  t.notOk(world.reasons().includes('CanaryStarted'))
  t.same(broken, [])
  world.setImage('cart:2')
  await world.run()
  t.same(serving(world), ['cart:2', 'cart:2'])
  t.same(broken, [])
})

test('a change that Flagger had under way is analysed anew, and not taken for what serves', async (t) => {
  const { world, broken } = await startWith(flaggers('cart:2', 'Progressing'))
  await world.run({ until: () => world.reasons().includes('CanaryInitialized') })
  t.same(serving(world), ['cart:1', 'cart:1'])
  await world.run()
  t.equal(world.status().phase, 'Succeeded')
  t.same(broken, [])
})

test('a change that Flagger rolled back is not tried again until somebody asks', async (t) => {
  const { world, broken } = await startWith(flaggers('cart:2', 'Failed'))
  await world.run()
  t.same(serving(world), ['cart:1', 'cart:1'])
  t.notOk(world.reasons().includes('CanaryStarted'))
  t.match(world.target().metadata.annotations?.['canarygate.dev/gate'], /^failed/)
  world.edit('Deployment', 'cart', (target) => ({ ...target, metadata: { ...target.metadata, annotations: { ...target.metadata.annotations, 'canarygate.dev/retry': 'fixed' } } }))
  await world.run()
  t.same(serving(world), ['cart:2', 'cart:2'])
  t.same(broken, [])
})

for (const revertOnDeletion of [true, false, undefined]) {
  test(`revertOnDeletion ${String(revertOnDeletion)}: deleted, the target serves what the primary served; made again, it recovers`, async (t) => {
    const spec = { ...PROVIDER.spec, ...(revertOnDeletion === undefined ? {} : { revertOnDeletion }) }
    const world = await worldWith([...cart(), canary({ spec })])
    world.setImage('cart:2')
    await world.run()
    world.fake.remove(CANARY)
    await world.run()
    t.same(serving(world), ['cart:2', 'cart:2'])
    t.notOk(world.workload('cart-primary'))
    t.match(world.target(), { spec: { replicas: 2 } })
    world.fake.seed(canary({ spec }))
    await world.run()
    t.equal(world.status().phase, 'Initialized')
    t.match(world.target(), { spec: { replicas: 0 } })
    world.setImage('cart:3')
    await world.run()
    t.same(serving(world), ['cart:3', 'cart:3'])
  })
}

test('a primary that outlived its Canary (--cascade=orphan) is not what serves, when a Canary comes again', async (t) => {
  const world = await worldWith([...cart(), canary(PROVIDER)])
  world.edit('Deployment', 'cart-primary', ({ metadata, ...object }) => ({ ...object, metadata: { ...metadata, ownerReferences: [] } }))
  world.fake.remove(CANARY)
  await world.run()
  t.equal(world.workload('cart-primary')?.spec.replicas, 0, 'it is retired')
  world.edit('Deployment', 'cart', (target) => ({ ...target, spec: { ...target.spec, template: { ...target.spec.template, spec: { containers: [{ ...target.spec.template.spec.containers[0], name: 'app', image: 'cart:2' }] } } } }))
  await world.run()
  t.same(serving(world), ['cart:2', 'cart:2'])
  world.fake.seed(canary(PROVIDER))
  await world.run()
  t.equal(world.status().phase, 'Initialized')
  t.same(serving(world), ['cart:2', 'cart:2'])
})

test('a Canary of a person\'s, applied over the agent\'s, meets no conflict', async (t) => {
  const world = await worldWith([gatedNamespace(), ...cart(), ingressRoute()])
  world.holdImage('cart:2')
  await world.run({ until: () => world.fake.object(CANARY.apiVersion, CANARY.kind, `${NAMESPACE}/cart`) !== undefined })
  await world.run()
  const theirs = canary({ spec: { provider: 'traefik' }, analysis: { interval: '30s', stepWeights: [10, 20] } })
  await world.fake.client.apply(theirs, { fieldManager: 'kubectl', force: false })
  t.match(world.canary().spec, { analysis: { interval: '30s', stepWeights: [10, 20] } })
})
