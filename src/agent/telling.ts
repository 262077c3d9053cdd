import type { AlertProvider } from '#api/alert-provider.ts'
import type { Canary } from '#api/canary.ts'
import type { Http } from '#api/http.ts'
import { objectKey } from '#api/objects.ts'
import type { Caches } from '#agent/caches.ts'
import { readSecret } from '#agent/secrets.ts'
import { createEventHooks } from '#hooks/event.ts'
import type { KubeClient } from '#kube/client.ts'
import type { EventRecorder } from '#kube/events.ts'
import type { Log } from '#kube/log.ts'
import { alertOf } from '#notify/alert.ts'
import { createNotifier, type Receiver } from '#notify/notify.ts'
import { createOutbox } from '#notify/outbox.ts'
import { destinationOf, type Destination } from '#notify/provider.ts'
import { createSmtp } from '#notify/smtp.ts'
import type { News } from '#rollout/decision.ts'

export type TellingOptions = {
  readonly client: KubeClient
  readonly caches: () => Caches
  readonly events: EventRecorder
  readonly http: Http
  /** The same through an HTTP proxy, for AlertProviders that name one. */
  readonly httpThrough?: ((proxy: string) => Http) | undefined
  readonly log: Log
  readonly onAlert?: ((outcome: 'delivered' | 'lost') => void) | undefined
  /** Unix ms. */
  readonly now: () => number
  readonly random: () => number
  readonly wait: (milliseconds: number, signal: AbortSignal) => Promise<void>
  /** Why an address may not be connected to, or undefined. */
  readonly denialOf: (address: string) => string | undefined
  /** Told of every event of Canaries without `event` hooks of their own. */
  readonly eventWebhook?: string | undefined
  /** Told with every alert. */
  readonly clusterName?: string | undefined
  /** Alerted about Canaries that name nobody. */
  readonly alertReceiver?: Destination | undefined
}

export type Telling = {
  /** Says one thing everywhere: event, event hooks, alerts. Each goes on by itself, in its order: no rollout waits for a busy API server or a dead receiver. */
  announce(canary: Canary, item: News): void
  /** The alert alone, for what is an event of another object. */
  alert(canary: Canary, item: News): void
  /** Events that are still to be written get this long (ms): they are part of the story that another agent goes on with. */
  settle(graceMs: number): Promise<void>
  /** Takes nothing more; alerts and event hooks that are under way get this long (ms). What they say of the rollout is true whoever leads. */
  close(graceMs: number): Promise<void>
}

const LAST_EVENTS_MS = 500

/** Stands for the receiver of all, which is no object of the cluster. */
const FALLBACK: Receiver = { name: 'default', namespace: '' }

export function createTelling(options: TellingOptions): Telling {
  const { client, caches, events, http, log, now, random, wait } = options
  // Two, so that a dead event hook takes no alert's place.
  const alerts = createOutbox()
  const background = createOutbox()
  const eventHooks = createEventHooks({
    http, wait, random, background,
    ...(options.eventWebhook ? { eventWebhook: options.eventWebhook } : {}),
    onFailure: (canary, hook, answer) => log.warn({ canary, hook: hook.name, reason: answer?.message ?? 'too much is waiting to be told' }, 'event hook failed'),
  })
  const notifier = createNotifier({
    http, wait, random, now, outbox: alerts, ...(options.httpThrough ? { httpThrough: options.httpThrough } : {}),
    sendMail: createSmtp({ denialOf: options.denialOf }),
    fallback: options.alertReceiver ? [FALLBACK] : [],
    destination: async (receiver, signal) =>
      (receiver === FALLBACK && options.alertReceiver ? options.alertReceiver : await destinationFor(receiver, signal, client, caches())),
    onOutcome: (outcome, alert, receiver) => {
      options.onAlert?.(outcome.delivered ? 'delivered' : 'lost')
      if (outcome.delivered) return
      const key = objectKey(alert.canary)
      log.warn({ canary: key, receiver: objectKey(receiver), reason: outcome.reason }, 'alert was not delivered')
      const canary = caches().canary(key)
      // Whoever waits for an alert in vain looks here, not into the agent's log.
      if (canary) void events.record(canary, { type: 'Warning', reason: 'CanaryAlertFailed', message: `Alert to ${receiver.name} was not delivered: ${outcome.reason}` })
    },
  })
  function alert(canary: Canary, item: News): void {
    const about = alertOf(canary, item, { at: now(), ...(options.clusterName ? { cluster: options.clusterName } : {}) })
    if (about) void notifier.notify(canary, about)
  }
  return {
    alert,
    announce(canary, item) {
      eventHooks.tell(canary, item, now())
      alert(canary, item)
      void events.record(canary, item)
    },
    settle: (graceMs) => events.close(graceMs),
    async close(graceMs) {
      await Promise.all([alerts.close(graceMs), background.close(graceMs)])
      // Of alerts that did not arrive.
      await events.close(LAST_EVENTS_MS)
    },
  }
}

async function destinationFor(receiver: Receiver, signal: AbortSignal, client: KubeClient, caches: Caches): Promise<Destination | string> {
  const provider = caches.reader.get({ apiVersion: 'flagger.app/v1beta1', kind: 'AlertProvider', ...receiver }) as AlertProvider | undefined
  if (!provider) return `AlertProvider ${receiver.name} in namespace ${receiver.namespace} was not found`
  if (!provider.spec.secretRef) return destinationOf(provider.spec, undefined)
  const secret = await readSecret(client, receiver.namespace, provider.spec.secretRef.name, signal)
  return 'reason' in secret ? secret.reason : destinationOf(provider.spec, secret.data)
}
