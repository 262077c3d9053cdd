/** Proof that the canary is good: under its limit, or, without one, under so many times the primary. Starts anew at every weight. */

import { lnMeanExp } from '#judge/evidence.ts'
import { DOWN, ratio, share, type ChannelCounts } from '#judge/gains.ts'

/** One log-wealth per alternative of DOWN. */
export type Proof = readonly number[]

export const NO_PROOF: Proof = DOWN.map(() => 0)

export type ProofTerms = {
  readonly limit: number | undefined
  readonly goodRatio: number
  readonly beta: number
  readonly phi: number
}

/** The proof after one more poll. The cap never delays a proof, and lets it be lost again within a few bad polls. */
export function addProof(proof: Proof, counts: ChannelCounts, { limit, goodRatio, beta, phi }: ProofTerms): Proof {
  if (counts.nc === 0) return proof
  const cap = Math.log(DOWN.length / beta)
  return DOWN.map((g, j) => {
    const gain = limit === undefined ? ratio(g, goodRatio, counts) : share(g, limit, counts.nc, counts.kc)
    return Math.min((proof[j] ?? 0) + gain / phi, cap)
  })
}

export const lnGood = (proof: Proof): number => lnMeanExp(proof)
