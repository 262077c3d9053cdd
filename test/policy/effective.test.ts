import { test } from 'tap'
import type { KubeObject } from '#api/objects.ts'
import type { CanaryPolicy, ClusterCanaryPolicy } from '#api/policies.ts'
import { evaluateObject } from '#policy/evaluate.ts'
import { commandAgeMs, effectivePolicy, loosenings, policyFindings } from '#policy/effective.ts'
import { findingsUnder } from '#policy/findings-under.ts'
import { boundOfHost, boundOfNamespace } from '#policy/reach.ts'
import { frozenBy } from '#policy/freeze.ts'
import { policySettings } from '#policy/object-rules/policy-settings.ts'
import { canaryOf, contextOf, readerOf } from './canaries.ts'

const cluster = (spec: object, name = 'base') => ({ apiVersion: 'canarygate.dev/v1alpha1', kind: 'ClusterCanaryPolicy', metadata: { name }, spec }) as unknown as ClusterCanaryPolicy
const team = (spec: object) => ({ apiVersion: 'canarygate.dev/v1alpha1', kind: 'CanaryPolicy', metadata: { name: 'team', namespace: 'shop' }, spec }) as unknown as CanaryPolicy
const SHOP = { name: 'shop', labels: { tier: 'gold' } }

test('the strictest of all that match holds', async (t) => {
  const effective = effectivePolicy(
    [
      cluster({ limits: { minInterval: '30s', maxWeight: 80 }, rules: { 'no-alerts': 'warn' }, concurrency: { cluster: 10, namespace: 3 } }),
      cluster({ namespaces: { matchLabels: { tier: 'gold' } }, limits: { minInterval: '1m' }, rules: { 'no-alerts': 'deny' }, required: { metrics: ['request-duration'] } }, 'gold'),
      cluster({ namespaces: { names: ['other'] }, limits: { maxWeight: 1 } }, 'elsewhere'),
    ],
    [team({ limits: { maxWeight: 50, minInterval: '10s' }, required: { metrics: ['request-success-rate'], alerts: true }, concurrency: { namespace: 1 } })],
    SHOP,
  )
  t.match(effective, {
    limits: { minInterval: '1m', maxWeight: 50 }, severities: { 'no-alerts': 'deny' }, concurrency: { cluster: 10, namespace: 1 },
    required: { metrics: ['request-duration', 'request-success-rate'], alerts: true, approval: false }, sources: ['base', 'gold', 'team'],
  })
})

test('a cluster policy may soften a rule, a team\'s may not', async (t) => {
  const soft = { rules: { 'interval-too-short': 'warn' } }
  t.equal(effectivePolicy([cluster(soft)], [], SHOP).severities['interval-too-short'], 'warn')
  t.equal(effectivePolicy([], [team(soft)], SHOP).severities['interval-too-short'], 'deny')
  t.equal(effectivePolicy([cluster(soft)], [team({ rules: { 'interval-too-short': 'deny' } })], SHOP).severities['interval-too-short'], 'deny')
})

test('defaults are merged field by field, lists whole, the team\'s last', async (t) => {
  const { defaults } = effectivePolicy(
    [cluster({ defaults: { provider: 'traefik', analysis: { interval: '1m', stepWeights: [1, 2] } } })],
    [team({ defaults: { analysis: { stepWeights: [5] } } })], SHOP)
  t.strictSame(defaults, { provider: 'traefik', analysis: { interval: '1m', stepWeights: [5] } })
})

test('what Canaries may reach is what every policy with a list allows', async (t) => {
  const { reach } = effectivePolicy([cluster({ reach: { metricHosts: ['*.example.org', '10.0.0.1'], namespaces: ['platform'] } }), cluster({}, 'silent')], [team({ reach: { metricHosts: ['Prom.example.org.'] } })], SHOP)
  const may = (host: string) => boundOfHost(reach, host) === undefined
  t.strictSame(['prom.example.org', 'PROM.example.org', 'other.example.org', 'example.org', 'prom.example.org.evil.test', 'evilexample.org'].map(may), [true, true, false, false, false, false])
  t.equal(boundOfHost(reach, 'x.test'), 'x.test is not among the hosts outside that policy base, team allows (spec.reach.metricHosts)')
  t.strictSame(['platform', 'shop', 'other'].map((namespace) => boundOfNamespace(reach, namespace, 'shop') === undefined), [true, true, false])
  t.strictSame(boundOfHost(effectivePolicy([cluster({})], [], SHOP).reach, 'x.test'), undefined, 'no list, no bound')
  t.type(boundOfHost(effectivePolicy([cluster({ reach: { metricHosts: [] } })], [], SHOP).reach, 'x.test'), 'string', 'an empty list allows none')
})

