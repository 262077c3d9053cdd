import type { Http } from '#api/http.ts'
import { pino } from 'pino'
import { createAgent, type Agent } from '#agent/agent.ts'
import type { Canary, CanaryAnalysis, CanaryStatus } from '#api/canary.ts'
import { ANNOTATION_GATE, ANNOTATION_REVISION, ANNOTATION_STABLE, LABEL_GATE } from '#api/names.ts'
import type { KubeObject, ObjectRef, PodTemplate, Service, Workload } from '#api/objects.ts'
import { revisionOf } from '#api/revision.ts'
import type { WatchEvent } from '#kube/answers.ts'
import type { KubeClient, WatchOptions } from '#kube/client.ts'
import type { After } from '#kube/clock.ts'
import { createEventRecorder } from '#kube/events.ts'
import { createFakeKube, type FakeKube } from '../fake-kube.ts'
import type { FaultRule } from '../kube/fake/api.ts'
import { createFakeClock, type FakeClock } from '../kube/fake-clock.ts'
import type { LogLine } from '../kube/log-lines.ts'

/** A cluster in memory with a real agent in it: only time, pods, metrics pages and faults are made up. */
export type World = {
  readonly fake: FakeKube
  readonly clock: FakeClock
  /** Log lines of all agents that ever ran. */
  readonly lines: readonly LogLine[]
  /** Starts an agent and gives it the lead; the one that ran is not asked. */
  start(): Promise<void>
  /** The agent is gone from one moment to the next: nothing that it had under way goes on. */
  crash(): void
  /** After this many calls from now (list included, watches not) the agent crashes: the last one arrives, its answer is never used. */
  crashAfter(calls: number): void
  isAlive(): boolean
  /** How many agents there have been. */
  starts(): number
  /** The agent loses its Lease and knows it. */
  loseLead(): void
  agent(): Agent
  /** Time passes, as far as there is something to wait for, until nothing is left to do or `until` holds. Rejects after `limitMs`. */
  run(options?: { readonly until?: () => boolean; readonly limitMs?: number }): Promise<void>
  /** A stretch of time passes, whether something happens or not. */
  pass(milliseconds: number): Promise<void>
  /** The agent's watches of a kind bring nothing until the answer is called. */
  holdWatch(kind: string): () => void
  readonly metrics: Metrics
  /** `severity reason`, as whoever is alerted for all gets them. */
  readonly alerts: readonly string[]
  target(name?: string): Workload
  workload(name: string): Workload | undefined
  service(name: string): Service
  canary(name?: string): Canary
  status(name?: string): CanaryStatus
  /** Ready pods that a Service selects. */
  readyBehind(service: string): readonly KubeObject[]
  /** `reason: message` of each Event, with its count where it is more than one, in the order in which they were told. */
  events(): readonly string[]
  reasons(): readonly string[]
  edit(kind: 'Deployment' | 'Canary' | 'Service' | 'TraefikService' | 'IngressRoute', name: string, change: (object: Editable) => unknown, manager?: string): void
  /** What `kubectl set image` ends in, with what the webhook adds to it. */
  setImage(image: string, name?: string): void
  /** As `setImage`, on a target that is not adopted: paused, with the stable revision beside it. */
  holdImage(image: string, name?: string): void
  annotate(annotations: Readonly<Record<string, string>>, name?: string): void
}

/** Whatever is edited: each test knows the fields of its kind. */
type Editable = Canary & Service & Workload

/** What pods and Prometheus answer. */
export type Metrics = {
  /** By built-in query or its beginning: a number, or a fault. Absent: an empty vector. */
  prometheus: (query: string) => number | 'down' | undefined
  /** A pod's page by the pod's name. */
  page: (pod: KubeObject) => string | undefined
  readonly requests: string[]
}

export type WorldOptions = {
  readonly defaultProvider?: string
  readonly metricsServer?: string
  readonly defaultAnalysis?: CanaryAnalysis
  readonly podStartMs?: number
  /** This agent's share; all when left out. */
  readonly leads?: (key: string) => boolean
  /** Receivers of hooks: whatever is sent to the host `hooks`. */
  readonly hooks?: Http
  /** Whether pods of an image get ready. */
  readonly isStarting?: (image: string, owner: string) => boolean
}

