import type { KubeObject, ObjectRef } from '#api/objects.ts'
import type { ClusterConfig } from '#kube/config.ts'
import type { After } from '#kube/clock.ts'

export { KubeError, isConflict, isExpired, isNotFound } from '#kube/error.ts'

export type CallOptions = {
  readonly signal?: AbortSignal
  /** Deadline of the whole call, retries included. */
  readonly timeoutMs?: number
  /** Lease renewals go over connections of their own, without rate limit or retries. */
  readonly lane?: 'calls' | 'lease'
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

/** One page. `resourceVersion` is the list's, to watch from; `continue` is absent on the last page. */
export type KubeList<T extends KubeObject = KubeObject> = {
  readonly items: readonly T[]
  readonly resourceVersion: string
  readonly continue?: string
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

export type WatchEvent =
  | { readonly type: 'ADDED' | 'MODIFIED' | 'DELETED'; readonly object: KubeObject }
  | { readonly type: 'BOOKMARK'; readonly resourceVersion: string }
  /** What the server reported inside the stream: 410 means list again. */
  | { readonly type: 'ERROR'; readonly status: number; readonly message: string; readonly retryAfterSeconds?: number }

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
  /** Whether the API server serves this kind now, asked again after a minute: a missing provider CRD is known, not guessed. */
  hasKind(apiVersion: string, kind: string, options?: CallOptions): Promise<boolean>
  /** Ends idle connections; open watches are the caller's to abort. */
  close(): Promise<void>
}

/** One request as metrics want it. `status` 0: no answer. */
export type RequestRecord = { readonly verb: string; readonly resource: string; readonly status: number; readonly seconds: number }

export type KubeClientOptions = {
  readonly userAgent: string
  /** Requests a second that this client allows itself, and how many at once after a quiet time. */
  readonly qps?: number
  readonly burst?: number
  readonly onRequest?: (record: RequestRecord) => void
  readonly now?: () => number
  readonly after?: After
  readonly random?: () => number
}

export function createKubeClient(_config: ClusterConfig, _options: KubeClientOptions): KubeClient {
  throw new Error('not written yet')
}
