import type { Logger } from 'pino'

/** What `main.ts` alone reads, and hands down to whatever it starts. */
export type Runtime = {
  readonly env: Readonly<Record<string, string | undefined>>
  readonly log: Logger
  /** Unix ms. */
  readonly now: () => number
  /** Monotonic ms. */
  readonly monotonic: () => number
  readonly random: () => number
  /** Aborted by SIGTERM or SIGINT. */
  readonly stopping: AbortSignal
}
