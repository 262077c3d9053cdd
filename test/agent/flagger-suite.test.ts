import t, { type Test } from 'tap'
import { FINALIZER, UNRECONCILED } from '#api/names.ts'
import type { KubeObject, Workload } from '#api/objects.ts'
import { controller, GATEWAY } from './gateway.ts'
import { canary, cart, createWorld, imageOf, NAMESPACE, TRAEFIK, worldWith, type World } from './world.ts'

/** What Flagger's own end-to-end suite asserts, where an API server in memory proves it; docs/compatibility.md has the other rows. */

const { test } = t
const CANARY = { apiVersion: 'flagger.app/v1beta1', kind: 'Canary', namespace: NAMESPACE, name: 'cart' } as const
const started = (world: World): number => world.reasons().filter((reason) => reason === 'CanaryStarted').length

/** The same cart with more metadata on its Deployment, behind a Service of another name. */
function labelled(): readonly KubeObject[] {
  const [deployment, service] = cart() as readonly [Workload, KubeObject]
  const metadata = {
    ...deployment.metadata,
    labels: { app: 'cart', 'app.kubernetes.io/name': 'cart', 'app.kubernetes.io/part-of': 'test-label-prefix', 'app.kubernetes.io/managed-by': 'Helm', 'kustomize.toolkit.fluxcd.io/name': 'apps' },
    annotations: { 'app.kubernetes.io/instance': 'test-annotation-prefix', 'reconcile.toolkit.fluxcd.io/requestedAt': '1', 'kubectl.kubernetes.io/last-applied-configuration': '{}' },
  }
  return [{ ...deployment, metadata }, { ...service, metadata: { ...service.metadata, name: 'cart-svc' } }]
}

async function behindItsOwnService(t: Test, service: (object: KubeObject) => KubeObject = (object) => object): Promise<World> {
  const [deployment, own] = labelled() as readonly [KubeObject, KubeObject]
  const spec = { provider: 'kubernetes', service: { name: 'cart-svc', port: 80, targetPort: 8080, portDiscovery: true } } as const
  const world = await worldWith([deployment, service(own), canary({ spec, analysis: { iterations: 5 } })])
  t.equal(world.status().phase, 'Initialized')
  return world
}

test('kubernetes/deployment: adopted behind a Service that is there, the generated ones marked for Flux, and promoted by Blue/Green', async (t) => {
  const world = await behindItsOwnService(t)
  for (const name of ['cart-svc-primary', 'cart-svc-canary']) t.match(world.service(name).metadata.annotations, UNRECONCILED, name)
  t.notMatch(JSON.stringify(world.service('cart-svc').metadata.annotations ?? {}), /toolkit/, 'the owner\'s is not marked: Flux goes on carrying its owner\'s edits, and the webhook keeps the selector')
  world.setImage('cart:2')
  await world.run()
  t.equal(world.status().phase, 'Succeeded')
  t.equal(imageOf(world.workload('cart-primary')), 'cart:2')
  t.equal(world.reasons().filter((reason) => reason === 'CanaryAdvanced').length, 5)
})

test('kubernetes/deployment: marks for Flux that the owner has set on the Service survive a whole life', async (t) => {
  const world = await behindItsOwnService(t, (object) => ({ ...object, metadata: { ...object.metadata, annotations: UNRECONCILED } }))
  t.match(world.service('cart-svc').metadata.annotations, UNRECONCILED)
  world.setImage('cart:2')
  await world.run()
  world.fake.remove(CANARY)
  await world.run()
  t.match(world.service('cart-svc').metadata.annotations, UNRECONCILED)
})

test('kubernetes/deployment: labels and annotations of the Deployment are the primary\'s, but for those by which tools know their own', async (t) => {
  const world = await behindItsOwnService(t)
  const primary = (): KubeObject['metadata'] | undefined => world.workload('cart-primary')?.metadata
  t.match(primary(), {
    labels: { 'app.kubernetes.io/name': 'cart', 'app.kubernetes.io/part-of': 'test-label-prefix', 'app.kubernetes.io/managed-by': 'canarygate' },
    annotations: { 'app.kubernetes.io/instance': 'test-annotation-prefix' },
  })
  t.notMatch(JSON.stringify(primary()), /toolkit\.fluxcd\.io|last-applied/)
  world.edit('Deployment', 'cart', (target) => ({ ...target, metadata: { ...target.metadata, labels: { ...target.metadata.labels, 'app.kubernetes.io/part-of': 'another' } } }), 'kubectl')
  await world.run()
  t.equal(started(world), 0, 'an edit of them is no release')
  world.setImage('cart:2')
  await world.run()
  t.equal(primary()?.labels?.['app.kubernetes.io/part-of'], 'another', 'and comes with the next')
})

