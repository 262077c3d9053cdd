import type { Canary, CanaryWebhook } from '#api/canary.ts'
import { callHook, type HookAnswer, type HookPorts } from '#hooks/call.ts'
import { hooksOf, subjectOf } from '#hooks/hooks.ts'

/** `event` hooks: each event of a Canary is told to its receivers, beside the loop. */

export type EventItem = { readonly type: 'Normal' | 'Warning'; readonly message: string }

/** Runs things in the background; those of one lane one after the other. False: there is no place left, and nothing is run. */
export type Background = { add(lane: string, run: (signal: AbortSignal) => Promise<void>): boolean }

export type EventHooksOptions = HookPorts & {
  readonly background: Background
  /** Receiver for Canaries without `event` hooks of their own. */
  readonly eventWebhook?: string
  /** For what no receiver agreed to, and (without an answer) for what could not even be tried. */
  readonly onFailure?: (key: string, hook: CanaryWebhook, answer: HookAnswer | undefined) => void
}

export type EventHooks = {
  /** Tells of one event and returns at once; events of one Canary arrive in order at each receiver. `at` is Unix ms. */
  tell(canary: Canary, item: EventItem, at: number): void
}

/** The hook with the event in its metadata; the user's own keys stay, but cannot replace these three. */
export const eventHook = (hook: CanaryWebhook, { type, message }: EventItem, at: number): CanaryWebhook => ({
  ...hook,
  metadata: { ...hook.metadata, eventMessage: message, eventType: type, timestamp: String(Math.trunc(at)) },
})

/** Those of the Canary, else the one for all. */
export function eventHooksOf(canary: Pick<Canary, 'spec'>, eventWebhook: string | undefined): readonly CanaryWebhook[] {
  const own = hooksOf(canary, 'event')
  if (own.length > 0 || eventWebhook === undefined || eventWebhook === '') return own
  return [{ name: 'event-webhook', type: 'event', url: eventWebhook }]
}

export function createEventHooks({ background, eventWebhook, onFailure, ...ports }: EventHooksOptions): EventHooks {
  return {
    tell(canary, item, at) {
      const subject = subjectOf(canary)
      const key = `${subject.namespace}/${subject.name}`
      for (const hook of eventHooksOf(canary, eventWebhook)) {
        const placed = background.add(`${key} ${hook.url}`, async (signal) => {
          const answer = await callHook(eventHook(hook, item, at), subject, ports, signal)
          if (!answer.ok) onFailure?.(key, hook, answer)
        })
        if (!placed) onFailure?.(key, hook, undefined)
      }
    },
  }
}
