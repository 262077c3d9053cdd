import type { Canary } from '#api/canary.ts'
import { apexName } from '#api/defaults.ts'
import {
  ANNOTATION_OPT_OUT, ANNOTATION_REPLICAS, ANNOTATION_STABLE, LABEL_GATE, LABEL_MANAGED_BY, LABEL_ROLE, LABEL_TARGET, GATE_ENABLED, FLAGGER_API_VERSION, MANAGED_BY,
} from '#api/names.ts'
import type { MetricTemplate } from '#api/metric-template.ts'
import { objectKey, type KubeObject, type ObjectReader, type Workload } from '#api/objects.ts'
import { canonicalJson } from '#api/canonical-json.ts'
import { revisionOf } from '#api/revision.ts'
import { SCALER_API_VERSIONS, SCALER_KINDS, scaledBy } from '#api/scalers.ts'
import { createConfigWatch, type ConfigWatch } from '#agent/config-watch.ts'
import { createOwnWrites } from '#agent/own-writes.ts'
import { isClaimed } from '#kube/claims.ts'
import type { KubeClient } from '#kube/client.ts'
import { realAfter, type After } from '#kube/clock.ts'
import type { Log } from '#kube/log.ts'
import { createReflector, type Reflector, type ReflectorOptions } from '#kube/reflector.ts'
import type { Kind } from '#traffic/provider.ts'

export type Caches = {
  /** What the watches have brought, and what we wrote ourselves since. */
  readonly reader: ObjectReader
  /** We wrote this: it counts until the watch has brought it. */
  note(written: KubeObject): void
  start(): void
  stop(): Promise<void>
  hasSynced(): boolean
  /** By Canary key. */
  canary(key: string): Canary | undefined
  canaries(): readonly Canary[]
  /** Keys of the Canaries whose target is this workload. */
  canariesOf(namespace: string, target: string): readonly string[]
  isGated(namespace: string): boolean
  metricTemplate(namespace: string, name: string): MetricTemplate | undefined
  /** Deployments in gated namespaces that are nobody's primary or canary. */
  gatedWorkloads(): readonly KubeObject[]
  /** Pods of a target's primary, canary and baseline. */
  pods(namespace: string, target: string): readonly KubeObject[]
  /** The user's objects in a namespace whose spec counts as ours, after a crash say, or since we wrote them. */
  claimed(namespace: string): readonly KubeObject[]
  readonly configs: ConfigWatch
  /** The autoscalers that the agent made for a target's roles. */
  scalers(namespace: string, target: string): readonly KubeObject[]
  /** Ready addresses in the EndpointSlices of a Service that the agent made. */
  readyAddresses(namespace: string, service: string): number
}

export type CachesOptions = {
  readonly client: KubeClient
  readonly routers: readonly Kind[]
  /** A Canary has something to look at. */
  readonly wake: (key: string) => void
  /** A workload of a gated namespace changed and has no Canary. */
  readonly wakeUngated: (target: KubeObject) => void
  /** Does a policy make this workload a target? */
  readonly governs: (workload: KubeObject) => boolean
  /** A target that is not adopted got another revision past the webhook: its pods are being replaced ungated. */
  readonly missed: (target: KubeObject) => void
  readonly log: Log
  readonly now: () => number
  readonly random: () => number
  readonly after?: After
}

/** A kind that is not served is asked for this seldom, since the watch of definitions tells when that changes (ms). */
const UNSERVED_RETRY_MS = 3_600_000
/** After a definition changed, its kind is looked for at these times (ms). */
const SERVED_AFTER_MS = [1_000, 7_000, 20_000] as const

/** What a cache needs of any object: which one it is, and in which version. */
const identityOf = ({ name, namespace, uid, resourceVersion }: KubeObject['metadata']): KubeObject['metadata'] => ({
  name, ...(namespace === undefined ? {} : { namespace }), ...(uid === undefined ? {} : { uid }), ...(resourceVersion === undefined ? {} : { resourceVersion }),
})

type Definition = KubeObject & { readonly group: string }
const definitionProjection = ({ apiVersion, kind, metadata, spec }: KubeObject): Definition => ({
  apiVersion, kind, metadata: identityOf(metadata),
  group: (spec as { readonly group?: string } | undefined)?.group ?? '',
})

