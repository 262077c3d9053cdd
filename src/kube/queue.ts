import { MAX_TIMER_MS, realAfter, type After } from '#kube/clock.ts'
import type { Log } from '#kube/log.ts'

export type QueueOptions = {
  /**
   * One turn for one key. Answers after how many milliseconds to look again, if at all.
   * A throw is logged and tried again with growing waits; `signal` aborts when a shutdown's deadline passed.
   */
  readonly work: (key: string, signal: AbortSignal) => Promise<number | undefined | void>
  /** How many keys run at a time; one key never runs twice at once. Default 16. */
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

/** A turn mostly waits for the API server, over as many connections as there are (see `transport.ts`). */
const DEFAULT_WORKERS = 16
const DEFAULT_RETRY_MS = { first: 50, longest: 60_000 } as const

type Waiting = { readonly dueAt: number; readonly low: boolean }
type Running = { readonly begunAt: number; again: Waiting | undefined }

/** A key is in one place only: waiting (with the time it is due), or running (and perhaps due again afterwards). */
export function createQueue(options: QueueOptions): Queue {
  const { work, now, log, onWorked, workers = DEFAULT_WORKERS, retryMs = DEFAULT_RETRY_MS, after = realAfter } = options
  const delayed = new Map<string, Waiting>()
  /** Due keys in order of arrival; low priority ones wait until no other is due. */
  const due = { normal: new Map<string, Waiting>(), low: new Map<string, Waiting>() }
  const running = new Map<string, Running>()
  const failures = new Map<string, number>()
  const overdue = new AbortController()
  let started = false
  let stopped = false
  let adds = 0
  let retries = 0
  let alarm: { readonly at: number; readonly cancel: () => void } | undefined
  let onIdle = (): void => {}

  function put(key: string, wanted: Waiting): void {
    if (stopped) return
    const turn = running.get(key)
    if (turn) {
      turn.again = earlier(turn.again, wanted)
      return
    }
    if (due.normal.has(key)) return
    const low = due.low.get(key)
    if (low && (wanted.low || wanted.dueAt > now())) return
    due.low.delete(key)
    const kept = earlier(delayed.get(key), wanted)
    delayed.delete(key)
    if (kept.dueAt > now()) {
      delayed.set(key, kept)
      setAlarm(kept.dueAt)
    } else {
      due[kept.low ? 'low' : 'normal'].set(key, kept)
      dispatch()
    }
  }

  /** One timer for the earliest of all waits. */
  function setAlarm(at: number): void {
    if (alarm && alarm.at <= at) return
    alarm?.cancel()
    alarm = { at, cancel: after(Math.min(at - now(), MAX_TIMER_MS), ring) }
  }

  function ring(): void {
    alarm = undefined
    const at = now()
    let next = Infinity
    for (const [key, wait] of delayed) {
      if (wait.dueAt > at) next = Math.min(next, wait.dueAt)
      else {
        delayed.delete(key)
        due[wait.low ? 'low' : 'normal'].set(key, wait)
      }
    }
    if (next < Infinity && !stopped) setAlarm(next)
    dispatch()
  }

  const mayBegin = (): boolean => started && !stopped && running.size < workers

  function dispatch(): void {
    while (mayBegin()) {
      const lane = due.normal.size > 0 ? due.normal : due.low
      const [next] = lane
      if (!next) return
      const [key, wait] = next
      lane.delete(key)
      running.set(key, { begunAt: now(), again: undefined })
      // A macrotask between turns: thousands of keys at start must not hold back the timer that renews the Lease.
      setImmediate(() => turn(key, wait).catch((err: unknown) => log.error({ err, key }, 'queue observer failed')))
    }
  }

  async function turn(key: string, wait: Waiting): Promise<void> {
    const begunAt = now()
    let outcome: QueueTurn['outcome'] = 'done'
    let next: Waiting | undefined
    try {
      const again = await work(key, overdue.signal)
      failures.delete(key)
      if (typeof again === 'number') next = { dueAt: now() + Math.max(again, 0), low: false }
    } catch (err) {
      outcome = 'failed'
      retries += 1
      const failed = (failures.get(key) ?? 0) + 1
      failures.set(key, failed)
      const waitMs = Math.min(retryMs.first * 2 ** (failed - 1), retryMs.longest)
      next = { dueAt: now() + waitMs, low: false }
      log.error({ err, key, failures: failed, retryInMs: waitMs }, 'turn failed')
    }
    const asked = running.get(key)?.again
    running.delete(key)
    const worked = { key, outcome, waitedMs: Math.max(0, begunAt - wait.dueAt), workedMs: now() - begunAt }
    const following = asked && next ? earlier(asked, next) : (asked ?? next)
    if (following) put(key, following)
    if (running.size === 0) onIdle()
    dispatch()
    onWorked?.(worked)
  }

  return {
    add: (key, priority = 'normal') => {
      adds += 1
      put(key, { dueAt: now(), low: priority === 'low' })
    },
    addAfter: (key, milliseconds) => put(key, { dueAt: now() + Math.max(milliseconds, 0), low: false }),
    forget: (key) => {
      for (const waiting of [delayed, due.normal, due.low]) waiting.delete(key)
      failures.delete(key)
    },
    start: () => {
      started = true
      dispatch()
    },
    shutdown: async (deadlineMs) => {
      stopped = true
      alarm?.cancel()
      for (const waiting of [delayed, due.normal, due.low]) waiting.clear()
      if (running.size === 0) return true
      return await new Promise<boolean>((resolve) => {
        const cancel = after(deadlineMs, () => {
          overdue.abort()
          resolve(false)
        })
        onIdle = () => {
          cancel()
          resolve(true)
        }
      })
    },
    stats: () => ({
      depth: due.normal.size + due.low.size,
      delayed: delayed.size,
      running: running.size,
      adds,
      retries,
      longestRunningMs: Math.max(0, ...[...running.values()].map(({ begunAt }) => now() - begunAt)),
    }),
  }
}

/** Of two wishes for one key the earlier counts, with the priority of the more urgent. */
const earlier = (a: Waiting | undefined, b: Waiting): Waiting =>
  a ? { dueAt: Math.min(a.dueAt, b.dueAt), low: a.low && b.low } : b
