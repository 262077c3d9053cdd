import { test } from 'tap'
import type { Canary, CanaryStatus } from '#api/canary.ts'
import type { Caches } from '#agent/caches.ts'
import { createTelemetry } from '#agent/telemetry.ts'
import type { Queue } from '#kube/queue.ts'
import { canary } from './world.ts'

const withStatus = (name: string, status: CanaryStatus): Canary => ({ ...canary({ name }), status })
const usage = () => ({ residentBytes: 64_000_000, cpuSeconds: 1.5 })
const sources = (canaries: readonly Canary[], isLeader = true) => ({
  caches: () => ({ canaries: () => canaries }) as unknown as Caches,
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
