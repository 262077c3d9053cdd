import type { KubeObject } from '#api/objects.ts'
import type { KubeClient } from '#kube/client.ts'
import { pause, realAfter, type After } from '#kube/clock.ts'
import { isConflict } from '#kube/error.ts'
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
  /** How long a free Lease is left to others (ms): for who holds much already. Default 0. */
  readonly reluctanceMs?: () => number
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

const DEFAULTS = { leaseDurationMs: 6_000, renewDeadlineMs: 4_000, retryPeriodMs: 1_000 } as const
/** A candidate looks this often, so that a released Lease is taken within a second. */
const LOOK_MS = 500
const JITTER = 0.2
/** In a released Lease: nobody has to wait for it to expire. */
const RELEASED_SECONDS = 1

type LeaseSpec = {
  readonly holderIdentity?: string
  readonly leaseDurationSeconds?: number
  readonly acquireTime?: string
  readonly renewTime?: string
  readonly leaseTransitions?: number
}
type Lease = KubeObject & { readonly spec?: LeaseSpec }

/** The API server refuses a MicroTime without exactly six digits. */
export const microTime = (unixMs: number): string => new Date(unixMs).toISOString().replace('Z', '000Z')

/**
 * Elects one leader by client-go's rules. Whether a holder is gone is judged by how long its record has not changed here, on our
 * monotonic clock: the timestamps in it come from a clock that may be wrong.
 */