test('kubernetes/daemonset: with revertOnDeletion the finalizer is there, and the deleted Canary leaves pods that are ready', async (t) => {
  const world = createWorld()
  const [deployment, service] = cart() as readonly [Workload, KubeObject]
  const { selector, template } = deployment.spec
  world.fake.seed({ apiVersion: 'apps/v1', kind: 'DaemonSet', metadata: deployment.metadata, spec: { selector, template } }, service)
  await world.run()
  const numberReady = (): unknown => world.fake.object<Workload>('apps/v1', 'DaemonSet', `${NAMESPACE}/cart`)?.status?.['numberReady']
  const before = numberReady()
  world.fake.seed(canary({ spec: { provider: 'kubernetes', revertOnDeletion: true, targetRef: { apiVersion: 'apps/v1', kind: 'DaemonSet', name: 'cart' } } }))
  await world.start()
  await world.run()
  t.equal(numberReady(), 0)
  t.ok(world.canary().metadata.finalizers?.includes(FINALIZER))
  world.fake.remove(CANARY)
  await world.run()
  t.notOk(world.fake.object(CANARY.apiVersion, CANARY.kind, `${NAMESPACE}/cart`))
  t.equal(numberReady(), before)
})

test('istio/skip-analysis: promoted without a check, and an image that there is not leaves the primary as it was', async (t) => {
  const spec = { provider: 'traefik', skipAnalysis: true, progressDeadlineSeconds: 60 } as const
  const world = await worldWith([...cart(), canary({ spec })], { isStarting: (image) => image !== 'potato:1' })
  world.setImage('cart:2')
  await world.run()
  t.equal(world.status().phase, 'Succeeded')
  t.equal(imageOf(world.workload('cart-primary')), 'cart:2')
  world.setImage('potato:1')
  await world.run()
  t.equal(world.status().phase, 'Failed')
  t.match(world.workload('cart-primary'), { spec: { replicas: 2, template: { spec: { containers: [{ image: 'cart:2' }] } } } })
  t.equal(world.readyBehind('cart').length, 2)
})

test('nginx/lifecycle: failed; back at the stable image nothing moves; the bad one again needs a word; a fixed one is promoted', async (t) => {
  let answersErrors = true
  const metrics = [{ name: 'request-success-rate', interval: '1m', thresholdRange: { min: 99 } }]
  const world = await worldWith([...cart(), canary({ spec: { provider: 'traefik' }, analysis: { stepWeights: [50], metrics } })], { metricsServer: 'http://prometheus.test' })
  world.metrics.prometheus = () => (answersErrors ? 60 : 100)
  const phases: string[] = []
  world.fake.onChange((object) => { if (object.kind === 'Canary') phases.push(world.status().phase ?? '') })
  world.setImage('cart:2')
  await world.run()
  t.equal(world.status().phase, 'Failed')

  const { generation } = world.workload('cart-primary')?.metadata ?? {}
  world.setImage('cart:1')
  await world.pass(15_000)
  t.equal(world.workload('cart-primary')?.metadata.generation, generation, 'the pods of the primary are the same')
  t.equal(world.status().phase, 'Failed')

  world.setImage('cart:2')
  await world.pass(50_000)
  t.equal(world.status().phase, 'Failed')
  t.equal(started(world), 1, 'where Flagger would try once more')
  t.match(world.events().join('\n'), /CanaryKnownBad: Revision \S+ of cart.shop was rolled back before and is not analysed again: canarygate.dev\/retry does that/)
  phases.length = 0
  world.annotate({ 'canarygate.dev/retry': 'it was the database' })
  await world.run()
  t.ok(phases.includes('Progressing'), 'asked for, it is analysed')
  t.equal(world.status().phase, 'Failed', 'and fails again')

  answersErrors = false
  world.edit('Deployment', 'cart', (target) => {
    const { template } = target.spec
    return { ...target, spec: { ...target.spec, template: { ...template, metadata: { ...template.metadata, annotations: { attempt: '2' } } } } }
  }, 'kubectl')
  await world.run()
  t.equal(world.status().phase, 'Succeeded')
  t.match(world.workload('cart-primary')?.spec.template, { metadata: { annotations: { attempt: '2' } }, spec: { containers: [{ image: 'cart:2' }] } })
})

