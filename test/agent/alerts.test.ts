import { readdir, readFile } from 'node:fs/promises'
import t from 'tap'
import type { KubeObject, Workload } from '#api/objects.ts'
import { canary, cart, gatedNamespace, NAMESPACE, worldWith, type World, type WorldOptions } from './world.ts'

/** Whoever is alerted hears of every end of a run, and of everything that holds one. */

const { test } = t

type Row = {
  readonly name: string
  readonly canary?: Parameters<typeof canary>[0]
  readonly options?: WorldOptions
  /** After the release has begun and `until` holds. */
  readonly until?: (world: World) => boolean
  readonly act?: (world: World) => void
  /** The last of the alerts. */
  readonly told: readonly string[]
}

const hasWeight = (world: World): boolean => world.status().canaryWeight === 50
const remove = (world: World, kind: 'Canary' | 'Deployment', name = 'cart'): void =>
  world.fake.remove({ apiVersion: kind === 'Canary' ? 'flagger.app/v1beta1' : 'apps/v1', kind, namespace: NAMESPACE, name })
const metrics = [{ name: 'request-success-rate', interval: '10s', thresholdRange: { min: 99 } }]
const prometheus = { metricsServer: 'http://prometheus.test:9090' }
const answering = (answer: number | 'down') => (world: World): void => { world.metrics.prometheus = () => answer }

const rows: readonly Row[] = [
  { name: 'a good release', told: ['info CanaryStarted', 'info CanarySucceeded'] },
  { name: 'failed checks', canary: { analysis: { metrics } }, options: prometheus, until: hasWeight, act: answering(90), told: ['info CanaryStarted', 'error CanaryThresholdReached'] },
  { name: 'a metric source that is away', canary: { analysis: { metrics } }, options: prometheus, until: hasWeight, act: answering('down'), told: ['info CanaryStarted', 'warn CanaryMetricUnavailable'] },
  { name: 'pods that never get ready', canary: { spec: { progressDeadlineSeconds: 30 } }, options: { isStarting: (image) => image !== 'cart:2' }, told: ['info CanaryStarted', 'error CanaryNotReady'] },
  {
    name: 'a promotion whose pods never get ready', canary: { spec: { progressDeadlineSeconds: 30 } }, options: { isStarting: (image, owner) => image !== 'cart:2' || !owner.startsWith('cart-primary') },
    told: ['info CanaryStarted', 'error CanaryPromotionFailed'],
  },
  { name: 'an abort', until: hasWeight, act: (world) => world.annotate({ 'canarygate.dev/abort': 'too slow' }), told: ['info CanaryStarted', 'warn CanaryRollingBack'] },
  { name: 'a way back to the stable revision', until: hasWeight, act: (world) => world.setImage('cart:1'), told: ['info CanaryStarted', 'warn CanaryAborted'] },
  { name: 'another revision in mid-run', until: hasWeight, act: (world) => world.setImage('cart:3'), told: ['info CanaryStarted', 'info CanaryRestarted', 'info CanarySucceeded'] },
  { name: 'a target deleted in mid-run', until: hasWeight, act: (world) => remove(world, 'Deployment'), told: ['info CanaryStarted', 'error CanaryRollingBack', 'warn CanaryTargetMissing'] },
  { name: 'a Canary deleted in mid-run', until: hasWeight, act: (world) => remove(world, 'Canary'), told: ['info CanaryStarted', 'warn CanaryTerminating'] },
  { name: 'a canary deleted by others', until: hasWeight, act: (world) => remove(world, 'Deployment', 'cart-canary'), told: ['info CanaryStarted', 'warn CanaryWorkloadLost', 'info CanarySucceeded'] },
  { name: 'a target scaled to nothing in mid-run', until: hasWeight, act: (world) => world.edit('Deployment', 'cart', (target: Workload) => ({ ...target, metadata: { ...target.metadata, annotations: { ...target.metadata.annotations, 'canarygate.dev/replicas': '0' } } })), told: ['info CanaryStarted', 'info CanaryHalted'] },
  { name: 'a run that is suspended', canary: { spec: { suspend: true } }, told: ['info CanarySuspended'] },
  { name: 'a pause', until: hasWeight, act: (world) => world.annotate({ 'canarygate.dev/pause': 'lunch' }), told: ['info CanaryStarted', 'info CanaryPaused'] },
  { name: 'an analysis without steps', canary: { analysis: { stepWeights: [], stepWeight: 0, maxWeight: 0 } }, told: ['info CanaryStarted', 'warn CanaryHalted'] },
]

