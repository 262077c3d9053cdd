import fc from 'fast-check'
import t from 'tap'
import { COUNTEREXAMPLES } from './counterexamples.ts'
import { FAULTS } from './model-agent.ts'
import { run, scenarios, SPECS, type Scenario } from './scenarios.ts'

/** How many random rollouts; the seed of a failure is in its message, and goes into PROPERTY_SEED to see it again. */
const RUNS = Number(process.env['PROPERTY_RUNS'] ?? 10_000)
const SEED = process.env['PROPERTY_SEED'] === undefined ? {} : { seed: Number(process.env['PROPERTY_SEED']) }
const report = <T>(result: fc.RunDetails<T>): string => `${fc.defaultReportMessage(result) ?? ''} ${String(result.errorInstance ?? '')}`

for (const { name, scenario } of COUNTEREXAMPLES) {
  t.test(name, async (t) => { t.doesNotThrow(() => run(scenario, new Set())) })
}

t.test('whatever people, mishaps and crashes do to a rollout, it comes to rest and keeps its promises', async (t) => {
  const crashPoints = new Set<string>()
  const started = performance.now()
  const result = fc.check(fc.property(scenarios, (scenario) => { run(scenario, crashPoints) }), { numRuns: RUNS, ...SEED })
  t.comment(`${result.numRuns} runs in ${((performance.now() - started) / 1_000).toFixed(1)} s, ${crashPoints.size} distinct crash points`)
  t.notOk(result.failed, result.failed ? report(result) : 'every run')
})

t.test('a release ends the same with every kind of mishap as without any', async (t) => {
  const crashPoints = new Set<string>()
  const ended = (scenario: Scenario): unknown => {
    const { target, primary, canary, baseline, object, apex, routes } = run(scenario, crashPoints)
    return {
      requested: target.revision, gate: target.gate?.split(':')[0], replicas: target.replicas, primary: primary?.revision, pods: primary?.replicas, canary: canary?.replicas ?? 0, baseline: baseline?.replicas ?? 0,
      phase: object.status.phase, weight: object.status.canaryWeight, promoted: object.status.lastPromotedSpec, apex, routes,
    }
  }
  const release = fc.record({
    spec: fc.nat(SPECS.length - 1), isAdopted: fc.boolean(), metrics: fc.constantFrom('good' as const, 'bad' as const), ends: fc.constantFrom('promote' as const, 'abort' as const),
    revision: fc.constantFrom('v2', 'v4'), faults: fc.array(fc.constantFrom(...FAULTS), { maxLength: 40 }), lags: fc.array(fc.constantFrom(0, 1, 3), { maxLength: 20 }),
    pauses: fc.array(fc.constantFrom(0, 50, 400, 1_100, 3_000), { maxLength: 30 }),
  })
  const result = fc.check(fc.property(release, ({ revision, pauses, ...drawn }) => {
    const steps: Scenario['steps'] = [{ action: { do: 'metrics', metrics: drawn.metrics }, pauses: [] }, { action: { do: 'image', revision }, pauses }]
    const calm = ended({ ...drawn, steps: steps, faults: [], lags: [] })
    fc.pre(!drawn.faults.every((fault) => fault !== 'none') || drawn.faults.length === 0)
    const stormy = ended({ ...drawn, steps: steps })
    if (JSON.stringify(calm) !== JSON.stringify(stormy)) throw new Error(`${JSON.stringify(calm)}, but with faults ${JSON.stringify(stormy)}`)
  }), { numRuns: Math.ceil(RUNS / 10), ...SEED })
  t.comment(`${result.numRuns} pairs of runs, ${crashPoints.size} distinct crash points`)
  t.notOk(result.failed, result.failed ? report(result) : 'every pair')
})
