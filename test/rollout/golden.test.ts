import t from 'tap'
import type { CanarySpec } from '#api/canary.ts'
import type { CheckedMetric } from '#api/measurement.ts'
import type { SimulationEvent } from '#cli/simulated-cluster.ts'
import { simulate } from '#cli/simulation.ts'

/** Flagger's own traces, tick by tick: the same phases, weights and texts in the same order. Where ours differ on purpose, the row says why. */

const { test } = t
const NOT_READY = 'canary deployment shop.prod not ready: waiting for rollout to finish: 0 of 3 (readyThreshold 100%) updated replicas are available'
const UP = 'New revision detected! Scaling up shop.prod -> Progressing 0'
const STARTING = 'Starting canary analysis for shop.prod'
const COPYING = 'Copying shop.prod template spec to shop-primary.prod'
const HOME = 'Routing all traffic to primary -> Finalising 0'
const DONE = 'Promotion completed! Scaling down shop.prod -> Succeeded 0'
const FAILED = 'Canary failed! Scaling down shop.prod -> Failed 0'
const setImage: SimulationEvent = { at: 0, do: 'setImage', image: 'v2' }
const hook = (name: string, type: NonNullable<NonNullable<CanarySpec['analysis']['webhooks']>[number]['type']>) => ({ name, type, url: `http://hooks/${name}` })
const hookAt = (at: number, name: string, answer: 200 | 500): SimulationEvent => ({ at, do: 'hook', name, answer })
const BAD: SimulationEvent = { at: 0, do: 'metrics', values: { 'request-success-rate': 61.39 } }
const METRICS = [{ name: 'request-success-rate', thresholdRange: { min: 99 } }]

type Row = { readonly name: string; readonly analysis: Partial<CanarySpec['analysis']>; readonly more?: Partial<CanarySpec>; readonly events?: readonly SimulationEvent[]; readonly trace: readonly string[] }

const advances = (...weights: readonly number[]) => weights.map((weight) => `Advance shop.prod canary weight ${weight} -> Progressing ${weight}`)
const iterations = (weight = 0) => [1, 2, 3].map((i) => `Advance shop.prod canary iteration ${i}/3 -> Progressing ${weight}`)
const GATED = { stepWeight: 10, maxWeight: 30, webhooks: [hook('acc', 'pre-rollout'), hook('done', 'post-rollout')] }