for (const { name, canary: settings, options, until, act, told } of rows) {
  test(`${name}: ${told.at(-1)}`, async (t) => {
    const world = await worldWith([...cart(), canary(settings)], options)
    answering(100)(world)
    world.setImage('cart:2')
    if (until) await world.run({ until: () => until(world) })
    act?.(world)
    await world.pass(60_000)
    t.same(world.alerts.filter((alert) => !alert.endsWith('CanaryInitialized')), told, world.events().join('\n'))
  })
}

test('a decision that cannot be done, which may be a rollback, is told', async (t) => {
  const world = await worldWith([...cart(), canary({ spec: { provider: 'traefik' } })])
  world.fake.faults.on(({ verb, kind }) => (verb === 'apply' && kind === 'TraefikService' ? '403' : undefined))
  world.setImage('cart:2')
  await world.pass(60_000)
  t.same(world.alerts.slice(-2), ['info CanaryStarted', 'error CanaryNotReconciled'])
})

test('a revision that was rolled back and is requested again is told', async (t) => {
  const world = await worldWith([...cart(), canary({ spec: { progressDeadlineSeconds: 30 } })], { isStarting: (image) => image !== 'cart:2' })
  world.setImage('cart:2')
  await world.run()
  world.setImage('cart:1')
  await world.pass(15_000)
  world.setImage('cart:2')
  await world.run()
  t.same(world.alerts.slice(-2), ['error CanaryNotReady', 'warn CanaryKnownBad'])
})

test('a run that waits for approval when a revision known as bad takes its place: told as well', async (t) => {
  const webhooks = [{ name: 'start', type: 'confirm-rollout' as const, url: 'http://gate.test/' }]
  const world = await worldWith([...cart(), canary({ spec: { progressDeadlineSeconds: 30 } })], { isStarting: (image) => image !== 'cart:2' })
  world.setImage('cart:2')
  await world.run()
  world.edit('Canary', 'cart', (object) => ({ ...object, spec: { ...object.spec, analysis: { ...object.spec.analysis, webhooks } } }))
  world.setImage('cart:3')
  await world.run({ until: () => world.status().phase === 'Waiting' })
  await world.pass(15_000)
  world.setImage('cart:2')
  await world.pass(5_000)
  t.match(world.status(), { phase: 'Failed' })
  t.same(world.alerts.slice(-2), ['warn CanaryAwaitingApproval', 'warn CanaryKnownBad'])
})

test('a change of a target that cannot be gated, or whose Canary is refused, is alerted', async (t) => {
  const [deployment] = cart()
  const unrouted = await worldWith([gatedNamespace(), deployment as KubeObject])
  unrouted.holdImage('cart:2')
  await unrouted.pass(15_000)
  t.same(unrouted.alerts, ['warn CanaryGateSkipped'])
  const refused = await worldWith([gatedNamespace(), ...cart()])
  refused.fake.faults.on(({ verb, kind }) => (verb === 'create' && kind === 'Canary' ? '403' : undefined))
  refused.holdImage('cart:2')
  await refused.pass(60_000)
  t.same(refused.alerts, ['warn CanaryNotWritten'], 'once, however often it is tried')
})

test('every event has a line for whoever is on call', async (t) => {
  const files = await Promise.all(['src/rollout', 'src/agent'].map(async (folder) => (await readdir(folder)).map((name) => `${folder}/${name}`)))
  const texts = await Promise.all(files.flat().map((file) => readFile(file, 'utf8')))
  const given = new Set(texts.flatMap((text) => [...text.matchAll(/(?:normal|warning|closedGate)\('(\w+)'|reason: '((?:Canary|Hook|Primary)[A-Z]\w+)'/g)].map(([, one, other]) => one ?? other ?? '')))
  t.ok(given.size > 50, `${given.size} reasons`)
  const page = await readFile('docs/operations.md', 'utf8')
  t.same([...given].filter((reason) => !page.includes(`\`${reason}\``)), [])
})

test('a change that slipped by the webhook is alerted, with or without a Canary', async (t) => {
  const slip = (world: World): void => world.edit('Deployment', 'cart', (target: Workload) => ({ ...target, spec: { ...target.spec, template: { ...target.spec.template, spec: { containers: [{ name: 'app', image: 'cart:2' }] } } } }))
  const world = await worldWith([gatedNamespace(), ...cart()])
  slip(world)
  await world.run()
  t.same(world.alerts, ['warn CanaryGateMissed'])
})