/** Everything that the agent looks at, followed by watches. An event wakes the Canary which it concerns, and nobody else. */
export function createCaches(options: CachesOptions): Caches {
  const { client, log, now, random, wake, wakeUngated, missed, governs } = options
  const common = { client, log, now, random, ...(options.after ? { after: options.after } : {}) }
  const reflectors = new Map<string, Reflector>()
  const id = (apiVersion: string, kind: string): string => `${apiVersion}/${kind}`

  function follow(kind: Kind, more: Omit<ReflectorOptions, 'client' | 'apiVersion' | 'kind' | 'log' | 'now' | 'random' | 'after'>): void {
    const onChange: ReflectorOptions['onChange'] = (change, object, old) => {
      if (change === 'delete') own.forget(object)
      more.onChange?.(change, object, old)
    }
    const claimed = (object: KubeObject): readonly string[] => (isClaimed(object) ? [namespaceOf(object)] : [])
    reflectors.set(id(kind.apiVersion, kind.kind), createReflector({ ...common, ...kind, ...more, onChange, indexes: { ...more.indexes, claimed } }))
  }

  const canaries = (): Reflector<Canary> => reflectors.get(id(FLAGGER_API_VERSION, 'Canary')) as Reflector<Canary>
  const targets = (namespace: string, name: string): readonly string[] =>
    canaries().byIndex('target', `${namespace}/${name}`).map((canary) => objectKey(canary.metadata))
  const services = (namespace: string, name: string): readonly string[] =>
    canaries().byIndex('service', `${namespace}/${name}`).map((canary) => objectKey(canary.metadata))

  const wakeAll = (keys: readonly string[]): void => { for (const key of keys) wake(key) }
  const withoutRole = (name: string): string => name.replace(/-(primary|canary|baseline)$/, '')
  const namespaceOf = (object: KubeObject): string => object.metadata.namespace ?? ''

  function onWorkload(object: KubeObject, old?: KubeObject): void {
    const namespace = namespaceOf(object)
    const name = object.metadata.labels?.[LABEL_ROLE] ? withoutRole(object.metadata.name) : object.metadata.name
    const keys = [...targets(namespace, name), ...(name === object.metadata.name ? targets(namespace, withoutRole(name)) : [])]
    wakeAll(keys)
    if (old && (keys.length > 0 || isTarget(object)) && slippedBy(object as Workload, old as Workload)) missed(object)
    if (keys.length === 0 && name === object.metadata.name && isTarget(object)) wakeUngated(object)
  }
  const wakeBehind = (namespace: string, service: string): void => wakeAll([...services(namespace, service), ...services(namespace, withoutRole(service))])
  function onScaler(object: KubeObject, old?: KubeObject): void {
    // Status is written every few seconds.
    if (old && canonicalJson([old['spec'], old.metadata.annotations]) === canonicalJson([object['spec'], object.metadata.annotations])) return
    const scaled = [scaledBy(object).name ?? '', object.metadata.labels?.[LABEL_TARGET] ?? '']
    for (const name of new Set(scaled)) wakeAll(targets(namespaceOf(object), name))
  }
  /** A route may concern any Canary of its namespace: looking once too often costs no request. */
  const onRoute = (object: KubeObject): void => {
    wakeAll(canaries().list(namespaceOf(object)).map((canary) => objectKey(canary.metadata)))
  }

  follow({ apiVersion: FLAGGER_API_VERSION, kind: 'Canary' }, {
    indexes: {
      target: (object) => [`${namespaceOf(object)}/${(object as Canary).spec.targetRef.name}`],
      service: (object) => [`${namespaceOf(object)}/${apexName(object as Canary)}`],
    },
    onChange: (_, object) => wake(objectKey(object.metadata)),
  })
  follow({ apiVersion: FLAGGER_API_VERSION, kind: 'MetricTemplate' }, {})
  follow({ apiVersion: FLAGGER_API_VERSION, kind: 'AlertProvider' }, {})
  follow({ apiVersion: 'apps/v1', kind: 'Deployment' }, { onChange: (kind, object, old) => onWorkload(object, kind === 'update' ? old : undefined) })
  follow({ apiVersion: 'apps/v1', kind: 'DaemonSet' }, { onChange: (_, object) => onWorkload(object) })
  follow({ apiVersion: 'apps/v1', kind: 'ControllerRevision' }, { labelSelector: `${LABEL_MANAGED_BY}=${MANAGED_BY}` })
  follow({ apiVersion: 'v1', kind: 'Service' }, { onChange: (_, object) => wakeBehind(namespaceOf(object), object.metadata.name) })
  follow({ apiVersion: 'v1', kind: 'Pod' }, {
    labelSelector: LABEL_TARGET,
    transform: podProjection,
    indexes: { target: (object) => [`${namespaceOf(object)}/${object.metadata.labels?.[LABEL_TARGET] ?? ''}`] },
    onChange: (_, object) => wakeAll(targets(namespaceOf(object), object.metadata.labels?.[LABEL_TARGET] ?? '')),
  })
  follow({ apiVersion: 'v1', kind: 'Namespace' }, {
    transform: (object) => ({ apiVersion: object.apiVersion, kind: object.kind, metadata: object.metadata }),
    onChange: (kind, object, old) => {
      const isNew = kind !== 'delete' && object.metadata.labels?.[LABEL_GATE] === GATE_ENABLED && old?.metadata.labels?.[LABEL_GATE] !== GATE_ENABLED
      if (!isNew) return
      for (const workload of list('apps/v1', 'Deployment', object.metadata.name)) onWorkload(workload)
    },
  })
  for (const kind of SCALER_KINDS) {
    follow({ apiVersion: SCALER_API_VERSIONS[kind], kind }, {
      transform: withoutStatus, unservedRetryMs: UNSERVED_RETRY_MS,
      indexes: { target: ({ metadata }) => (metadata.labels?.[LABEL_MANAGED_BY] === MANAGED_BY ? [`${metadata.namespace}/${metadata.labels[LABEL_TARGET] ?? ''}`] : []) },
      onChange: (kind, object, old) => onScaler(object, kind === 'update' ? old : undefined),
    })
  }
  for (const router of options.routers) {
    if (!reflectors.has(id(router.apiVersion, router.kind))) follow(router, { onChange: (_, object) => onRoute(object), unservedRetryMs: UNSERVED_RETRY_MS })
  }
  // Not among those that the reader gives out: of these objects only a few facts are kept.
  const slices = createReflector<SliceSeen>({
    ...common, apiVersion: 'discovery.k8s.io/v1', kind: 'EndpointSlice', labelSelector: LABEL_ROLE, transform: sliceSeen,
    indexes: { service: (slice) => [`${namespaceOf(slice)}/${slice.service}`] },
    onChange: (_, slice) => wakeBehind(namespaceOf(slice), slice.service),
  })
  // Routers may be installed after us: their definitions tell, so that nobody has to ask again and again.
  const definitions = createReflector({
    ...common, apiVersion: 'apiextensions.k8s.io/v1', kind: 'CustomResourceDefinition',
    transform: definitionProjection, unservedRetryMs: UNSERVED_RETRY_MS,
    onChange(_, { group }) {
      const missing = [...reflectors].filter(([key, reflector]) => key.startsWith(`${group}/`) && !reflector.isServed()).map(([, reflector]) => reflector)
      // What the API server tells of itself follows a little later.
      if (missing.length > 0) for (const milliseconds of SERVED_AFTER_MS) (options.after ?? realAfter)(milliseconds, () => { for (const reflector of missing) if (!reflector.isServed()) reflector.wake() })
    },
  })

  const own = createOwnWrites({ cached: (ref) => reflectors.get(id(ref.apiVersion, ref.kind))?.get(objectKey(ref)), now })
  const configs = createConfigWatch({ ...common, wake, canariesOf: targets })

  const list = (apiVersion: string, kind: string, namespace: string): readonly KubeObject[] =>
    reflectors.get(id(apiVersion, kind))?.list(namespace) ?? []
  const isTarget = (object: KubeObject): boolean => isGated(namespaceOf(object)) || governs(object)
  const isGated = (namespace: string): boolean =>
    reflectors.get(id('v1', 'Namespace'))?.get(namespace)?.metadata.labels?.[LABEL_GATE] === GATE_ENABLED

  return {
    reader: { get: own.get, list: (apiVersion, kind, namespace) => own.over(apiVersion, kind, namespace, list(apiVersion, kind, namespace)) },
    note: own.note,
    start() { for (const reflector of [...reflectors.values(), slices, definitions]) reflector.start() },
    async stop() { await Promise.all([...reflectors.values(), slices, definitions, configs].map((reflector) => reflector.stop())) },
    hasSynced: () => [...reflectors.values(), slices].every((reflector) => reflector.hasSynced()),
    canary: (key) => canaries().get(key),
    canaries: () => canaries().list(),
    canariesOf: targets,
    claimed: (namespace) => [...reflectors.values()].flatMap((reflector) => reflector.byIndex('claimed', namespace)),
    configs,
    scalers: (namespace, target) => SCALER_KINDS.flatMap((kind) => reflectors.get(id(SCALER_API_VERSIONS[kind], kind))?.byIndex('target', `${namespace}/${target}`) ?? []),
    isGated,
    metricTemplate: (namespace, name) => reflectors.get(id(FLAGGER_API_VERSION, 'MetricTemplate'))?.get(`${namespace}/${name}`) as MetricTemplate | undefined,
    gatedWorkloads: () => (reflectors.get(id('apps/v1', 'Deployment'))?.list() ?? [])
      .filter((object) => isTarget(object) && object.metadata.labels?.[LABEL_ROLE] === undefined),
    pods: (namespace, target) => reflectors.get(id('v1', 'Pod'))?.byIndex('target', `${namespace}/${target}`) ?? [],
    readyAddresses: (namespace, service) => slices.byIndex('service', `${namespace}/${service}`).reduce((sum, { ready }) => sum + ready, 0),
  }
}

