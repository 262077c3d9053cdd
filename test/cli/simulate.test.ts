import t from 'tap'
import type { CanarySpec } from '#api/canary.ts'
import type { CanaryInput } from '#cli/input.ts'
import { planAnswer, planText } from '#cli/plan.ts'
import type { SimulationEvent } from '#cli/simulated-cluster.ts'
import { simulateScenario, simulationText } from '#cli/simulate.ts'

/** What a scenario means, event by event; the shape of the files and of the answer is in main.test.ts, Flagger's traces are in golden.test.ts. */

const { test } = t
const METRICS = [{ name: 'request-success-rate', interval: '1m', thresholdRange: { min: 99 } }, { name: 'request-duration', interval: '1m', thresholdRange: { max: 500 } }]
const GOOD: SimulationEvent = { at: 0, do: 'metrics', values: { 'request-success-rate': 99.9, 'request-duration': 120 } }
const image = (at: number, name = 'v2'): SimulationEvent => ({ at, do: 'setImage', image: name })
const hook = (name: string, type: 'confirm-rollout' | 'confirm-promotion') => ({ name, type, url: `http://hooks/${name}` })

type Settings = { readonly analysis?: Partial<CanarySpec['analysis']>; readonly more?: Partial<CanarySpec>; readonly replicas?: number; readonly untilMs?: number }

function play(events: readonly SimulationEvent[], { analysis = {}, more = {}, replicas = 2, untilMs = 3_600_000 }: Settings = {}) {
  const spec: CanarySpec = {
    provider: 'traefik', targetRef: { apiVersion: 'apps/v1', kind: 'Deployment', name: 'shop' }, service: { port: 80 }, ...more,
    analysis: { interval: '10s', threshold: 2, metrics: METRICS, stepWeight: 10, maxWeight: 30, ...analysis },
  }
  const { timeline, end } = simulateScenario({ name: 'shop', namespace: 'prod', spec }, { image: 'v1', replicas, podStartMs: 5_000, untilMs, events })
  return { timeline, end, texts: timeline.map(({ message, phase }) => `${message} -> ${phase}`), reasons: timeline.map(({ reason }) => reason) }
}

test('values without an arm count for both, also for one that had its own', async (t) => {
  const { end, timeline } = play([GOOD, image(0), { at: 10_000, do: 'metrics', arm: 'canary', values: { 'request-duration': 1_209 } }, { ...GOOD, at: 20_000 }])
  t.match(timeline.find(({ reason }) => reason === 'CanaryCheckFailed'), { message: 'Halt shop.prod advancement request duration 1.209s > 500ms', failedChecks: 1 })
  t.match(end, { phase: 'Succeeded', primaryImage: 'v2' })
})

test('bad values of the primary alone count for nothing against the canary', async (t) => {
  const { end } = play([GOOD, image(0), { at: 10_000, do: 'metrics', arm: 'primary', values: { 'request-success-rate': 1 } }])
  t.equal(end.phase, 'Succeeded')
})

test('no data fails a check, a source that is down only holds', async (t) => {
  const at = (value: null | 'error') => play([GOOD, image(0), { at: 10_000, do: 'metrics', values: { 'request-success-rate': value } }], { untilMs: 300_000 })
  t.match(at(null).end, { phase: 'Failed', primaryImage: 'v1' })
  t.match(at('error').end, { at: 300, phase: 'Progressing', weight: 10 }, 'and the run ends where it is cut off')
})

test('every failed check is told with the count that it made', async (t) => {
  const { timeline } = play([{ ...GOOD, values: { 'request-success-rate': 61.39, 'request-duration': 1 } }, image(0)])
  t.strictSame(timeline.slice(3).map(({ phase, weight, failedChecks, reason }) => [phase, weight, failedChecks, reason]), [
    ['Progressing', 10, 1, 'CanaryCheckFailed'], ['Progressing', 10, 2, 'CanaryCheckFailed'],
    ['Failed', 0, 0, 'CanaryThresholdReached'], ['Failed', 0, 0, 'CanaryRolledBack'],
  ])
})

test('a run takes its theoretical time, the pod starts, and less than a second', async (t) => {
  const rows: readonly Settings[] = [{}, { analysis: { iterations: 3 } }, { more: { provider: 'kubernetes' } }, { analysis: { stepWeights: [1, 50], stepWeight: 0 } }]
  for (const [row, theoretical] of rows.map((row, i) => [row, [30, 40, 30, 20][i] ?? 0] as const)) {
    const { timeline } = play([GOOD, image(0)], row)
    const over = (timeline.at(-1)?.at ?? 0) - theoretical - 2 * 5
    t.equal(timeline.at(-1)?.reason, 'CanarySucceeded')
    t.ok(over >= 0 && over < 1, `${over.toFixed(1)} s over ${theoretical} s`)
  }
})

