import t from 'tap'
import type { CanarySpec } from '#api/canary.ts'
import type { Command } from '#api/names.ts'
import type { SimulationEvent } from '#cli/simulated-cluster.ts'
import { simulate } from '#cli/simulation.ts'

const { test } = t
const run = (events: readonly SimulationEvent[], more: Partial<CanarySpec> = {}, analysis: Partial<CanarySpec['analysis']> = {}) => simulate({
  name: 'shop', namespace: 'prod', image: 'v1', replicas: 3, podStartMs: 5_000, untilMs: 600_000, events: [{ at: 0, do: 'setImage', image: 'v2' }, ...events],
  spec: { targetRef: { apiVersion: 'apps/v1', kind: 'Deployment', name: 'shop' }, provider: 'traefik', ...more, analysis: { interval: '10s', threshold: 2, stepWeight: 10, maxWeight: 30, ...analysis } },
  judge: (metric, measurement) => ({ name: metric.name, measurement }),
})
const command = (at: number, name: Command, reason = 'because'): SimulationEvent => ({ at, do: 'annotate', command: name, reason })
const reasons = ({ timeline }: ReturnType<typeof run>) => timeline.map(({ reason }) => reason)
const isRefused = (result: ReturnType<typeof run>) => result.timeline.filter(({ reason }) => reason === 'CanaryCommandRefused').map(({ message }) => message)

test('a run with more checks than are ever made does not begin, and says so once', async (t) => {
  const result = run([], {}, { stepWeight: 0, iterations: 100_001 })
  t.same(result.timeline.filter(({ reason }) => reason === 'CanaryHalted').map(({ message }) => message), ['Halt shop.prod advancement: analysis.iterations: 100001 checks are more than 100000; use fewer, such as 10'])
  t.match(result.end, { phase: 'Progressing', weight: 0, primaryImage: 'v1' })
})

test('promote in mid-run skips the rest of the analysis', async (t) => {
  const result = run([command(17_000, 'promote', 'hotfix')])
  t.match(result.timeline.find(({ reason }) => reason === 'CanaryPromoted'), { at: 17, message: 'Promoting shop.prod by scenario: hotfix without the rest of its analysis' })
  t.match(result.end, { phase: 'Succeeded', primaryImage: 'v2' })
  t.ok(result.end.at < 30)
})

test('promote before the pods are ready is carried out as soon as they are', async (t) => {
  const result = run([command(1_000, 'promote')])
  t.notOk(reasons(result).includes('CanaryAdvanced'))
  t.match(result.end, { phase: 'Succeeded', primaryImage: 'v2' })
})

test('promote at rest takes a revision that was rolled back without an analysis, and is refused when there is none', async (t) => {
  const result = run([command(8_000, 'abort'), command(60_000, 'promote', 'we need it')])
  t.match(result.end, { phase: 'Succeeded', primaryImage: 'v2' })
  t.strictSame(isRefused(run([command(200_000, 'promote')])), ['promote by scenario: because refused: revision v2 serves already'])
})

test('promote and resume end the wait at the largest weight', async (t) => {
  for (const name of ['promote', 'resume', 'skip-step'] as const) {
    const result = run([command(100_000, name)], { gate: { atMaxWeight: 'wait' } })
    t.equal(result.timeline.filter(({ reason }) => reason === 'CanaryAwaitingPromotion').length, 1)
    t.match(result.end, { phase: 'Succeeded', primaryImage: 'v2' }, name)
  }
})

test('a pause says who and why, keeps the weight, and ends with resume', async (t) => {
  const result = run([command(12_000, 'pause', 'lunch'), command(100_000, 'resume')])
  t.match(result.timeline.filter(({ reason }) => reason === 'CanaryPaused').map(({ message }) => message), [/Pausing shop.prod by scenario: lunch/, /Halt shop.prod advancement: paused by scenario: lunch/])
  t.equal(result.timeline.filter(({ at, weight }) => at > 13 && at < 100 && weight !== 10).length, 0)
  t.match(result.end, { phase: 'Succeeded' })
})

test('a paused canary is still watched', async (t) => {
  const bad: SimulationEvent = { at: 50_000, do: 'notReady', workload: 'canary' }
  const result = run([command(12_000, 'pause'), bad], { progressDeadlineSeconds: 60 })
  t.match(result.end, { phase: 'Failed', weight: 0, primaryImage: 'v1' })
})

test('skip-step goes to the next weight at once', async (t) => {
  const result = run([command(7_000, 'skip-step')])
  t.match(result.timeline.find(({ reason }) => reason === 'CanaryStepSkipped'), { at: 7, weight: 20 })
})

test('restart begins the analysis anew', async (t) => {
  const result = run([command(17_000, 'restart')])
  t.equal(result.timeline.filter(({ reason }) => reason === 'CanaryAnalysisStarting').length, 2)
  t.match(result.end, { phase: 'Succeeded' })
})

test('an abort while the primary rolls gives it its revision back', async (t) => {
  const result = run([command(37_000, 'abort', 'odd')])
  t.match(result.timeline.at(-1), { reason: 'CanaryAborted', phase: 'Failed', message: 'Aborting shop.prod: aborted by scenario: odd' })
  t.match(result.end, { primaryImage: 'v1', weight: 0, canaryReplicas: 0 })
})

test('commands that make no sense are refused with a reason, once', async (t) => {
  const rows = [
    { name: 'abort', at: 300_000, why: 'no analysis of shop.prod is under way' },
    { name: 'restart', at: 300_000, why: 'no analysis of shop.prod is under way; to analyse a revision that was rolled back again, use retry' },
    { name: 'retry', at: 17_000, why: 'an analysis of shop.prod is under way; to begin it anew use restart' },
    { name: 'resume', at: 17_000, why: 'shop.prod is not paused' },
    { name: 'skip-step', at: 1_000, why: 'no step is under way yet: the pods are being started' },
    { name: 'pause', at: 37_000, why: 'revision v2 is being promoted; abort gives the primary its previous revision back' },
  ] as const
  for (const { name, at, why } of rows) t.strictSame(isRefused(run([command(at, name)])), [`${name} by scenario: because refused: ${why}`])
})

test('an edit of the plan in mid-run never raises the weight by itself', async (t) => {
  // The position is found again by weight: see positionOf. A run over an edited plan is in the property tests.
  const { planOf, positionOf } = await import('#rollout/plan.ts')
  const plan = planOf({ targetRef: { apiVersion: 'apps/v1', kind: 'Deployment', name: 'shop' }, analysis: { stepWeight: 50, maxWeight: 100 } })
  t.equal(positionOf(plan, 4, 30), -1, 'at 30 % of an older plan both steps are still ahead')
  t.equal(positionOf(plan, 4, 60), 0)
  t.equal(positionOf(plan, 1, 100), 1)
})
