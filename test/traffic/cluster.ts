import type { Canary } from '#api/canary.ts'
import { objectKey, type KubeObject, type ObjectReader, type ObjectRef, type Workload } from '#api/objects.ts'

/** An API server in memory with as much of server-side apply as rendering depends on: maps merge, lists are atomic, what we dropped goes. */
export type Cluster = ObjectReader & {
  put(object: KubeObject): void
  apply(objects: readonly KubeObject[]): void
  find(kind: string, name: string): KubeObject | undefined
}

export function createCluster(initial: readonly KubeObject[] = []): Cluster {
  const stored = new Map<string, KubeObject>()
  const applied = new Map<string, KubeObject>()
  const key = ({ apiVersion, kind, ...ref }: ObjectRef): string => `${apiVersion}/${kind}/${objectKey(ref)}`
  const keyOf = (object: KubeObject): string => key({ apiVersion: object.apiVersion, kind: object.kind, ...object.metadata })
  let version = 0

  function put(object: KubeObject): void {
    version += 1
    const before = stored.get(keyOf(object))
    const isChanged = JSON.stringify(before?.['spec']) !== JSON.stringify(object['spec'])
    const generation = (before?.metadata.generation ?? 0) + (isChanged ? 1 : 0)
    const metadata = { uid: `uid-${version}`, ...object.metadata, generation, resourceVersion: String(version) }
    stored.set(keyOf(object), structuredClone({ ...object, metadata }))
  }
  const cluster: Cluster = {
    get: (ref) => stored.get(key(ref)),
    list: (apiVersion, kind, namespace) =>
      [...stored.values()].filter((object) => object.apiVersion === apiVersion && object.kind === kind && object.metadata.namespace === namespace),
    put,
    apply(objects) {
      for (const object of objects) {
        const live = stored.get(keyOf(object))
        const { uid, resourceVersion, ...metadata } = object.metadata
        if (uid !== undefined && live?.metadata.uid !== uid) throw new Error(`409: uid of ${keyOf(object)}`)
        if (resourceVersion !== undefined && live?.metadata.resourceVersion !== resourceVersion) throw new Error(`409: version of ${keyOf(object)}`)
        const wanted = { ...object, metadata }
        const kept = without(live ?? {}, applied.get(keyOf(object)), wanted)
        applied.set(keyOf(object), structuredClone(wanted))
        put(merged(kept, wanted) as KubeObject)
      }
    },
    find: (kind, name) => [...stored.values()].find((object) => object.kind === kind && object.metadata.name === name),
  }
  for (const object of initial) put(object)
  return cluster
}

/** Not applied as one map with keys of its own: a Service's selector. */
const ATOMIC = new Set(['selector'])
const isMap = (value: unknown): value is Record<string, unknown> => typeof value === 'object' && value !== null && !Array.isArray(value)

function merged(live: unknown, wanted: unknown, field = ''): unknown {
  if (!isMap(wanted) || !isMap(live) || ATOMIC.has(field)) return wanted
  return { ...live, ...Object.fromEntries(Object.entries(wanted).map(([key, value]) => [key, merged(live[key], value, key)])) }
}

function without(live: unknown, before: unknown, wanted: unknown): unknown {
  if (!isMap(live) || !isMap(before)) return live
  return Object.fromEntries(Object.entries(live).flatMap(([key, value]): [string, unknown][] => {
    const now = isMap(wanted) ? wanted[key] : undefined
    if (!(key in before)) return [[key, value]]
    if (now === undefined && !isMap(before[key])) return []
    const rest = without(value, before[key], now)
    return isMap(rest) && Object.keys(rest).length === 0 && now === undefined ? [] : [[key, rest]]
  }))
}

const NAMESPACE = 'prod'

export const canaryOf = (spec: Partial<Omit<Canary['spec'], 'service' | 'analysis'>> & {
  readonly service?: Partial<NonNullable<Canary['spec']['service']>>; readonly analysis?: Partial<Canary['spec']['analysis']>
} = {}): Canary => {
  const { service, analysis, ...rest } = spec
  return {
    apiVersion: 'flagger.app/v1beta1',
    kind: 'Canary',
    metadata: { name: 'shop', namespace: NAMESPACE, uid: 'canary-uid' },
    spec: {
      targetRef: { apiVersion: 'apps/v1', kind: 'Deployment', name: 'shop' },
      service: { port: 80, targetPort: 8080, ...service },
      analysis: { interval: '10s', threshold: 2, stepWeight: 10, ...analysis },
      ...rest,
    },
  }
}

export const deployment = (name: string, labels: Readonly<Record<string, string>>, more: Partial<Workload> = {}): Workload => ({
  apiVersion: 'apps/v1',
  kind: 'Deployment',
  metadata: { name, namespace: NAMESPACE },
  spec: {
    replicas: 3,
    selector: { matchLabels: labels },
    template: { metadata: { labels }, spec: { containers: [{ name: 'app', image: 'shop:1', ports: [{ containerPort: 8080, name: 'http' }] }] } },
  },
  ...more,
})

export const service = (name: string, selector: Readonly<Record<string, string>>, spec: Readonly<Record<string, unknown>> = {}): KubeObject => ({
  apiVersion: 'v1',
  kind: 'Service',
  metadata: { name, namespace: NAMESPACE },
  spec: { selector, ports: [{ name: 'http', port: 80, targetPort: 8080, protocol: 'TCP' }], ...spec },
})

export const object = (apiVersion: string, kind: string, name: string, spec: Readonly<Record<string, unknown>>): KubeObject =>
  ({ apiVersion, kind, metadata: { name, namespace: NAMESPACE }, spec })
