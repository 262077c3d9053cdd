/** How long the judge needs: asked at admission, before a run, and when a step ended without an answer. */

import { DOWN } from '#judge/gains.ts'

/** Evidence that a typical crossing overshoots or waits for, beyond the bar itself; from the simulations. */
const OVERSHOOT = 2.5
/** The same for a proof of good, where the mixture of eight costs little. */
const PROOF_OVERSHOOT = 0.5
/** p90 of the time to a verdict, in medians. */
const P90_IN_MEDIANS = 2
/** A regression worth telling, where nobody says otherwise: so many times the limit. */
export const BAD_IN_LIMITS = 2
/** A primary without a failure so far still fails sometimes. */
const LEAST_RATE = 1e-9

export type DetectionTerms = {
  /** Live rate of events of the primary, 0 to 1. */
  readonly primaryRate: number
  /** Rate of events of the canary that should be found, 0 to 1. */
  readonly canaryRate: number
  /** Of both arms together. */
  readonly requestsPerSecond: number
  /** The canary's weight, percent. */
  readonly weight: number
  readonly pollSeconds: number
  readonly tolerance: number
  readonly floor: number
  /** How many metrics share alpha. */
  readonly metrics: number
  readonly alpha: number
  readonly phi: number
}

export type Detection =
  | { readonly kind: 'never'; readonly why: 'within tolerance' | 'under floor' | 'no requests' | 'no primary' }
  | { readonly kind: 'after'; /** Growth of ln evidence per canary request, against "not worse" and against "not material". */ readonly growth: readonly [worse: number, material: number]
    readonly canaryRequests: number; readonly medianSeconds: number; readonly p90Seconds: number }

/**
 * How long until a canary of that rate is found worse. Against simulations, medians above 25 s are met within -11 to +32 %; shorter
 * ones are one or two polls anyway. Per canary request, evidence grows by g1 ("worse") and g2 ("material"); the slower one decides.
 */
export function planDetection(terms: DetectionTerms): Detection {
  const { canaryRate: q, requestsPerSecond, weight, tolerance, floor } = terms
  const p = Math.max(terms.primaryRate, LEAST_RATE)
  if (weight >= 100) return { kind: 'never', why: 'no primary' }
  if (weight <= 0 || requestsPerSecond <= 0) return { kind: 'never', why: 'no requests' }
  const rho = q / p
  if (rho <= tolerance) return { kind: 'never', why: 'within tolerance' }
  if (q <= floor) return { kind: 'never', why: 'under floor' }
  const v = (100 - weight) / weight
  const worse = q * Math.log(rho / tolerance) - (q + p * v) * Math.log((rho + v) / (tolerance + v))
  const material = floor > 0 ? divergence(q, floor) : Infinity
  const canaryRequests = (terms.phi * (Math.log(terms.metrics / terms.alpha) + OVERSHOOT)) / Math.min(worse, material)
  const medianSeconds = canaryRequests / ((requestsPerSecond * weight) / 100) + 2 * terms.pollSeconds
  return { kind: 'after', growth: [worse, material], canaryRequests, medianSeconds, p90Seconds: P90_IN_MEDIANS * medianSeconds }
}

/** Kullback-Leibler divergence of two coins, in nats. */
function divergence(q: number, m: number): number {
  return q * Math.log(q / m) + (q >= 1 ? 0 : (1 - q) * Math.log((1 - q) / (1 - m)))
}

/** Smallest whole weight (1 to 99 %) at which such a canary is found, in the median, within so many seconds. */
export function weightFor(terms: DetectionTerms, seconds: number): number | undefined {
  for (let weight = 1; weight < 100; weight += 1) {
    const detection = planDetection({ ...terms, weight })
    if (detection.kind === 'after' && detection.medianSeconds <= seconds) return weight
  }
  return undefined
}

export type ProofTerms = { readonly canaryRate: number; readonly limit: number; readonly beta: number; readonly phi: number; /** What is proved so far. */ readonly lnGood?: number }

/** Canary requests until the canary is proved under its limit, in the median; p90 is about twice that. Infinity: never, at that rate. */
export function requestsToProveGood({ canaryRate, limit, beta, phi, lnGood = 0 }: ProofTerms): number {
  const growth = Math.max(...DOWN.map((g) => canaryRate * Math.log(g) - Math.log1p((g - 1) * limit)))
  if (growth <= 0) return Infinity
  return Math.max(0, (phi * (Math.log(1 / beta) + PROOF_OVERSHOOT - lnGood)) / growth)
}