function withoutStatus({ status: _, ...object }: KubeObject): KubeObject {
  return object as KubeObject
}

/** An adopted target runs no pods, so nothing can slip by there; of one that is not, only the webhook's mark tells a held change from a missed one. */
function slippedBy(next: Workload, old: Workload): boolean {
  const { annotations = {}, labels, generation } = next.metadata
  if (generation === old.metadata.generation || labels?.[LABEL_ROLE] !== undefined || (old.spec.replicas ?? 1) === 0) return false
  const isKnown = [ANNOTATION_STABLE, ANNOTATION_REPLICAS].some((name) => annotations[name] !== undefined || old.metadata.annotations?.[name] !== undefined)
  return !isKnown && annotations[ANNOTATION_OPT_OUT] !== 'disabled' && revisionOf(next.spec.template) !== revisionOf(old.spec.template)
}

/** What is kept of an EndpointSlice: whose it is, and how many addresses of it are ready. */
type SliceSeen = Pick<KubeObject, 'apiVersion' | 'kind' | 'metadata'> & { readonly service: string; readonly ready: number }
type EndpointSlice = KubeObject & {
  readonly endpoints?: readonly { readonly conditions?: { readonly ready?: boolean; readonly terminating?: boolean } }[]
}
function sliceSeen({ apiVersion, kind, metadata, endpoints }: EndpointSlice): SliceSeen {
  const ready = (endpoints ?? []).filter(({ conditions }) => conditions?.ready !== false && conditions?.terminating !== true).length
  return { apiVersion, kind, metadata: identityOf(metadata), service: metadata.labels?.['kubernetes.io/service-name'] ?? '', ready }
}

/** What is needed of a pod, under 1 KB: where it answers, since when, and why it does not. */
function podProjection(object: KubeObject): KubeObject {
  const { spec, status } = object as KubeObject & { spec?: PodSpec; status?: PodStatus }
  return {
    apiVersion: object.apiVersion,
    kind: object.kind,
    metadata: object.metadata,
    spec: { containers: (spec?.containers ?? []).map(({ name, ports }) => ({ name, ports })) },
    status: {
      phase: status?.phase, podIP: status?.podIP, startTime: status?.startTime, conditions: status?.conditions,
      containerStatuses: status?.containerStatuses, initContainerStatuses: status?.initContainerStatuses,
    },
  }
}
type PodSpec = { readonly containers?: readonly { readonly name: string; readonly ports?: unknown }[] }
type PodStatus = Readonly<Record<'phase' | 'podIP' | 'startTime' | 'conditions' | 'containerStatuses' | 'initContainerStatuses', unknown>>
