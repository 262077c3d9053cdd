/**
 * Evidence with a memory that lets go: a mixture over the poll at which trouble began. A plain product of gains would remember an
 * hour of health as evidence *for* the canary, and find a later regression many times later, or never.
 */

/** One log-wealth per alternative. Empty lists stand for minus infinity: no poll has compared yet. */
export type Evidence = {
  /** How many polls compared. */
  readonly polls: number
  readonly e: readonly number[]
  /** The same with its best poll left out. */
  readonly v: readonly number[]
}

export const NO_EVIDENCE: Evidence = { polls: 0, e: [], v: [] }

/** The evidence after one more poll, whose log-gains are given per alternative. Prior mass of beginning at poll t: 1 / (t (t + 1)). */
export function addGains(evidence: Evidence, gains: readonly number[]): Evidence {
  const polls = evidence.polls + 1
  const begins = -Math.log(polls) - Math.log(polls + 1)
  const before = gains.map((_, j) => logAddExp(evidence.e[j] ?? -Infinity, begins))
  return {
    polls,
    e: before.map((mass, j) => mass + (gains[j] ?? 0)),
    // The worst that leaving out any one poll can do: either an earlier one, or this one (`mass`).
    v: before.map((mass, j) => Math.min(logAddExp(evidence.v[j] ?? -Infinity, begins) + (gains[j] ?? 0), mass)),
  }
}

/** ln of the mean over the alternatives, which share the prior mass equally. */
export const lnE = (evidence: Evidence): number => lnMeanExp(evidence.e)
export const lnV = (evidence: Evidence): number => lnMeanExp(evidence.v)

export function logAddExp(a: number, b: number): number {
  const high = Math.max(a, b)
  return high === -Infinity ? -Infinity : high + Math.log1p(Math.exp(Math.min(a, b) - high))
}

/** ln of the (weighted) mean of exp; weights sum to 1. Minus infinity for an empty list. */
export function lnMeanExp(values: readonly number[], weights?: readonly number[]): number {
  let high = -Infinity
  for (const value of values) if (value > high) high = value
  if (high === -Infinity) return -Infinity
  let sum = 0
  for (const [i, value] of values.entries()) sum += Math.exp(value - high) * (weights?.[i] ?? 1 / values.length)
  return high + Math.log(sum)
}
