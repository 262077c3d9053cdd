import t, { type Test } from 'tap'
import type { KubeObject } from '#api/objects.ts'
import type { FaultRule } from '../kube/fake/api.ts'
import { canary, cart, imageOf, NAMESPACE, worldWith, type World, type WorldOptions } from './world.ts'

/** What fails around a release, and how the release ends then: each row of docs/failures.md. */

const { test } = t
const deadline = { spec: { progressDeadlineSeconds: 60 } } as const

type End = { readonly phase: string; readonly promoted: string; readonly primary: string; readonly told: readonly string[] }

function ends(t: Test, world: World, { phase, promoted, primary, told }: End): void {
  const { conditions, canaryWeight } = world.status()
  t.match({ phase: world.status().phase, weight: canaryWeight, primary: imageOf(world.workload('cart-primary')) }, { phase, weight: 0, primary })
  t.match(conditions, [{ type: 'Promoted', status: promoted, reason: phase }])
  for (const reason of told) t.ok(world.reasons().includes(reason), `${reason} in ${world.reasons().join(' ')}`)
  t.equal(world.readyBehind('cart').length, 2, 'the apex has the pods that its owner asked for')
}

const released = async (settings: Parameters<typeof canary>[0], options: WorldOptions): Promise<World> => {
  const world = await worldWith([...cart(), canary(settings)], options)
  world.setImage('cart:2')
  return world
}

test('pods of the canary that never get ready: rolled back at the deadline', async (t) => {
  const world = await released(deadline, { isStarting: (image) => image !== 'cart:2' })
  await world.run()
  ends(t, world, { phase: 'Failed', promoted: 'False', primary: 'cart:1', told: ['CanaryNotReady', 'CanaryRolledBack'] })
})

for (const reason of ['CrashLoopBackOff', 'ImagePullBackOff']) {
  test(`pods in ${reason}: rolled back at the deadline, and the fault is in the words`, async (t) => {
    const world = await released(deadline, { isStarting: (image) => image !== 'cart:2' })
    await world.pass(2_000)
    for (const { metadata } of world.fake.objects('v1', 'Pod', NAMESPACE).filter((pod) => pod.metadata.labels?.['canarygate.dev/role'] === 'canary')) {
      const containerStatuses = [{ name: 'app', restartCount: 3, state: { waiting: { reason } } }]
      world.fake.edit({ apiVersion: 'v1', kind: 'Pod', namespace: NAMESPACE, name: metadata.name }, (pod) => ({ ...pod, status: { ...(pod['status'] as object), containerStatuses } }) as KubeObject)
    }
    await world.run()
    ends(t, world, { phase: 'Failed', promoted: 'False', primary: 'cart:1', told: ['CanaryNotReady', 'CanaryRolledBack'] })
    t.ok(world.events().some((event) => event.includes(`container app is in ${reason}`)), world.events().join('\n'))
    t.match(world.target().metadata.annotations?.['canarygate.dev/gate'], /^failed: /, 'who waits with rollout status hears of it')
  })
}

test('a promotion whose pods never get ready: the primary gets its template back', async (t) => {
  const world = await released(deadline, { isStarting: (image, owner) => !(image === 'cart:2' && owner.startsWith('cart-primary')) })
  await world.run()
  ends(t, world, { phase: 'Failed', promoted: 'False', primary: 'cart:1', told: ['CanaryPromotionFailed'] })
  t.equal(world.workload('cart-canary')?.spec.replicas, 0)
})

for (const { name, act, promoted } of [
  { name: 'held until it is whole', act: () => {}, promoted: false },
  { name: 'a promotion is the way past it', act: (world: World) => world.annotate({ 'canarygate.dev/promote': 'the fix for it' }), promoted: true },
]) {
  test(`a primary that is broken beforehand: ${name}`, async (t) => {
    let isBroken = false
    const world = await worldWith([...cart(), canary(deadline)], { isStarting: (image, owner) => !(isBroken && image === 'cart:1' && owner.startsWith('cart-primary')) })
    isBroken = true
    await world.pass(5_000)
    world.setImage('cart:2')
    await world.pass(90_000)
    t.match(world.status(), { phase: 'Initialized', canaryWeight: 0 })
    t.ok(world.reasons().includes('CanaryPrimaryNotReady'), world.reasons().join(' '))
    act(world)
    if (!promoted) isBroken = false
    await world.run()
    ends(t, world, { phase: 'Succeeded', promoted: 'True', primary: 'cart:2', told: ['CanarySucceeded'] })
  })
}

