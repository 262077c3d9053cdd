import type { Canary } from '#api/canary.ts'
import { SEVERITIES, type Alert, type Severity } from '#notify/alert.ts'
import { deliver, type DeliverPorts, type Outcome } from '#notify/deliver.ts'
import type { Outbox } from '#notify/outbox.ts'
import type { Destination } from '#notify/provider.ts'

/** Tells alerts to the receivers that a Canary names, beside the loop: a dead receiver is a line in the log. */

/** An AlertProvider, or the receiver for all: `namespace` is then empty. */
export type Receiver = { readonly name: string; readonly namespace: string }

export type NotifierOptions = DeliverPorts & {
  readonly outbox: Pick<Outbox, 'add'>
  /** Read when it is needed and forgotten afterwards; text says why there is none. */
  readonly destination: (receiver: Receiver, signal: AbortSignal) => Promise<Destination | string>
  /** Receivers of Canaries that name none. */
  readonly fallback?: readonly Receiver[]
  /** Unix ms. */
  readonly now: () => number
  readonly onOutcome?: (outcome: Outcome, alert: Alert, receiver: Receiver) => void
}

export type Notification = Outcome & { readonly receiver: Receiver; readonly state: 'delivered' | 'failed' | 'repeated' | 'dropped' }

export type NotifyStats = Readonly<Record<Notification['state'], number>>

export type Notifier = {
  /**
   * Tells everybody concerned; nobody needs to wait for it. Resolves when each has been told or given up, and never rejects.
   * The same alert of one run goes to the same receiver once within ten minutes.
   */
  notify(canary: Canary, alert: Alert): Promise<readonly Notification[]>
  stats(): NotifyStats
}

const REPEAT_MS = 10 * 60_000
const MAX_REMEMBERED = 5_000
/** What happened in the run before this one says nothing about it: a revision that is retried may well end the same way, minutes later. */
const BEGINNINGS: readonly string[] = ['CanaryStarted', 'CanaryRestarted']

/** What is told at every check differs in its numbers, in names of pods and in identifiers of requests: everything that has a digit. */
const alike = (message: string): string => message.replaceAll(/[\w.,-]*\d[\w.,-]*/g, '#')

/** Severities are a ladder: who asks for warnings gets errors too. Left empty it means `info`, as Flagger documents it. */
const isWanted = (asked: string | undefined, severity: Severity): boolean =>
  SEVERITIES.indexOf(severity) >= Math.max(0, SEVERITIES.findIndex((known) => known === asked))

/** Who is to be told of an alert of this severity. */
export function receiversOf({ metadata, spec }: Pick<Canary, 'metadata' | 'spec'>, severity: Severity, fallback: readonly Receiver[] = []): readonly Receiver[] {
  const alerts = spec.analysis.alerts ?? []
  if (alerts.length === 0) return fallback
  const wanted = alerts.filter((entry) => isWanted(entry.severity, severity))
    .map(({ providerRef }) => ({ name: providerRef.name, namespace: providerRef.namespace || (metadata.namespace ?? '') }))
  return wanted.filter((one, index) => wanted.findIndex((other) => laneOf(other) === laneOf(one)) === index)
}

export function createNotifier({ outbox, destination, fallback = [], now, onOutcome, ...ports }: NotifierOptions): Notifier {
  /** When an alert was last sent to a receiver; oldest first. */
  const sentAt = new Map<string, number>()
  const subjectOf = ({ canary }: Alert): string => JSON.stringify([canary.namespace, canary.name])
  const counts = { delivered: 0, failed: 0, repeated: 0, dropped: 0 }

  function isRepeated(key: string): boolean {
    const at = now()
    for (const [old, time] of sentAt) {
      if (at - time < REPEAT_MS && sentAt.size < MAX_REMEMBERED) break
      sentAt.delete(old)
    }
    if (sentAt.has(key)) return true
    sentAt.set(key, at)
    return false
  }

  async function tell(alert: Alert, receiver: Receiver, signal: AbortSignal): Promise<Outcome> {
    const to = await destination(receiver, signal).catch((err: unknown) => `it cannot be read: ${err instanceof Error ? err.message : 'failed'}`)
    return typeof to === 'string' ? { delivered: false, attempts: 0, reason: to } : await deliver(alert, to, ports, signal)
  }

  function send(alert: Alert, receiver: Receiver): Promise<Notification> {
    const key = subjectOf(alert) + JSON.stringify([laneOf(receiver), alert.reason, alert.severity, alert.revision, alike(alert.message)])
    const end = (state: Notification['state'], outcome: Outcome): Notification => {
      counts[state] += 1
      // What did not arrive may be told again.
      if (state === 'failed' || state === 'dropped') sentAt.delete(key)
      if (state !== 'repeated') onOutcome?.(outcome, alert, receiver)
      return { ...outcome, receiver, state }
    }
    if (isRepeated(key)) return Promise.resolve(end('repeated', { delivered: false, attempts: 0, reason: 'it was told before' }))
    return new Promise((resolve) => {
      const placed = outbox.add(laneOf(receiver), async (signal) => {
        const outcome = await tell(alert, receiver, signal)
        resolve(end(outcome.delivered ? 'delivered' : 'failed', outcome))
      })
      if (!placed) resolve(end('dropped', { delivered: false, attempts: 0, reason: 'too many alerts are waiting' }))
    })
  }

  return {
    notify(canary, alert) {
      if (BEGINNINGS.includes(alert.reason)) for (const key of sentAt.keys()) if (key.startsWith(subjectOf(alert))) sentAt.delete(key)
      return Promise.all(receiversOf(canary, alert.severity, fallback).map((receiver) => send(alert, receiver)))
    },
    stats: () => ({ ...counts }),
  }
}

const laneOf = ({ name, namespace }: Receiver): string => `${namespace}/${name}`
