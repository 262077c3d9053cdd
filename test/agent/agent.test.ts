import t from 'tap'
import { ANNOTATION_GATE, ANNOTATION_REPLICAS, ANNOTATION_RESTARTED_AT, ANNOTATION_STABLE } from '#api/names.ts'
import type { Workload } from '#api/objects.ts'
import { canary, cart, createWorld, failCall, gatedNamespace, imageOf, ingressRoute, NAMESPACE, TRAEFIK, worldWith, type World } from './world.ts'

const { test } = t

const PROMETHEUS = 'http://prometheus.test'
const success = { name: 'request-success-rate', interval: '1m', thresholdRange: { min: 99 } } as const
const judged = { analysis: { metrics: [success] }, spec: { metricsServer: PROMETHEUS } } as const
const adopted = (more: Parameters<typeof canary>[0] = {}, options: Parameters<typeof worldWith>[1] = {}): Promise<World> => worldWith([...cart(), canary(more)], options)

const serving = (world: World, service = 'cart') => world.readyBehind(service).map((pod) => `${pod.metadata.labels?.['canarygate.dev/role'] ?? 'target'} ${imageOf({ spec: { template: pod } } as unknown as Workload)}`).toSorted()
const summary = (world: World) => ({ phase: world.status().phase, weight: world.status().canaryWeight, primary: imageOf(world.workload('cart-primary')), target: imageOf(world.target()), behindApex: serving(world) })
const phaseIs = (world: World, phase: string) => (): boolean => world.status().phase === phase
const ofKind = (world: World, kind: string) => world.fake.writes().filter((call) => call.kind === kind)

test('a Canary for a serving target: the primary takes over, then the target gives its pods up', async (t) => {
  const world = await adopted()
  t.same(summary(world), { phase: 'Initialized', weight: 0, primary: 'cart:1', target: 'cart:1', behindApex: ['primary cart:1', 'primary cart:1'] })
  t.match(world.target(), { metadata: { annotations: { [ANNOTATION_REPLICAS]: '2', [ANNOTATION_GATE]: 'passed' } }, spec: { replicas: 0 } })
  t.same(world.reasons(), ['CanaryInitialized'])
})

test('a metrics server that cannot be asked is told when the Canary is initialized or edited, not when an agent starts', async (t) => {
  const world = createWorld()
  world.metrics.prometheus = () => 'down'
  world.fake.seed(...cart(), canary(judged))
  await world.start()
  await world.run()
  const told = () => world.events().filter((event) => event.startsWith('CanaryMetricUnavailable'))
  t.equal(world.status().phase, 'Initialized')
  t.match(told(), [/^CanaryMetricUnavailable: Metric request-success-rate cannot be asked: .*ECONNREFUSED.* A rollout is held until it can\.$/])
  const { length } = world.metrics.requests
  world.crash()
  await world.start()
  await world.run()
  t.equal(world.metrics.requests.length, length, 'nobody is asked again')
  world.metrics.prometheus = () => 100
  world.edit('Canary', 'cart', (object) => ({ ...object, spec: { ...object.spec, analysis: { ...object.spec.analysis, threshold: 7 } } }))
  await world.run()
  t.equal(world.metrics.requests.length, length + 1)
  t.equal(told().length, 1)
})

test('a primary that never gets ready leaves the target as it was, and the Canary says why', async (t) => {
  const world = createWorld({ isStarting: (_, owner) => !owner.startsWith('cart-primary') })
  world.fake.seed(...cart(), canary({ spec: { progressDeadlineSeconds: 60 } }))
  await world.start()
  await world.pass(120_000)
  t.match(world.target(), { spec: { replicas: 2 } })
  t.same(serving(world), ['target cart:1', 'target cart:1'])
  t.match(world.events().at(-1), /CanaryPrimaryNotReady: cart-primary.shop not ready/)
})

