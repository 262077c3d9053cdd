import { refOf, type KubeObject, type ObjectRef } from '#api/objects.ts'
import { kubeList, parsed, watchEvent, type KubeList, type WatchEvent } from '#kube/answers.ts'
import { pause, realAfter, type After } from '#kube/clock.ts'
import type { ClusterConfig } from '#kube/config.ts'
import { errorFromAnswer, isNotFound, KubeError } from '#kube/error.ts'
import { splitLines } from '#kube/lines.ts'
import { createDiscovery, resourcePath } from '#kube/resources.ts'
import { createRateLimit, retryWait } from '#kube/retry.ts'
import { createTransport, networkError, type WireAnswer, type WireRequest } from '#kube/transport.ts'

export { KubeError, isConflict, isExpired, isNotFound } from '#kube/error.ts'

export type CallOptions = {
  readonly signal?: AbortSignal
  /** Deadline of the whole call, retries included. */
  readonly timeoutMs?: number
  /**
   * Events go over connections of their own, with a rate limit of their own: news of some rollouts must not hold up the next step of others.
   * Lease renewals have theirs, too, without rate limit or retries.
   */
  readonly lane?: 'calls' | 'events' | 'lease'
}

export type WriteOptions = CallOptions & {
  readonly subresource?: 'status' | 'scale'
  readonly fieldManager?: string
  readonly dryRun?: boolean
}

export type ApplyOptions = WriteOptions & { readonly fieldManager: string; readonly force: boolean }

export type ListOptions = CallOptions & {
  /** Absent: all namespaces, or a kind without namespace. */
  readonly namespace?: string
  readonly labelSelector?: string
  readonly fieldSelector?: string
  readonly limit?: number
  readonly continue?: string
  readonly resourceVersion?: string
}

export type DeleteOptions = CallOptions & {
  readonly propagation?: 'Background' | 'Foreground' | 'Orphan'
  readonly preconditions?: { readonly uid?: string; readonly resourceVersion?: string }
}

export type WatchOptions = {
  readonly namespace?: string
  readonly labelSelector?: string
  readonly fieldSelector?: string
  /** Absent: begins with all existing objects as ADDED. */
  readonly resourceVersion?: string
  /** The server ends the watch after this long. */
  readonly timeoutSeconds?: number
  readonly signal: AbortSignal
  /** Called when the server has accepted the watch. */
  readonly onOpen?: () => void
}

export type PatchType = 'merge' | 'json' | 'strategic'

export type RawOptions = CallOptions & {
  readonly query?: Readonly<Record<string, string>>
  readonly body?: unknown
  readonly contentType?: string
}