test('what a policy lets nobody reach is found on whatever names it', async (t) => {
  const policy = effectivePolicy([cluster({ reach: { metricHosts: ['prom.example.org'], namespaces: [] } })], [], SHOP)
  const object = (provider: object) => ({ apiVersion: 'flagger.app/v1beta1', kind: 'MetricTemplate', metadata: { name: 'm', namespace: 'shop' }, spec: { provider, query: 'up{a="{{ target }}"}' } })
  const found = (one: KubeObject) => findingsUnder(policy, one, contextOf(), { namespace: 'shop' }, 0).map(({ rule, severity }) => `${rule}: ${severity}`)
  t.strictSame(found(object({ type: 'prometheus', address: 'http://8.8.8.8:9090' })), ['metric-provider-host: deny'])
  t.strictSame(found(canaryOf({ spec: { metricsServer: 'https://8.8.8.8' } })), ['metrics-server-host: deny'])
  t.strictSame(found(canaryOf({ analysis: { alerts: [{ name: 'a', severity: 'error', providerRef: { name: 'a', namespace: 'platform' } }] } })), ['cross-namespace: deny'])
})

const CLUSTER = effectivePolicy([cluster({ limits: { minInterval: '1m', maxWeight: 50 }, rules: { 'no-alerts': 'deny' }, concurrency: { namespace: 2 }, reach: { metricHosts: ['*.example.org'], namespaces: ['platform'] } })], [], SHOP)
const tightening = [
  { reach: { metricHosts: ['prom.example.org', '*.eu.example.org', '*.example.org'], namespaces: ['platform'] } }, { reach: { metricHosts: [], namespaces: [] } },
  { limits: { minInterval: '2m', maxWeight: 20 } }, { limits: { minInterval: '60s' } }, { limits: { maxThreshold: 100 } },
  { rules: { 'no-alerts': 'deny', 'short-interval': 'deny' } }, { concurrency: { namespace: 1 } }, {},
]
for (const spec of tightening) test(`${JSON.stringify(spec)} tightens`, async (t) => { t.strictSame(loosenings(team(spec), CLUSTER), []) })
const loosening = [
  { spec: { limits: { minInterval: '30s' } }, field: 'spec.limits.minInterval' }, { spec: { limits: { maxWeight: 51 } }, field: 'spec.limits.maxWeight' },
  { spec: { rules: { 'no-alerts': 'warn' } }, field: 'spec.rules.no-alerts' }, { spec: { rules: { 'weight-bounds': 'off' } }, field: 'spec.rules.weight-bounds' },
  { spec: { concurrency: { namespace: 3 } }, field: 'spec.concurrency.namespace' },
  { spec: { reach: { metricHosts: ['prom.example.org', '*.org'] } }, field: 'spec.reach.metricHosts[1]' }, { spec: { reach: { namespaces: ['other'] } }, field: 'spec.reach.namespaces[0]' },
]
for (const { spec, field } of loosening) {
  test(`${JSON.stringify(spec)} would loosen`, async (t) => { t.strictSame(loosenings(team(spec), CLUSTER).map((finding) => finding.field), [field]) })
}

test('a team\'s policy that loosens is refused at admission', async (t) => {
  const objects = readerOf([{ ...cluster({ limits: { maxWeight: 50 } }), metadata: { name: 'base', namespace: '' } }])
  const context = contextOf({ cluster: { objects, target: undefined, canaries: [] } })
  t.match(evaluateObject(team({ limits: { maxWeight: 80 } }), context), [{ rule: 'policy-may-only-tighten', severity: 'deny' }])
  t.strictSame(evaluateObject(team({ limits: { maxWeight: 50 } }), context), [])
})

test('settings that protect nothing are refused', async (t) => {
  const found = (spec: object) => evaluateObject(cluster(spec), contextOf()).map((finding) => finding.field)
  t.strictSame(found({ rules: { 'step-abov-max': 'deny' } }), ['spec.rules.step-abov-max'])
  t.strictSame(found({ limits: { minInterval: 'soon' } }), ['spec.limits.minInterval'])
  t.strictSame(found({ freeze: [{ name: 'x', start: 'Friday', duration: '62h' }] }), ['spec.freeze[0].start'])
  t.strictSame(found({ freeze: [{ name: 'x', start: '0 18 * * 5', duration: 'weekend' }] }), ['spec.freeze[0].duration'])
  t.strictSame(found({ freeze: [{ name: 'x', start: '0 18 * * 5', duration: '62h', timeZone: 'Moon/Base' }] }), ['spec.freeze[0].start'])
  t.strictSame(found({ freeze: [{ name: 'x', start: '0 18 * * 5', duration: '62h', timeZone: 'Asia/Seoul' }] }), [])
})