export const NAMESPACE = 'shop'
const ALERTS = 'http://alerts.test/'
const APPS = 'apps/v1'
const FLAGGER = 'flagger.app/v1beta1'
export const TRAEFIK = 'traefik.io/v1alpha1'
/** Routers whose kinds the fake serves: an unserved one is asked for every 30 s, and time would never stand still. */
const ROUTER_KINDS = [
  [TRAEFIK, 'IngressRoute'], [TRAEFIK, 'TraefikService'], ['traefik.containo.us/v1alpha1', 'IngressRoute'], ['traefik.containo.us/v1alpha1', 'TraefikService'],
  ['gateway.networking.k8s.io/v1', 'HTTPRoute'], ['gateway.networking.k8s.io/v1', 'GRPCRoute'], ['gateway.networking.k8s.io/v1beta1', 'HTTPRoute'],
  ['gateway.networking.k8s.io/v1alpha2', 'GRPCRoute'], ['gateway.networking.k8s.io/v1', 'Gateway'], ['gateway.networking.k8s.io/v1beta1', 'Gateway'],
  ['gateway.networking.k8s.io/v1', 'GatewayClass'], ['gateway.networking.k8s.io/v1beta1', 'GatewayClass'],
] as const
/** Watches end after 5 minutes at least: a longer wait is no work. */
const IDLE_WAIT_MS = 299_000
const POD_START_MS = 1_000
/** What an agent that takes over needs until it leads (ms). */
const TAKE_OVER_MS = 1_000
/** More turns than this at one instant is a fight with nobody winning. */
const MAX_TURNS_AT_ONCE = 200

const never = (): Promise<never> => new Promise(() => {})

