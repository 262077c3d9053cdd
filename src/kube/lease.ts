import type { After } from '#kube/clock.ts'
import type { KubeClient } from '#kube/client.ts'
import type { Log } from '#kube/log.ts'

export type LeaderOptions = {
  readonly client: KubeClient
  readonly namespace: string
  /** Name of the Lease. */
  readonly name: string
  /** `<pod name>_<uuid>`: a restarted container is another candidate. */
  readonly identity: string
  /** Default 6 s. Must exceed renewDeadlineMs (4 s), which must exceed 1.2 times retryPeriodMs (1 s). */
  readonly leaseDurationMs?: number
  readonly renewDeadlineMs?: number
  readonly retryPeriodMs?: number
  /** Nothing may be written before this was called, with the epoch: the Lease's count of transitions. */
  readonly onStartedLeading: (epoch: number) => void
  /** Called once at the end of each term, whatever ended it. */
  readonly onStoppedLeading: (reason: string) => void
  readonly log: Log
  /** Unix ms, for the timestamps which people read. */
  readonly now: () => number
  /** Monotonic ms (`performance.now`), for everything that is decided. */
  readonly monotonic: () => number
  readonly random: () => number
  readonly after?: After
}

export type Leader = {
  start(): void
  /** The fence: true only while the last renewal is younger than renewDeadlineMs. Ask before every effect. */
  isLeader(): boolean
  /** Of the present term; undefined when not leading. */
  epoch(): number | undefined
  /** Identity of the holder as last seen, '' when free. */
  holder(): string
  /** Ends the term and releases the Lease, so that another takes over at its next look. Call it when no effect can run any more. */
  stop(): Promise<void>
}

export function createLeader(_options: LeaderOptions): Leader {
  throw new Error('not written yet')
}
