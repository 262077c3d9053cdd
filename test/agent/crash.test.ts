import t from 'tap'
import type { Canary } from '#api/canary.ts'
import type { KubeObject, Service, Workload } from '#api/objects.ts'
import type { Fault } from '../kube/fake/api.ts'
import { canary, cart, configuredCart, createWorld, failCall, imageOf, ingressRoute, NAMESPACE, readyBehind, TRAEFIK, type World } from './world.ts'

/**
 * At each API call of a rollout the call fails once, or the agent dies right after it: the end is the same, and at no moment on the way is a promise broken.
 * EVERY_FAULT=1 tries all faults at each call; otherwise each call meets one of them, by turns.
 */

const { test } = t
const FAULTS = ['conflict', '500', 'timeout', 'applied-without-answer'] as const satisfies readonly Fault[]
const isThorough = process.env['EVERY_FAULT'] === '1'
const WANTED = 2
/** What a Service's rules, and Traefik, need at least until they follow (ms). */
const SETTLE_MS = 2_000
const CANARY = { apiVersion: 'flagger.app/v1beta1', kind: 'Canary', namespace: NAMESPACE, name: 'cart' } as const

type Scenario = {
  readonly name: string
  readonly objects: readonly KubeObject[]
  /** Undisturbed: up to the moment at which the trouble begins. */
  readonly before: (world: World) => Promise<void>
  /** What people do then. */
  readonly act?: (world: World) => void | Promise<void>
  /** Whether the primary may ever run the new image. */
  readonly isPromoted: boolean
  readonly metrics?: number
}

const judged = { spec: { metricsServer: 'http://prometheus.test' }, analysis: { threshold: 1, metrics: [{ name: 'request-success-rate', thresholdRange: { min: 99 } }] } } as const
const remove = (world: World): void => world.fake.remove(CANARY)
const adopt = (world: World): Promise<void> => world.run()
const toWeight = async (world: World): Promise<void> => {
  await world.run()
  world.setImage('cart:2')
  await world.run({ until: () => world.status().canaryWeight === 50 })
}

const scenarios: readonly Scenario[] = [
  ...(['traefik', 'kubernetes'] as const).flatMap((provider): readonly Scenario[] => [
    {
      name: `${provider}: adoption and promotion`, objects: [...cart(), canary({ spec: { provider } })], before: async () => {}, isPromoted: true,
      act: async (world) => {
        await world.run({ until: () => world.status().phase === 'Initialized' })
        world.setImage('cart:2')
      },
    },
    {
      name: `${provider}: rollback`, objects: [...cart(), canary({ ...judged, spec: { ...judged.spec, provider } })], before: adopt, isPromoted: false, metrics: 50,
      act: (world) => world.setImage('cart:2'),
    },
    { name: `${provider}: deletion`, objects: [...cart(), canary({ spec: { provider } })], before: adopt, act: remove, isPromoted: false },
  ]),
  {
    name: 'traefik, the user\'s IngressRoute: a held change, adoption and promotion', objects: [...cart(), ingressRoute(), canary({ spec: { provider: 'traefik' } })], isPromoted: true,
    before: async () => {}, act: (world) => world.holdImage('cart:2'),
  },
  { name: 'traefik: deletion in mid-run', objects: [...cart(), canary({ spec: { provider: 'traefik' }, analysis: { interval: '5m' } })], before: toWeight, act: remove, isPromoted: false },
  {
    name: 'traefik, a baseline: deletion in mid-run', objects: [...cart(), canary({ spec: { provider: 'traefik', gate: { baseline: {} } }, analysis: { stepWeights: [50], interval: '5m' } })],
    before: toWeight, act: remove, isPromoted: false,
  },
  {
    name: 'kubernetes: another revision in mid-run', objects: [...cart(), canary({ spec: { provider: 'kubernetes' } })], before: toWeight, isPromoted: true,
    act: (world) => world.setImage('cart:3'),
  },
  {
    name: 'traefik: a template with a ConfigMap and a Secret, of which one changes with the image', objects: [...configuredCart(), canary({ spec: { provider: 'traefik' } })],
    before: adopt, isPromoted: true,
    act(world) {
      world.fake.edit({ apiVersion: 'v1', kind: 'ConfigMap', namespace: NAMESPACE, name: 'settings' }, (object) => ({ ...object, data: { COLOUR: 'red' } }))
      world.setImage('cart:2')
    },
  },
]