export function createWorld(options: WorldOptions = {}): World {
  const clock = createFakeClock()
  const fake = createFakeKube({ now: clock.now })
  for (const [apiVersion, kind] of ROUTER_KINDS) fake.serve(apiVersion, kind, { namespaced: kind !== 'GatewayClass' })
  fake.seed({ apiVersion: 'v1', kind: 'Namespace', metadata: { name: NAMESPACE } })
  const { podStartMs = POD_START_MS, isStarting = () => true } = options
  const simulation = fake.simulateWorkloads({ podStartMs, clock, readiness: ({ spec }, owner) => isStarting(spec.containers[0]?.image ?? '', owner) })
  const lines: LogLine[] = []
  const log = pino({ level: 'debug' }, { write: (line: string) => void lines.push(JSON.parse(line)) })
  const metrics: Metrics = { prometheus: () => undefined, page: () => undefined, requests: [] }
  const alerts: string[] = []
  const held = new Map<string, { readonly until: Promise<void>; readonly release: () => void }>()
  let changes = 0
  fake.onChange(() => { changes += 1 })
  let life: Life | undefined
  let agent: Agent | undefined
  let starts = 0
  /** What the agent waits for, but for the ends of its watches. */
  const waits = new Set<{ readonly at: number; readonly life: Life }>()
  const untilNext = (): number => Math.min(...[...waits].filter((wait) => !wait.life.isDead()).map(({ at }) => at - clock.now()), hasYoungPods() ? podStartMs : Infinity)
  let drawn = 0
  const random = (): number => ((drawn += 0.381_966) % 1)

  const http: Http = async (request, signal) => {
    const { url, body: sent = '' } = request
    if (url === ALERTS) {
      const { severity, reason } = JSON.parse(sent) as { readonly severity: string; readonly reason: string }
      alerts.push(`${severity} ${reason}`)
      return { status: 200, body: '' }
    }
    const { pathname, searchParams, hostname } = new URL(url)
    if (options.hooks && hostname === 'hooks') return await options.hooks(request, signal)
    metrics.requests.push(url)
    if (pathname.endsWith('/api/v1/query')) {
      const answer = metrics.prometheus(searchParams.get('query') ?? '')
      if (answer === 'down') throw new Error('connect ECONNREFUSED')
      const result = answer === undefined ? [] : [{ metric: {}, value: [clock.now() / 1_000, String(answer)] }]
      return { status: 200, body: JSON.stringify({ status: 'success', data: { resultType: 'vector', result } }) }
    }
    const pod = fake.objects('v1', 'Pod').find((found) => (found['status'] as { readonly podIP?: string }).podIP === hostname)
    const body = pod && metrics.page(pod)
    return body === undefined ? { status: 404, body: '' } : { status: 200, body }
  }

  async function start(): Promise<void> {
    starts += 1
    const own = createLife()
    life = own
    const client = mortal(fake.client, own, (kind) => held.get(kind)?.until)
    const after: After = (milliseconds, run) => {
      const wait = { at: clock.now() + Math.max(0, milliseconds), life: own }
      if (milliseconds < IDLE_WAIT_MS) waits.add(wait)
      const cancel = clock.after(milliseconds, () => {
        waits.delete(wait)
        if (!own.isDead()) run()
      })
      return () => {
        waits.delete(wait)
        cancel()
      }
    }
    agent = createAgent({
      client, http, log, after, now: clock.now, random,
      events: createEventRecorder({ client, component: 'canarygate', instance: `agent-${starts}`, log, now: clock.now, random }),
      defaultProvider: options.defaultProvider ?? 'kubernetes',
      metricsServer: options.metricsServer,
      alertReceiver: { type: 'webhook', address: ALERTS, channel: '', username: '', secret: {} },
      defaultAnalysis: options.defaultAnalysis ?? { interval: '10s', threshold: 2, stepWeights: [50] },
      leads: (key) => own.isLeading() && (options.leads?.(key) ?? true),
      isShared: options.leads !== undefined,
    })
    agent.start()
    for (let tries = 0; !agent.hasSynced() && !own.isDead() && tries < 60; tries += 1) await clock.advance(tries === 0 ? 0 : 500)
    if (!own.isDead()) agent.lead()
  }

  const hasYoungPods = (): boolean => fake.objects('v1', 'Pod').some((pod) =>
    clock.now() - Date.parse((pod['status'] as { readonly startTime?: string } | undefined)?.startTime ?? '') < podStartMs)

  /** Everybody does what is to be done at this moment. False: `until` holds, and the rest was left. */
  async function settle(until?: () => boolean): Promise<boolean> {
    for (let turns = 0; turns < MAX_TURNS_AT_ONCE; turns += 1) {
      const before = changes
      simulation.tick()
      await clock.settle()
      if (until?.()) return false
      if (life?.isDead()) {
        await clock.advance(TAKE_OVER_MS)
        await start()
      } else if (changes === before) return true
    }
    throw new Error('the world does not come to rest')
  }

  async function run({ until, limitMs = 900_000 }: { readonly until?: () => boolean; readonly limitMs?: number } = {}): Promise<void> {
    const end = clock.now() + limitMs
    while (await settle(until)) {
      const next = Math.max(0, untilNext())
      if (next === Infinity && until) throw new Error('nothing is left to do, and what was waited for did not come')
      if (next === Infinity) return
      if (clock.now() + next > end) throw new Error(`still busy after ${limitMs} ms`)
      await clock.advance(next)
    }
  }

  async function pass(milliseconds: number): Promise<void> {
    const end = clock.now() + milliseconds
    while (clock.now() < end) {
      await settle()
      await clock.advance(Math.max(0, Math.min(untilNext(), end - clock.now())))
    }
    await settle()
  }

  const objectIn = <T extends KubeObject>(apiVersion: string, kind: string, name: string): T | undefined => fake.object<T>(apiVersion, kind, `${NAMESPACE}/${name}`)
  const need = <T>(found: T | undefined, what: string): T => {
    if (found === undefined) throw new Error(`${what} is not there`)
    return found
  }
  const apiVersionOf = (kind: string): string => ({ Deployment: APPS, Canary: FLAGGER, Service: 'v1' })[kind] ?? TRAEFIK
  const refOf = (kind: string, name: string): ObjectRef => ({ apiVersion: apiVersionOf(kind), kind, namespace: NAMESPACE, name })
  const toldEvents = () => (fake.objects('v1', 'Event', NAMESPACE) as unknown as { reason: string; message: string; count: number; metadata: { resourceVersion: string } }[])
    .toSorted((a, b) => Number(a.metadata.resourceVersion) - Number(b.metadata.resourceVersion))

  return {
    fake, clock, lines, metrics, alerts, start, run, pass,
    crash: () => life?.die(),
    crashAfter: (calls) => life?.dieAfter(calls),
    isAlive: () => life !== undefined && !life.isDead(),
    starts: () => starts,
    loseLead: () => life?.loseLead(),
    agent: () => need(agent, 'agent'),
    holdWatch: (kind) => {
      const { promise, resolve } = Promise.withResolvers<void>()
      held.set(kind, { until: promise, release: resolve })
      return () => {
        held.delete(kind)
        resolve()
      }
    },
    target: (name = 'cart') => need(objectIn<Workload>(APPS, 'Deployment', name), name),
    workload: (name) => objectIn<Workload>(APPS, 'Deployment', name),
    service: (name) => need(objectIn<Service>('v1', 'Service', name), name),
    canary: (name = 'cart') => need(objectIn<Canary>(FLAGGER, 'Canary', name), name),
    status: (name = 'cart') => objectIn<Canary>(FLAGGER, 'Canary', name)?.status ?? {},
    readyBehind: (name) => readyBehind(fake, name),
    events: () => toldEvents().map(({ reason, message, count }) => `${reason}: ${message}${count > 1 ? ` (x${count})` : ''}`),
    reasons: () => toldEvents().map(({ reason }) => reason),
    edit: (kind, name, change, manager) => fake.edit(refOf(kind, name), (object) => change(object as Editable) as KubeObject, manager),
    setImage: (image, name = 'cart') => fake.edit(refOf('Deployment', name), (object) => withImage(object as Workload, image, { [ANNOTATION_GATE]: 'pending' }), 'kubectl'),
    holdImage: (image, name = 'cart') => fake.edit(refOf('Deployment', name), (object) => {
      const changed = withImage(object as Workload, image, { [ANNOTATION_GATE]: 'pending', [ANNOTATION_STABLE]: revisionOf((object as Workload).spec.template) })
      return { ...changed, spec: { ...changed.spec, paused: true } }
    }, 'kubectl'),
    annotate: (annotations, name = 'cart') => fake.edit(refOf('Canary', name), (object) =>
      ({ ...object, metadata: { ...object.metadata, annotations: { ...object.metadata.annotations, ...annotations } } }), 'kubectl'),
  }
}

