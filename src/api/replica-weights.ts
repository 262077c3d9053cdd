export type CanaryReplicas = {
  readonly replicas: number
  /** The share of requests that this many pods really give, in percent, not rounded. */
  readonly effectiveWeight: number
}

/**
 * Where pods are the weight: how many canary pods beside `primaryReplicas` come nearest to a weight. One at least, and never more than the primary
 * has: so 50 % is the most while the primary stays whole, and 33 % with a baseline of as many pods. 0 needs none; at 100 the canary serves alone and
 * needs them all.
 */
export function canaryReplicasFor(weight: number, primaryReplicas: number, hasBaseline = false): CanaryReplicas {
  const primary = Math.max(1, primaryReplicas)
  if (weight <= 0) return { replicas: 0, effectiveWeight: 0 }
  if (weight >= 100) return { replicas: primary, effectiveWeight: 100 }
  const fresh = hasBaseline ? 2 : 1
  const weightOf = (replicas: number): number => (100 * replicas) / (primary + fresh * replicas)
  const exact = fresh * weight >= 100 ? primary : (weight * primary) / (100 - fresh * weight)
  const within = (replicas: number): number => Math.min(primary, Math.max(1, replicas))
  const [low, high] = [within(Math.floor(exact)), within(Math.ceil(exact))]
  const replicas = weight - weightOf(low) <= weightOf(high) - weight ? low : high
  return { replicas, effectiveWeight: weightOf(replicas) }
}
