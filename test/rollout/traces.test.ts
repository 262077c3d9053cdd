import t from 'tap'
import type { CanarySpec } from '#api/canary.ts'
import type { CheckedMetric } from '#api/measurement.ts'
import type { SimulationEvent } from '#cli/simulated-cluster.ts'
import { simulate } from '#cli/simulation.ts'

const { test } = t

const spec = (analysis: Partial<CanarySpec['analysis']>, more: Partial<CanarySpec> = {}): CanarySpec => ({
  targetRef: { apiVersion: 'apps/v1', kind: 'Deployment', name: 'shop' },
  service: { port: 80 },
  ...more,
  analysis: { interval: '10s', threshold: 2, ...analysis },
})
const run = (settings: CanarySpec, events: readonly SimulationEvent[]) => simulate({
  name: 'shop', namespace: 'prod', spec: settings, image: 'v1', replicas: 3, podStartMs: 5_000, untilMs: 3_600_000, events,
  judge: (metric, measurement): CheckedMetric => ({
    name: metric.name, measurement,
    ...(measurement.kind === 'value' && measurement.value < (metric.thresholdRange?.min ?? 0)
      ? { failure: `Halt shop.prod advancement success rate ${measurement.value.toFixed(2)}% < 99%` } : {}),
  }),
})
const texts = (result: ReturnType<typeof run>) => result.timeline.map(({ message, phase, weight }) => `${message} -> ${phase} ${weight}`)
const setImage: SimulationEvent = { at: 0, do: 'setImage', image: 'v2' }
const success = { name: 'request-success-rate', interval: '1m', thresholdRange: { min: 99 } }

test('a weighted run goes up in steps, promotes, and ends with all traffic on the primary', async (t) => {
  const result = run(spec({ stepWeight: 10, maxWeight: 30 }, { provider: 'traefik' }), [setImage])
  t.same(texts(result), [
    'New revision detected! Scaling up shop.prod -> Progressing 0',
    'Starting canary analysis for shop.prod -> Progressing 10',
    'Advance shop.prod canary weight 10 -> Progressing 10',
    'Advance shop.prod canary weight 20 -> Progressing 20',
    'Advance shop.prod canary weight 30 -> Progressing 30',
    'Copying shop.prod template spec to shop-primary.prod -> Promoting 30',
    'Routing all traffic to primary -> Finalising 0',
    'Promotion completed! Scaling down shop.prod -> Succeeded 0',
  ])
  t.match(result.end, { phase: 'Succeeded', primaryImage: 'v2', canaryReplicas: 0, primaryReplicas: 3 })
})

test('on a plain Service the weights that whole pods cannot give are told before the first', async (t) => {
  const { timeline } = run(spec({ stepWeights: [10, 25, 50] }, { provider: 'kubernetes' }), [setImage])
  t.match(timeline.map(({ reason, weight }) => [reason, weight]).slice(1, 4), [['CanaryAnalysisStarting', 10], ['CanaryWeightsRounded', 10], ['CanaryAdvanced', 10]])
  t.equal(timeline.filter(({ reason }) => reason === 'CanaryWeightsRounded').length, 1)
  t.match(timeline[2], { type: 'Warning', message: /^Weights of shop.prod are shares of whole pods: 10 % is served as 25 %; for others/ })
})

test('a run takes interval x steps, plus the pod starts and little more', async (t) => {
  const { end } = run(spec({ stepWeight: 10, maxWeight: 50 }), [setImage])
  const theoretical = 5 * 10 + 2 * 5
  t.ok(end.at - theoretical < 3, `${end.at} s against ${theoretical} s`)
})

test('stepWeightPromotion moves the weight home in steps', async (t) => {
  const result = run(spec({ stepWeight: 10, maxWeight: 30, stepWeightPromotion: 15 }), [setImage])
  t.match(texts(result).slice(-3), [
    'Advance shop.prod primary weight 85 -> Promoting 15',
    'Advance shop.prod primary weight 100 -> Finalising 0',
    'Promotion completed! Scaling down shop.prod -> Succeeded 0',
  ])
})

test('failed checks up to the threshold roll back, weight first', async (t) => {
  const result = run(spec({ stepWeight: 10, maxWeight: 50, metrics: [success] }, { provider: 'traefik' }), [
    { at: 0, do: 'metrics', values: { 'request-success-rate': 61.39 } }, setImage,
  ])
  t.same(texts(result).slice(2), [
    'Advance shop.prod canary weight 10 -> Progressing 10',
    'Halt shop.prod advancement success rate 61.39% < 99% -> Progressing 10',
    'Halt shop.prod advancement success rate 61.39% < 99% -> Progressing 10',
    'Rolling back shop.prod failed checks threshold reached 2 -> Failed 0',
    'Canary failed! Scaling down shop.prod -> Failed 0',
  ])
  t.match(result.end, { phase: 'Failed', primaryImage: 'v1', requestedImage: 'v2', canaryReplicas: 0, weight: 0 })
})

test('failed checks that are not in a row add up, unless only consecutive ones count', async (t) => {
  const events: SimulationEvent[] = [
    { at: 0, do: 'metrics', values: { 'request-success-rate': 50 } }, setImage,
    { at: 18_000, do: 'metrics', values: { 'request-success-rate': 100 } },
    { at: 28_000, do: 'metrics', values: { 'request-success-rate': 50 } },
    { at: 38_000, do: 'metrics', values: { 'request-success-rate': 100 } },
  ]
  const settings = { stepWeight: 10, maxWeight: 50, metrics: [success] }
  t.equal(run(spec(settings), events).end.phase, 'Failed')
  t.equal(run(spec(settings, { gate: { failures: 'consecutive' } }), events).end.phase, 'Succeeded')
})

