import { test } from 'tap'
import type { Canary, CanaryStatus } from '#api/canary.ts'
import { objectKey } from '#api/objects.ts'
import type { Caches } from '#agent/caches.ts'
import { createTelemetry } from '#agent/telemetry.ts'
import type { Queue } from '#kube/queue.ts'
import { canary } from './world.ts'

const withStatus = (name: string, status: CanaryStatus): Canary => ({ ...canary({ name }), status })
const usage = () => ({ residentBytes: 64_000_000, cpuSeconds: 1.5, eventLoopSeconds: 2.5, startedAt: 1_700_000_000.5 })
const sources = (canaries: readonly Canary[], isLeader = true) => ({
  caches: () => ({ canaries: () => canaries, canary: (key: string) => canaries.find(({ metadata }) => objectKey(metadata) === key) }) as unknown as Caches,
  queue: () => ({ stats: () => ({ depth: 3, adds: 40, retries: 2, delayed: 0, running: 0, longestRunningMs: 0 }) }) as unknown as Queue,
  isLeader: () => isLeader, leads: () => isLeader,
  usage, version: '1.2.3', defaultProvider: 'traefik',
})

test('Flagger\'s metrics under Flagger\'s names, for its dashboards', async (t) => {
  const text = createTelemetry(sources([withStatus('cart', { phase: 'Progressing', canaryWeight: 20 }), withStatus('till', { phase: 'Failed' }), withStatus('desk', { phase: 'Succeeded' })])).render()
  t.match(text, 'flagger_info{version="1.2.3",mesh_provider="traefik"} 1\n')
  for (const line of [
    'flagger_canary_total{namespace="shop"} 3',
    'flagger_canary_status{name="cart",namespace="shop"} 0',
    'flagger_canary_status{name="till",namespace="shop"} 2',
    'flagger_canary_status{name="desk",namespace="shop"} 1',
    'flagger_canary_weight{workload="cart-primary",namespace="shop"} 80',
    'flagger_canary_weight{workload="cart",namespace="shop"} 20',
    'canarygate_leader 1', 'canarygate_queue_depth 3', 'canarygate_queue_adds_total 40', 'canarygate_queue_retries_total 2',
  ]) t.ok(text.split('\n').includes(line), line)
})

for (const [phase, value] of [['Initializing', 1], ['Initialized', 1], ['Waiting', 1], ['Progressing', 0], ['WaitingPromotion', 1], ['Promoting', 1], ['Finalising', 1], ['Succeeded', 1], ['Failed', 2], ['Terminating', 1]] as const) {
  test(`${phase} is ${value} in Flagger's status, and ${['Initialized', 'Succeeded', 'Failed'].includes(phase) ? 'no run' : 'a run'} since its time`, async (t) => {
    const text = createTelemetry(sources([withStatus('cart', { phase, gate: { changedAt: '2026-01-01T00:00:00.500Z' } })])).render()
    t.match(text, `flagger_canary_status{name="cart",namespace="shop"} ${value}\n`)
    const line = `canarygate_run_phase_timestamp_seconds{name="cart",namespace="shop",phase="${phase}"} 1767225600.5\n`
    t.equal(text.includes(line), !['Initialized', 'Succeeded', 'Failed'].includes(phase))
  })
}

test('a Canary is told by the agent that leads it, so that nobody counts it twice', async (t) => {
  const canaries = [withStatus('cart', { phase: 'Progressing' }), withStatus('till', { phase: 'Failed' })]
  const telemetry = createTelemetry({ ...sources(canaries), leads: (key) => key === 'shop/till' })
  for (const canary of canaries) telemetry.onChecked(canary, [], 1)
  const text = telemetry.render()
  t.notMatch(text, /cart/)
  t.match(text, 'flagger_canary_total{namespace="shop"} 1\n')
  t.match(text, 'flagger_canary_duration_seconds_count{name="till",namespace="shop"} 1\n')
})

test('counters are there before a run can end, as an increase needs a beginning', async (t) => {
  const canaries = [withStatus('cart', { phase: 'Progressing' })]
  const telemetry = createTelemetry(sources(canaries))
  telemetry.onTold(canaries[0] as Canary, { reason: 'CanaryStarted', type: 'Normal', message: '' })
  const page = telemetry.render().split('\n')
  for (const line of [
    'flagger_canary_successes_total{name="cart",namespace="shop",deployment_strategy="canary",analysis_status="completed"} 0',
    'flagger_canary_failures_total{name="cart",namespace="shop",deployment_strategy="canary",analysis_status="completed"} 0',
    'canarygate_alerts_total{outcome="lost"} 0', 'canarygate_metric_answers_total{kind="unavailable"} 0',
  ]) t.ok(page.includes(line), line)
})

test('requests are counted by verb, resource and status', async (t) => {
  const telemetry = createTelemetry(sources([], false))
  const record = { verb: 'PATCH', resource: 'deployments', status: 409, seconds: 0.1 }
  telemetry.onRequest(record)
  telemetry.onRequest(record)
  telemetry.onRequest({ ...record, status: 200 })
  const text = telemetry.render()
  t.match(text, 'canarygate_api_requests_total{verb="PATCH",resource="deployments",status="409"} 2\n')
  t.match(text, 'canarygate_api_requests_total{verb="PATCH",resource="deployments",status="200"} 1\n')
  t.match(text, 'canarygate_leader 0\n')
})

