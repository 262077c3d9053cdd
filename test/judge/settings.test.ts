import { test } from 'tap'
import { Check } from 'typebox/value'
import { CanarySpec } from '#api/canary.ts'
import { createConfig } from '#judge/config.ts'
import { judgeMode, judgeSettingsOf } from '#judge/settings.ts'

type Judge = NonNullable<NonNullable<CanarySpec['gate']>['judge']>
const specOf = (judge: Judge | undefined, metrics: CanarySpec['analysis']['metrics'] = []): CanarySpec =>
  ({ targetRef: { apiVersion: 'apps/v1', kind: 'Deployment', name: 'cart' }, analysis: { metrics }, gate: judge ? { judge } : {} })
const configOf = (spec: CanarySpec, bounds: readonly number[] = []) => createConfig(judgeSettingsOf(spec, bounds))

const SUCCESS = { name: 'request-success-rate', thresholdRange: { min: 99 } }
const DURATION = { name: 'request-duration', thresholdRange: { max: 250 } }

const rows: readonly { readonly name: string; readonly judge: Judge | undefined; readonly errors: object }[] = [
  { name: 'nothing is said: the defaults', judge: undefined, errors: { tolerance: 1.5, floor: 0.001, limit: 0.01 } },
  { name: 'the smallest effect that counts', judge: { minEffect: 2 }, errors: { tolerance: 2 } },
  { name: 'the same by its other name', judge: { tolerance: 3 }, errors: { tolerance: 3 } },
  { name: 'both names: the documented one', judge: { minEffect: 2, tolerance: 3 }, errors: { tolerance: 2 } },
  { name: 'no effect is too small', judge: { minEffect: 1, floor: 0 }, errors: { tolerance: 1, floor: 0 } },
]
for (const { name, judge, errors } of rows) {
  test(name, async (t) => { t.match(configOf(specOf(judge, [SUCCESS])).metrics, [{ name: 'errors', ...errors }]) })
}

test('it holds for slow requests as for failed ones', async (t) => {
  t.match(configOf(specOf({ minEffect: 2, alpha: 0.05 }, [SUCCESS, DURATION]), [100, 250, 500]), {
    alpha: 0.05, metrics: [{ name: 'errors', tolerance: 2, limit: 0.01 }, { name: 'latency', tolerance: 2, limit: 0.01, slo: 250, bounds: [100, 250, 500] }],
  })
})

test('whatever the API server lets pass, the judge can work with', async (t) => {
  const schema = CanarySpec.properties.gate.properties.judge
  const asked = [
    ...[0, 1e-300, 0.5, 0.9].map((alpha) => ({ alpha })), ...[0, 0.3, 1, 1.1].map((floor) => ({ floor })),
    ...[0.9, 1, 100, 101].flatMap((effect) => [{ minEffect: effect }, { latencyMinEffect: effect }, { tolerance: effect }]),
  ]
  const accepted = asked.filter((judge) => Check(schema, judge))
  t.equal(accepted.length, asked.length - 2 - 1 - 2 * 3)
  for (const judge of accepted) t.doesNotThrow(() => configOf(specOf(judge, [SUCCESS, DURATION]), [100, 250]), JSON.stringify(judge))
})

test('slow requests may have a smallest effect of their own', async (t) => {
  const metrics = configOf(specOf({ minEffect: 2, latencyMinEffect: 1.2 }, [SUCCESS, DURATION]), [100, 250]).metrics
  t.match(metrics, [{ name: 'errors', tolerance: 2 }, { name: 'latency', tolerance: 1.2 }])
})

test('limits come from either form of a threshold, and from the error rate', async (t) => {
  for (const metric of [{ ...SUCCESS, thresholdRange: { min: 98 } }, { name: 'request-success-rate', threshold: 98 }, { name: 'error-rate', thresholdRange: { max: 2 } }]) {
    t.match(configOf(specOf(undefined, [metric])).metrics, [{ limit: 0.02, floor: 0.002 }])
  }
  t.equal(configOf(specOf(undefined)).metrics[0]?.limit, undefined)
})

test('who wrote the Canary decides the mode, unless it is said', async (t) => {
  t.equal(judgeMode({}), 'warn')
  t.equal(judgeMode({ gate: { generated: true } }), 'enforce')
  t.equal(judgeMode({ gate: { generated: true, judge: { mode: 'off' } } }), 'off')
})
