import { EXPIRING_ANNOTATIONS } from '#api/commands.ts'
import { writingsOf } from '#api/managed-fields.ts'
import { ANNOTATION_LAST_APPLIED } from '#api/names.ts'
import { objectKey, type KubeObject } from '#api/objects.ts'
import { claimsOf } from '#kube/claims.ts'
import type { WatchEvent } from '#kube/answers.ts'
import type { KubeClient } from '#kube/client.ts'
import { pause, realAfter, type After } from '#kube/clock.ts'
import { KubeError } from '#kube/error.ts'
import type { Log } from '#kube/log.ts'
import { createSharing } from '#kube/sharing.ts'
import { createStore } from '#kube/store.ts'

export type ChangeKind = 'add' | 'update' | 'delete'

export type ReflectorOptions<T extends KubeObject = KubeObject> = {
  readonly client: KubeClient
  readonly apiVersion: string
  readonly kind: string
  /** Absent: all namespaces. */
  readonly namespace?: string
  readonly labelSelector?: string
  readonly fieldSelector?: string
  /** To be refused (403) is an answer as good as "not served", and not a fault. */
  readonly mayBeForbidden?: boolean
  /** What is kept of an object; metadata must stay. Runs after managedFields and last-applied-configuration are gone. */
  readonly transform?: (object: KubeObject) => T
  /** Name of an index -> the values under which an object is found. */
  readonly indexes?: Readonly<Record<string, (object: T) => readonly string[]>>
  /** Only enqueue here: it runs inside the watch. A throw is logged and goes no further. `old` is absent for 'add'; for 'delete' `object` is the last one known. */
  readonly onChange?: (kind: ChangeKind, object: T, old: T | undefined) => void
  /** How often a kind that is not served is asked for again (ms). Default 30 s; longer where somebody calls `wake` when it appears. */
  readonly unservedRetryMs?: number
  /** Called once, when the first list is in the store. */
  readonly onSynced?: () => void
  readonly log: Log
  readonly now: () => number
  readonly random: () => number
  readonly after?: After
}

/** A cache of one kind that follows the API server until it is stopped. Keys are `namespace/name`, or `name` for kinds without namespace. */
export type Reflector<T extends KubeObject = KubeObject> = {
  /** A second call does nothing, nor does a call after stop. */
  start(): void
  /** Resolves when the last request is gone; nothing is reported afterwards. */
  stop(): Promise<void>
  /** The first list is in the store, or the kind is not served (or forbidden, where that may be). */
  hasSynced(): boolean
  /** False while the API server does not know the kind (a CRD is missing): the store is empty and it is asked again after `unservedRetryMs`. */
  isServed(): boolean
  /** Ends a wait now, for example when a CRD has appeared. */
  wake(): void
  get(key: string): T | undefined
  list(namespace?: string): readonly T[]
  byIndex(name: string, value: string): readonly T[]
}

const PAGE_SIZE = 500
/** The server is asked to end a watch within 5 to 10 minutes; a connection that outlives that by 30 s is dead. */
const WATCH_SECONDS = { least: 300, spread: 300 } as const
const WATCH_GRACE_MS = 30_000
/** A safety net against a lost event: after this long, the watch's end is followed by a list. */
const RELIST_MS = { least: 20 * 60_000, spread: 10 * 60_000 } as const
const BACK_OFF_MS = { first: 800, longest: 30_000 } as const
/** A watch that lasted this long shows that all is well: the next fault is the first again. */
const HEALTHY_MS = 120_000
/** A watch which ends sooner than this, without an event, counts as a fault, or the loop would run hot. */
const SHORT_WATCH_MS = 1_000
const UNSERVED_RETRY_MS = 30_000