test('rounds, values and verdicts are told per Canary, and go with it', async (t) => {
  let canaries = [withStatus('cart', { phase: 'Progressing' })]
  const telemetry = createTelemetry({ ...sources([]), caches: () => ({ canaries: () => canaries, canary: (key: string) => canaries.find(({ metadata }) => objectKey(metadata) === key) }) as unknown as Caches })
  const [cart] = canaries as [Canary]
  const value = (name: string, number: number) => ({ name, measurement: { kind: 'value', value: number } }) as const
  telemetry.onChecked(cart, [value('request-success-rate', 99.5), value('request-duration', 250), value('odd "name"', 3)], 0.03)
  telemetry.onChecked(cart, [value('request-success-rate', 98), value('request-duration', 250), { name: 'odd "name"', measurement: { kind: 'unavailable', reason: 'gone' } }], 12)
  telemetry.onTold(cart, { reason: 'CanarySucceeded', type: 'Normal', message: '' })
  telemetry.onTold(cart, { reason: 'CanaryRolledBack', type: 'Warning', message: '' })
  telemetry.onTold(cart, { reason: 'CanaryAdvanced', type: 'Normal', message: '' })
  telemetry.onTold({ ...cart, spec: { ...cart.spec, skipAnalysis: true, analysis: { match: [{}], iterations: 3 } } }, { reason: 'CanarySucceeded', type: 'Normal', message: '' })
  telemetry.onAlert('lost')
  const page = telemetry.render().split('\n')
  for (const line of [
    'flagger_canary_metric_analysis{name="cart",namespace="shop",metric="request-success-rate"} 98',
    'flagger_canary_metric_analysis{name="cart",namespace="shop",metric="request-duration"} 0.25',
    'flagger_canary_duration_seconds_bucket{name="cart",namespace="shop",le="0.025"} 0',
    'flagger_canary_duration_seconds_bucket{name="cart",namespace="shop",le="0.05"} 1',
    'flagger_canary_duration_seconds_bucket{name="cart",namespace="shop",le="10"} 1',
    'flagger_canary_duration_seconds_bucket{name="cart",namespace="shop",le="+Inf"} 2',
    'flagger_canary_duration_seconds_sum{name="cart",namespace="shop"} 12.03',
    'flagger_canary_duration_seconds_count{name="cart",namespace="shop"} 2',
    'flagger_canary_successes_total{name="cart",namespace="shop",deployment_strategy="canary",analysis_status="completed"} 1',
    'flagger_canary_successes_total{name="cart",namespace="shop",deployment_strategy="ab-testing",analysis_status="skipped"} 1',
    'flagger_canary_failures_total{name="cart",namespace="shop",deployment_strategy="canary",analysis_status="completed"} 1',
    'canarygate_alerts_total{outcome="lost"} 1',
    'canarygate_metric_answers_total{kind="value"} 5', 'canarygate_metric_answers_total{kind="unavailable"} 1',
  ]) t.ok(page.includes(line), line)
  t.notMatch(page.join('\n'), /odd/, 'a value that is no more is not told as if it were')
  telemetry.onChecked(cart, [value('latency', Infinity)], 1)
  t.match(telemetry.render(), 'metric="latency"} +Inf\n')
  t.notMatch(telemetry.render(), /request-success-rate/, 'nor one that the analysis does not name any more')
  canaries = []
  t.notMatch(telemetry.render(), /name="cart"/)
})

test('before anything is wired, the page is there', async (t) => {
  t.match(createTelemetry({ ...sources([]), caches: () => undefined, queue: () => undefined, isLeader: () => false }).render(), 'canarygate_queue_depth 0')
})

test('every line is a comment or a sample, and every family tells its type', async (t) => {
  const canaries = ['cart', 'odd "target" \n'].map((name) => withStatus(name, { phase: 'Progressing', gate: { changedAt: '2026-01-01T00:00:00Z' } }))
  const telemetry = createTelemetry(sources(canaries))
  telemetry.onChecked(canaries[0] as Canary, [{ name: 'odd "name" \\ \n', measurement: { kind: 'value', value: 1e-9 } }], 0.2)
  const text = telemetry.render()
  t.ok(text.endsWith('\n') && !text.includes('\n\n'))
  const lines = text.trimEnd().split('\n')
  const label = String.raw`[a-z_]+="(?:[^"\\\n]|\\["\\n])*"`
  for (const line of lines) t.match(line, new RegExp(String.raw`^(?:# HELP [a-z_]+ .+|# TYPE [a-z_]+ (?:gauge|counter|histogram)|[a-z_]+(?:\{${label}(?:,${label})*\})? -?[\d.]+(?:e-?\d+)?)$`))
  // One block a family, its type before its samples; nothing twice.
  let family = ''
  for (const line of lines) {
    const [, typed] = /^# TYPE (\S+)/.exec(line) ?? []
    family = typed ?? family
    if (!line.startsWith('#')) t.equal(/^[a-z_]+/.exec(line)?.[0].replace(/_(?:bucket|sum|count)$/, ''), family.replace(/_(?:bucket|sum|count)$/, ''), line)
  }
  const heads = lines.filter((line) => line.startsWith('# TYPE'))
  t.equal(new Set(heads).size, heads.length)
  const samples = lines.filter((line) => !line.startsWith('#')).map((line) => line.slice(0, line.lastIndexOf(' ')))
  t.equal(new Set(samples).size, samples.length)
  for (const line of lines.filter((found) => found.startsWith('# TYPE') && found.endsWith('counter'))) t.match(line, /_total counter$/)
})
