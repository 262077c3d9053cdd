import type { CanaryWebhook } from '#api/canary.ts'
import { runHooks } from '#hooks/hooks.ts'
import type { HookAnswer, HookPorts, HookSubject, HookType } from '#hooks/call.ts'

/** Rounds of hooks beside the loop: a receiver that takes its time holds up its own rollout's step, and no rollback. */

export type HookRound = {
  /** The Canary: `namespace/name`. */
  readonly key: string
  /** Tells this round from the one before: another id is another round, and so is another list. */
  readonly id: string
  readonly type: HookType
  readonly hooks: readonly CanaryWebhook[]
  readonly subject: HookSubject
}

export type HookRounds = {
  /**
   * The answers of this round once it has ended, for as long as no other of its type is asked for; undefined while it runs.
   * The first asking starts it, and gives up an older one of the same type. `onDone` tells when to ask again.
   */
  ask(round: HookRound): readonly HookAnswer[] | undefined
  /** Gives up the rounds of a Canary whose id is no longer this one: nobody waits for their answers. */
  keep(key: string, idOf: (type: HookType) => string): void
  /** The Canary is gone: what is under way is given up. */
  forget(key: string): void
  /** Gives up what is under way, and resolves when nothing is. */
  close(): Promise<void>
}

export type HookRoundsOptions = HookPorts & {
  readonly onDone: (key: string) => void
  /** Rounds of one namespace that run at a time; more wait for their turn, and nobody in another namespace does. */
  readonly maxRunning?: number
}

const MAX_RUNNING = 64

type Lane = { running: number; readonly waiting: (() => void)[] }

type Slot = { readonly id: string; readonly list: string; readonly stop: AbortController; answers: readonly HookAnswer[] | undefined }

export function createHookRounds({ onDone, maxRunning = MAX_RUNNING, ...ports }: HookRoundsOptions): HookRounds {
  const slots = new Map<string, Map<HookType, Slot>>()
  const lanes = new Map<string, Lane>()
  const underWay = new Set<Promise<void>>()

  async function run(round: HookRound, slot: Slot): Promise<void> {
    const { namespace } = round.subject
    const lane = lanes.get(namespace) ?? { running: 0, waiting: [] }
    lanes.set(namespace, lane)
    if (lane.running >= maxRunning) await new Promise<void>((resolve) => { lane.waiting.push(resolve) })
    else lane.running += 1
    try {
      if (slot.stop.signal.aborted) return
      const answers = await runHooks(round.type, round.hooks, round.subject, ports, slot.stop.signal)
      if (slot.stop.signal.aborted) return
      slot.answers = answers
      onDone(round.key)
    } finally {
      // The place goes to whoever waits longest, without being free in between.
      const next = lane.waiting.shift()
      if (next) next()
      else lane.running -= 1
      if (lane.running === 0) lanes.delete(namespace)
    }
  }

  return {
    ask(round) {
      if (round.hooks.length === 0) return []
      const ofCanary = slots.get(round.key) ?? new Map<HookType, Slot>()
      slots.set(round.key, ofCanary)
      const known = ofCanary.get(round.type)
      // The answers of a list do not fit an edited one.
      const list = JSON.stringify(round.hooks)
      if (known?.id === round.id && known.list === list) return known.answers
      known?.stop.abort()
      const slot: Slot = { id: round.id, list, stop: new AbortController(), answers: undefined }
      ofCanary.set(round.type, slot)
      const done = run(round, slot).finally(() => { underWay.delete(done) })
      underWay.add(done)
      return undefined
    },
    keep(key, idOf) {
      const ofCanary = slots.get(key)
      for (const [type, { id, stop }] of ofCanary ?? []) {
        if (id === idOf(type)) continue
        stop.abort()
        ofCanary?.delete(type)
      }
    },
    forget(key) {
      for (const { stop } of slots.get(key)?.values() ?? []) stop.abort()
      slots.delete(key)
    },
    async close() {
      for (const ofCanary of slots.values()) for (const { stop } of ofCanary.values()) stop.abort()
      slots.clear()
      await Promise.all(underWay)
    },
  }
}