test('a change that is held before adoption: the old template is adopted, then the new one is analysed', async (t) => {
  const world = await worldWith(cart())
  world.holdImage('cart:2')
  world.fake.seed(canary())
  await world.run({ until: phaseIs(world, 'Progressing') })
  t.same(summary(world), { phase: 'Progressing', weight: 0, primary: 'cart:1', target: 'cart:2', behindApex: ['primary cart:1', 'primary cart:1'] })
  await world.run()
  t.same(summary(world), { phase: 'Succeeded', weight: 0, primary: 'cart:2', target: 'cart:2', behindApex: ['primary cart:2', 'primary cart:2'] })
  t.notOk(world.target().spec.paused)
  t.notOk(world.target().metadata.annotations?.[ANNOTATION_STABLE])
})

test('a held change in a gated namespace gets a Canary written, and runs', async (t) => {
  const world = await worldWith([gatedNamespace(), ...cart(), ingressRoute()])
  world.holdImage('cart:2')
  await world.run()
  t.match(world.canary(), { spec: { provider: 'traefik', service: { name: 'cart', port: 80 }, gate: { generated: true } } })
  t.same(summary(world), { phase: 'Succeeded', weight: 0, primary: 'cart:2', target: 'cart:2', behindApex: ['primary cart:2', 'primary cart:2'] })
  t.equal(world.reasons()[0], 'CanaryCreated')
})

test('a Canary of the owner\'s may follow a held change for 10 s, before one is written', async (t) => {
  const held = async (): Promise<World> => {
    const world = await worldWith([gatedNamespace(), ...cart(), ingressRoute()])
    world.holdImage('cart:2')
    await world.pass(9_800)
    t.same(world.fake.objects('flagger.app/v1beta1', 'Canary'), [])
    return world
  }
  const left = await held()
  await left.pass(400)
  t.match(left.canary(), { spec: { gate: { generated: true } } })

  const followed = await held()
  followed.fake.seed(canary())
  await followed.run({ until: phaseIs(followed, 'Succeeded') })
  t.equal(followed.canary().spec.gate?.generated, undefined)
  t.notOk(followed.reasons().includes('CanaryCreated'))
})

test('a workload of a gated namespace that nothing routes to is let through, and that is told', async (t) => {
  const [deployment] = cart()
  const world = await worldWith([gatedNamespace(), ...(deployment ? [deployment] : [])])
  world.holdImage('cart:2')
  await world.run()
  t.match(world.target(), { metadata: { annotations: { [ANNOTATION_GATE]: 'passed' } }, spec: { replicas: 2 } })
  t.notOk(world.target().spec.paused)
  t.match(world.events(), [/CanaryGateSkipped: .* no Service in namespace shop selects/])
  t.same(world.fake.objects('flagger.app/v1beta1', 'Canary'), [])
})

test('a Canary that may not be written keeps the change held, and that is told with the reason', async (t) => {
  const world = await worldWith([gatedNamespace(), ...cart(), ingressRoute()])
  world.fake.faults.on(({ verb, kind }) => (verb === 'create' && kind === 'Canary' ? '422' : undefined))
  world.holdImage('cart:2')
  await world.run({ until: () => world.events().length > 0 })
  t.match(world.target(), { metadata: { annotations: { [ANNOTATION_GATE]: 'pending' } }, spec: { paused: true } })
  t.match(world.events().join(), /CanaryNotWritten: .*stays held.*injected 422/)
})

test('nobody touches a workload of a gated namespace before it is changed', async (t) => {
  const world = await worldWith([gatedNamespace(), ...cart()])
  t.same(world.fake.writes(), [])
})

for (const provider of ['kubernetes', 'traefik'] as const) {
  test(`${provider}: a change is analysed, promoted, and its pods serve`, async (t) => {
    const world = await adopted({ spec: { provider } })
    world.setImage('cart:2')
    await world.run({ until: () => world.status().canaryWeight === 50 })
    t.ok(world.readyBehind('cart-canary').length > 0)
    await world.run()
    t.same(summary(world), { phase: 'Succeeded', weight: 0, primary: 'cart:2', target: 'cart:2', behindApex: ['primary cart:2', 'primary cart:2'] })
    t.equal(world.workload('cart-canary')?.spec.replicas, 0)
    t.equal(world.target().metadata.annotations?.[ANNOTATION_GATE], 'passed')
  })
}