for (const { provider, kind, apiVersion } of [{ provider: 'traefik', kind: 'TraefikService', apiVersion: TRAEFIK }, { provider: 'gatewayapi:v1', kind: 'HTTPRoute', apiVersion: GATEWAY }] as const) {
  test(`${provider}: the apex's labels and annotations are on the Service and on the ${kind}, and the Service selects the primary`, async (t) => {
    const [deployment] = cart() as readonly [KubeObject]
    const world = await worldWith([deployment])
    controller(world)
    const apex = { labels: { test: 'test-label' }, annotations: { test: 'test-annotation' } }
    world.fake.seed(canary({ spec: { provider, service: { port: 80, targetPort: 8080, apex, gatewayRefs: [{ name: 'edge' }] } } }))
    await world.run()
    t.equal(world.status().phase, 'Initialized')
    t.match(world.fake.object(apiVersion, kind, `${NAMESPACE}/cart`)?.metadata, apex)
    t.match(world.fake.object(apiVersion, kind, `${NAMESPACE}/cart`)?.metadata.annotations, UNRECONCILED)
    t.match(world.service('cart').metadata, apex)
    t.match(world.service('cart').metadata.annotations, UNRECONCILED)
    t.same(world.readyBehind('cart').map((pod) => pod.metadata.ownerReferences?.[0]?.name.startsWith('cart-primary')), [true, true])
  })
}

test('gatewayapi/bg: five rounds of a template metric with an old threshold, one with all requests, and promoted', async (t) => {
  const latency = {
    apiVersion: 'flagger.app/v1beta1', kind: 'MetricTemplate', metadata: { name: 'latency', namespace: NAMESPACE },
    spec: { provider: { type: 'prometheus', address: 'http://prometheus.test' }, query: 'latency{workload="{{ target }}"}' },
  }
  const world = await worldWith([...cart(), latency])
  controller(world)
  let asked = 0
  world.metrics.prometheus = (query) => {
    if (!query.startsWith('latency{workload="cart-canary"}')) return undefined
    asked += 1
    return 499
  }
  const metrics = [{ name: 'latency', templateRef: { name: 'latency' }, threshold: 500, interval: '1m' }]
  world.fake.seed(canary({ spec: { provider: 'gatewayapi:v1', service: { port: 80, targetPort: 8080, gatewayRefs: [{ name: 'edge' }] } }, analysis: { iterations: 5, metrics } }))
  await world.run()
  t.equal(asked, 1, 'when it is initialized, whether it can be')
  world.setImage('cart:2')
  await world.run()
  t.equal(world.status().phase, 'Succeeded')
  t.equal(imageOf(world.workload('cart-primary')), 'cart:2')
  t.equal(asked - 1, 6)
})

test('linkerd: a Canary whose target is not there yet keeps nobody else from being released, and is taken up when it comes', async (t) => {
  const world = await worldWith([...cart(), canary({ spec: { provider: 'traefik' }, analysis: { stepWeights: [10, 20, 30, 40, 50, 60], maxWeight: 50 } }), canary({ name: 'later', spec: { provider: 'traefik' } })])
  world.setImage('cart:2')
  await world.run()
  t.equal(world.status().phase, 'Succeeded')
  t.same(world.events().filter((event) => event.startsWith('CanaryAdvanced')).map((event) => event.split(' ').at(-1)), ['10', '20', '30', '40', '50', '60'], 'where there are stepWeights maxWeight says nothing')
  t.not(world.status('later').phase, 'Initialized')
  world.fake.seed(...cart({ name: 'later' }))
  await world.run()
  t.equal(world.status('later').phase, 'Initialized')
})