type Trouble = { readonly crashAfter: number } | { readonly index: number; readonly fault: Fault } | { readonly storm: number }
type Outcome = { readonly end: unknown; readonly broken: readonly string[]; readonly calls: number; readonly hit: string | undefined; readonly events: readonly string[]; readonly claimed: readonly string[] }

async function play(scenario: Scenario, trouble?: Trouble): Promise<Outcome> {
  const world = createWorld()
  world.metrics.prometheus = () => scenario.metrics ?? 100
  world.fake.seed(...scenario.objects.filter(({ kind }) => kind !== 'Canary'))
  await world.run()
  world.fake.seed(...scenario.objects.filter(({ kind }) => kind === 'Canary'))
  await world.start()
  const broken = watchPromises(world, scenario)
  await scenario.before(world)
  world.fake.clearCalls()
  const hit = trouble && 'fault' in trouble ? failCall(world, trouble.index, trouble.fault).hit : () => undefined
  if (trouble && 'crashAfter' in trouble) world.crashAfter(trouble.crashAfter + 1)
  const calm = trouble && 'storm' in trouble ? brew(world, trouble.storm) : () => {}
  await scenario.act?.(world)
  await world.run({ until: () => world.clock.now() > STORM_ENDS_AT }).catch(() => {})
  calm()
  await world.run()
  const { calls } = world.fake
  return {
    end: endOf(world), broken, calls: calls.filter(({ verb }) => verb !== 'watch').length, events: world.events(), claimed: claimedOf(world),
    hit: hit() ?? (world.starts() > 1 ? `${world.starts() - 1} crashes` : undefined),
  }
}

const STORM_ENDS_AT = Date.UTC(2026, 0, 1, 0, 5)
/** Of calls that fail, and of calls after which the agent dies. */
const STORM = { faults: 0.2, crashes: 0.04 } as const

/** Bad weather, the same for the same number: many calls fail and agents die, until the answer is called. */
function brew(world: World, number: number): () => void {
  let state = number * 2_654_435_761
  const draw = (): number => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    return state / 2 ** 32
  }
  return world.fake.faults.on(({ verb, kind }) => {
    if (verb === 'watch') return undefined
    if (verb !== 'list' && draw() < STORM.crashes) world.crash()
    return kind !== 'Event' && draw() < STORM.faults ? FAULTS[Math.floor(draw() * FAULTS.length)] : undefined
  })
}