test('traefik: an IngressRoute of the user\'s is split in place and stands as written afterwards', async (t) => {
  const world = await worldWith([...cart(), ingressRoute(), canary({ spec: { provider: 'traefik' } })])
  const written = world.fake.object(TRAEFIK, 'IngressRoute', `${NAMESPACE}/cart`)?.['spec']
  t.same(written, ingressRoute()['spec'], 'at rest nothing of it is changed')
  world.setImage('cart:2')
  await world.run({ until: () => world.status().canaryWeight === 50 })
  t.match(world.fake.object(TRAEFIK, 'IngressRoute', `${NAMESPACE}/cart`), { spec: { routes: [{ services: [{ name: 'cart-primary', weight: 50 }, { name: 'cart-canary', weight: 50 }] }] } })
  await world.run()
  t.same(world.fake.object(TRAEFIK, 'IngressRoute', `${NAMESPACE}/cart`)?.['spec'], written)
})

test('thresholds asked of Prometheus roll back, and the primary is untouched', async (t) => {
  const world = await adopted(judged)
  world.metrics.prometheus = () => 61.39
  const before = world.workload('cart-primary')?.metadata.generation
  world.setImage('cart:2')
  await world.run()
  t.same(summary(world), { phase: 'Failed', weight: 0, primary: 'cart:1', target: 'cart:2', behindApex: ['primary cart:1', 'primary cart:1'] })
  t.equal(world.workload('cart-primary')?.metadata.generation, before)
  t.match(world.target().metadata.annotations?.[ANNOTATION_GATE], /^failed: /)
  t.ok(world.events().includes('CanaryThresholdReached: Rolling back cart.shop failed checks threshold reached 2'))
})

test('Prometheus that cannot be asked holds the weight and rolls nothing back', async (t) => {
  const world = await adopted(judged)
  world.metrics.prometheus = () => 'down'
  world.setImage('cart:2')
  await world.pass(120_000)
  t.match(world.status(), { phase: 'Progressing', canaryWeight: 50, failedChecks: 0 })
  world.metrics.prometheus = () => 100
  await world.run()
  t.match(summary(world), { phase: 'Succeeded', primary: 'cart:2' })
})

test('no data counts as a failed check', async (t) => {
  const world = await adopted(judged)
  world.setImage('cart:2')
  await world.run()
  t.match(summary(world), { phase: 'Failed', primary: 'cart:1' })
  t.match(world.events().find((text) => text.startsWith('CanaryCheckFailed')), /no values found/)
})

test('the judge reads the pods\' own pages and rolls a worse canary back before a threshold could', async (t) => {
  const world = await adopted({ spec: { gate: { judge: { mode: 'enforce' } } }, analysis: { interval: '10m', threshold: 5 } })
  const begun = world.clock.now()
  world.metrics.page = (pod) => {
    const served = Math.round((world.clock.now() - begun) / 10)
    const failed = pod.metadata.labels?.['canarygate.dev/role'] === 'canary' ? Math.round(served * 0.3) : 0
    return `# TYPE http_requests_total counter\nhttp_requests_total{code="200"} ${served - failed}\nhttp_requests_total{code="500"} ${failed}\n`
  }
  world.setImage('cart:2')
  await world.run()
  t.match(summary(world), { phase: 'Failed', weight: 0, primary: 'cart:1' })
  t.ok(world.reasons().includes('CanaryProvedWorse'))
  t.ok(world.clock.now() - begun < 120_000, `${world.clock.now() - begun} ms`)
})