const limited = [
  { name: 'the interval', limits: { minInterval: '2m' }, field: 'spec.analysis.interval' },
  { name: 'the length of the run', limits: { minAnalysis: '10m' }, field: 'spec.analysis' },
  { name: 'the threshold', limits: { maxThreshold: 3 }, field: 'spec.analysis.threshold' },
  { name: 'the first weight', limits: { maxFirstWeight: 5 }, field: 'spec.analysis.stepWeight' },
  { name: 'the rise', limits: { maxStepWeight: 5 }, field: 'spec.analysis.stepWeight' },
  { name: 'the last weight', limits: { maxWeight: 30 }, field: 'spec.analysis.maxWeight' },
  { name: 'the success rate', limits: { minSuccessRate: 99.9 }, field: 'spec.analysis.metrics[0].thresholdRange' },
  { name: 'the duration', limits: { maxRequestDuration: 300 }, field: 'spec.analysis.metrics[1].thresholdRange' },
]
for (const { name, limits, field } of limited) {
  test(`a limit holds for ${name}`, async (t) => {
    t.match(policyFindings(canaryOf(), effectivePolicy([cluster({ limits })], [], SHOP)), [{ field, severity: 'deny', rule: 'policy-limits' }])
  })
}

test('what is required is missed', async (t) => {
  const policy = effectivePolicy([cluster({ required: { metrics: ['error-rate'], alerts: true, approval: true } })], [], SHOP)
  t.strictSame(policyFindings(canaryOf(), policy).map((finding) => finding.field), ['spec.analysis.metrics', 'spec.gate.atMaxWeight'])
  t.strictSame(policyFindings(canaryOf(), effectivePolicy([], [], SHOP)), [])
})

const at = (text: string) => Date.parse(text)
const WEEKEND = { name: 'weekend', start: '0 18 * * 5', duration: '62h', timeZone: 'Europe/Berlin' }
const frozen = [
  { name: 'Friday noon is open', windows: [WEEKEND], now: '2026-01-09T11:00:00Z', until: undefined },
  { name: 'Friday at six in Berlin it closes', windows: [WEEKEND], now: '2026-01-09T17:00:00Z', until: '2026-01-12T07:00:00Z' },
  { name: 'Sunday is closed', windows: [WEEKEND], now: '2026-01-11T12:00:00Z', until: '2026-01-12T07:00:00Z' },
  { name: 'Monday at eight it opens', windows: [WEEKEND], now: '2026-01-12T07:00:00Z', until: undefined },
  { name: 'summer time moves it', windows: [WEEKEND], now: '2026-07-10T16:00:00Z', until: '2026-07-13T06:00:00Z' },
  { name: 'of two windows the longer one counts', windows: [WEEKEND, { name: 'day', start: '0 0 * * *', duration: '24h' }], now: '2026-01-11T12:00:00Z', until: '2026-01-12T07:00:00Z' },
  { name: 'one that cannot be read freezes nothing', windows: [{ name: 'x', start: 'soon', duration: '1h' }], now: '2026-01-11T12:00:00Z', until: undefined },
  { name: 'one that starts every minute never opens', windows: [{ name: 'x', start: '* * * * *', duration: '1h' }], now: '2026-01-11T12:00:30Z', until: '2026-01-11T13:00:00Z' },
]
for (const { name, windows, now, until } of frozen) {
  test(name, async (t) => { t.equal(frozenBy(windows, at(now))?.until, until === undefined ? undefined : at(until)) })
}

const ages = [
  { name: 'a quarter of an hour', maxCommandAge: '15m', faults: 0, ms: 900_000 },
  { name: 'more than there is without a policy', maxCommandAge: '2h', faults: 1, ms: 3_600_000 },
  { name: 'less than clocks differ by', maxCommandAge: '5s', faults: 1, ms: 5_000 },
  { name: 'no duration', maxCommandAge: 'soon', faults: 1, ms: 3_600_000 },
]
for (const { name, maxCommandAge, faults, ms } of ages) {
  test(`a command may be as old as ${name}`, async (t) => {
    const policy = cluster({ limits: { maxCommandAge } })
    t.equal(policySettings.check(policy, { providers: {} }).length, faults)
    t.equal(commandAgeMs(effectivePolicy([policy], [], { name: 'shop' })), ms)
  })
}