/** What was broken on the way: looked for after every change of whoever. */
function watchPromises(world: World, scenario: Scenario): readonly string[] {
  const { fake } = world
  const broken: string[] = []
  let hadWeight = false
  let reached: ReadonlySet<string> = new Set()
  const reachedAt = new Map<string, number>()
  const workloads = new Map<string, { readonly replicas: number; readonly image: string | undefined }>()
  const say = (what: string): void => { if (!broken.includes(what)) broken.push(what) }
  fake.onChange((object) => {
    if (object.kind === 'Event' || object.kind === 'EndpointSlice' || object.kind === 'ReplicaSet' || object.kind === 'ControllerRevision') return
    const behindApex = readyBehind(fake, 'cart')
    if (behindApex.length < WANTED) say(`the apex has ${behindApex.length} ready pods after ${object.kind} ${object.metadata.name}`)
    for (const { name, weight = 1 } of backends(fake.objects(TRAEFIK, 'TraefikService'), fake.objects(TRAEFIK, 'IngressRoute'))) {
      if (weight > 0 && readyBehind(fake, name).length < (name === 'cart-canary' ? 1 : WANTED)) say(`weight ${weight} on ${name}, which has too few ready pods`)
      if (weight > 0 && name === 'cart-canary') checkCanary(readyBehind(fake, name))
    }
    const selector = fake.object<Service>('v1', 'Service', `${NAMESPACE}/cart`)?.spec.selector ?? {}
    const isUnaware = selector['canarygate.dev/role'] === undefined && selector['canarygate.dev/target'] === undefined
    if (isUnaware && behindApex.some(({ metadata }) => metadata.labels?.['canarygate.dev/role'] === 'canary')) say('the apex selects by the user\'s labels while a canary runs')
    checkCanary(behindApex.filter(({ metadata }) => metadata.labels?.['canarygate.dev/role'] === 'canary'))
    checkSettled(object)
    const { canaryWeight = 0 } = world.status()
    hadWeight ||= canaryWeight > 0
    const primary = imageOf(world.workload('cart-primary'))
    if (primary !== undefined && primary !== 'cart:1' && !(scenario.isPromoted && hadWeight)) say(`the primary runs ${primary}, which is neither stable nor analysed`)
  })
  /** Pods that requests may still be on their way to stay: routers follow their objects late. */
  function checkSettled(object: KubeObject): void {
    const now = world.clock.now()
    for (const role of reached) reachedAt.set(role, now)
    const pods = [...readyBehind(fake, 'cart'), ...backends(fake.objects(TRAEFIK, 'TraefikService'), fake.objects(TRAEFIK, 'IngressRoute')).flatMap(({ name, weight = 1 }) => (weight > 0 ? readyBehind(fake, name) : []))]
    reached = new Set(pods.map(({ metadata }) => metadata.labels?.['canarygate.dev/role'] ?? 'target'))
    if (object.kind !== 'Deployment') return
    const role = object.metadata.labels?.['canarygate.dev/role'] ?? 'target'
    const stored = world.workload(object.metadata.name)
    const next = { replicas: stored?.spec.replicas ?? 0, image: imageOf(stored) }
    const old = workloads.get(role)
    workloads.set(role, next)
    // The user's labels alone select target and primary alike: there, pods go as in any rolling update.
    if (role === 'primary') return
    const isEmptied = (old?.replicas ?? 0) > 0 && (next.replicas === 0 || (role === 'canary' && next.image !== old?.image))
    if (isEmptied && now - (reachedAt.get(role) ?? 0) < SETTLE_MS) say(`the pods of the ${role} go ${now - (reachedAt.get(role) ?? 0)} ms after the last request to them`)
  }
  function checkCanary(pods: readonly KubeObject[]): void {
    const images = pods.map((pod) => imageOf({ spec: { template: pod } } as unknown as Workload) ?? '')
    if (new Set(images).size > 1) say(`requests reach canaries of several revisions: ${images.join(', ')}`)
    if (images.includes('cart:1')) say('requests reach a canary of the stable revision')
  }
  return broken
}

type Backend = { readonly name: string; readonly weight?: number }
const backends = (services: readonly KubeObject[], routes: readonly KubeObject[]): readonly Backend[] => [
  ...services.flatMap((service) => (service['spec'] as { weighted?: { services?: Backend[] } }).weighted?.services ?? []),
  ...routes.flatMap((route) => (route['spec'] as { routes: { services: Backend[] }[] }).routes.flatMap((rule) => rule.services)),
]

/** The cluster at the end, without what tells when or by whom. */
function endOf({ fake }: World): unknown {
  const named = <T extends KubeObject>(apiVersion: string, kind: string, project: (object: T) => unknown) =>
    Object.fromEntries(fake.objects<T>(apiVersion, kind, NAMESPACE).map((object) => [`${kind} ${object.metadata.name}`, project(object)]))
  const meta = ({ metadata: { labels, annotations, finalizers, ownerReferences } }: KubeObject) => ({ labels, annotations: annotations ?? {}, finalizers, owners: (ownerReferences ?? []).map(({ kind, name }) => `${kind} ${name}`) })
  return {
    ...named<Workload>('apps/v1', 'Deployment', (object) => ({ ...meta(object), spec: object.spec })),
    ...named<Service>('v1', 'Service', (object) => ({ ...meta(object), spec: object.spec })),
    ...named('apps/v1', 'ControllerRevision', (object) => object['data']),
    ...named('v1', 'ConfigMap', (object) => ({ ...meta(object), data: object['data'] })),
    ...named('v1', 'Secret', (object) => ({ ...meta(object), data: object['data'] })),
    ...named(TRAEFIK, 'TraefikService', (object) => ({ ...meta(object), spec: object['spec'] })),
    ...named(TRAEFIK, 'IngressRoute', (object) => ({ ...meta(object), spec: object['spec'] })),
    ...named<Canary>(CANARY.apiVersion, 'Canary', (object) => {
      const { gate = {}, conditions, lastTransitionTime: _, ...status } = object.status ?? {}
      const { changedAt: __, routesAt: ___, readyAt: ____, ...timeless } = gate
      return { ...meta(object), status, gate: timeless, conditions: conditions?.map(({ type, status: is, reason }) => `${type} ${is} ${reason}`) }
    }),
  }
}