test('an equal canary is not rolled back by the judge', async (t) => {
  const world = await adopted({ spec: { gate: { judge: { mode: 'enforce' } } }, analysis: { interval: '1m', threshold: 5 } })
  const begun = world.clock.now()
  world.metrics.page = () => {
    const served = Math.round((world.clock.now() - begun) / 10)
    return `# TYPE http_requests_total counter\nhttp_requests_total{code="200"} ${served - Math.round(served / 100)}\nhttp_requests_total{code="500"} ${Math.round(served / 100)}\n`
  }
  world.setImage('cart:2')
  await world.run()
  t.match(summary(world), { phase: 'Succeeded', primary: 'cart:2' })
  t.match(world.status().gate?.traffic, { requestsPerSecond: Number, failureRate: 0.01 }, 'what it saw is there for the next one')
})

/** Milliseconds from the first weight to the rollback of a canary that fails three times as often as the primary. */
async function timeToProof(disturb?: (world: World) => Promise<void>): Promise<{ readonly ms: number; readonly world: World }> {
  const world = await adopted({ spec: { gate: { judge: { mode: 'enforce' } } }, analysis: { interval: '15s', threshold: 5, stepWeight: 2, maxWeight: 40 } })
  const begun = world.clock.now()
  world.metrics.page = (pod) => {
    const served = Math.round((world.clock.now() - begun) / 10)
    const failed = Math.round(served * (pod.metadata.labels?.['canarygate.dev/role'] === 'canary' ? 0.011 : 0.005))
    return `# TYPE http_requests_total counter\nhttp_requests_total{code="200"} ${served - failed}\nhttp_requests_total{code="500"} ${failed}\n`
  }
  world.setImage('cart:2')
  await world.run({ until: () => world.status().canaryWeight === 2 })
  const from = world.clock.now()
  if (disturb) {
    await world.pass(80_000)
    if (world.status().phase !== 'Progressing') throw new Error('it was proved before it could be disturbed')
    await disturb(world)
  }
  await world.run()
  return { ms: world.reasons().includes('CanaryProvedWorse') ? world.clock.now() - from : Infinity, world }
}

test('evidence costs no writes of its own in steps of a minute', async (t) => {
  const world = await adopted({ spec: { gate: { judge: { mode: 'enforce' } } }, analysis: { interval: '1m', threshold: 5, stepWeight: 10, maxWeight: 50 } })
  const begun = world.clock.now()
  world.metrics.page = () => `# TYPE http_requests_total counter\nhttp_requests_total{code="200"} ${Math.round((world.clock.now() - begun) / 10)}\n`
  world.setImage('cart:2')
  const statusWrites = () => ofKind(world, 'Canary').filter(({ subresource }) => subresource === 'status').length
  const counts: number[] = []
  for (const weight of [10, 20, 30, 40, 50]) {
    await world.run({ until: () => world.status().canaryWeight === weight })
    counts.push(statusWrites())
  }
  t.match(world.status().gate?.judge, { verdict: /./, words: /./, state: /./ })
  const perStep = counts.slice(1).map((count, i) => count - (counts[i] ?? 0))
  t.ok(Math.max(...perStep) <= 2, perStep.join())
  await world.run()
  t.match(world.status(), { phase: 'Succeeded', gate: { judge: { verdict: /./, memory: /./ } } })
  t.equal(world.status().gate?.judge?.state, undefined, 'the evidence goes with the run')
})

test('an agent that takes over in mid-run goes on with the evidence', async (t) => {
  const undisturbed = await timeToProof()
  const crashed = await timeToProof(async (world) => {
    world.crash()
    await world.pass(1_000)
  })
  t.ok(undisturbed.ms < Infinity)
  t.ok(crashed.world.lines.some(({ msg }) => msg === 'the evidence of the run was taken over'))
  t.ok(crashed.ms < undisturbed.ms + 25_000, `${crashed.ms} ms, undisturbed ${undisturbed.ms} ms`)
  const forgetful = await timeToProof(async (world) => {
    world.crash()
    world.edit('Canary', 'cart', (canary) => ({ ...canary, status: { ...canary.status, gate: { ...canary.status?.gate, judge: {} } } }))
    await world.pass(1_000)
  })
  t.ok(forgetful.ms > undisturbed.ms + 40_000, `without it ${forgetful.ms} ms`)
})

