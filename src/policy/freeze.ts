import { Cron } from 'croner'
import { parseDuration } from '#api/duration.ts'
import type { FreezeWindow } from '#api/policies.ts'

/** Longest window: a year; longer ones are a decision, not a window. */
const MAX_WINDOW_MS = 366 * 86_400_000

/** What keeps a window from ever being in force, in words. */
export function windowFaults(window: FreezeWindow): readonly { readonly part: 'start' | 'duration'; readonly message: string }[] {
  const ms = parseDuration(window.duration) ?? 0
  return [
    ...(ms > 0 && ms <= MAX_WINDOW_MS ? [] : [{ part: 'duration' as const, message: `"${window.duration}" is no duration of up to a year` }]),
    ...(cronOf(window) ? [] : [{ part: 'start' as const, message: `"${window.start}"${window.timeZone ? ` in ${window.timeZone}` : ''} is no cron expression of five fields in a known time zone` }]),
  ]
}

/** A window in force: from when to when (Unix ms). */
export type Frozen<W extends FreezeWindow = FreezeWindow> = { readonly window: W; readonly since: number; readonly until: number }

/** The window in force at `now` (Unix ms) with its end; of several the one that ends last. Windows that cannot be read freeze nothing. */
export function frozenBy<W extends FreezeWindow>(windows: readonly W[], now: number): Frozen<W> | undefined {
  return windows
    .flatMap((window) => {
      const ms = parseDuration(window.duration) ?? 0
      const cron = ms > 0 && ms <= MAX_WINDOW_MS ? cronOf(window) : undefined
      // The first start after `now - duration`: when it is not in the future, it began within the last `duration`.
      const start = cron?.nextRun(new Date(now - ms))?.getTime()
      if (start === undefined || start > now) return []
      const latest = latestStart(cron, start, now)
      return [{ window, since: start, until: latest + ms }]
    })
    .reduce<Frozen<W> | undefined>((last, one) => (last && last.until >= one.until ? last : one), undefined)
}

/** Overlapping windows of one entry: the last start counts. Bounded, for an entry that starts every minute. */
function latestStart(cron: Cron | undefined, first: number, now: number): number {
  let start = first
  for (let i = 0; i < 1_000; i += 1) {
    const next = cron?.nextRun(new Date(start))?.getTime()
    if (next === undefined || next > now) break
    start = next
  }
  return start
}

function cronOf({ start, timeZone }: FreezeWindow): Cron | undefined {
  if (start.trim().split(/\s+/).length !== 5) return undefined
  try {
    const cron = new Cron(start, { paused: true, timezone: timeZone ?? 'UTC' })
    cron.nextRun(new Date(0))
    return cron
  } catch {
    return undefined
  }
}