export function createLeader(options: LeaderOptions): Leader {
  const { client, identity, namespace, log, now, monotonic, random, onStartedLeading, onStoppedLeading, reluctanceMs = () => 0, after = realAfter } = options
  const { leaseDurationMs, renewDeadlineMs, retryPeriodMs } = { ...DEFAULTS, ...timesOf(options) }
  if (!(leaseDurationMs > renewDeadlineMs && renewDeadlineMs > retryPeriodMs * (1 + JITTER)))
    throw new Error('lease: leaseDurationMs must exceed renewDeadlineMs, which must exceed 1.2 times retryPeriodMs')
  const ref = { apiVersion: 'coordination.k8s.io/v1', kind: 'Lease', namespace, name: options.name }
  const ending = new AbortController()
  let loop: Promise<void> | undefined
  /** The record as last seen, and when it was first seen so. */
  let seen: { readonly lease: Lease; readonly at: number } | undefined
  /** Since when there has been none to be seen. */
  let missingSince: number | undefined
  let term: { readonly epoch: number; renewedAt: number; readonly cancelDeadline: () => void } | undefined

  const isInForce = (): boolean => term !== undefined && monotonic() - term.renewedAt < renewDeadlineMs
  const secondsOf = (milliseconds: number): number => Math.ceil(milliseconds / 1_000)

  function remember(lease: Lease, at: number): void {
    const isNews = JSON.stringify(lease.spec) !== JSON.stringify(seen?.lease.spec) || lease.metadata.uid !== seen?.lease.metadata.uid
    seen = { lease, at: isNews || !seen ? at : seen.at }
  }

  /** Milliseconds until the record may be taken: 0 when it is free, ours, or silent for its whole duration. */
  function untilFree(): number {
    const { holderIdentity = '', leaseDurationSeconds = secondsOf(leaseDurationMs) } = seen?.lease.spec ?? {}
    if (holderIdentity === identity) return 0
    const freeAt = !seen ? (missingSince ?? monotonic()) : holderIdentity === '' ? seen.at : seen.at + leaseDurationSeconds * 1_000
    return Math.max(0, freeAt + reluctanceMs() - monotonic())
  }

  function held(spec: LeaseSpec | undefined): LeaseSpec {
    const time = microTime(now())
    const transitions = spec?.leaseTransitions ?? 0
    const isSame = spec?.holderIdentity === identity
    return {
      holderIdentity: identity,
      leaseDurationSeconds: secondsOf(leaseDurationMs),
      acquireTime: isSame ? (spec.acquireTime ?? time) : time,
      renewTime: time,
      leaseTransitions: isSame || !spec ? transitions : transitions + 1,
    }
  }

  /** Acquires or renews by compare-and-swap. True: the record is ours, counted from before the request was sent. */
  async function tryHold(signal: AbortSignal): Promise<boolean> {
    const call = { lane: 'lease', timeoutMs: renewDeadlineMs / 2, signal } as const
    if (!term || !seen) {
      const found = await client.get<Lease>(ref, call)
      if (found) remember(found, monotonic())
      else {
        seen = undefined
        missingSince ??= monotonic()
      }
    }
    if (untilFree() > 0) return false
    const sentAt = monotonic()
    const lease = seen
      ? await client.replace<Lease>({ ...seen.lease, spec: held(seen.lease.spec) }, call)
      : await client.create<Lease>({ apiVersion: ref.apiVersion, kind: ref.kind, metadata: { namespace, name: ref.name }, spec: held(undefined) }, call)
    remember(lease, monotonic())
    if (term) term.renewedAt = sentAt
    // An answer that took too long is worth nothing: the next look renews what is ours already.
    else if (!signal.aborted && monotonic() - sentAt < renewDeadlineMs) begin(lease.spec?.leaseTransitions ?? 0, sentAt)
    return true
  }

  function begin(epoch: number, renewedAt: number): void {
    term = { epoch, renewedAt, cancelDeadline: watchDeadline(renewedAt) }
    log.info({ identity, epoch }, 'leading')
    onStartedLeading(epoch)
  }

  /** The renewal may hang in a request: the end of a term does not wait for it. */
  function watchDeadline(renewedAt: number): () => void {
    let cancel = (): void => {}
    const check = (from: number): void => {
      cancel = after(Math.max(0, from + renewDeadlineMs - monotonic()), () => {
        if (!term) return
        if (isInForce()) check(term.renewedAt)
        else end('the Lease could not be renewed in time')
      })
    }
    check(renewedAt)
    return () => cancel()
  }

  function end(reason: string): void {
    if (!term) return
    term.cancelDeadline()
    term = undefined
    log.warn({ identity, reason }, 'no longer leading')
    onStoppedLeading(reason)
  }

  async function turn(signal: AbortSignal): Promise<number> {
    try {
      if (term && !isInForce()) end('the Lease could not be renewed in time')
      if (await tryHold(signal)) return retryPeriodMs
      if (term) end('another holds the Lease')
    } catch (err) {
      if (signal.aborted) return 0
      const isLost = isConflict(err)
      // Somebody wrote, or a write of ours got no answer: read again before the next try.
      if (isLost && term) await lookAgain(signal)
      if (!isLost) log.warn({ err, identity, leading: term !== undefined }, 'lease request failed')
    }
    if (term) return retryPeriodMs / 2
    const look = LOOK_MS * (1 + JITTER * random())
    return untilFree() > 0 ? Math.min(look, untilFree()) : look
  }

  /** After a conflict in a term: ours still (a lost answer, a label by somebody) means go on, another's means stop at once. */
  async function lookAgain(signal: AbortSignal): Promise<void> {
    try {
      const found = await client.get<Lease>(ref, { lane: 'lease', timeoutMs: renewDeadlineMs / 2, signal })
      if (found) remember(found, monotonic())
      else seen = undefined
      if (!found || found.spec?.holderIdentity !== identity) end('another holds the Lease')
    } catch (err) {
      log.warn({ err, identity }, 'lease request failed')
    }
  }

  async function run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) await pause(after, await turn(signal), signal)
  }

  /** An empty holder and one second: the next to look takes over. Transitions are counted by whoever does. */
  async function release(): Promise<void> {
    const call = { lane: 'lease', timeoutMs: retryPeriodMs } as const
    const giveBack = async (lease: Lease): Promise<void> => {
      const spec = { ...lease.spec, holderIdentity: '', leaseDurationSeconds: RELEASED_SECONDS, renewTime: microTime(now()) }
      remember(await client.replace<Lease>({ ...lease, spec }, call), monotonic())
      log.info({ identity }, 'lease released')
    }
    try {
      if (seen?.lease.spec?.holderIdentity === identity) await giveBack(seen.lease)
    } catch (err) {
      // The renewal that the stop cut off may have been applied: then our record is an older one.
      const found = isConflict(err) ? await client.get<Lease>(ref, call).catch(() => undefined) : undefined
      const retried = found?.spec?.holderIdentity === identity ? giveBack(found) : Promise.reject(err)
      await retried.catch((last: unknown) => log.warn({ err: last, identity }, 'lease not released, it expires by itself'))
    }
  }

  return {
    start: () => {
      loop ??= run(ending.signal)
    },
    isLeader: isInForce,
    epoch: () => (isInForce() ? term?.epoch : undefined),
    holder: () => seen?.lease.spec?.holderIdentity ?? '',
    stop: async () => {
      ending.abort()
      await loop
      end('stopped')
      await release()
    },
  }
}

function timesOf(options: LeaderOptions): Partial<typeof DEFAULTS> {
  const { leaseDurationMs, renewDeadlineMs, retryPeriodMs } = options
  const told = Object.entries({ leaseDurationMs, renewDeadlineMs, retryPeriodMs }).filter(([, value]) => value !== undefined)
  return Object.fromEntries(told)
}