test('a restart restarts the primary, without an analysis', async (t) => {
  const world = await adopted()
  const at = '2026-01-01T01:00:00Z'
  world.edit('Deployment', 'cart', (target: Workload) => ({ ...target, spec: { ...target.spec, template: { ...target.spec.template, metadata: { ...target.spec.template.metadata, annotations: { [ANNOTATION_RESTARTED_AT]: at } } } } }))
  await world.run()
  t.equal(world.workload('cart-primary')?.spec.template.metadata?.annotations?.[ANNOTATION_RESTARTED_AT], at)
  t.equal(world.status().phase, 'Initialized')
  t.equal(world.readyBehind('cart').length, 2)
  t.same(world.reasons(), ['CanaryInitialized', 'CanaryPrimaryRestarted'])
})

test('a scale of the target reaches the primary, and the target has no pods again', async (t) => {
  const world = await adopted()
  await world.fake.client.patch({ apiVersion: 'apps/v1', kind: 'Deployment', namespace: NAMESPACE, name: 'cart' }, { spec: { replicas: 5 } }, 'merge', { subresource: 'scale' })
  await world.run()
  t.match(world.target(), { metadata: { annotations: { [ANNOTATION_REPLICAS]: '5' } }, spec: { replicas: 0 } })
  t.equal(world.workload('cart-primary')?.spec.replicas, 5)
  t.equal(world.readyBehind('cart').length, 5)
})

test('another revision in mid-run starts a fresh analysis, and only the last is promoted', async (t) => {
  const world = await adopted()
  world.setImage('cart:2')
  await world.run({ until: () => world.status().canaryWeight === 50 })
  world.setImage('cart:3')
  await world.run()
  t.match(summary(world), { phase: 'Succeeded', primary: 'cart:3', behindApex: ['primary cart:3', 'primary cart:3'] })
  t.ok(world.reasons().includes('CanaryRestarted'))
})

test('abort takes the weight back, once, and its annotation goes', async (t) => {
  const world = await adopted({ analysis: { interval: '5m' } })
  world.setImage('cart:2')
  await world.run({ until: () => world.status().canaryWeight === 50 })
  world.annotate({ 'canarygate.dev/abort': 'too slow', 'canarygate.dev/abort-by': 'alice' })
  await world.run()
  t.match(summary(world), { phase: 'Failed', weight: 0, primary: 'cart:1' })
  t.notOk(world.canary().metadata.annotations?.['canarygate.dev/abort'])
  t.equal(world.events().filter((text) => /aborted by alice: too slow/.test(text)).length, 1)
})

test('a deleted Canary gives the target back: it serves, and nothing of ours is left on it', async (t) => {
  for (const provider of ['kubernetes', 'traefik'] as const) {
    const world = await worldWith([...cart(), ingressRoute(), canary({ spec: { provider } })])
    world.fake.remove({ apiVersion: 'flagger.app/v1beta1', kind: 'Canary', namespace: NAMESPACE, name: 'cart' })
    await world.run()
    t.same(world.fake.objects('flagger.app/v1beta1', 'Canary'), [])
    t.same(serving(world), ['target cart:1', 'target cart:1'])
    t.same(Object.keys(world.target().metadata.annotations ?? {}).filter((key) => key.startsWith('canarygate.dev/')), [])
    t.same(world.service('cart').spec.selector, { app: 'cart' })
    t.equal(world.workload('cart-primary'), undefined)
    t.same(world.fake.object(TRAEFIK, 'IngressRoute', `${NAMESPACE}/cart`)?.['spec'], ingressRoute()['spec'])
  }
})