test('a version that comes while the one before is being promoted runs next, whole', async (t) => {
  const { end, reasons } = play([GOOD, image(0), image(37_000, 'v3')])
  t.equal(reasons.filter((reason) => reason === 'CanarySucceeded').length, 2)
  t.match(end, { phase: 'Succeeded', primaryImage: 'v3' })
})

test('v1 -> v2 -> v3 -> v1 ends on v1, with every version accounted for', async (t) => {
  const { end, reasons } = play([GOOD, image(0), image(20_000, 'v3'), image(40_000, 'v1')])
  t.strictSame(reasons.filter((reason) => /Started|Restarted|Aborted|Succeeded/.test(reason)), ['CanaryStarted', 'CanaryRestarted', 'CanaryAborted'])
  t.match(end, { requestedImage: 'v1', primaryImage: 'v1', weight: 0, canaryReplicas: 0 })
})

test('a version that failed is not run again when it is requested again, and that is said', async (t) => {
  const bad: SimulationEvent = { at: 0, do: 'metrics', values: { 'request-success-rate': 50, 'request-duration': 1 } }
  const { end, timeline } = play([bad, image(0), image(60_000, 'v1'), image(70_000), { ...GOOD, at: 80_000 }, { at: 90_000, do: 'annotate', command: 'retry', reason: 'fixed' }])
  t.match(timeline.find(({ at }) => at === 70), { reason: 'CanaryKnownBad', message: /Revision v2 of shop.prod was rolled back before .* canarygate.dev\/retry/ })
  t.strictSame(timeline.filter(({ reason }) => reason === 'CanaryStarted').map(({ at }) => at), [0, 90])
  t.match(end, { phase: 'Succeeded', primaryImage: 'v2' })
})

test('a version that is taken back while it waits for approval never runs, and that is said', async (t) => {
  const { end, timeline } = play(
    [GOOD, { at: 0, do: 'hook', name: 'gate', answer: 500 }, image(0), image(25_000, 'v1'), { at: 60_000, do: 'hook', name: 'gate', answer: 200 }],
    { analysis: { webhooks: [hook('gate', 'confirm-rollout')] } },
  )
  t.match(timeline.at(-1), { at: 25, reason: 'CanaryAborted' })
  t.match(end, { primaryImage: 'v1', canaryReplicas: 0 })
})

test('another version while one waits for its promotion starts over', async (t) => {
  const { end, timeline } = play([GOOD, image(0), { at: 0, do: 'hook', name: 'ok', answer: 500 }, image(50_000, 'v3'), { at: 120_000, do: 'hook', name: 'ok', answer: 200 }],
    { analysis: { webhooks: [hook('ok', 'confirm-promotion')] } })
  t.match(timeline.find(({ reason }) => reason === 'CanaryRestarted'), { at: 50, phase: 'Progressing', weight: 0 })
  t.match(end, { phase: 'Succeeded', primaryImage: 'v3' })
})

test('a promotion whose new pods never get ready leaves what served before', async (t) => {
  const { end, timeline } = play([GOOD, image(0), { at: 36_000, do: 'notReady', workload: 'primary' }], { more: { progressDeadlineSeconds: 60 } })
  t.match(timeline.at(-1), { phase: 'Failed', weight: 0, reason: 'CanaryPromotionFailed', message: /^Promotion of shop.prod failed, primary not ready: / })
  t.match(end, { phase: 'Failed', primaryImage: 'v1', primaryReplicas: 2, canaryReplicas: 0 })
})

test('a primary that is broken beforehand lets no run start until it is whole, or somebody promotes', async (t) => {
  const broken: SimulationEvent = { at: 0, do: 'notReady', workload: 'primary' }
  const held = play([GOOD, broken, image(0), { at: 100_000, do: 'ready', workload: 'primary' }])
  t.match(held.timeline.slice(0, 2), [{ at: 0, reason: 'CanaryPrimaryNotReady' }, { at: 100, reason: 'CanaryStarted' }])
  t.equal(held.end.phase, 'Succeeded')
  const fast = play([GOOD, broken, image(0), { at: 10_000, do: 'annotate', command: 'promote', reason: 'outage' }, { at: 30_000, do: 'ready', workload: 'primary' }])
  t.match(fast.end, { phase: 'Succeeded', primaryImage: 'v2' })
})

