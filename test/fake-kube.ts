import type { KubeObject, ObjectRef } from '#api/objects.ts'
import type { KubeClient } from '#kube/client.ts'
import { clusterConfig, type ClusterConfig } from '#kube/config.ts'
import { createFakeApi, type Call, type FaultRule } from './kube/fake/api.ts'
import { createInProcessClient, type RawHandler } from './kube/fake/in-process.ts'
import { customKind, kindKey, type ServedKind } from './kube/fake/kinds.ts'
import { listenFake, type FakeServer } from './kube/fake/server.ts'
import { copy, type Dict } from './kube/fake/values.ts'
import { createWorkloadSimulation, type Simulation, type SimulationOptions } from './kube/fake/workloads.ts'

export type FakeKube = {
  /** In this process, without sockets. */
  readonly client: KubeClient
  /** The same objects behind HTTP; `config` is what `createKubeClient` takes. Close it, or the test does not end. */
  listen(): Promise<FakeServer & { readonly config: ClusterConfig }>
  /** Puts objects there (or in place of others), status and all, unrecorded. */
  seed(...objects: KubeObject[]): void
  /** What is stored now, or undefined; unrecorded. */
  object<T extends KubeObject = KubeObject>(apiVersion: string, kind: string, key: string): T | undefined
  objects<T extends KubeObject = KubeObject>(apiVersion: string, kind: string, namespace?: string): T[]
  /** As a controller or a person would: unrecorded, no rule applies. Status may change too. */
  edit(ref: ObjectRef, change: (object: KubeObject) => KubeObject, manager?: string): void
  remove(ref: ObjectRef): void
  /** Every call of both ways in, oldest first. */
  readonly calls: readonly Call[]
  /** The calls that wanted to change something. */
  writes(): readonly Call[]
  clearCalls(): void
  readonly faults: { on(rule: FaultRule): () => void }
  /** Installs a kind, as a CRD does. */
  serve(apiVersion: string, kind: string, options?: Partial<ServedKind>): void
  unserve(apiVersion: string, kind: string): void
  /** Makes all earlier resourceVersions and continue tokens too old (410). */
  forgetHistory(): void
  /** Sends a bookmark into all watches. */
  bookmark(): void
  /** Ends all watches, as a server does after their time. */
  endWatches(): void
  watchCount(): number
  /** Told after every change, whoever made it; the answer ends that. */
  onChange(listener: (object: KubeObject) => void): () => void
  /** Answers `client.raw`, such as a SubjectAccessReview. */
  rawHandler(handler: RawHandler): void
  /** Deployments, DaemonSets and Services come to life, a step at each `tick()`. */
  simulateWorkloads(options: SimulationOptions): Simulation
}

const READS: readonly string[] = ['get', 'list', 'watch']

/** An API server in memory. `now` (Unix ms) dates what it makes; it has no timers. */
export function createFakeKube({ now = () => Date.UTC(2026, 0, 1) }: { readonly now?: () => number } = {}): FakeKube {
  const api = createFakeApi(now)
  const { db } = api
  let handler: RawHandler | undefined

  function edit(ref: ObjectRef, change: (object: KubeObject) => KubeObject, manager = 'somebody'): void {
    const kind = db.kindOf(ref.apiVersion, ref.kind)
    const before = db.find(kind, ref.namespace, ref.name)
    const wanted = copy(change(copy(before) as unknown as KubeObject)) as unknown as Dict
    const facts = { manager, operation: 'Update' } as const
    db.modify(kind, ref.namespace, ref.name, { ...facts, subresource: undefined }, (current) => ({ ...wanted, metadata: { ...(wanted['metadata'] as Dict), resourceVersion: current.metadata.resourceVersion } }))
    if (kind.hasStatus && wanted['status'] !== undefined)
      db.modify(kind, ref.namespace, ref.name, { ...facts, subresource: 'status' }, (current) => ({ ...current, status: wanted['status'] }))
  }

  function seed(...objects: KubeObject[]): void {
    for (const object of objects) {
      const { apiVersion, kind, metadata } = object
      const served = db.kindOf(apiVersion, kind)
      const namespace = served.namespaced ? (metadata.namespace ?? 'default') : undefined
      const exists = db.all(served).some((other) => other.metadata.name === metadata.name && other.metadata.namespace === namespace)
      const ref = { apiVersion, kind, name: metadata.name, ...(namespace ? { namespace } : {}) }
      if (!exists) {
        const { resourceVersion: _, ...fresh } = metadata
        db.create(served, { ...object, metadata: fresh }, { manager: 'seed', operation: 'Update', subresource: undefined })
      }
      if (exists || object['status'] !== undefined) edit(ref, () => object, 'seed')
    }
  }
  return {
    client: createInProcessClient(api, () => handler),
    listen: async () => {
      const server = await listenFake(api, () => handler)
      return { ...server, config: clusterConfig(server.url, 'default', async () => ({ headers: {}, tls: {} }), () => 0) }
    },
    seed,
    object: <T extends KubeObject>(apiVersion: string, kind: string, key: string) => {
      const found = db.all(db.kindOf(apiVersion, kind)).find(({ metadata }) => (metadata.namespace ? `${metadata.namespace}/${metadata.name}` : metadata.name) === key)
      return copy(found) as T | undefined
    },
    objects: <T extends KubeObject>(apiVersion: string, kind: string, namespace?: string) =>
      copy(db.all(db.kindOf(apiVersion, kind)).filter(({ metadata }) => namespace === undefined || metadata.namespace === namespace)) as unknown as T[],
    edit,
    remove: (ref) => void db.remove(db.kindOf(ref.apiVersion, ref.kind), ref.namespace, ref.name),
    calls: api.calls,
    writes: () => api.calls.filter(({ verb }) => !READS.includes(verb)),
    clearCalls: api.clearCalls,
    faults: api.faults,
    serve: (apiVersion, kind, options) => void db.kinds.set(kindKey(apiVersion, kind), customKind(apiVersion, kind, options)),
    unserve: (apiVersion, kind) => void db.kinds.delete(kindKey(apiVersion, kind)),
    forgetHistory: db.forgetHistory,
    bookmark: api.bookmark,
    endWatches: api.endWatches,
    watchCount: api.watchCount,
    onChange: (listener) => db.listen(({ object }) => listener(object as unknown as KubeObject)),
    rawHandler: (answer) => {
      handler = answer
    },
    simulateWorkloads: (options) => createWorkloadSimulation(db, options),
  }
}
