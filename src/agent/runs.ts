import type { Canary, Phase } from '#api/canary.ts'
import { objectKey } from '#api/objects.ts'
import type { EffectivePolicy } from '#policy/effective.ts'
import type { HoldSeen } from '#rollout/decision.ts'
import { phaseOf, timeOf } from '#rollout/status.ts'

/** How many runs there are, whose turn is next, and who has to be told when one ends. */
export type Runs = {
  /** Why this Canary may not begin a run now; undefined: it may, and its place is kept until its turn of the loop is over. */
  claim(canary: Canary, policy: EffectivePolicy): HoldSeen | undefined
  /** Its turn of the loop is over, or its Canary changed. */
  settle(canary: Canary): void
  /** The Canary is gone. */
  forget(key: string): void
}

export type RunsOptions = {
  /** All, each with the status saved last. */
  readonly canaries: () => readonly Canary[]
  /** A run ended: these Canaries wait. */
  readonly wake: (keys: readonly string[]) => void
  /** Present where other agents start runs too: nobody starts before the others have heard of its wish. */
  readonly shared?: { readonly now: () => number }
}

const RUNNING: readonly Phase[] = ['Progressing', 'WaitingPromotion', 'Promoting', 'Finalising']
const isRunning = ({ status = {} }: Canary): boolean => RUNNING.includes(phaseOf(status))
const keyOf = ({ metadata }: Canary): string => objectKey(metadata)

/** Until everybody's watches have brought what was written (ms). */
const HEARD_MS = 1_000

export function createRuns({ canaries, wake, shared }: RunsOptions): Runs {
  /** Begun in this very turn, which the saved statuses do not show yet. */
  const claimed = new Set<string>()
  const running = new Set<string>()
  const queued = new Set<string>()
  const waiting = (): readonly Canary[] => canaries().filter(({ status, metadata }) => status?.gate?.queuedAt !== undefined && metadata.deletionTimestamp === undefined)

  /** A run ended, or one that waited goes on or away: those behind it are to look again. */
  function left(key: string, from: Set<string>): void {
    if (from.delete(key)) wake(waiting().map(keyOf))
  }

  /** Who asked first; of two in the same millisecond, by name. */
  const isBefore = (a: Canary, b: Canary): boolean => {
    const [left, right] = [a.status?.gate?.queuedAt, b.status?.gate?.queuedAt]
    if (left === right) return keyOf(a) < keyOf(b)
    return left !== undefined && (right === undefined || left < right)
  }

  return {
    claim(canary, { concurrency, sources }) {
      const key = keyOf(canary)
      const scopes = [
        { where: 'in the cluster', limit: concurrency.cluster, isIn: () => true },
        { where: `in namespace ${canary.metadata.namespace ?? ''}`, limit: concurrency.namespace, isIn: (other: Canary) => other.metadata.namespace === canary.metadata.namespace },
      ]
      const full = scopes.find(({ limit, isIn }) => {
        if (limit === undefined) return false
        const others = canaries().filter((other) => keyOf(other) !== key && isIn(other))
        const busy = others.filter((other) => isRunning(other) || claimed.has(keyOf(other)))
        // Those who have waited longer go first, as far as this very limit is what they wait for.
        const ahead = others.filter((other) => !busy.includes(other) && other.status?.gate?.queuedAt !== undefined && isBefore(other, canary))
        return busy.length + ahead.length >= limit
      })
      if (full) return { reason: `${full.limit} canar${full.limit === 1 ? 'y' : 'ies'} may run at once ${full.where}: it waits for its turn (policy ${sources.map((name) => `"${name}"`).join(', ')})`, queued: true }
      if (concurrency.cluster === undefined && concurrency.namespace === undefined) return undefined
      const heardAt = (timeOf(canary.status?.gate?.queuedAt) ?? Infinity) + HEARD_MS
      if (shared && shared.now() < heardAt) {
        return { reason: 'the other agents are told that it wants to run', queued: true, until: Math.min(heardAt, shared.now() + HEARD_MS) }
      }
      claimed.add(key)
      return undefined
    },
    settle(canary) {
      const key = keyOf(canary)
      claimed.delete(key)
      if (isRunning(canary)) running.add(key)
      else left(key, running)
      if (canary.status?.gate?.queuedAt !== undefined) queued.add(key)
      else left(key, queued)
    },
    forget(key) {
      claimed.delete(key)
      left(key, running)
      left(key, queued)
    },
  }
}
