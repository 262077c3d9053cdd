import { test } from 'tap'
import type { Canary, CanaryStatus } from '#api/canary.ts'
import { objectKey } from '#api/objects.ts'
import type { Caches } from '#agent/caches.ts'
import { createTelemetry } from '#agent/telemetry.ts'
import type { Queue } from '#kube/queue.ts'
import { canary } from './world.ts'

const withStatus = (name: string, status: CanaryStatus): Canary => ({ ...canary({ name }), status })
const usage = () => ({ residentBytes: 64_000_000, cpuSeconds: 1.5 })
const sources = (canaries: readonly Canary[], isLeader = true) => ({
  caches: () => ({ canaries: () => canaries, canary: (key: string) => canaries.find(({ metadata }) => objectKey(metadata) === key) }) as unknown as Caches,
  queue: () => ({ stats: () => ({ depth: 3, adds: 40, retries: 2, delayed: 0, running: 0, longestRunningMs: 0 }) }) as unknown as Queue,
  isLeader: () => isLeader,
  usage,
})

test('Flagger\'s metrics under Flagger\'s names, for its dashboards', async (t) => {
  const text = createTelemetry(sources([withStatus('cart', { phase: 'Progressing', canaryWeight: 20 }), withStatus('till', { phase: 'Failed' }), withStatus('desk', { phase: 'Succeeded' })])).render()
  for (const line of [
    'flagger_canary_total{namespace="shop"} 3',
    'flagger_canary_status{name="cart",namespace="shop"} 0',
    'flagger_canary_status{name="till",namespace="shop"} 2',
    'flagger_canary_status{name="desk",namespace="shop"} 1',
    'flagger_canary_weight{workload="cart-primary",namespace="shop"} 80',
    'flagger_canary_weight{workload="cart-canary",namespace="shop"} 20',
    'canarygate_leader 1', 'canarygate_queue_depth 3', 'canarygate_queue_adds_total 40', 'canarygate_queue_retries_total 2',
  ]) t.ok(text.split('\n').includes(line), line)
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
  telemetry.onChecked(cart, [value('request-success-rate', 98), { name: 'odd "name"', measurement: { kind: 'unavailable', reason: 'gone' } }], 12)
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
  ]) t.ok(page.includes(line), line)
  t.notMatch(page.join('\n'), /odd/, 'a value that is no more is not told as if it were')
  canaries = []
  t.notMatch(telemetry.render(), /name="cart"/)
})

test('before anything is wired, the page is there', async (t) => {
  t.match(createTelemetry({ caches: () => undefined, queue: () => undefined, isLeader: () => false, usage }).render(), 'canarygate_queue_depth 0')
})

test('every line is a comment or a sample, and every family tells its type', async (t) => {
  const text = createTelemetry(sources([withStatus('cart', { phase: 'Progressing' })])).render()
  t.ok(text.endsWith('\n'))
  const lines = text.trimEnd().split('\n')
  for (const line of lines) t.match(line, /^(# (HELP|TYPE) [a-z_]+ .+|[a-z_]+(\{[^{}]+\})? [\d.]+)$/)
  for (const line of lines.filter((found) => !found.startsWith('#'))) t.ok(text.includes(`# TYPE ${/^[a-z_]+/.exec(line)?.[0]} `), line)
})
