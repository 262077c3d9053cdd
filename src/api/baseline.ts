import type { CanarySpec } from '#api/canary.ts'
import { MAX_BASELINE_TARGET_NAME_BYTES } from '#api/names.ts'

/**
 * Fresh pods of the stable revision beside the canary: as many, of the same size and age, and with the same share of requests, so that the judge compares
 * like with like.
 */

type Asks = Pick<CanarySpec, 'analysis' | 'gate' | 'targetRef' | 'service' | 'skipAnalysis'>

/** Is it asked for, whether or not it can be had? */
export const isBaselineAsked = ({ gate }: Pick<CanarySpec, 'gate'>): boolean => gate?.baseline !== undefined && gate.baseline.enabled !== false

/** Why there is none although it is asked for; undefined where there is one. */
export function baselineObstacle(spec: Asks): 'kind' | 'strategy' | 'sessions' | 'judge' | 'name' | undefined {
  const { analysis, gate, targetRef, skipAnalysis } = spec
  if (targetRef.kind !== 'Deployment') return 'kind'
  // The requests that `match` chooses are unlike the others, and iterations without it leave the canary without requests.
  if ((analysis.iterations ?? 0) > 0) return 'strategy'
  if (analysis.sessionAffinity) return 'sessions'
  if (gate?.judge?.mode === 'off' || skipAnalysis) return 'judge'
  return tooLongForBaseline(spec) === undefined ? undefined : 'name'
}

/** The name of the target or of its Service that leaves no room for a baseline's. */
export const tooLongForBaseline = ({ targetRef, service }: Pick<CanarySpec, 'targetRef' | 'service'>): string | undefined =>
  [targetRef.name, service?.name ?? ''].find((name) => Buffer.byteLength(name) > MAX_BASELINE_TARGET_NAME_BYTES)

export const hasBaseline = (spec: Asks): boolean => isBaselineAsked(spec) && baselineObstacle(spec) === undefined

/**
 * Percent of live requests that the baseline takes out of the primary's part while the canary has `weight`: as much as the canary, and never more than
 * half of that part.
 */
export const baselineShareFor = (weight: number): number => Math.max(0, Math.min(weight, Math.floor((100 - weight) / 2)))