export function createReflector<T extends KubeObject = KubeObject>(options: ReflectorOptions<T>): Reflector<T> {
  const { client, apiVersion, kind, now, random, onChange, onSynced, after = realAfter } = options
  const log = options.log
  const scope = {
    ...(options.namespace ? { namespace: options.namespace } : {}), ...(options.labelSelector ? { labelSelector: options.labelSelector } : {}),
    ...(options.fieldSelector ? { fieldSelector: options.fieldSelector } : {}),
  }
  const store = createStore<T>(options.indexes ?? {})
  const share = createSharing()
  const ending = new AbortController()
  let waiting = new AbortController()
  let loop: Promise<void> | undefined
  /** Where the next watch begins; undefined: list first. */
  let resourceVersion: string | undefined
  let relistAt = 0
  let failures = 0
  let synced = false
  let served = true

  function report(change: ChangeKind, object: T, old: T | undefined): void {
    try {
      const answer: unknown = onChange?.(change, object, old)
      if (answer instanceof Promise) answer.catch((err: unknown) => log.error({ err, kind, change }, 'change handler failed'))
    } catch (err) {
      log.error({ err, kind, change }, 'change handler failed')
    }
  }

  /** Undefined, and logged, for an object that the transform cannot take: one odd object must not stop the others. */
  function kept(object: KubeObject): T | undefined {
    try {
      const slim = withoutBallast(object)
      return share(options.transform ? options.transform(slim) : (slim as T))
    } catch (err) {
      log.error({ err, kind, key: objectKey(object.metadata) }, 'object left out of the cache')
      return undefined
    }
  }

  function put(object: T): void {
    const old = store.get(objectKey(object.metadata))
    if (old && isSameVersion(old, object)) return
    const isSame = old?.metadata.uid === object.metadata.uid
    if (old && !isSame) remove(objectKey(object.metadata), old)
    store.set(object)
    if (old && isSame) report('update', object, old)
    else report('add', object, undefined)
  }

  function remove(key: string, last: T): void {
    store.remove(key)
    report('delete', last, last)
  }

  function markSynced(): void {
    if (synced) return
    synced = true
    onSynced?.()
  }

  /** Takes over a complete list: what is not on any page is gone. */
  function takeOver(objects: ReadonlyMap<string, T>): void {
    for (const key of store.keys()) {
      const gone = objects.has(key) ? undefined : store.get(key)
      if (gone) remove(key, gone)
    }
    for (const object of objects.values()) put(object)
  }

  async function list(signal: AbortSignal): Promise<void> {
    const objects = new Map<string, T>()
    let token: string | undefined
    let listVersion = ''
    do {
      const page = await client.list(apiVersion, kind, { ...scope, signal, limit: PAGE_SIZE, ...(token ? { continue: token } : {}) })
      if (signal.aborted) return
      for (const item of page.items) {
        // What is in the store already stays there: twice of all for a moment is memory that is never given back.
        const stored = store.get(objectKey(item.metadata))
        const object = stored && isSameVersion(stored, item) ? stored : kept(item)
        if (object) objects.set(objectKey(object.metadata), object)
      }
      token = page.continue
      listVersion = page.resourceVersion
    } while (token)
    resourceVersion = listVersion
    relistAt = now() + RELIST_MS.least + random() * RELIST_MS.spread
    if (!served) log.info({ kind, apiVersion }, 'kind is served now')
    served = true
    takeOver(objects)
    markSynced()
  }

  async function watch(ended: AbortSignal): Promise<void> {
    const timeoutSeconds = Math.round(WATCH_SECONDS.least + random() * WATCH_SECONDS.spread)
    const watchdog = new AbortController()
    const cancelWatchdog = after(timeoutSeconds * 1_000 + WATCH_GRACE_MS, () => watchdog.abort())
    const signal = AbortSignal.any([ended, watchdog.signal])
    const begunAt = now()
    let events = 0
    try {
      const from = resourceVersion ? { resourceVersion } : {}
      for await (const event of client.watch(apiVersion, kind, { ...scope, ...from, timeoutSeconds, signal })) {
        if (ended.aborted) return
        events += 1
        take(event)
      }
    } catch (err) {
      // A dead connection that the watchdog cut is an ordinary end: the next watch goes on where this one was.
      if (!watchdog.signal.aborted) throw err
    } finally {
      cancelWatchdog()
      if (now() - begunAt >= HEALTHY_MS) failures = 0
    }
    if (events === 0 && now() - begunAt < SHORT_WATCH_MS && !ended.aborted)
      throw new KubeError({ status: 0, reason: 'NetworkError', message: `watch ${kind}: ended at once` })
  }

  function take(event: WatchEvent): void {
    if (event.type === 'ERROR') {
      const { status, message, retryAfterSeconds } = event
      throw new KubeError({ status, reason: status === 410 ? 'Expired' : 'WatchError', message, ...(retryAfterSeconds === undefined ? {} : { retryAfterSeconds }) })
    }
    if (event.type === 'BOOKMARK') {
      resourceVersion = event.resourceVersion
      return
    }
    // Advanced whatever the object is, or a reconnect would bring an object that cannot be kept again and again.
    resourceVersion = event.object.metadata.resourceVersion
    const object = kept(event.object)
    if (!object) return
    const key = objectKey(object.metadata)
    if (event.type !== 'DELETED') return put(object)
    const last = store.get(key)
    if (last && last.metadata.uid === object.metadata.uid) remove(key, object)
  }

  /** What a failure means for the next turn: milliseconds until then. */
  function waitAfter(err: unknown): number {
    failures += 1
    const { status = 0, reason = '', retryAfterSeconds = 0 } = err instanceof KubeError ? err : {}
    if (status === 404 || (status === 403 && options.mayBeForbidden)) {
      if (served) log.info({ kind, apiVersion, status, ...scope }, 'kind is not served, asked again later')
      served = false
      failures = 0
      resourceVersion = undefined
      takeOver(new Map())
      markSynced()
      return options.unservedRetryMs ?? UNSERVED_RETRY_MS
    }
    // Garbage may have hidden an event: only a list tells what is there.
    if (status === 410 || reason === 'BadAnswer' || !(err instanceof KubeError)) resourceVersion = undefined
    const line = { err, kind, apiVersion, failures }
    if (failures > 2) log.warn(line, 'watch keeps failing')
    else log.debug(line, 'watch ended')
    if (status === 410 && failures === 1) return 0
    const backOff = random() * Math.min(BACK_OFF_MS.first * 2 ** (failures - 1), BACK_OFF_MS.longest)
    return Math.max(backOff, retryAfterSeconds * 1_000)
  }

  async function run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      try {
        if (resourceVersion === undefined || now() >= relistAt) await list(signal)
        if (signal.aborted) return
        await watch(signal)
      } catch (err) {
        if (signal.aborted) return
        waiting = new AbortController()
        await pause(after, waitAfter(err), AbortSignal.any([signal, waiting.signal]))
      }
    }
  }

  return {
    start: () => {
      loop ??= run(ending.signal)
    },
    stop: async () => {
      ending.abort()
      await loop
    },
    hasSynced: () => synced,
    isServed: () => served,
    wake: () => waiting.abort(),
    get: store.get,
    list: store.list,
    byIndex: store.byIndex,
  }
}

const isSameVersion = (a: KubeObject, b: KubeObject): boolean => a.metadata.uid === b.metadata.uid && a.metadata.resourceVersion === b.metadata.resourceVersion

/** Without what is never read and makes up to half of an object. Of who owns what, only claims of ours stay, and since when there is what expires. */
function withoutBallast(object: KubeObject): KubeObject {
  const { managedFields: _, ...rest } = object.metadata as KubeObject['metadata'] & { readonly managedFields?: unknown }
  const kept = [...claimsOf(object), ...writingsOf(object, EXPIRING_ANNOTATIONS)]
  const metadata = kept.length > 0 ? { ...rest, managedFields: kept } : rest
  if (!metadata.annotations || !(ANNOTATION_LAST_APPLIED in metadata.annotations)) return { ...object, metadata }
  const { [ANNOTATION_LAST_APPLIED]: __, ...annotations } = metadata.annotations
  return { ...object, metadata: { ...metadata, annotations } }
}