/** Objects of the user's whose spec counts as ours: the next `kubectl apply --server-side` would end in a conflict. */
function claimedOf({ fake }: World): readonly string[] {
  const users = [fake.object('apps/v1', 'Deployment', `${NAMESPACE}/cart`), fake.object('v1', 'Service', `${NAMESPACE}/cart`), fake.object(TRAEFIK, 'IngressRoute', `${NAMESPACE}/cart`)]
  return users.flatMap((object) => {
    const { managedFields = [] } = (object?.metadata ?? {}) as { readonly managedFields?: readonly { readonly manager?: string; readonly fieldsV1?: object }[] }
    return object && managedFields.some(({ manager, fieldsV1 }) => manager === 'canarygate' && fieldsV1 && 'f:spec' in fieldsV1) ? [`${object.kind} is claimed`] : []
  })
}

/** Decisions that may be told once only, however often they had to be tried. */
const DECISIONS = /^Canary(Initialized|Started|Restarted|AnalysisStarting|Promoting|Succeeded|ThresholdReached|RolledBack|Terminating|Terminated):/
const timesTold = (events: readonly string[]): ReadonlyMap<string, number> => {
  const times = new Map<string, number>()
  for (const event of events.filter((text) => DECISIONS.test(text))) {
    const [, text = event, count = '1'] = /^(.*) \(x(\d+)\)$/.exec(event) ?? []
    times.set(text, (times.get(text) ?? 0) + Number(count))
  }
  return times
}
let crashes = 0
let faults = 0
let storms = 0
const STORMS = Number(process.env['STORMS'] ?? 2)

for (const [offset, scenario] of scenarios.entries()) {
  test(scenario.name, async (t) => {
    const undisturbed = await play(scenario)
    t.same(undisturbed.broken, [], 'no promise is broken without any trouble')
    const troubles: Trouble[] = Array.from({ length: undisturbed.calls }, (_, index) => index).flatMap((index): Trouble[] => [
      { crashAfter: index },
      ...FAULTS.filter((_, at) => isThorough || at === (index + offset) % FAULTS.length).map((fault) => ({ index, fault })),
    ])
    const once = timesTold(undisturbed.events)
    for (const trouble of [...troubles, ...Array.from({ length: STORMS }, (_, at) => ({ storm: at * scenarios.length + offset + 1 }))]) {
      const what = 'fault' in trouble ? `call ${trouble.index} fails: ${trouble.fault}` : 'storm' in trouble ? `storm ${trouble.storm}` : `crash after call ${trouble.crashAfter}`
      const outcome = await play(scenario, trouble).catch((err: unknown) => ({ end: String(err), broken: [], hit: undefined, events: [], claimed: [] }))
      const twice = [...timesTold(outcome.events)].filter(([text, times]) => times > (once.get(text) ?? 1)).map(([text, times]) => `told ${times} times: ${text}`)
      const wrong = ['storm' in trouble || outcome.hit ? [] : ['nothing happened'], outcome.broken, twice, outcome.claimed].flat()
      if (JSON.stringify(outcome.end) !== JSON.stringify(undisturbed.end)) t.same(outcome.end, undisturbed.end, `${what}: same end (${outcome.hit ?? ''})`)
      if (wrong.length > 0) t.fail(`${what} (${outcome.hit ?? ''})`, { wrong })
      if ('fault' in trouble) faults += 1
      else if ('storm' in trouble) storms += 1
      else crashes += 1
    }
    t.pass(`${troubles.length} troubles`)
  })
}

t.teardown(() => { t.comment(`${crashes} crash points, ${faults} faults at calls, ${storms} storms, ${scenarios.length} scenarios`) })
