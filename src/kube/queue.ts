import type { After } from '#kube/clock.ts'
import type { Log } from '#kube/log.ts'

export type QueueOptions = {
  /**
   * One turn for one key. Answers after how many milliseconds to look again, if at all.
   * A throw is logged and tried again with growing waits; `signal` aborts when a shutdown's deadline passed.
   */
  readonly work: (key: string, signal: AbortSignal) => Promise<number | undefined | void>
  /** How many keys run at a time; one key never runs twice at once. Default 4. */
  readonly workers?: number
  /** First and longest wait after failures. Defaults: 50 ms, 60 s. */
  readonly retryMs?: { readonly first: number; readonly longest: number }
  readonly log: Log
  readonly now: () => number
  readonly after?: After
  readonly onWorked?: (turn: QueueTurn) => void
}

/** One finished turn, as metrics want it. */
export type QueueTurn = {
  readonly key: string
  readonly outcome: 'done' | 'failed'
  /** From due to begun, and from begun to finished. */
  readonly waitedMs: number
  readonly workedMs: number
}

export type QueueStats = {
  readonly depth: number
  readonly delayed: number
  readonly running: number
  readonly adds: number
  readonly retries: number
  readonly longestRunningMs: number
}

export type Queue = {
  /** Due now. Already queued: nothing happens. Running: it runs once more afterwards. Low priority is for start-up and resync keys. */
  add(key: string, priority?: 'normal' | 'low'): void
  /** Due in `milliseconds`; of several waits for one key the earliest counts. */
  addAfter(key: string, milliseconds: number): void
  /** Drops a key that waits (not one that runs) and its failures. */
  forget(key: string): void
  /** Before it, keys are collected but none runs. */
  start(): void
  /** No new turns; waits for the running ones, then aborts their signal. True when all ended in time. */
  shutdown(deadlineMs: number): Promise<boolean>
  stats(): QueueStats
}

export function createQueue(_options: QueueOptions): Queue {
  throw new Error('not written yet')
}
