import type { CanarySpec } from '#api/canary.ts'
import { DEFAULT_INTERVAL_SECONDS } from '#api/defaults.ts'
import { parseDuration } from '#api/duration.ts'

/** How an analysis advances, as far as the rules need it: the rollout's own plan is in `src/rollout`. */

export const isWeighted = ({ analysis }: CanarySpec): boolean => (analysis.iterations ?? 0) < 1
export const isAbTest = ({ analysis }: CanarySpec): boolean => (analysis.iterations ?? 0) >= 1 && (analysis.match?.length ?? 0) > 0

export const intervalMsOf = ({ analysis }: CanarySpec): number =>
  parseDuration(analysis.interval ?? '') ?? DEFAULT_INTERVAL_SECONDS * 1_000

export const thresholdOf = ({ analysis }: CanarySpec): number => Math.max(1, analysis.threshold ?? 1)

export type WeightStep = { readonly weight: number; readonly field: string; readonly hold: boolean; readonly intervalMs: number }

const stepsOf = new WeakMap<CanarySpec, readonly WeightStep[]>()

/** The weights of a weighted run with the field that each comes from; empty for other strategies and for settings that never move. Made once for a spec. */
export function weightSteps(spec: CanarySpec): readonly WeightStep[] {
  const known = stepsOf.get(spec)
  if (known) return known
  const steps = makeSteps(spec)
  stepsOf.set(spec, steps)
  return steps
}

function makeSteps(spec: CanarySpec): readonly WeightStep[] {
  const { analysis, gate } = spec
  const intervalMs = intervalMsOf(spec)
  if (!isWeighted(spec)) return []
  if (gate?.steps) {
    return gate.steps.map(({ weight, hold = false, interval }, i) => ({
      weight, hold, field: `spec.gate.steps[${i}].weight`, intervalMs: parseDuration(interval ?? '') ?? intervalMs,
    }))
  }
  const { stepWeight = 0, stepWeights, maxWeight = 100 } = analysis
  if (stepWeights) return stepWeights.map((weight, i) => ({ weight, hold: false, intervalMs, field: `spec.analysis.stepWeights[${i}]` }))
  const top = maxWeight < 1 ? 100 : Math.min(100, maxWeight)
  if (stepWeight < 1) return []
  const steps: WeightStep[] = []
  for (let count = 1; count <= Math.ceil(top / stepWeight); count += 1) {
    steps.push({ weight: Math.min(top, count * stepWeight), hold: false, intervalMs, field: 'spec.analysis.stepWeight' })
  }
  return steps
}

/** All checks of a run take at least this long. */
export const theoreticalMsOf = (spec: CanarySpec): number =>
  isWeighted(spec)
    ? weightSteps(spec).reduce((sum, step) => sum + step.intervalMs, 0)
    : (spec.analysis.iterations ?? 0) * intervalMsOf(spec)

/** Somebody or something is asked before everything goes to the canary's revision. */
export const hasHold = ({ analysis, gate }: CanarySpec): boolean =>
  gate?.atMaxWeight === 'wait'
  || (gate?.steps?.some((step) => step.hold) ?? false)
  || (analysis.webhooks ?? []).some((hook) => hook.type === 'confirm-promotion' || hook.type === 'confirm-traffic-increase')
