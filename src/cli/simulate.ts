import type { CanaryMetric } from '#api/canary.ts'
import type { CheckedMetric, Measurement } from '#api/measurement.ts'
import { InputError, readCanary, type CanaryInput } from '#cli/input.ts'
import { readScenario, type ScenarioInput } from '#cli/scenario.ts'
import { simulate, type SimulationResult } from '#cli/simulation.ts'
import { BUILTIN_METRICS } from '#metrics/builtin.ts'
import { builtinKind, checkMetric, missingText, type MetricOrigin, type MetricSpec } from '#metrics/check.ts'

/** A user's unit test of rollout settings: the core that runs in the cluster, on a virtual clock, through what the scenario tells. */
export function simulateFiles(canaryPath: string, scenarioPath: string, name?: string): SimulationResult {
  return simulateScenario(readCanary(canaryPath, name), readScenario(scenarioPath))
}

export function simulateScenario(canary: CanaryInput, scenario: ScenarioInput): SimulationResult {
  const known = (canary.spec.analysis.webhooks ?? []).map((hook) => hook.name)
  const metrics = (canary.spec.analysis.metrics ?? []).map((metric) => metric.name)
  for (const event of scenario.events) {
    // A name with a slip of the pen would make the test pass for the wrong reason. Built-in metrics that a Canary does not check are fine.
    if (event.do === 'hook' && !known.includes(event.name)) throw new InputError(`events: hook ${event.name} is not in spec.analysis.webhooks (${known.join(', ') || 'none'})`)
    const unknown = event.do === 'metrics' ? Object.keys(event.values).find((value) => !metrics.includes(value) && !BUILTIN_METRICS.some((name) => name === value)) : undefined
    if (unknown !== undefined) throw new InputError(`events: metric ${unknown} is not in spec.analysis.metrics (${metrics.join(', ') || 'none'})`)
  }
  return simulate({ ...canary, ...scenario, judge: judgeFor(canary) })
}

/** The agent's own rule: no data counts as a failed check, a source that is down only holds. */
function judgeFor({ name, namespace, spec }: CanaryInput): (metric: CanaryMetric, measurement: Measurement) => CheckedMetric {
  return (metric, measurement) => {
    const isBuiltin = !metric.templateRef && !metric.query
    const { min, max } = metric.thresholdRange ?? {}
    const rule: MetricSpec = {
      name: metric.name, kind: isBuiltin ? builtinKind(metric.name) : 'other',
      ...(metric.thresholdRange ? { thresholdRange: { ...(min === undefined ? {} : { min }), ...(max === undefined ? {} : { max }) } } : {}),
      ...(metric.threshold === undefined ? {} : { threshold: metric.threshold }),
    }
    const origin: MetricOrigin = isBuiltin ? { kind: 'builtin', provider: spec.provider ?? 'kubernetes' } : metric.templateRef ? { kind: 'template' } : { kind: 'inline' }
    const checked = checkMetric(rule, measurement, { name, namespace })
    const missing = missingText(rule, measurement, origin, { name: spec.targetRef.name, namespace })
    if (missing === undefined) return checked
    return measurement.kind === 'no-data' ? { ...checked, failure: missing } : { ...checked, halt: missing }
  }
}

/** The time line for people: one line an event, the end below. */
export function simulationText({ timeline, end }: SimulationResult): string {
  const lines = timeline.map(({ at, phase, weight, message, type }) =>
    `${clock(at).padStart(9)}  ${phase.padEnd(16)} ${String(weight).padStart(3)} %  ${type === 'Warning' ? '! ' : '  '}${message}`)
  const serving = end.targetReplicas === undefined
    ? `primary ${end.primaryImage} x ${end.primaryReplicas}, canary pods ${end.canaryReplicas}`
    : `the Canary is gone: the target serves by itself with ${end.requestedImage} x ${end.targetReplicas}`
  const last = `end ${clock(end.at)}: ${end.phase}, weight ${end.weight} %, requested ${end.requestedImage}, ${serving}`
  return `${[...lines, last].join('\n')}\n`
}

/** `754.3` as `12:34.3`. */
const clock = (seconds: number): string => {
  const whole = Math.floor(seconds)
  const rest = Math.round((seconds - whole) * 10) % 10
  return `${Math.floor(whole / 60)}:${String(whole % 60).padStart(2, '0')}.${rest}`
}