const rows: readonly Row[] = [
  {
    name: 'weighted, with hooks before and after', analysis: GATED, events: [{ at: 0, do: 'notReady', workload: 'canary' }, { at: 20_000, do: 'ready', workload: 'canary' }],
    trace: [UP, `${NOT_READY} -> Progressing 0`, `${STARTING} -> Progressing 10`, 'Pre-rollout check acc passed -> Progressing 10', ...advances(10, 20, 30), `${COPYING} -> Promoting 30`, HOME, 'Post-rollout check done passed -> Succeeded 0', DONE],
  },
  {
    name: 'weighted, home in steps', analysis: { stepWeight: 10, maxWeight: 30, stepWeightPromotion: 15 },
    trace: [UP, `${STARTING} -> Progressing 10`, ...advances(10, 20, 30), `${COPYING} -> Promoting 30`, 'Advance shop.prod primary weight 85 -> Promoting 15', 'Advance shop.prod primary weight 100 -> Finalising 0', DONE],
  },
  {
    name: 'weighted, mirrored first', analysis: { stepWeight: 10, maxWeight: 20, mirror: true },
    trace: [UP, `${STARTING} -> Progressing 0`, ...advances(0, 10, 20), `${COPYING} -> Promoting 20`, HOME, DONE],
  },
  {
    name: 'Blue/Green behind a router', analysis: { iterations: 3 },
    trace: [UP, `${STARTING} -> Progressing 0`, ...iterations(), 'Routing all traffic to canary -> Progressing 100', `${COPYING} -> Promoting 100`, HOME, DONE],
  },
  {
    name: 'Blue/Green, mirrored', analysis: { iterations: 3, mirror: true },
    trace: [UP, `${STARTING} -> Progressing 0`, ...iterations(), 'Stop traffic mirroring and route all traffic to canary -> Progressing 100', `${COPYING} -> Promoting 100`, HOME, DONE],
  },
  {
    name: 'Blue/Green on a plain Service: ours really switches, so it says so', analysis: { iterations: 3 }, more: { provider: 'kubernetes' },
    trace: [UP, `${STARTING} -> Progressing 0`, ...iterations(), 'Routing all traffic to canary -> Progressing 100', `${COPYING} -> Promoting 100`, HOME, DONE],
  },
  {
    name: 'A/B', analysis: { iterations: 3, match: [{ headers: { 'x-canary': { exact: 'yes' } } }] },
    trace: [UP, `${STARTING} -> Progressing 0`, ...iterations(), `${COPYING} -> Promoting 0`, HOME, DONE],
  },
  {
    name: 'rollback at the threshold: at once, without another tick', analysis: { stepWeight: 10, maxWeight: 50, metrics: METRICS }, events: [BAD],
    trace: [
      UP, `${STARTING} -> Progressing 10`, ...advances(10), 'Halt shop.prod advancement success rate 61.39% < 99% -> Progressing 10', 'Halt shop.prod advancement success rate 61.39% < 99% -> Progressing 10',
      'Rolling back shop.prod failed checks threshold reached 2 -> Failed 0', FAILED,
    ],
  },
  {
    name: 'a failing pre-rollout hook repeats, without weight, until the threshold', analysis: GATED, events: [hookAt(0, 'acc', 500)],
    trace: [
      UP, `${STARTING} -> Progressing 0`, 'Halt shop.prod advancement pre-rollout check acc failed POST http://hooks/acc giving up after 1 attempt(s) -> Progressing 0',
      `${STARTING} -> Progressing 0`, 'Halt shop.prod advancement pre-rollout check acc failed POST http://hooks/acc giving up after 1 attempt(s) -> Progressing 0',
      'Rolling back shop.prod failed checks threshold reached 2 -> Failed 0', FAILED, 'Post-rollout check done passed -> Failed 0',
    ],
  },
  {
    name: 'confirm-rollout: waits once, and starts when it opens', analysis: { stepWeight: 30, maxWeight: 30, webhooks: [hook('gate', 'confirm-rollout')] },
    events: [hookAt(0, 'gate', 500), hookAt(35_000, 'gate', 200)],
    trace: ['Halt shop.prod advancement waiting for approval gate -> Waiting 0', 'Confirm-rollout check gate passed -> Progressing 0', UP, `${STARTING} -> Progressing 30`, ...advances(30), `${COPYING} -> Promoting 30`, HOME, DONE],
  },
  {
    name: 'confirm-promotion: waits once; the status keeps the weight that the routes have, where Flagger shows 0',
    analysis: { stepWeight: 30, maxWeight: 30, webhooks: [hook('gate', 'confirm-promotion')] }, events: [hookAt(0, 'gate', 500), hookAt(50_000, 'gate', 200)],
    trace: [UP, `${STARTING} -> Progressing 30`, ...advances(30), 'Halt shop.prod advancement waiting for promotion approval gate -> WaitingPromotion 30', 'Confirm-promotion check gate passed -> Promoting 30', `${COPYING} -> Promoting 30`, HOME, DONE],
  },
  {
    name: 'confirm-traffic-increase: asked before every increase, and says so every time it is closed', analysis: { stepWeight: 20, maxWeight: 20, webhooks: [hook('gate', 'confirm-traffic-increase')] },
    events: [hookAt(0, 'gate', 500), hookAt(30_000, 'gate', 200)],
    trace: [
      UP, `${STARTING} -> Progressing 20`, ...advances(20), 'Halt shop.prod advancement waiting for traffic increase approval gate -> Progressing 20',
      'Halt shop.prod advancement waiting for traffic increase approval gate -> Progressing 20', 'Confirm-traffic-increase check gate passed -> Promoting 20', `${COPYING} -> Promoting 20`, HOME, DONE,
    ],
  },
  {
    name: 'a failing rollout hook counts as a failed check', analysis: { stepWeight: 20, maxWeight: 20, webhooks: [hook('load', 'rollout')] }, events: [hookAt(0, 'load', 500), hookAt(20_000, 'load', 200)],
    trace: [UP, `${STARTING} -> Progressing 20`, ...advances(20), 'Halt shop.prod advancement external check load failed POST http://hooks/load giving up after 1 attempt(s) -> Progressing 20', `${COPYING} -> Promoting 20`, HOME, DONE],
  },
  {
    name: 'a rollback hook that succeeds rolls back', analysis: { stepWeight: 10, maxWeight: 50, webhooks: [hook('stop', 'rollback')] }, events: [hookAt(10_000, 'stop', 200)],
    trace: [
      'New revision detected! Scaling up shop.prod -> Progressing 0', 'Rollback hook stop not signaling a rollback -> Progressing 0', `${STARTING} -> Progressing 10`, ...advances(10),
      'Rollback check stop passed -> Failed 0', 'Rolling back shop.prod manual webhook invoked -> Failed 0', FAILED,
    ],
  },
  {
    name: 'another revision at weight 20', analysis: { stepWeight: 10, maxWeight: 30 }, events: [{ at: 20_000, do: 'setImage', image: 'v3' }],
    trace: [UP, `${STARTING} -> Progressing 10`, ...advances(10, 20), 'New revision detected! Restarting analysis for shop.prod -> Progressing 0', `${STARTING} -> Progressing 10`, ...advances(10, 20, 30), `${COPYING} -> Promoting 30`, HOME, DONE],
  },
  {
    name: 'skipAnalysis', analysis: { stepWeight: 10, maxWeight: 30 }, more: { skipAnalysis: true },
    trace: [UP, `${COPYING} -> Promoting 0`, 'Promotion completed! Canary analysis was skipped for shop.prod -> Succeeded 0'],
  },
]

for (const { name, analysis, more, events = [], trace } of rows) {
  test(name, async (t) => {
    const spec: CanarySpec = {
      targetRef: { apiVersion: 'apps/v1', kind: 'Deployment', name: 'shop' }, service: { port: 80 }, provider: 'traefik', ...more, analysis: { interval: '10s', threshold: 2, ...analysis },
    }
    const { timeline } = simulate({
      name: 'shop', namespace: 'prod', spec, image: 'v1', replicas: 3, podStartMs: 5_000, untilMs: 3_600_000, events: [...events, setImage],
      judge: (metric, measurement): CheckedMetric => ({
        name: metric.name, measurement, ...(measurement.kind === 'value' && measurement.value < 99 ? { failure: `Halt shop.prod advancement success rate ${measurement.value}% < 99%` } : {}),
      }),
    })
    t.strictSame(timeline.map(({ message, phase, weight }) => `${message} -> ${phase} ${weight}`), trace)
  })
}
