import { test } from 'tap'
import { builtinKind, checkMetric, goDuration, goFixed, goNumber, missingText, type MetricSpec } from '#metrics/check.ts'

const CANARY = { name: 'cart', namespace: 'shop' }
const value = (number: number) => ({ kind: 'value', value: number }) as const
const metric = (name: string, more: Partial<MetricSpec> = {}): MetricSpec => ({ name, kind: builtinKind(name), ...more })
const success = (more: Partial<MetricSpec>) => metric('request-success-rate', more)
const duration = (more: Partial<MetricSpec>) => metric('request-duration', more)
const other = (more: Partial<MetricSpec>) => metric('404s', more)

const cases = [
  { name: 'a success rate under its minimum fails', spec: success({ thresholdRange: { min: 99 } }), at: 61.3861, failure: 'success rate 61.39% < 99%' },
  { name: 'a success rate at its minimum passes', spec: success({ thresholdRange: { min: 99 } }), at: 99 },
  { name: 'a success rate over its maximum fails', spec: success({ thresholdRange: { max: 50 } }), at: 75, failure: 'success rate 75.00% > 50%' },
  { name: 'a threshold of a success rate is a minimum', spec: success({ threshold: 99.5 }), at: 99.4, failure: 'success rate 99.40% < 99.5%' },
  { name: 'a success rate without threshold passes', spec: success({}), at: 0 },
  { name: 'a duration over its maximum fails', spec: duration({ thresholdRange: { max: 500 } }), at: 1209.7, failure: 'request duration 1.209s > 500ms' },
  { name: 'a duration is cut to whole milliseconds', spec: duration({ thresholdRange: { max: 500 } }), at: 500.9 },
  { name: 'a bound is cut, too', spec: duration({ thresholdRange: { max: 0.5 } }), at: 1.2, failure: 'request duration 1ms > 0s' },
  { name: 'a duration under its minimum fails', spec: duration({ thresholdRange: { min: 10 } }), at: 9.9, failure: 'request duration 9ms < 10ms' },
  { name: 'a threshold of a duration is a maximum', spec: duration({ threshold: 90000 }), at: 3_723_004, failure: 'request duration 1h2m3.004s > 1m30s' },
  { name: 'an endless duration fails', spec: duration({ threshold: 500 }), at: Infinity, failure: 'request duration +Inf > 500ms' },
  { name: 'any other metric has a maximum', spec: other({ threshold: 5 }), at: 5.01, failure: '404s 5.01 > 5' },
  { name: 'and may have a range', spec: other({ thresholdRange: { min: 1, max: 5 } }), at: 0.5, failure: '404s 0.50 < 1' },
  { name: 'on the bound it passes', spec: other({ thresholdRange: { min: 1, max: 5 } }), at: 5 },
  { name: 'without any threshold it fails above 0', spec: other({}), at: 0.001, failure: '404s 0.00 > 0' },
  { name: 'infinity is a value', spec: other({ threshold: 5 }), at: Infinity, failure: '404s +Inf > 5' },
  { name: 'a range wins over a threshold', spec: other({ threshold: 1, thresholdRange: { max: 10 } }), at: 5 },
  { name: 'an empty range is no bound', spec: other({ thresholdRange: {} }), at: 5 },
]
for (const { name, spec, at, failure } of cases) {
  test(name, async (t) => t.equal(checkMetric(spec, value(at), CANARY).failure, failure && `Halt cart.shop advancement ${failure}`))
}

test('what has no value neither passes nor fails', async (t) => {
  for (const kind of ['no-data', 'unavailable'] as const) {
    const checked = checkMetric(success({ threshold: 99 }), { kind, reason: 'because' }, CANARY)
    t.same(checked, { name: 'request-success-rate', measurement: { kind, reason: 'because' } })
  }
})

const NO_DATA = { kind: 'no-data', reason: 'no values found' } as const
const GONE = { kind: 'unavailable', reason: 'no answer' } as const
const missing = [
  { spec: success({}), measurement: NO_DATA, origin: { kind: 'builtin', provider: 'istio' }, text: 'Halt advancement no values found for istio metric request-success-rate probably cart.shop is not receiving traffic: no values found' },
  { spec: duration({}), measurement: NO_DATA, origin: { kind: 'builtin', provider: 'istio' }, text: 'Halt advancement no values found for istio metric request-duration probably cart.shop is not receiving traffic' },
  { spec: other({}), measurement: NO_DATA, origin: { kind: 'inline' }, text: 'Halt advancement no values found for metric: 404s' },
  { spec: other({}), measurement: NO_DATA, origin: { kind: 'template' }, text: 'Halt advancement no values found for custom metric: 404s: no values found' },
  { spec: success({}), measurement: GONE, origin: { kind: 'builtin', provider: 'istio' }, text: 'Prometheus query failed: no answer' },
  { spec: other({}), measurement: GONE, origin: { kind: 'inline' }, text: 'Prometheus query failed for 404s: no answer' },
  { spec: other({}), measurement: GONE, origin: { kind: 'template' }, text: 'Metric query failed for 404s: no answer' },
  { spec: other({}), measurement: value(1), origin: { kind: 'template' }, text: undefined },
] as const
for (const { spec, measurement, origin, text } of missing) {
  test(`${measurement.kind} of a ${origin.kind} ${spec.name}`, async (t) => t.equal(missingText(spec, measurement, origin, CANARY), text))
}

test('numbers as Go prints them', async (t) => {
  t.same([0.125, 0.375, 2.5, 1.005, 99.995, -0.125, 1e6].map(goFixed), ['0.12', '0.38', '2.50', '1.00', '100.00', '-0.12', '1000000.00'])
  t.same([0, 99, 0.5, 1e-4, 1e-5, 1.5e-7, 1e20, 1e21, -1e22, Infinity].map(goNumber), ['0', '99', '0.5', '0.0001', '1e-05', '1.5e-07', '100000000000000000000', '1e+21', '-1e+22', '+Inf'])
  t.same([0, 1, 999, 1000, 1209, 60_000, 90_500, 3_600_000, -1500].map(goDuration), ['0s', '1ms', '999ms', '1s', '1.209s', '1m0s', '1m30.5s', '1h0m0s', '-1.5s'])
})