/** The API server, raw JSON in and out: fields that nobody here knows survive. Every failure is a `KubeError`. */
export type KubeClient = {
  get<T extends KubeObject = KubeObject>(ref: ObjectRef, options?: CallOptions): Promise<T | undefined>
  list<T extends KubeObject = KubeObject>(apiVersion: string, kind: string, options?: ListOptions): Promise<KubeList<T>>
  create<T extends KubeObject = KubeObject>(object: KubeObject, options?: WriteOptions): Promise<T>
  /** Server-side apply. Fields that this manager applied before and now leaves out are removed. */
  apply<T extends KubeObject = KubeObject>(object: KubeObject, options: ApplyOptions): Promise<T>
  patch<T extends KubeObject = KubeObject>(ref: ObjectRef, body: unknown, type: PatchType, options?: WriteOptions): Promise<T>
  /** PUT. With `metadata.resourceVersion` it is a compare-and-swap: 409 when somebody wrote since. */
  replace<T extends KubeObject = KubeObject>(object: KubeObject, options?: WriteOptions): Promise<T>
  /** False when there was nothing to delete. */
  delete(ref: ObjectRef, options?: DeleteOptions): Promise<boolean>
  /** Ends when the server ends it; throws a `KubeError` when refused or cut. */
  watch(apiVersion: string, kind: string, options: WatchOptions): AsyncIterable<WatchEvent>
  /** Any other path, such as a SubjectAccessReview. Answers the parsed body. */
  raw(method: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE', path: string, options?: RawOptions): Promise<unknown>
  /** Ends idle connections; open watches are the caller's to abort. */
  close(): Promise<void>
}

/** One request as metrics want it. `status` 0: no answer. */
export type RequestRecord = { readonly verb: string; readonly resource: string; readonly status: number; readonly seconds: number }

export type KubeClientOptions = {
  readonly userAgent: string
  /** Requests a second that this client allows itself, and how many at once after a quiet time; as many again for Events. */
  readonly qps?: number
  readonly burst?: number
  readonly onRequest?: (record: RequestRecord) => void
  /** Unix or monotonic ms: only differences count. */
  readonly now: () => number
  readonly random: () => number
  readonly after?: After
}

/** Requests a second in the long run, and after a quiet time: client-go's controllers live well with these. */
const DEFAULT_QPS = 20
const DEFAULT_BURST = 40
const DEFAULT_TIMEOUT_MS = 15_000
/** A page of 500 big objects over a busy link. */
const LIST_TIMEOUT_MS = 60_000

const PATCH_CONTENT_TYPES = {
  merge: 'application/merge-patch+json',
  json: 'application/json-patch+json',
  strategic: 'application/strategic-merge-patch+json',
} as const
/** The name says YAML; JSON is YAML. */
const APPLY_CONTENT_TYPE = 'application/apply-patch+yaml'

export function createKubeClient(config: ClusterConfig, options: KubeClientOptions): KubeClient {
  const { userAgent, onRequest, random, now, after = realAfter } = options
  const transport = createTransport(config, userAgent)
  const newLimit = () => createRateLimit(options.qps ?? DEFAULT_QPS, options.burst ?? DEFAULT_BURST, now)
  const limits = { calls: newLimit(), events: newLimit() }
  const discovery = createDiscovery(async (path) => await undefinedWhenMissing(call('GET', path, { verb: 'discover', resource: 'apiresources' })), now)

  type Call = CallOptions & { readonly verb: string; readonly resource: string; readonly body?: unknown; readonly contentType?: string }

  /** The parsed answer of a call: rate limited, retried where that is safe, over at its deadline. */
  async function call(method: WireRequest['method'], path: string, told: Call): Promise<unknown> {
    const deadline = AbortSignal.timeout(told.timeoutMs ?? DEFAULT_TIMEOUT_MS)
    const signal = told.signal ? AbortSignal.any([told.signal, deadline]) : deadline
    const { lane = 'calls' } = told
    const isLease = lane === 'lease'
    const wire: WireRequest = {
      method, path, signal, lane,
      ...(told.body === undefined ? {} : { body: JSON.stringify(told.body), contentType: told.contentType ?? 'application/json' }),
    }
    for (let tries = 1; ; tries += 1) {
      if (lane !== 'lease') await waitOrThrow(limits[lane].take(), signal, path)
      try {
        return await attempt(wire, told)
      } catch (err) {
        const failure = networkError(`${method} ${path}`, err)
        const wait = isLease ? undefined : retryWait(method === 'GET', failure, tries, random)
        if (wait === undefined || signal.aborted) throw failure
        await waitOrThrow(wait, signal, path)
      }
    }
  }

  async function attempt(wire: WireRequest, { verb, resource }: Call): Promise<unknown> {
    const begunAt = now()
    let status = 0
    try {
      const answer = await transport.send(wire)
      const body = parsed(await answer.body.text(), `${verb} ${resource}`, answer.statusCode)
      status = answer.statusCode
      if (status >= 300) throw errorFromAnswer(`${verb} ${resource}`, status, body, header(answer, 'retry-after'))
      return body
    } finally {
      onRequest?.({ verb, resource, status, seconds: (now() - begunAt) / 1_000 })
    }
  }

  async function waitOrThrow(milliseconds: number, signal: AbortSignal, path: string): Promise<void> {
    if (milliseconds > 0) await pause(after, milliseconds, signal)
    if (signal.aborted) throw networkError(path, signal.reason)
  }

  async function place(ref: { readonly apiVersion: string; readonly kind: string; readonly namespace?: string }, name?: string, subresource?: string) {
    const resource = await discovery.find(ref.apiVersion, ref.kind)
    if (resource.namespaced && ref.namespace === undefined && name !== undefined)
      throw new KubeError({ status: 400, reason: 'BadRequest', message: `${ref.kind} ${name} needs a namespace` })
    return {
      path: resourcePath(ref.apiVersion, resource, ref.namespace, name, subresource),
      resource: subresource ? `${resource.plural}/${subresource}` : resource.plural,
    }
  }

  /** A write to an object, which says where it belongs. */
  async function write<T extends KubeObject>(
    method: WireRequest['method'], verb: string, ref: ObjectRef, body: unknown,
    told: WriteOptions & { readonly contentType?: string; readonly force?: boolean; readonly collection?: true },
  ): Promise<T> {
    const { subresource, fieldManager, dryRun, force, contentType, collection, ...rest } = told
    const { path, resource } = collection
      ? { ...(await place({ apiVersion: ref.apiVersion, kind: ref.kind, ...(ref.namespace ? { namespace: ref.namespace } : {}) })) }
      : await place(ref, ref.name, subresource)
    const query = queryOf({ fieldManager, force: force ? 'true' : undefined, dryRun: dryRun ? 'All' : undefined })
    return (await call(method, path + query, { ...rest, verb, resource, body, ...(contentType ? { contentType } : {}) })) as T
  }

  async function* watch(apiVersion: string, kind: string, told: WatchOptions): AsyncGenerator<WatchEvent> {
    const { path, resource } = await place({ apiVersion, kind, ...(told.namespace ? { namespace: told.namespace } : {}) })
    const query = queryOf({
      watch: 'true', allowWatchBookmarks: 'true',
      resourceVersion: told.resourceVersion, labelSelector: told.labelSelector, fieldSelector: told.fieldSelector,
      timeoutSeconds: told.timeoutSeconds?.toString(),
    })
    const begunAt = now()
    let status = 0
    try {
      const answer = await transport.send({ method: 'GET', path: path + query, lane: 'watches', signal: told.signal })
      status = answer.statusCode
      if (status >= 300) {
        const body = parsed(await answer.body.text(), `watch ${resource}`, status)
        throw errorFromAnswer(`watch ${resource}`, status, body, header(answer, 'retry-after'))
      }
      told.onOpen?.()
      for await (const line of splitLines(answer.body)) yield watchEvent(line)
    } catch (err) {
      throw networkError(`watch ${resource}`, err)
    } finally {
      onRequest?.({ verb: 'watch', resource, status, seconds: (now() - begunAt) / 1_000 })
    }
  }

  return {
    get: async <T extends KubeObject>(ref: ObjectRef, told: CallOptions = {}) =>
      (await undefinedWhenMissing(place(ref, ref.name).then(({ path, resource }) => call('GET', path, { ...told, verb: 'get', resource })))) as T | undefined,
    list: async <T extends KubeObject>(apiVersion: string, kind: string, told: ListOptions = {}) => {
      const { namespace, labelSelector, fieldSelector, limit: pageSize, continue: token, resourceVersion, ...rest } = told
      const { path, resource } = await place({ apiVersion, kind, ...(namespace ? { namespace } : {}) })
      const query = queryOf({ labelSelector, fieldSelector, limit: pageSize?.toString(), continue: token, resourceVersion })
      try {
        return kubeList<T>(apiVersion, kind, await call('GET', path + query, { timeoutMs: LIST_TIMEOUT_MS, ...rest, verb: 'list', resource }))
      } catch (err) {
        // A whole kind that is missing has lost its definition, and may come back elsewhere.
        if (isNotFound(err)) discovery.forget(apiVersion)
        throw err
      }
    },
    create: async (object, told = {}) => await write('POST', 'create', refOf(object), object, { ...told, collection: true }),
    apply: async (object, told) => await write('PATCH', 'apply', refOf(object), object, { ...told, contentType: APPLY_CONTENT_TYPE }),
    patch: async (ref, body, type, told = {}) => await write('PATCH', 'patch', ref, body, { ...told, contentType: PATCH_CONTENT_TYPES[type] }),
    replace: async (object, told = {}) => await write('PUT', 'update', refOf(object), object, told),
    delete: async (ref, { propagation, preconditions, ...rest } = {}) => {
      const body = { apiVersion: 'v1', kind: 'DeleteOptions', propagationPolicy: propagation, preconditions }
      const deleted = place(ref, ref.name).then(({ path, resource }) => call('DELETE', path, { ...rest, verb: 'delete', resource, body }))
      return (await undefinedWhenMissing(deleted)) !== undefined
    },
    watch,
    raw: async (method, path, { query, body, contentType, ...rest } = {}) =>
      await call(method, path + queryOf(query ?? {}), { ...rest, verb: method.toLowerCase(), resource: 'raw', body, ...(contentType ? { contentType } : {}) }),
    close: async () => await transport.close(),
  }
}

const header = (answer: WireAnswer, name: string): string | undefined => [answer.headers[name]].flat()[0]

async function undefinedWhenMissing<T>(answer: Promise<T>): Promise<T | undefined> {
  try {
    return await answer
  } catch (err) {
    if (isNotFound(err)) return undefined
    throw err
  }
}

function queryOf(fields: Readonly<Record<string, string | undefined>>): string {
  const set = Object.entries(fields).filter((entry): entry is [string, string] => entry[1] !== undefined && entry[1] !== '')
  return set.length === 0 ? '' : `?${new URLSearchParams(set)}`
}
