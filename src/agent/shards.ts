import { createLeader, type LeaderOptions } from '#kube/lease.ts'

/**
 * Canaries divided among agents by the hash of their keys: one Lease a shard, and who holds it, and nobody else, writes for its Canaries. One
 * shard, the default, is plain leader election.
 */

/** What each shard's election needs, and besides: */
export type ShardsOptions = Pick<LeaderOptions, 'client' | 'namespace' | 'identity' | 'log' | 'now' | 'monotonic' | 'random' | 'after'> & {
  /** Name of the first shard's Lease; the others' have their number behind it. */
  readonly name: string
  readonly count: number
  readonly onStarted: (shard: number) => void
  /** A shard was lost. Those who lose one do best to begin afresh: what they had under way may be another's by now. */
  readonly onStopped: (reason: string) => void
}

export type Shards = {
  readonly count: number
  start(): void
  /** The fence for one Canary: true only while its shard's Lease is surely ours. */
  leads(key: string): boolean
  holds(shard: number): boolean
  isHolding(): boolean
  /** Releases every Lease. Call it when no effect can run any more. */
  stop(): Promise<void>
}

/** As many Leases as the agent's Role names. */
export const MAX_SHARDS = 8
/**
 * For every shard that an agent holds already, and for every other that it would rather have, it leaves a free one to others this long (ms): twice
 * the time between two looks of a candidate. So shards spread over the agents that there are, and all of them go to the one that is left.
 */
const RELUCTANCE_MS = 1_000

/** FNV-1a, as long keys of one namespace differ at their ends only. The same on every agent and in every version, or two would write for one Canary. */
export function shardOf(key: string, count: number): number {
  if (count === 1) return 0
  let hash = 0x811c9dc5
  for (const byte of Buffer.from(key)) hash = Math.imul(hash ^ byte, 0x01000193) >>> 0
  return hash % count
}

export function createShards({ count, name, onStarted, onStopped, ...options }: ShardsOptions): Shards {
  if (!Number.isInteger(count) || count < 1 || count > MAX_SHARDS) throw new Error(`SHARDS: ${count} is no whole number from 1 to ${MAX_SHARDS}`)
  const leaders = Array.from({ length: count }, (_, shard) => createLeader({
    ...options,
    name: shard === 0 ? name : `${name}-${shard}`,
    reluctanceMs: () => RELUCTANCE_MS * (held() + preferred(shard)),
    onStartedLeading: () => onStarted(shard),
    onStoppedLeading: onStopped,
  }))
  const held = (): number => leaders.filter((leader) => leader.isLeader()).length
  const first = shardOf(options.identity, count)
  /** How many of the shards that it lacks an agent would rather have: each begins with another one. */
  const preferred = (shard: number): number => {
    const rank = (of: number): number => (of - first + count) % count
    return leaders.filter((leader, other) => rank(other) < rank(shard) && !leader.isLeader()).length
  }
  const holds = (shard: number): boolean => leaders[shard]?.isLeader() ?? false
  return {
    count,
    start: () => { for (const leader of leaders) leader.start() },
    leads: (key) => holds(shardOf(key, count)),
    holds,
    isHolding: () => held() > 0,
    stop: async () => { await Promise.all(leaders.map((leader) => leader.stop())) },
  }
}