function withImage(target: Workload, image: string, annotations: Readonly<Record<string, string>>): Workload {
  const [first, ...others] = target.spec.template.spec.containers
  const template: PodTemplate = { ...target.spec.template, spec: { ...target.spec.template.spec, containers: first ? [{ ...first, image }, ...others] : [] } }
  return {
    ...target,
    metadata: { ...target.metadata, annotations: { ...target.metadata.annotations, ...annotations, [ANNOTATION_REVISION]: revisionOf(template) } },
    spec: { ...target.spec, template },
  }
}

export function readyBehind(fake: FakeKube, service: string): readonly KubeObject[] {
  const selector = Object.entries(fake.object<Service>('v1', 'Service', `${NAMESPACE}/${service}`)?.spec.selector ?? {})
  return selector.length === 0 ? [] : fake.objects('v1', 'Pod', NAMESPACE).filter((pod) =>
    selector.every(([key, value]) => pod.metadata.labels?.[key] === value) && isReady(pod))
}

const isReady = (pod: KubeObject): boolean =>
  ((pod['status'] as { readonly conditions?: readonly { type: string; status: string }[] } | undefined)?.conditions ?? []).some(({ type, status }) => type === 'Ready' && status === 'True')

type Life = {
  isDead(): boolean
  isLeading(): boolean
  die(): void
  dieAfter(calls: number): void
  loseLead(): void
  /** A call was answered. */
  spend(): void
  readonly signal: AbortSignal
}

function createLife(): Life {
  const ending = new AbortController()
  let callsLeft = Infinity
  let leads = true
  return {
    isDead: () => ending.signal.aborted,
    isLeading: () => leads && !ending.signal.aborted,
    die: () => ending.abort(),
    dieAfter: (calls) => { callsLeft = calls },
    loseLead: () => { leads = false },
    spend: () => {
      callsLeft -= 1
      if (callsLeft <= 0) ending.abort()
    },
    signal: ending.signal,
  }
}

/** A client of an agent that may die: then none of its calls is ever answered, and none reaches the server any more. */
function mortal(client: KubeClient, life: Life, heldBack: (kind: string) => Promise<void> | undefined): KubeClient {
  const bound = <A extends unknown[], R>(call: (...args: A) => Promise<R>) => async (...args: A): Promise<R> => {
    if (life.isDead()) return await never()
    const outcome = await call(...args).then((value) => ({ value }), (err: unknown) => ({ err }))
    if (!life.isDead()) life.spend()
    if (life.isDead()) return await never()
    if ('err' in outcome) throw outcome.err
    return outcome.value
  }
  async function* watch(apiVersion: string, kind: string, options: WatchOptions): AsyncGenerator<WatchEvent> {
    try {
      for await (const event of client.watch(apiVersion, kind, { ...options, signal: AbortSignal.any([options.signal, life.signal]) })) {
        for (let wait = heldBack(kind); wait; wait = heldBack(kind)) await wait
        if (life.isDead()) await never()
        yield event
      }
    } catch (err) {
      if (life.isDead()) await never()
      throw err
    }
  }
  return {
    ...client, watch,
    get: bound(client.get), list: bound(client.list), create: bound(client.create), apply: bound(client.apply), patch: bound(client.patch),
    replace: bound(client.replace), delete: bound(client.delete), raw: bound(client.raw),
  } as KubeClient
}

