/** Commands that run beside the answers: so many at a time, so many that wait, and none twice at once. */

export type Placed = 'placed' | 'running' | 'full'

export type CommandQueue = {
  /** `key` names the command of a Canary; while it waits or runs, the same is not taken again. `run` does not reject. */
  add(key: string, run: (signal: AbortSignal) => Promise<void>): Placed
  stats(): { readonly waiting: number; readonly running: number }
  /** Gives up what runs and forgets what waits; resolves when nothing runs. */
  close(): Promise<void>
}

export type CommandQueueOptions = { readonly maxRunning: number; readonly maxWaiting: number; readonly deadlineMs: number }

export function createCommandQueue({ maxRunning, maxWaiting, deadlineMs }: CommandQueueOptions): CommandQueue {
  const known = new Set<string>()
  const waiting: { readonly key: string; readonly run: (signal: AbortSignal) => Promise<void> }[] = []
  const running = new Set<Promise<void>>()
  const stop = new AbortController()

  function next(): void {
    while (running.size < maxRunning) {
      const entry = waiting.shift()
      if (entry === undefined) return
      const done = entry.run(AbortSignal.any([stop.signal, AbortSignal.timeout(deadlineMs)])).catch(() => undefined).finally(() => {
        running.delete(done)
        known.delete(entry.key)
        next()
      })
      running.add(done)
    }
  }

  return {
    add(key, run) {
      if (known.has(key)) return 'running'
      if (stop.signal.aborted || (running.size >= maxRunning && waiting.length >= maxWaiting)) return 'full'
      known.add(key)
      waiting.push({ key, run })
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
