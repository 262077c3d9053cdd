import type { Json } from '#api/objects.ts'

/** One fault of one field, as an API server reports it in `status.details.causes`. */
export type KubeCause = { readonly reason?: string; readonly message?: string; readonly field?: string }

export type KubeFault = {
  /** HTTP status; 0 when there was no answer. */
  readonly status: number
  /** The API server's word (`Conflict`, `Expired`), or `Timeout`, `ConnectionRefused`, `NetworkError`, `Aborted`, `BadAnswer`. */
  readonly reason: string
  readonly message: string
  readonly causes?: readonly KubeCause[]
  readonly retryAfterSeconds?: number
  readonly cause?: unknown
}

/** Longest message that is kept: enough to act upon, too short to carry an object into the logs. */
const MAX_MESSAGE = 500
const RETRYABLE_REASONS: readonly string[] = ['Timeout', 'ConnectionRefused', 'NetworkError']

/** A call to the API server that failed. The message never holds the whole body. */
export class KubeError extends Error {
  readonly status: number
  readonly reason: string
  readonly causes: readonly KubeCause[]
  readonly retryAfterSeconds: number | undefined
  /** Whether the same call may succeed later, unchanged. Says nothing about whether it was applied. */
  readonly retryable: boolean

  constructor(fault: KubeFault) {
    super(fault.message.slice(0, MAX_MESSAGE), { cause: fault.cause })
    this.name = 'KubeError'
    this.status = fault.status
    this.reason = fault.reason
    this.causes = fault.causes ?? []
    this.retryAfterSeconds = fault.retryAfterSeconds
    this.retryable = fault.status === 429 || fault.status >= 500 || RETRYABLE_REASONS.includes(fault.reason)
  }
}

export const isNotFound = (err: unknown): boolean => err instanceof KubeError && err.status === 404
/** Another writer came first (wrong resourceVersion, foreign fields), or the object exists already: observe again. */
export const isConflict = (err: unknown): boolean => err instanceof KubeError && err.status === 409
/** The resourceVersion or continue token is too old: list again. */
export const isExpired = (err: unknown): boolean => err instanceof KubeError && err.status === 410

/** The error in a failed answer's body, a `Status` or anything else. */
export function errorFromAnswer(call: string, status: number, body: unknown, retryAfter: string | undefined): KubeError {
  const told = asStatus(body)
  const seconds = told.details?.retryAfterSeconds ?? Number(retryAfter)
  return new KubeError({
    status,
    reason: told.reason || (REASONS[status] ?? `HTTP${status}`),
    message: `${call}: ${status} ${told.message ?? told.reason ?? ''}`.trim(),
    causes: told.details?.causes ?? [],
    ...(Number.isFinite(seconds) && seconds >= 0 ? { retryAfterSeconds: seconds } : {}),
  })
}

const REASONS: Readonly<Record<number, string>> = {
  400: 'BadRequest', 401: 'Unauthorized', 403: 'Forbidden', 404: 'NotFound', 409: 'Conflict', 410: 'Expired',
  422: 'Invalid', 429: 'TooManyRequests', 500: 'InternalError', 503: 'ServiceUnavailable', 504: 'Timeout',
}

type ToldStatus = {
  readonly message?: string
  readonly reason?: string
  readonly details?: { readonly causes?: readonly KubeCause[]; readonly retryAfterSeconds?: number }
}

function asStatus(body: unknown): ToldStatus {
  if (typeof body !== 'object' || body === null) return {}
  const { message, reason, details } = body as Record<string, Json | undefined>
  const known = typeof details === 'object' && details !== null && !Array.isArray(details) ? (details as Record<string, Json>) : {}
  const { causes, retryAfterSeconds } = known
  return {
    ...(typeof message === 'string' ? { message } : {}),
    ...(typeof reason === 'string' ? { reason } : {}),
    details: {
      ...(Array.isArray(causes) ? { causes: causes as KubeCause[] } : {}),
      ...(typeof retryAfterSeconds === 'number' ? { retryAfterSeconds } : {}),
    },
  }
}
