import { hasBaseline } from '#api/baseline.ts'
import type { CanarySpec } from '#api/canary.ts'
import { formatInterval } from '#api/duration.ts'
import { createConfig } from '#judge/config.ts'
import { roughTime, shortfallOf, type Shortfall, type Traffic } from '#judge/power.ts'
import type { PlannedStep } from '#judge/plan.ts'
import { ASSUMED_BOUNDS_MS, judgeMode, judgeSettingsOf } from '#judge/settings.ts'
import { intervalMsOf, planOf, strategyOf, type Plan } from '#rollout/plan.ts'

/** The steps of a plan as the judge's planning knows them. */
export const plannedSteps = ({ steps }: Plan): readonly PlannedStep[] => steps.map(({ weight, intervalMs }) => ({ weight, seconds: intervalMs / 1_000 }))

/** What an analysis with these settings cannot tell at this traffic, by the errors, and the way out; undefined: it can, or nobody compares. */
export function tooShortFor(spec: CanarySpec, traffic: Traffic): { readonly message: string; readonly fix: string } | undefined {
  if (strategyOf(spec) !== 'weighted' || spec.skipAnalysis || judgeMode(spec) === 'off') return undefined
  const config = createConfig(judgeSettingsOf(spec, ASSUMED_BOUNDS_MS))
  const [metric] = config.metrics
  const found = metric && shortfallOf(metric, config, { ...traffic, hasBaseline: hasBaseline(spec) }, plannedSteps(planOf(spec)))
  if (!found) return undefined
  const { success, most, neededSeconds, seconds } = found
  return {
    message: `cannot tell ${success.canary} success from the primary's ${success.primary}: ${perMinute(traffic)} requests a minute need ${roughTime(neededSeconds)} at ${most} %, and all steps last ${roughTime(seconds)}`,
    fix: wayOut(spec, found),
  }
}

const perMinute = ({ requestsPerSecond }: Traffic): number => Number((requestsPerSecond * 60).toPrecision(2))

function wayOut(spec: CanarySpec, { factor }: Shortfall): string {
  const isUniform = !spec.gate?.steps?.some(({ interval }) => interval !== undefined)
  return isUniform ? `use an interval of ${roundedUp(intervalMsOf(spec) * factor)} or more` : `use intervals ${Math.ceil(factor)} times as long`
}

/** A duration that a person would write, and not less. */
function roundedUp(ms: number): string {
  const unit = ms >= 600_000 ? 60_000 : ms >= 60_000 ? 10_000 : 1_000
  return formatInterval(Math.ceil(ms / unit) * unit)
}