test('another revision in mid-run takes the weight away before its pods come, and is analysed from the start', async (t) => {
  const result = run(spec({ stepWeight: 10, maxWeight: 30 }), [setImage, { at: 20_000, do: 'setImage', image: 'v3' }])
  const restart = result.timeline.findIndex(({ reason }) => reason === 'CanaryRestarted')
  t.match(result.timeline[restart], { message: 'New revision detected! Restarting analysis for shop.prod', weight: 0, at: 20 })
  t.match(result.timeline[restart + 1], { message: 'Starting canary analysis for shop.prod' })
  t.match(result.end, { phase: 'Succeeded', primaryImage: 'v3' })
})

test('the stable revision again ends the run without blame', async (t) => {
  const result = run(spec({ stepWeight: 10, maxWeight: 30 }), [setImage, { at: 20_000, do: 'setImage', image: 'v1' }])
  t.match(result.timeline.at(-1), { reason: 'CanaryAborted', phase: 'Failed', weight: 0 })
  t.match(result.end, { primaryImage: 'v1', requestedImage: 'v1', canaryReplicas: 0, weight: 0 })
})

test('a revision that was rolled back is not run again by itself, but on retry', async (t) => {
  const bad: SimulationEvent[] = [{ at: 0, do: 'metrics', values: { 'request-success-rate': 50 } }, setImage]
  const settings = spec({ stepWeight: 10, maxWeight: 30, metrics: [success] })
  const again: SimulationEvent[] = [...bad, { at: 60_000, do: 'setImage', image: 'v1' }, { at: 70_000, do: 'setImage', image: 'v2' }]
  t.equal(run(settings, again).timeline.filter(({ reason }) => reason === 'CanaryStarted').length, 1)
  const retried = run(settings, [...bad, { at: 60_000, do: 'metrics', values: { 'request-success-rate': 100 } }, { at: 61_000, do: 'annotate', command: 'retry', reason: 'flaky dependency' }])
  t.match(retried.end, { phase: 'Succeeded', primaryImage: 'v2' })
})

test('pods that take longer than usual to get ready are told of once, not pod by pod', async (t) => {
  const result = run(spec({ stepWeight: 10, maxWeight: 30 }), [setImage, { at: 0, do: 'notReady', workload: 'canary' }, { at: 45_000, do: 'ready', workload: 'canary' }])
  t.equal(result.timeline.filter(({ reason }) => reason === 'CanaryNotReady').length, 1)
  t.match(result.timeline[1], { at: 15, message: 'canary deployment shop.prod not ready: waiting for rollout to finish: 0 of 1 (readyThreshold 100%) updated replicas are available' })
})

test('a canary that never becomes ready is rolled back at the deadline', async (t) => {
  const result = run(spec({ stepWeight: 10, maxWeight: 30 }, { progressDeadlineSeconds: 60 }), [setImage, { at: 0, do: 'notReady', workload: 'canary' }, { at: 120_000, do: 'scale', replicas: 3 }])
  t.match(result.end, { phase: 'Failed', primaryImage: 'v1', canaryReplicas: 0 })
})

test('a promotion whose primary never becomes ready gives the primary its template back', async (t) => {
  const result = run(spec({ stepWeight: 50, maxWeight: 50 }, { progressDeadlineSeconds: 60 }), [
    setImage, { at: 15_500, do: 'notReady', workload: 'primary' }, { at: 120_000, do: 'scale', replicas: 3 }, { at: 121_000, do: 'ready', workload: 'primary' },
  ])
  t.match(result.end, { phase: 'Failed', primaryImage: 'v1', canaryReplicas: 0, weight: 0 })
})

test('Blue/Green checks first, then gives the canary everything, then promotes', async (t) => {
  const result = run(spec({ iterations: 3 }), [setImage])
  t.same(result.timeline.slice(1).map(({ message }) => message), [
    'Starting canary analysis for shop.prod',
    'Advance shop.prod canary iteration 1/3',
    'Advance shop.prod canary iteration 2/3',
    'Advance shop.prod canary iteration 3/3',
    'Routing all traffic to canary',
    'Copying shop.prod template spec to shop-primary.prod',
    'Routing all traffic to primary',
    'Promotion completed! Scaling down shop.prod',
  ])
})

test('skipAnalysis promotes as soon as the canary is ready', async (t) => {
  const result = run(spec({ stepWeight: 10 }, { skipAnalysis: true }), [setImage])
  t.match(result.timeline.at(-1), { message: 'Promotion completed! Canary analysis was skipped for shop.prod' })
  t.match(result.end, { primaryImage: 'v2' })
})

test('a lost router or a crashed agent in mid-run ends as it would have', async (t) => {
  for (const event of [{ at: 20_000, do: 'routerLost' }, { at: 20_000, do: 'agentCrash' }, { at: 20_000, do: 'apiDown', for: 15_000 }] as const) {
    t.match(run(spec({ stepWeight: 10, maxWeight: 30 }), [setImage, event]).end, { phase: 'Succeeded', primaryImage: 'v2', weight: 0 }, event.do)
  }
})

test('a scale in mid-run reaches the primary at once', async (t) => {
  const result = run(spec({ stepWeight: 10, maxWeight: 30 }), [setImage, { at: 20_000, do: 'scale', replicas: 6 }])
  t.match(result.end, { primaryReplicas: 6, phase: 'Succeeded' })
})
