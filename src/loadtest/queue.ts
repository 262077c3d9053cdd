/** Commands that run beside the answers: so many at a time, so many that wait, and none twice at once. */

export type Placed = 'placed' | 'running' | 'full'

export type CommandQueue = {
  /**
   * `key` names the command of a Canary; while it waits or runs, the same is not taken again. `workers` is how many it runs with, the limit at
   * most. `run` does not reject.
   */
  add(key: string, workers: number, run: (signal: AbortSignal) => Promise<void>): Placed
  stats(): { readonly waiting: number; readonly running: number }
  /** Gives up what runs and forgets what waits; resolves when nothing runs. */
  close(): Promise<void>
}

export type CommandQueueOptions = { readonly maxRunning: number; readonly maxWorkers: number; readonly maxWaiting: number; readonly deadlineMs: number }

type Entry = { readonly key: string; readonly workers: number; readonly run: (signal: AbortSignal) => Promise<void> }

export function createCommandQueue({ maxRunning, maxWorkers, maxWaiting, deadlineMs }: CommandQueueOptions): CommandQueue {
  const known = new Set<string>()
  const waiting: Entry[] = []
  const running = new Set<Promise<void>>()
  const stop = new AbortController()
  let workers = 0

  function next(): void {
    while (running.size < maxRunning) {
      const [entry] = waiting
      // In order of arrival: a small load does not overtake a large one for ever.
      if (entry === undefined || workers + entry.workers > maxWorkers) return
      waiting.shift()
      workers += entry.workers
      const done = entry.run(AbortSignal.any([stop.signal, AbortSignal.timeout(deadlineMs)])).catch(() => undefined).finally(() => {
        running.delete(done)
        workers -= entry.workers
        known.delete(entry.key)
        next()
      })
      running.add(done)
    }
  }

  const mayRun = (wanted: number): boolean => waiting.length === 0 && running.size < maxRunning && workers + wanted <= maxWorkers

  return {
    add(key, wanted, run) {
      if (known.has(key)) return 'running'
      if (stop.signal.aborted || (waiting.length >= maxWaiting && !mayRun(wanted))) return 'full'
      known.add(key)
      waiting.push({ key, workers: wanted, run })
      next()
      return 'placed'
    },
    stats: () => ({ waiting: waiting.length, running: running.size }),
    async close() {
      stop.abort()
      waiting.length = 0
      await Promise.all(running)
    },
  }
}
