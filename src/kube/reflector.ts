import type { KubeObject } from '#api/objects.ts'
import type { KubeClient } from '#kube/client.ts'
import type { After } from '#kube/clock.ts'
import type { Log } from '#kube/log.ts'

export type ChangeKind = 'add' | 'update' | 'delete'

export type ReflectorOptions<T extends KubeObject = KubeObject> = {
  readonly client: KubeClient
  readonly apiVersion: string
  readonly kind: string
  /** Absent: all namespaces. */
  readonly namespace?: string
  readonly labelSelector?: string
  /** What is kept of an object; metadata must stay. Runs after managedFields and last-applied-configuration are gone. */
  readonly transform?: (object: KubeObject) => T
  /** Name of an index -> the values under which an object is found. */
  readonly indexes?: Readonly<Record<string, (object: T) => readonly string[]>>
  /** Only enqueue here: it runs inside the watch. A throw is logged and goes no further. `old` is absent for 'add'; for 'delete' `object` is the last one known. */
  readonly onChange?: (kind: ChangeKind, object: T, old: T | undefined) => void
  /** Called once, when the first list is in the store. */
  readonly onSynced?: () => void
  readonly log: Log
  readonly now: () => number
  readonly random: () => number
  readonly after?: After
}

/** A cache of one kind that follows the API server until it is stopped. Keys are `namespace/name`, or `name` for kinds without namespace. */
export type Reflector<T extends KubeObject = KubeObject> = {
  /** A second call does nothing. */
  start(): void
  /** Resolves when the last request is gone; nothing is reported afterwards. */
  stop(): Promise<void>
  /** The first list is in the store, or the kind is not served. */
  hasSynced(): boolean
  /** False while the API server does not know the kind (a CRD is missing): the store is empty and it is asked again every 30 s. */
  isServed(): boolean
  /** Ends a wait now, for example when a CRD has appeared. */
  wake(): void
  get(key: string): T | undefined
  list(namespace?: string): readonly T[]
  byIndex(name: string, value: string): readonly T[]
}

export function createReflector<T extends KubeObject = KubeObject>(_options: ReflectorOptions<T>): Reflector<T> {
  throw new Error('not written yet')
}
