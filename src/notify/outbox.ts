/** Work in the background, bounded: what is told to others never keeps a rollout waiting, and never fills the memory. */

export type OutboxOptions = {
  /** Things that wait, of all lanes; more are refused. */
  readonly maxWaiting?: number
  /** Things that wait in one lane: a dead receiver takes no more than that. */
  readonly maxWaitingInLane?: number
  /** Lanes that run at a time. */
  readonly maxRunning?: number
  /** After which a run's signal aborts (ms). */
  readonly deadlineMs?: number
}

export type OutboxStats = { readonly waiting: number; readonly running: number; readonly refused: number }

export type Outbox = {
  /**
   * Runs it as soon as those before it in its lane have ended. False: there is no place, and it will not run.
   * `run` heeds its signal and does not reject.
   */
  add(lane: string, run: (signal: AbortSignal) => Promise<void>): boolean
  stats(): OutboxStats
  /** Takes nothing more, waits for what is there, and after `graceMs` aborts it. */
  close(graceMs: number): Promise<void>
}

const DEFAULTS = { maxWaiting: 1_000, maxWaitingInLane: 50, maxRunning: 32, deadlineMs: 120_000 } as const

type Job = (signal: AbortSignal) => Promise<void>

export function createOutbox(options: OutboxOptions = {}): Outbox {
  const { maxWaiting, maxWaitingInLane, maxRunning, deadlineMs } = { ...DEFAULTS, ...options }
  const lanes = new Map<string, Job[]>()
  /** Lanes with something to run that do not run, in order of arrival. */
  const ready: string[] = []
  const underWay = new Set<Promise<void>>()
  const stop = new AbortController()
  let waiting = 0
  let refused = 0
  let closed = false

  function next(): void {
    while (underWay.size < maxRunning) {
      const lane = ready.shift()
      if (lane === undefined) return
      const job = lanes.get(lane)?.shift()
      if (job === undefined) continue
      waiting -= 1
      const signal = AbortSignal.any([stop.signal, AbortSignal.timeout(deadlineMs)])
      // One fault is one loss; the lane goes on.
      const done = job(signal).catch(() => undefined).finally(() => {
        underWay.delete(done)
        if ((lanes.get(lane)?.length ?? 0) > 0) ready.push(lane)
        else lanes.delete(lane)
        next()
      })
      underWay.add(done)
    }
  }

  return {
    add(lane, run) {
      const jobs = lanes.get(lane)
      if (closed || waiting >= maxWaiting || (jobs?.length ?? 0) >= maxWaitingInLane) {
        refused += 1
        return false
      }
      waiting += 1
      if (jobs) jobs.push(run)
      else {
        lanes.set(lane, [run])
        ready.push(lane)
      }
      next()
      return true
    },
    stats: () => ({ waiting, running: underWay.size, refused }),
    async close(graceMs) {
      closed = true
      const cut = setTimeout(() => { stop.abort() }, graceMs)
      // A lane's next run starts when its last one ends, so the set is looked at again.
      while (underWay.size > 0) await Promise.all(underWay)
      clearTimeout(cut)
    },
  }
}
