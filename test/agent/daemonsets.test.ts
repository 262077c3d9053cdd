import t from 'tap'
import { LABEL_ROLE, SCALE_TO_ZERO } from '#api/names.ts'
import type { KubeObject, Workload } from '#api/objects.ts'
import { canary, cart, createWorld, imageOf, NAMESPACE, type World } from './world.ts'

const { test } = t

const daemonSet = (world: World, name = 'cart'): Workload | undefined => world.fake.object<Workload>('apps/v1', 'DaemonSet', `${NAMESPACE}/${name}`)
const isAway = (set: Workload | undefined): boolean => (set?.spec.template.spec['nodeSelector'] as Readonly<Record<string, string>> | undefined)?.[SCALE_TO_ZERO] === 'true'
const setImage = (world: World, image: string): void => world.fake.edit({ apiVersion: 'apps/v1', kind: 'DaemonSet', namespace: NAMESPACE, name: 'cart' }, (object) => {
  const { spec } = object as Workload
  return { ...object, spec: { ...spec, template: { ...spec.template, spec: { ...spec.template.spec, containers: [{ ...spec.template.spec.containers[0], image }] } } } } as unknown as KubeObject
})

async function adopted(provider: 'traefik' | 'kubernetes'): Promise<World> {
  const world = createWorld({ isStarting: (image) => image !== 'cart:bad' })
  const [deployment, ...others] = cart() as readonly [Workload, ...KubeObject[]]
  const { selector, template } = deployment.spec
  world.fake.seed({ apiVersion: 'apps/v1', kind: 'DaemonSet', metadata: deployment.metadata, spec: { selector, template } }, ...others)
  await world.run()
  world.fake.seed(canary({ spec: { provider, progressDeadlineSeconds: 60, targetRef: { apiVersion: 'apps/v1', kind: 'DaemonSet', name: 'cart' } } }))
  await world.start()
  await world.run()
  return world
}

for (const provider of ['traefik', 'kubernetes'] as const) {
  test(`${provider}: a DaemonSet is adopted, and released as often as one likes`, async (t) => {
    const world = await adopted(provider)
    t.equal(world.status().phase, 'Initialized')
    t.ok(isAway(daemonSet(world)))
    for (const image of ['cart:2', 'cart:3']) {
      setImage(world, image)
      await world.run({ until: () => world.status().canaryWeight === 50 })
      t.notOk(isAway(daemonSet(world, 'cart-canary')), 'the canary has pods again')
      await world.run()
      t.equal(world.status().phase, 'Succeeded', image)
      t.equal(imageOf(daemonSet(world, 'cart-primary')), image)
      t.ok(isAway(daemonSet(world, 'cart-canary')))
      t.same(world.service('cart').spec.selector, { app: 'cart', [LABEL_ROLE]: 'primary' })
    }
  })

  test(`${provider}: a DaemonSet whose pods never get ready is rolled back, and deletion gives it what the primary serves`, async (t) => {
    const world = await adopted(provider)
    setImage(world, 'cart:bad')
    await world.run()
    t.equal(world.status().phase, 'Failed')
    t.equal(imageOf(daemonSet(world, 'cart-primary')), 'cart:1')
    t.ok(isAway(daemonSet(world, 'cart-canary')))
    world.fake.remove({ apiVersion: 'flagger.app/v1beta1', kind: 'Canary', namespace: NAMESPACE, name: 'cart' })
    await world.run()
    t.equal(imageOf(daemonSet(world)), 'cart:1')
    t.notOk(isAway(daemonSet(world)))
    t.notOk(daemonSet(world, 'cart-primary'))
    t.same(world.service('cart').spec.selector, { app: 'cart' })
  })
}
