import { baselineObstacle, isBaselineAsked } from '#api/baseline.ts'
import type { CanaryAnalysis, CanarySpec } from '#api/canary.ts'
import { formatInterval, parseDuration } from '#api/duration.ts'
import type { PolicyLimits } from '#api/policies.ts'
import type { EffectivePolicy } from '#policy/effective.ts'

/** What a policy gives where a Canary says nothing. */

type Fields = Readonly<Record<string, unknown>>
type Defaults = Omit<CanarySpec, 'targetRef' | 'service'>

/** One of them says how a run goes on; a second one beside it would be a contradiction. */
const STRATEGY: readonly string[] = ['stepWeight', 'stepWeights', 'iterations', 'maxWeight', 'match', 'mirror', 'mirrorWeight']
/** Merged one level down; all else is taken whole. */
const MERGED: readonly string[] = ['analysis', 'gate']
/** Which workload, and which Service: no policy can know. */
const NEVER: readonly string[] = ['targetRef', 'service', 'autoscalerRef']

const isRecord = (value: unknown): value is Fields => typeof value === 'object' && value !== null && !Array.isArray(value)

function namesStrategy(spec: Fields): boolean {
  const { analysis, gate } = spec
  return (isRecord(analysis) && ['stepWeight', 'stepWeights', 'iterations'].some((key) => analysis[key] !== undefined))
    || (isRecord(gate) && gate['steps'] !== undefined)
}

/** `spec` with what `defaults` say about fields that it leaves out, as far as it can have it. The same object where nothing is added. */
export function withDefaults<T extends Fields>(spec: T, defaults: Fields): T {
  const merged = merge(spec, defaults)
  const isOwn = isRecord(spec['gate']) && spec['gate']['baseline'] !== undefined
  return isOwn || merged === spec || canHaveItsBaseline(merged) ? merged : merge(spec, withoutBaseline(defaults))
}

/** What nobody wrote for this Canary must not be the reason to refuse it: a baseline is only for some. */
function canHaveItsBaseline(spec: Fields): boolean {
  if (!isRecord(spec['analysis']) || !isRecord(spec['targetRef'])) return true
  const asked = spec as unknown as CanarySpec
  return !isBaselineAsked(asked) || baselineObstacle(asked) === undefined
}

function withoutBaseline<T extends Fields>(fields: T): T {
  if (!isRecord(fields['gate'])) return fields
  const { baseline: _, ...gate } = fields['gate']
  return { ...fields, gate }
}

function merge<T extends Fields>(spec: T, defaults: Fields): T {
  const isNamed = namesStrategy(spec)
  const added: Record<string, unknown> = {}
  for (const [key, value] of Object.entries(defaults)) {
    if (NEVER.includes(key)) continue
    const present = spec[key]
    if (!MERGED.includes(key) || !isRecord(value)) {
      if (present === undefined) added[key] = value
      continue
    }
    const own = isRecord(present) ? present : {}
    const missing = Object.entries(value).filter(([field]) => own[field] === undefined && !(isNamed && (STRATEGY.includes(field) || field === 'steps')))
    if (missing.length > 0) added[key] = { ...Object.fromEntries(missing), ...own }
  }
  return Object.keys(added).length === 0 ? spec : { ...spec, ...added }
}

/** The spec that auto-gating writes for the Deployment `name`: the policies' defaults over the installation's, within the policies' limits. */
export function gatedSpec(analysis: CanaryAnalysis, { defaults, limits, required }: EffectivePolicy, name = ''): Defaults {
  const { targetRef: _, service: __, ...given } = withDefaults<Fields>({ ...defaults }, { analysis })
  const merged = canHaveItsBaseline({ ...given, targetRef: { kind: 'Deployment', name } }) ? given : withoutBaseline(given)
  const spec = merged as unknown as Defaults
  const gate = required.approval ? { gate: { ...spec.gate, atMaxWeight: 'wait' as const } } : {}
  return { ...spec, ...gate, analysis: within(spec.analysis, limits) }
}

const longer = (text: string | undefined, least: string | undefined): string | undefined => {
  const ms = parseDuration(least ?? '')
  return ms === undefined || (parseDuration(text ?? '') ?? 60_000) >= ms ? text : formatInterval(ms)
}

/** The nearest settings that a policy allows; what cannot be mended so is left as it is. */
function within(analysis: CanaryAnalysis, limits: PolicyLimits): CanaryAnalysis {
  const { maxFirstWeight = 100, maxStepWeight = 100, maxWeight = 100, maxThreshold, minInterval } = limits
  const { stepWeight, stepWeights, threshold } = analysis
  const interval = longer(analysis.interval, minInterval)
  return {
    ...analysis,
    ...(interval === undefined ? {} : { interval }),
    ...(threshold !== undefined && maxThreshold !== undefined ? { threshold: Math.min(threshold, maxThreshold) } : {}),
    ...(stepWeight === undefined ? {} : { stepWeight: Math.min(stepWeight, maxFirstWeight, maxStepWeight), maxWeight: Math.min(analysis.maxWeight ?? 100, maxWeight) }),
    ...(stepWeights === undefined ? {} : { stepWeights: stairs(stepWeights, Math.min(maxFirstWeight, maxWeight), maxStepWeight, maxWeight) }),
  }
}

/** Steps that rise as asked, but never by more than `step`, from at most `first` to at most `last`. */
function stairs(weights: readonly number[], first: number, step: number, last: number): readonly number[] {
  const allowed: number[] = []
  for (const weight of weights) {
    for (;;) {
      const before = allowed.at(-1)
      const next = Math.min(weight, last, before === undefined ? first : before + step)
      if (before !== undefined && next <= before) break
      allowed.push(next)
      if (next >= Math.min(weight, last)) break
    }
  }
  return allowed
}
