import type { CanarySpec } from '#api/canary.ts'
import { DEFAULT_INTERVAL_SECONDS, MAX_ITERATIONS } from '#api/defaults.ts'
import { formatDuration, parseDuration } from '#api/duration.ts'

export type Strategy = 'weighted' | 'blue-green' | 'a-b'

export type PlanStep = {
  /** Percent of live requests on the canary during this step. */
  readonly weight: number
  /** Time at this weight before its check. */
  readonly intervalMs: number
  /** Stops here until somebody resumes or promotes. */
  readonly hold: boolean
  /** No live request yet: the canary gets copies, whose answers are thrown away. */
  readonly mirror?: true
}

export type Plan = {
  readonly strategy: Strategy
  /** Weighted: one entry a weight, rising. Blue/Green and A/B: one entry an iteration, at 100 (Blue/Green: 0 until the switch). */
  readonly steps: readonly PlanStep[]
  readonly intervalMs: number
  /** Failed checks that end the run. */
  readonly threshold: number
  /** `interval x steps`: pod starts and holds come on top. */
  readonly theoreticalMs: number
  /** `interval x threshold`: how long a canary that fails every check lives on thresholds alone. */
  readonly rollbackMs: number
}

export const intervalMsOf = (spec: CanarySpec): number =>
  parseDuration(spec.analysis.interval ?? '') ?? DEFAULT_INTERVAL_SECONDS * 1_000

/** The longest that any step waits for its check. */
export const longestIntervalMs = (spec: CanarySpec): number =>
  Math.max(intervalMsOf(spec), ...(spec.gate?.steps ?? []).map(({ interval }) => parseDuration(interval ?? '') ?? 0))

export const thresholdOf = (spec: CanarySpec): number => Math.max(1, spec.analysis.threshold ?? 1)

export function strategyOf(spec: CanarySpec): Strategy {
  if ((spec.analysis.iterations ?? 0) <= 0) return 'weighted'
  return (spec.analysis.match?.length ?? 0) > 0 ? 'a-b' : 'blue-green'
}

/**
 * What an analysis with these settings will do. Settings that cannot work are the rules' business: the plan stays finite for any input.
 * `provider`: the router in use, where the Canary names none.
 */
export function planOf(spec: CanarySpec, provider: string | undefined = spec.provider): Plan {
  const intervalMs = intervalMsOf(spec)
  const strategy = strategyOf(spec)
  const steps = strategy === 'weighted' ? [...mirrorStep(spec, provider, intervalMs), ...weightedSteps(spec, intervalMs)] : iterationSteps(spec, intervalMs)
  return {
    strategy,
    steps,
    intervalMs,
    threshold: thresholdOf(spec),
    theoreticalMs: steps.reduce((sum, step) => sum + step.intervalMs, 0),
    rollbackMs: thresholdOf(spec) * intervalMs,
  }
}

/** Why a run by these settings would not be what they say; undefined where it would. */
export const excessOf = ({ analysis: { iterations = 0 } }: Pick<CanarySpec, 'analysis'>): string | undefined =>
  (iterations > MAX_ITERATIONS ? `analysis.iterations: ${iterations} checks are more than ${MAX_ITERATIONS}; use fewer, such as 10` : undefined)

/** Copies of requests need a router: a Service alone cannot send them. */
export const mirrors = (spec: CanarySpec, provider: string | undefined): boolean => (spec.analysis.mirror ?? false) && provider !== 'kubernetes'

const mirrorStep = (spec: CanarySpec, provider: string | undefined, intervalMs: number): PlanStep[] =>
  (mirrors(spec, provider) ? [{ weight: 0, intervalMs, hold: false, mirror: true }] : [])

function weightedSteps(spec: CanarySpec, intervalMs: number): PlanStep[] {
  const { stepWeight = 0, stepWeights, maxWeight = 100 } = spec.analysis
  if (spec.gate?.steps?.length) {
    return spec.gate.steps.map((step) => ({
      weight: clamp(step.weight),
      intervalMs: parseDuration(step.interval ?? '') ?? intervalMs,
      hold: step.hold ?? false,
    }))
  }
  const step = (weight: number): PlanStep => ({ weight, intervalMs, hold: false })
  // As in Flagger, stepWeight wins over stepWeights; its schema lets nobody give both.
  if (stepWeight > 0) {
    const top = maxWeight > 0 ? clamp(maxWeight) : 100
    const weights: number[] = []
    const rise = Math.max(1, stepWeight)
    for (let weight = rise; weight < top; weight += rise) weights.push(weight)
    return [...weights, top].map(step)
  }
  return (stepWeights ?? []).map((weight) => step(clamp(weight)))
}

/** Settings may say any number, which must not fill the memory of whoever makes a plan. No run begins with more than these: see `excessOf`. */
function iterationSteps(spec: CanarySpec, intervalMs: number): PlanStep[] {
  const check: PlanStep = { weight: 0, intervalMs, hold: false }
  return Array.from({ length: Math.min(spec.analysis.iterations ?? 0, MAX_ITERATIONS) }, () => check)
}

/**
 * Index of the step under way. A plan that was edited since is entered at the last step that gives no more than the canary has already:
 * an edit alone never raises the weight. -1: all its steps give more.
 */
export function positionOf(plan: Plan, step: number, weight: number): number {
  if (plan.strategy !== 'weighted') return Math.min(step, plan.steps.length - 1)
  return plan.steps[step]?.weight === weight ? step : plan.steps.findLastIndex((candidate) => candidate.weight <= weight)
}

const clamp = (weight: number): number => Math.min(100, Math.max(0, Math.round(weight)))

/** `canary 10% -> 50% in 5 steps of 1m, then promotion`: for warnings and events. */
export function planInWords(spec: CanarySpec): string {
  if (spec.skipAnalysis) return 'promotion without analysis (skipAnalysis)'
  const plan = planOf(spec)
  const first = plan.steps.find(({ mirror }) => !mirror)
  const last = plan.steps.at(-1)
  if (!first || !last) return 'an analysis without steps: it will not advance'
  const end = spec.gate?.atMaxWeight === 'wait' ? 'then it waits for approval' : 'then promotion'
  const of = formatDuration(plan.intervalMs)
  if (plan.strategy === 'weighted') {
    const live = plan.steps.filter(({ mirror }) => !mirror)
    const weights = live.length === 1 ? `canary ${first.weight}%` : `canary ${first.weight}% -> ${last.weight}%`
    return `${weights} in ${count(plan.steps.length, 'step')} of ${of}, ${end}`
  }
  const kind = plan.strategy === 'a-b' ? 'A/B test' : 'Blue/Green'
  return `${kind}, ${count(plan.steps.length, 'check')} every ${of}, ${end}`
}

const count = (n: number, noun: string): string => `${n} ${noun}${n === 1 ? '' : 's'}`