test('on a plain Service pods are the weights, and a Service that is deleted comes back as it was asked to be', async (t) => {
  const { end } = play([GOOD, image(0), { at: 8_000, do: 'routerLost' }], { more: { provider: 'kubernetes' }, replicas: 9, untilMs: 12_000 })
  t.match(end, { weight: 10, canaryReplicas: 1, primaryReplicas: 9 })
  t.match(play([GOOD, image(0), { at: 8_000, do: 'routerLost' }], { more: { provider: 'kubernetes' } }).end, { phase: 'Succeeded', primaryImage: 'v2' })
})

test('a target that is scaled to zero in mid-run takes its canary along, and is analysed anew when it is back', async (t) => {
  const zero: SimulationEvent = { at: 20_000, do: 'scale', replicas: 0 }
  t.match(play([GOOD, image(0), zero]).end, { phase: 'Progressing', weight: 0, primaryImage: 'v1', primaryReplicas: 0, canaryReplicas: 0 })
  const { end, reasons, texts } = play([GOOD, image(0), zero, { at: 60_000, do: 'scale', replicas: 3 }])
  t.equal(texts.filter((text) => text.startsWith('shop.prod is scaled to zero: the analysis begins anew')).length, 1)
  t.equal(reasons.filter((reason) => reason === 'CanaryAnalysisStarting').length, 2)
  t.match(end, { phase: 'Succeeded', primaryImage: 'v2', primaryReplicas: 3 })
})

test('a deletion in mid-run ends with the target serving what the primary served', async (t) => {
  const { end, texts } = play([GOOD, image(0), { at: 20_000, do: 'deleteCanary' }])
  t.strictSame(texts.slice(-2), ['Terminating canary shop.prod -> Terminating', 'Terminated canary shop.prod -> Terminating'])
  t.match(end, { requestedImage: 'v1', primaryImage: '', primaryReplicas: 0, canaryReplicas: 0, targetReplicas: 2, weight: 0 })
  t.match(simulationText({ timeline: [], end }), /^end 0:\d\d\.\d: Terminating, weight 0 %, requested v1, the Canary is gone: the target serves by itself with v1 x 2\n$/)
})

test('a deletion that is not over at the end of the time leaves the primary serving', async (t) => {
  const { end } = play([GOOD, { at: 5_000, do: 'deleteCanary' }], { untilMs: 5_500 })
  t.match(end, { phase: 'Terminating', primaryImage: 'v1', primaryReplicas: 2, targetReplicas: undefined })
})

test('a restart of the target restarts the primary, without a run', async (t) => {
  t.strictSame(play([GOOD, { at: 5_000, do: 'restart' }]).texts, ['Restarting shop-primary.prod -> Initialized'])
})

test('a baseline that gets no ready pods costs its wait and no more', async (t) => {
  const asked = { more: { gate: { baseline: {} }, progressDeadlineSeconds: 60 } }
  t.match(play([GOOD, image(0)], asked).end, { phase: 'Succeeded', primaryImage: 'v2' })
  const broken = play([GOOD, { at: 0, do: 'notReady', workload: 'baseline' }, image(0)], asked)
  t.match(broken.end, { phase: 'Succeeded', primaryImage: 'v2' })
  t.ok(broken.reasons.includes('CanaryBaselineNotReady'))
  t.equal(broken.reasons.filter((reason) => reason === 'CanaryBaselineLost').length, 1)
})

test('the plan of a run with a baseline says its share, and that it tells less', async (t) => {
  const input = (gate: CanarySpec['gate']): CanaryInput => ({
    name: 'shop', namespace: 'prod',
    spec: { provider: 'traefik', targetRef: { apiVersion: 'apps/v1', kind: 'Deployment', name: 'shop' }, analysis: { interval: '1m', threshold: 5, metrics: METRICS, stepWeights: [10, 40] }, ...(gate ? { gate } : {}) },
  })
  const [plain, beside] = [planAnswer(input(undefined), { requestsPerSecond: 100 }), planAnswer(input({ baseline: {} }), { requestsPerSecond: 100 })]
  t.same(beside.steps.map(({ weight, baseline }) => [weight, baseline]), [[10, 10], [40, 30]])
  t.match(planText(beside), /10 % {2}for 1m, baseline 10 %\n.*40 % {2}for 1m, baseline 30 %/)
  t.notMatch(planText(plain), /baseline/)
  t.ok((beside.judge?.tells[0]?.smallest ?? 1) > (plain.judge?.tells[0]?.smallest ?? 1), 'small is compared with small')
})