/** Calls that a rule names fail until the answer is called. */
function failing(world: World, rule: FaultRule): () => void {
  let isOver = false
  world.fake.faults.on((call) => (isOver ? undefined : rule(call)))
  return () => { isOver = true }
}

for (const { name, rule, spec, phase } of [
  { name: 'a quota, or a namespace that is being terminated, refuses the canary\'s Deployment', spec: {}, phase: 'Initialized', rule: (({ verb, kind, name: of }) => (verb === 'apply' && kind === 'Deployment' && of === 'cart-canary' ? '403' : undefined)) as FaultRule },
  { name: 'the router\'s definitions are missing', spec: { provider: 'traefik' }, phase: 'Progressing', rule: (({ verb, kind }) => (verb === 'apply' && kind === 'TraefikService' ? '404' : undefined)) as FaultRule },
] as const) {
  test(`${name}: told once, tried again, and others go on`, async (t) => {
    const world = await worldWith([...cart(), canary({ spec }), ...cart({ name: 'till', image: 'till:1' }), canary({ name: 'till' })])
    const mend = failing(world, rule)
    world.setImage('cart:2')
    world.setImage('till:2', 'till')
    await world.pass(120_000)
    t.equal(world.events().filter((event) => event.startsWith('CanaryNotReconciled: ')).length, 1, world.events().join('\n'))
    t.match([world.status('cart').phase, world.status('cart').canaryWeight], [phase, 0])
    t.equal(world.status('till').phase, 'Succeeded')
    t.equal(world.readyBehind('cart').length, 2)
    mend()
    await world.run()
    ends(t, world, { phase: 'Succeeded', promoted: 'True', primary: 'cart:2', told: ['CanarySucceeded'] })
  })
}

for (const provider of ['kubernetes', 'traefik'] as const) {
  test(`${provider}: a target deleted in mid-run: its canary gets no more requests and goes, the primary serves on`, async (t) => {
    const world = await released({ spec: { provider } }, {})
    await world.run({ until: () => world.status().canaryWeight === 50 })
    world.fake.remove({ apiVersion: 'apps/v1', kind: 'Deployment', namespace: NAMESPACE, name: 'cart' })
    await world.pass(60_000)
    ends(t, world, { phase: 'Failed', promoted: 'False', primary: 'cart:1', told: ['CanaryRollingBack', 'CanaryTargetMissing'] })
    t.equal(world.workload('cart-canary')?.spec.replicas, 0)
    t.match(world.readyBehind('cart').map(({ metadata }) => metadata.name), [/^cart-primary-/, /^cart-primary-/])
  })
}

for (const fault of ['timeout', '500', '429'] as const) {
  test(`an API server that answers every call with ${fault} for a minute: nothing moves, and then it goes on`, async (t) => {
    const world = await released({}, {})
    await world.run({ until: () => world.status().canaryWeight === 50 })
    const mend = failing(world, ({ verb }) => (verb === 'watch' ? undefined : fault))
    await world.pass(60_000)
    t.equal(world.status().canaryWeight, 50)
    mend()
    await world.run()
    ends(t, world, { phase: 'Succeeded', promoted: 'True', primary: 'cart:2', told: ['CanarySucceeded'] })
    t.notOk(world.reasons().includes('CanaryNotReconciled'), 'nobody could have been told')
  })
}

test('a process that was stopped for an hour goes on where it was', async (t) => {
  const world = await released({}, {})
  await world.run({ until: () => world.status().canaryWeight === 50 })
  world.clock.stall(3_600_000)
  await world.run()
  ends(t, world, { phase: 'Succeeded', promoted: 'True', primary: 'cart:2', told: ['CanarySucceeded'] })
})
