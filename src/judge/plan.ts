/** How long the judge needs: asked at admission, before a run, and when a step ended without an answer. */

import { baselineShareFor } from '#api/baseline.ts'
import { DOWN } from '#judge/gains.ts'

/** Evidence that a typical crossing overshoots or waits for, beyond the bar itself; from the simulations. */
const OVERSHOOT = 2.5
/** The same for a proof of good, where the mixture of eight costs little. */
const PROOF_OVERSHOOT = 0.5
/** Polls from the crossing of the bar to the verdict. */
const LAST_POLLS = 2
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
  /** Of all live requests. */
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
  /** The canary is compared with fresh pods of the stable revision, which have a share of their own; left out: with all of the rest. */
  readonly hasBaseline?: boolean
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
  const v = (terms.hasBaseline ? baselineShareFor(weight) : 100 - weight) / weight
  if (v === 0) return { kind: 'never', why: 'no primary' }
  const worse = q * Math.log(rho / tolerance) - (q + p * v) * Math.log((rho + v) / (tolerance + v))
  const material = floor > 0 ? divergence(q, floor) : Infinity
  const canaryRequests = (terms.phi * (Math.log(terms.metrics / terms.alpha) + OVERSHOOT)) / Math.min(worse, material)
  const medianSeconds = canaryRequests / ((requestsPerSecond * weight) / 100) + LAST_POLLS * terms.pollSeconds
  return { kind: 'after', growth: [worse, material], canaryRequests, medianSeconds, p90Seconds: P90_IN_MEDIANS * medianSeconds }
}

/** Kullback-Leibler divergence of two coins, in nats. */
function divergence(q: number, m: number): number {
  return q * Math.log(q / m) + (q >= 1 ? 0 : (1 - q) * Math.log((1 - q) / (1 - m)))
}

/** One step of an analysis: what share of requests the canary gets, in percent, and for how long. */
export type PlannedStep = { readonly weight: number; readonly seconds: number }
type StepTerms = Omit<DetectionTerms, 'weight'>

/** What of the needed evidence these steps gather in the median: at 1 such a canary is found by their end. 0: never. */
function gathered(terms: StepTerms, steps: readonly PlannedStep[]): number {
  return steps.reduce((sum, { weight, seconds }) => {
    const found = planDetection({ ...terms, weight })
    return found.kind === 'never' ? sum : sum + seconds / (found.medianSeconds - LAST_POLLS * terms.pollSeconds)
  }, 0)
}

/** Whether such a canary is found within the steps, in the median. */
export const isTold = (terms: StepTerms, steps: readonly PlannedStep[]): boolean => gathered(terms, withoutLastPolls(steps, terms.pollSeconds)) >= 1

/** A crossing is seen at the next poll, and confirmed at the one after. */
function withoutLastPolls(steps: readonly PlannedStep[], pollSeconds: number): readonly PlannedStep[] {
  let left = LAST_POLLS * pollSeconds
  return steps.toReversed().map(({ weight, seconds }) => {
    const used = Math.min(left, seconds)
    left -= used
    return { weight, seconds: seconds - used }
  })
}

const BISECTIONS = 40

/** Smallest rate of events (0 to 1) that is found within the steps in the median, whatever `canaryRate` says; undefined: not even 1. */
export function smallestTold(terms: StepTerms, steps: readonly PlannedStep[]): number | undefined {
  const tells = (canaryRate: number): boolean => isTold({ ...terms, canaryRate }, steps)
  if (!tells(1)) return undefined
  let [low, high] = [0, 1]
  for (let i = 0; i < BISECTIONS; i += 1) {
    const middle = (low + high) / 2
    if (tells(middle)) high = middle
    else low = middle
  }
  return high
}

/** A step that would have to be so many times as long is as good as none; and numbers that are none must not be looked for without end. */
const LONGEST_FACTOR = 2 ** 20

/** How many times longer each step would have to be; undefined: no time would do. */
export function timesLonger(terms: StepTerms, steps: readonly PlannedStep[]): number | undefined {
  if (gathered(terms, steps) === 0) return undefined
  const tells = (factor: number): boolean => isTold(terms, steps.map(({ weight, seconds }) => ({ weight, seconds: seconds * factor })))
  let [low, high] = [0, 1]
  for (; !tells(high); high *= 2) {
    if (high >= LONGEST_FACTOR) return undefined
    low = high
  }
  for (let i = 0; i < BISECTIONS; i += 1) {
    const middle = (low + high) / 2
    if (tells(middle)) high = middle
    else low = middle
  }
  return high
}

/** Smallest whole weight (1 to 99 %) at which such a canary is found, in the median, within so many seconds. */
export function weightFor(terms: StepTerms, seconds: number): number | undefined {
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
