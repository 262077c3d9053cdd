import type { KubeObject } from '#api/objects.ts'
import { KubeError } from '#kube/error.ts'

/** One page. `resourceVersion` is the list's, to watch from; `continue` is absent on the last page. */
export type KubeList<T extends KubeObject = KubeObject> = {
  readonly items: readonly T[]
  readonly resourceVersion: string
  readonly continue?: string
}

export type WatchEvent =
  | { readonly type: 'ADDED' | 'MODIFIED' | 'DELETED'; readonly object: KubeObject }
  | { readonly type: 'BOOKMARK'; readonly resourceVersion: string }
  /** What the server reported inside the stream: 410 means list again. */
  | { readonly type: 'ERROR'; readonly status: number; readonly message: string; readonly retryAfterSeconds?: number }

/** The JSON of an answer. Text that is none is a fault of a 2xx, and no more than a message otherwise (a proxy's page). */
export function parsed(text: string, call: string, status: number): unknown {
  try {
    return text === '' ? undefined : JSON.parse(text)
  } catch (err) {
    if (status >= 300) return { message: text.slice(0, 200) }
    throw new KubeError({ status: 0, reason: 'BadAnswer', message: `${call}: the answer is no JSON`, cause: err })
  }
}

/** A page of a list. Items of a list lack `apiVersion` and `kind`, which the request knows. */
export function kubeList<T extends KubeObject>(apiVersion: string, kind: string, answer: unknown): KubeList<T> {
  const { items, metadata } = (answer ?? {}) as { readonly items?: unknown; readonly metadata?: { readonly resourceVersion?: string; readonly continue?: string } }
  // `items: null` is how Go writes an empty list.
  if (items !== null && !Array.isArray(items)) throw new KubeError({ status: 0, reason: 'BadAnswer', message: `list ${kind}: the answer has no items` })
  return {
    items: (items ?? []).map((item: object) => ({ apiVersion, kind, ...item }) as T),
    resourceVersion: metadata?.resourceVersion ?? '',
    ...(metadata?.continue ? { continue: metadata.continue } : {}),
  }
}

/** One line of a watch. Throws `BadAnswer` for what is no event: to skip it would lose a change. */
export function watchEvent(line: string): WatchEvent {
  const { type, object } = parsed(line, 'watch', 200) as { readonly type?: string; readonly object?: WatchedObject }
  if (type === 'ERROR') {
    const seconds = object?.details?.retryAfterSeconds
    return { type, status: object?.code ?? 500, message: object?.message ?? object?.reason ?? '', ...(seconds === undefined ? {} : { retryAfterSeconds: seconds }) }
  }
  const resourceVersion = object?.metadata?.resourceVersion
  if (type === 'BOOKMARK' && resourceVersion) return { type, resourceVersion }
  if ((type === 'ADDED' || type === 'MODIFIED' || type === 'DELETED') && object?.metadata?.name) return { type, object }
  throw new KubeError({ status: 0, reason: 'BadAnswer', message: `watch: an event of type ${type} that nobody understands` })
}

type WatchedObject = KubeObject & {
  readonly code?: number
  readonly message?: string
  readonly reason?: string
  readonly details?: { readonly retryAfterSeconds?: number }
}