test('a Canary deleted in mid-run leaves the stable revision serving, never the unfinished one', async (t) => {
  const world = await adopted({ spec: { provider: 'traefik' }, analysis: { interval: '5m' } })
  world.setImage('cart:2')
  await world.run({ until: () => world.status().canaryWeight === 50 })
  world.fake.remove({ apiVersion: 'flagger.app/v1beta1', kind: 'Canary', namespace: NAMESPACE, name: 'cart' })
  await world.run()
  t.same(serving(world), ['target cart:1', 'target cart:1'])
})

test('a change that slipped by the webhook in a gated namespace is told', async (t) => {
  const world = await worldWith([gatedNamespace(), ...cart()])
  world.edit('Deployment', 'cart', (target: Workload) => ({ ...target, spec: { ...target.spec, template: { ...target.spec.template, spec: { containers: [{ name: 'app', image: 'cart:2' }] } } } }))
  await world.run()
  t.same(world.events(), ['CanaryGateMissed: cart.shop was changed while CanaryGate\'s webhook was not reached: this revision rolls out ungated'])
})

test('a change of an adopted target that slipped by the webhook is analysed all the same', async (t) => {
  const world = await adopted()
  world.edit('Deployment', 'cart', (target: Workload) => ({ ...target, spec: { ...target.spec, template: { ...target.spec.template, spec: { containers: [{ name: 'app', image: 'cart:2' }] } } } }))
  await world.run()
  t.match(summary(world), { phase: 'Succeeded', primary: 'cart:2' })
  t.notOk(world.reasons().includes('CanaryGateMissed'))
})

test('what others make of selectors and routes is put right', async (t) => {
  const world = await adopted({ spec: { provider: 'traefik' } })
  world.edit('Service', 'cart', (service) => ({ ...service, spec: { ...service.spec, selector: { app: 'cart' } } }))
  world.edit('Service', 'cart-primary', (service) => ({ ...service, spec: { ...service.spec, selector: { app: 'other' } } }))
  world.edit('TraefikService', 'cart', (service) => ({ ...service, spec: { weighted: { services: [{ name: 'cart-canary', port: 80, weight: 100 }] } } }))
  await world.run()
  t.match(world.service('cart').spec.selector, { 'canarygate.dev/role': 'primary' })
  t.match(world.service('cart-primary').spec.selector, { app: 'cart', 'canarygate.dev/role': 'primary' })
  t.match(world.fake.object(TRAEFIK, 'TraefikService', `${NAMESPACE}/cart`), { spec: { weighted: { services: [{ name: 'cart-primary', weight: 100 }] } } })
})

test('fields of others on the target and on its Service survive a whole life', async (t) => {
  const world = await adopted()
  world.edit('Service', 'cart', (service) => ({ ...service, metadata: { ...service.metadata, annotations: { 'team/owner': 'green' } }, spec: { ...service.spec, sessionAffinity: 'ClientIP' } }), 'helm')
  world.edit('Deployment', 'cart', (target: Workload) => ({ ...target, metadata: { ...target.metadata, annotations: { ...target.metadata.annotations, 'team/owner': 'green' } } }), 'helm')
  world.setImage('cart:2')
  await world.run()
  world.fake.remove({ apiVersion: 'flagger.app/v1beta1', kind: 'Canary', namespace: NAMESPACE, name: 'cart' })
  await world.run()
  t.match(world.service('cart'), { metadata: { annotations: { 'team/owner': 'green' } }, spec: { sessionAffinity: 'ClientIP', selector: { app: 'cart' } } })
  t.match(world.target(), { metadata: { annotations: { 'team/owner': 'green' }, labels: { team: 'green' } }, spec: { replicas: 2 } })
  t.same(serving(world), ['target cart:2', 'target cart:2'])
})

