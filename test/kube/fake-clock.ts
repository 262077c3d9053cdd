import type { After } from '#kube/clock.ts'

export type FakeClock = {
  readonly now: () => number
  readonly after: After
  /** Lets time pass: timers run in their order, and what they set off is done before the next one. */
  advance(milliseconds: number): Promise<void>
  /** Time passes and no timer runs, as when a process is paused. */
  stall(milliseconds: number): void
  /** Lets everything that waits for no timer happen. */
  settle(): Promise<void>
  /** Waits of the timers that are set now. */
  waits(): number[]
}

export function createFakeClock(start = Date.UTC(2026, 0, 1)): FakeClock {
  let at = start
  const timers = new Set<{ readonly at: number; readonly run: () => void }>()

  async function settle(): Promise<void> {
    for (let turn = 0; turn < 5; turn += 1) await new Promise<void>((resolve) => setImmediate(resolve))
  }
  return {
    now: () => at,
    after: (milliseconds, run) => {
      const timer = { at: at + Math.max(0, milliseconds), run }
      timers.add(timer)
      return () => void timers.delete(timer)
    },
    advance: async (milliseconds) => {
      const until = at + milliseconds
      await settle()
      for (;;) {
        const [next] = [...timers].filter((timer) => timer.at <= until).sort((a, b) => a.at - b.at)
        if (!next) break
        timers.delete(next)
        at = Math.max(at, next.at)
        next.run()
        await settle()
      }
      at = until
      await settle()
    },
    stall: (milliseconds) => {
      at += milliseconds
    },
    settle,
    waits: () => [...timers].map((timer) => timer.at - at).sort((a, b) => a - b),
  }
}