/** Lets the `index`-th call of the agent from now fail (from 0; watches do not count), and says whether it came to that. */
export function failCall(world: World, index: number, fault: ReturnType<FaultRule>): { readonly hit: () => string | undefined } {
  let seen = 0
  let hit: string | undefined
  world.fake.faults.on(({ verb, kind, name, subresource }) => {
    if (verb === 'watch') return undefined
    seen += 1
    if (seen !== index + 1) return undefined
    hit = `${verb} ${kind}${name ? ` ${name}` : ''}${subresource ? `/${subresource}` : ''}`
    return fault
  })
  return { hit: () => hit }
}

export type CartOptions = { readonly name?: string; readonly image?: string; readonly replicas?: number; readonly template?: Partial<PodTemplate['metadata'] & object> }

/** A Deployment and its Service. */
export function cart({ name = 'cart', image = 'cart:1', replicas = 2, template = {} }: CartOptions = {}): readonly KubeObject[] {
  return [
    {
      apiVersion: APPS, kind: 'Deployment', metadata: { name, namespace: NAMESPACE, labels: { app: name, team: 'green' } },
      spec: {
        replicas, selector: { matchLabels: { app: name } },
        template: { ...template, metadata: { ...template, labels: { app: name } }, spec: { containers: [{ name: 'app', image, ports: [{ name: 'http', containerPort: 8080 }] }] } },
      },
    },
    {
      apiVersion: 'v1', kind: 'Service', metadata: { name, namespace: NAMESPACE, labels: { app: name } },
      spec: { type: 'ClusterIP', selector: { app: name }, ports: [{ name: 'http', port: 80, targetPort: 8080 }] },
    },
  ]
}

/** A cart that refers to a ConfigMap in its environment and to a Secret in a volume. */
export function configuredCart(): readonly KubeObject[] {
  const [deployment, ...others] = cart() as readonly [Workload, ...KubeObject[]]
  const { template } = deployment.spec
  const [container] = template.spec.containers
  const spec = {
    ...template.spec,
    containers: [{ ...container, envFrom: [{ configMapRef: { name: 'settings' } }] }],
    volumes: [{ name: 'keys', secret: { secretName: 'keys' } }],
  }
  return [
    { ...deployment, spec: { ...deployment.spec, template: { ...template, spec } } } as Workload, ...others,
    { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'settings', namespace: NAMESPACE }, data: { COLOUR: 'green' } },
    { apiVersion: 'v1', kind: 'Secret', metadata: { name: 'keys', namespace: NAMESPACE }, type: 'Opaque', data: { key: 'cw==' } },
  ]
}

export function canary({ name = 'cart', spec = {}, analysis = {} }: { readonly name?: string; readonly spec?: Partial<Canary['spec']>; readonly analysis?: CanaryAnalysis } = {}): Canary {
  return {
    apiVersion: FLAGGER, kind: 'Canary', metadata: { name, namespace: NAMESPACE },
    spec: {
      targetRef: { apiVersion: APPS, kind: 'Deployment', name }, service: { port: 80, targetPort: 8080 }, ...spec,
      analysis: { interval: '10s', threshold: 2, stepWeights: [50], ...analysis },
    },
  }
}

/** An IngressRoute of the user's that sends to the apex Service. */
export const ingressRoute = (name = 'cart'): KubeObject => ({
  apiVersion: TRAEFIK, kind: 'IngressRoute', metadata: { name, namespace: NAMESPACE, labels: { app: name } },
  spec: { entryPoints: ['web'], routes: [{ match: `Host(\`${name}.test\`)`, kind: 'Rule', services: [{ name, port: 80 }] }] },
})

export const gatedNamespace = (): KubeObject => ({ apiVersion: 'v1', kind: 'Namespace', metadata: { name: NAMESPACE, labels: { [LABEL_GATE]: 'enabled' } } })

/** A world whose target serves by itself, and, where `adopted` says so, is adopted. */
export async function worldWith(objects: readonly KubeObject[], options: WorldOptions = {}): Promise<World> {
  const world = createWorld(options)
  world.fake.seed(...objects.filter(({ kind }) => kind !== 'Canary'))
  await world.run()
  world.fake.seed(...objects.filter(({ kind }) => kind === 'Canary'))
  await world.start()
  await world.run()
  return world
}

export const imageOf = (workload: Workload | undefined): string | undefined => workload?.spec.template.spec.containers[0]?.image