test('one Canary\'s broken provider does not touch another', async (t) => {
  const world = await worldWith([...cart(), ...cart({ name: 'till', image: 'till:1' }), canary()])
  world.fake.seed(canary({ name: 'till', spec: { provider: 'smi:v9' as 'kubernetes' } }))
  world.setImage('cart:2')
  await world.run({ until: phaseIs(world, 'Succeeded') })
  t.match(summary(world), { phase: 'Succeeded', primary: 'cart:2' })
  t.match(world.status('till'), { phase: undefined, conditions: [{ type: 'Reconciled', status: 'False', message: /smi:v9 is not known; use one of kubernetes/ }] })
  t.same(serving(world, 'till'), ['target till:1', 'target till:1'])
  t.ok(world.lines.some(({ msg, err }) => msg === 'turn failed' && /smi:v9 is not known/.test(JSON.stringify(err))))
})

test('nothing changed: nothing is written and nothing is asked', async (t) => {
  for (const provider of ['kubernetes', 'traefik'] as const) {
    const world = await adopted({ ...judged, spec: { ...judged.spec, provider } })
    world.metrics.prometheus = () => 100
    for (const image of ['', 'cart:2']) {
      if (image) world.setImage(image)
      await world.run()
      world.fake.clearCalls()
      world.metrics.requests.length = 0
      await world.pass(200_000)
      // Watches are taken up again at their ends, all 5 to 10 minutes.
      t.same(world.fake.calls.filter(({ verb }) => verb !== 'watch'), [], `${provider} ${image}`)
      t.same(world.metrics.requests, [])
    }
  }
})

test('looking again at everything writes nothing either', async (t) => {
  for (const provider of ['kubernetes', 'traefik'] as const) {
    const world = await worldWith([...cart(), ingressRoute(), canary({ spec: { provider } })])
    world.setImage('cart:2')
    await world.run()
    world.crash()
    world.fake.clearCalls()
    await world.run()
    t.same(world.fake.writes(), [], provider)
  }
})

test('the status is written upon what was read: whoever wrote in between is not overwritten', async (t) => {
  const world = await adopted()
  const release = world.holdWatch('Canary')
  world.edit('Canary', 'cart', (object) => ({ ...object, spec: { ...object.spec, analysis: { ...object.spec.analysis, stepWeights: [20] } } }))
  world.setImage('cart:2')
  await world.pass(100)
  t.ok(world.lines.some(({ msg }) => msg === 'conflict'))
  t.equal(world.status().phase, 'Initialized', 'nothing is decided upon a stale copy')
  release()
  await world.run()
  t.match(summary(world), { phase: 'Succeeded', primary: 'cart:2' })
  for (const { body } of ofKind(world, 'Canary').filter(({ subresource }) => subresource === 'status')) t.ok((body as Workload).metadata.resourceVersion)
})

test('a watch that lags does not make it decide twice', async (t) => {
  const world = await adopted()
  const release = world.holdWatch('Canary')
  const told = world.lines.length
  world.setImage('cart:2')
  await world.pass(4_000)
  t.match(world.status(), { phase: 'Progressing', canaryWeight: 50 }, 'it goes on upon what it has saved itself')
  release()
  await world.run()
  t.same(world.reasons().filter((reason) => /Started|Starting|Promoting|Succeeded/.test(reason)), ['CanaryStarted', 'CanaryAnalysisStarting', 'CanaryPromoting', 'CanarySucceeded'])
  t.notOk(world.lines.slice(told).some(({ msg }) => msg === 'conflict'))
})

