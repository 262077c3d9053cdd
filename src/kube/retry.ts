import type { KubeError } from '#kube/error.ts'

/** Further tries after the first. */
const MAX_RETRIES = 3
const FIRST_WAIT_MS = 100
const LONGEST_WAIT_MS = 5_000

/**
 * Milliseconds to wait before the same call is tried again, or undefined when it must not be.
 * Reads are repeated after 429, 5xx and network faults. Writes only when the server surely did nothing: 429, or nobody
 * listened. A write whose answer was lost may have been applied, and only its caller can look.
 */
export function retryWait(isRead: boolean, err: KubeError, triesSoFar: number, random: () => number): number | undefined {
  const surelyNotApplied = err.status === 429 || err.reason === 'ConnectionRefused'
  if (triesSoFar > MAX_RETRIES || !(surelyNotApplied || (isRead && err.retryable))) return undefined
  const backOff = Math.min(FIRST_WAIT_MS * 2 ** (triesSoFar - 1), LONGEST_WAIT_MS) * (0.5 + random() / 2)
  return Math.max(backOff, (err.retryAfterSeconds ?? 0) * 1_000)
}

export type RateLimit = {
  /** Milliseconds to wait before the call whose place is hereby taken. */
  take(): number
}

/** A token bucket: `burst` calls at once after a quiet time, `qps` a second in the long run; order of arrival is kept. */
export function createRateLimit(qps: number, burst: number, now: () => number): RateLimit {
  const spacing = 1_000 / qps
  // When the bucket was, or will be, exactly full: one number says all.
  let fullAt = -Infinity
  return {
    take: () => {
      const at = now()
      fullAt = Math.max(fullAt, at) + spacing
      return Math.max(0, fullAt - at - burst * spacing)
    },
  }
}
