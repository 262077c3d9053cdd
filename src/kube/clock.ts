/** Time as an argument, so that tests decide when it passes. */

/** Runs `run` once after `milliseconds`; the answer cancels it. */
export type After = (milliseconds: number, run: () => void) => () => void

export type Clock = {
  /** Unix milliseconds. */
  readonly now: () => number
  readonly after: After
}

/** Node's timers hold 31 bits: anything longer (24.8 days) would fire at once. */
export const MAX_TIMER_MS = 2 ** 31 - 1

/** Node's own timers, clamped: a long wait ends early, at 24.8 days, and whoever waits looks at the clock again. */
export const realAfter: After = (milliseconds, run) => {
  const timer = setTimeout(run, Math.min(Math.max(milliseconds, 0), MAX_TIMER_MS))
  return () => clearTimeout(timer)
}

/** Resolves after `milliseconds`, or as soon as `signal` aborts; never rejects. */
export function pause(after: After, milliseconds: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) return resolve()
    const wake = (): void => {
      cancel()
      signal.removeEventListener('abort', wake)
      resolve()
    }
    const cancel = after(milliseconds, wake)
    signal.addEventListener('abort', wake, { once: true })
  })
}