test('a watch of the routes that lags does not keep the weight where it was', async (t) => {
  const world = await worldWith([...cart(), canary({ spec: { provider: 'traefik' }, analysis: { stepWeights: [20, 50], interval: '60s' } })])
  const weights = (): readonly unknown[] => (world.fake.object(TRAEFIK, 'TraefikService', `${NAMESPACE}/cart`)?.['spec'] as { readonly weighted: { readonly services: readonly { readonly weight: number }[] } } | undefined)?.weighted.services.map(({ weight }) => weight) ?? []
  const release = world.holdWatch('TraefikService')
  world.setImage('cart:2')
  await world.run({ until: () => world.status().canaryWeight === 20 })
  t.same(weights(), [80, 20])
  world.annotate({ 'canarygate.dev/abort': 'too slow' })
  await world.run({ until: () => world.status().phase === 'Failed' })
  t.same(weights(), [100], 'although the caches still say that it never had any')
  t.notOk(world.reasons().includes('CanaryRoutesChanged'), 'and its own doing is nobody else\'s')
  release()
  await world.run()
  t.equal(world.workload('cart-canary')?.spec.replicas, 0)
})

test('every event of a run is told once', async (t) => {
  const world = await adopted()
  world.setImage('cart:2')
  await world.run()
  t.same(world.events(), [
    'CanaryInitialized: Initialization done! cart.shop',
    'CanaryStarted: New revision detected! Scaling up cart.shop',
    'CanaryAnalysisStarting: Starting canary analysis for cart.shop',
    'CanaryAdvanced: Advance cart.shop canary weight 50',
    'CanaryPromoting: Copying cart.shop template spec to cart-primary.shop',
    'CanaryRouted: Routing all traffic to primary',
    'CanarySucceeded: Promotion completed! Scaling down cart.shop',
  ])
})

test('an agent that lost the lead in mid-turn writes nothing more', async (t) => {
  const world = await adopted()
  let writes = 0
  world.fake.faults.on(({ verb }) => {
    if (!['get', 'list', 'watch'].includes(verb)) writes += 1
    if (writes === 1) world.loseLead()
    return undefined
  })
  world.setImage('cart:2')
  await world.pass(60_000)
  t.equal(writes, 1)
  t.equal(world.status().phase, 'Initialized')
})

test('a new agent takes an interrupted run to its end', async (t) => {
  const world = await adopted()
  world.setImage('cart:2')
  await world.run({ until: () => world.status().canaryWeight === 50 })
  world.crash()
  await world.run()
  t.match(summary(world), { phase: 'Succeeded', primary: 'cart:2' })
})

test('a target whose change was let go of while no agent ran is gated when one comes', async (t) => {
  const world = await worldWith([gatedNamespace(), ...cart()])
  world.crash()
  world.holdImage('cart:2')
  await world.run()
  t.match(summary(world), { phase: 'Succeeded', primary: 'cart:2' })
})

test('a failed call is tried again', async (t) => {
  const world = await adopted()
  const { hit } = failCall(world, 0, '500')
  world.setImage('cart:2')
  await world.run()
  t.equal(hit(), 'create ControllerRevision cart-1a26d671dc5')
  t.match(summary(world), { phase: 'Succeeded', primary: 'cart:2' })
})

test('a person who sets both the image and the replicas gets both', async (t) => {
  const world = await adopted()
  world.setImage('cart:2')
  world.edit('Deployment', 'cart', (target: Workload) => ({ ...target, metadata: { ...target.metadata, annotations: { ...target.metadata.annotations, [ANNOTATION_REPLICAS]: '4' } } }))
  await world.run()
  t.match(summary(world), { phase: 'Succeeded', primary: 'cart:2' })
  t.equal(world.readyBehind('cart').length, 4)
})

test('a deleted target keeps its primary serving, and a deleted Canary then goes', async (t) => {
  const world = await adopted()
  world.fake.remove({ apiVersion: 'apps/v1', kind: 'Deployment', namespace: NAMESPACE, name: 'cart' })
  await world.run()
  t.same(serving(world), ['primary cart:1', 'primary cart:1'])
  t.match(world.events().at(-1), /CanaryTargetMissing/)
  world.fake.remove({ apiVersion: 'flagger.app/v1beta1', kind: 'Canary', namespace: NAMESPACE, name: 'cart' })
  await world.run()
  t.same(world.fake.objects('flagger.app/v1beta1', 'Canary'), [])
})
