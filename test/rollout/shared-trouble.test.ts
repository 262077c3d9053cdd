import { test } from 'tap'
import type { CanarySpec, CanaryStatus } from '#api/canary.ts'
import type { CheckedMetric } from '#api/measurement.ts'
import type { JudgementSeen, Seen } from '#rollout/decision.ts'
import { step } from '#rollout/step.ts'

/** What canary and primary suffer together. */

const NOW = Date.UTC(2026, 0, 1)
const ready = { ready: true } as const
const running: CanaryStatus = {
  phase: 'Progressing', lastAppliedSpec: 'r2', lastPromotedSpec: 'r1', canaryWeight: 50, failedChecks: 0, iterations: 0,
  gate: { step: 0, nextCheckAt: new Date(NOW).toISOString() },
}
const spec = { targetRef: { apiVersion: 'apps/v1', kind: 'Deployment', name: 'cart' }, analysis: { interval: '10s', threshold: 1, stepWeights: [50, 60] } } satisfies CanarySpec

const metric = (more: Partial<CheckedMetric>): CheckedMetric => ({ name: 'request-success-rate', measurement: { kind: 'value', value: 12 }, ...more })
const judged = (verdict: JudgementSeen['verdict'], mode: JudgementSeen['mode'] = 'enforce'): JudgementSeen => ({ verdict, mode, words: 'both arms are bad: canary fails 90 % of 200 requests, primary 88 % of 190' })

const at = (metrics: readonly CheckedMetric[], judgement: JudgementSeen | undefined, status = running) => step(status, {
  name: 'cart', namespace: 'shop', spec, deleting: false, hasFinalizer: true, commands: [], targetReady: true, stableRevision: undefined, judgement, check: { metrics },
  target: { revision: 'r2', image: 'cart:2', restartedAt: undefined, wantedReplicas: 2, adopted: true, replicas: 0, runningReplicas: 0, paused: false, held: false, gate: 'pending', requestedBy: undefined, scaled: false },
  primary: { revision: 'r1', replicas: 2, readyReplicas: 2, runningReplicas: 2, readiness: ready, restartedAt: undefined },
  canary: { revision: 'r2', replicas: 2, readyReplicas: 2, runningReplicas: 2, readiness: ready, restartedAt: undefined },
  routes: { primary: 50, canary: 50, mirror: false }, endpoints: { primary: 2, canary: 2 }, apex: 'primary', provider: { name: 'traefik', settleMs: 0, weightsByReplicas: false },
} as unknown as Seen, NOW)

const FAILED = metric({ failure: 'Halt cart.shop advancement success rate 12.00% < 99%' })
const SHARED = metric({ inBothArms: 'Halt cart.shop advancement success rate 12.00% < 99%; the primary fails this check, too: the new revision is not to blame' })

const rows = [
  { name: 'a failed check at the threshold rolls back', metrics: [FAILED], judgement: undefined, then: { phase: 'Failed', canaryWeight: 0 } },
  { name: 'while the judge finds both arms bad it holds and counts as nothing', metrics: [FAILED], judgement: judged('BothBad'), then: { phase: 'Progressing', canaryWeight: 50, failedChecks: 0 } },
  { name: 'a judge that only warns suspends no threshold', metrics: [FAILED], judgement: judged('BothBad', 'warn'), then: { phase: 'Failed' } },
  { name: 'what the primary fails too holds and counts as nothing', metrics: [SHARED], judgement: undefined, then: { phase: 'Progressing', canaryWeight: 50, failedChecks: 0 } },
  { name: 'another metric, which the canary alone fails, still counts', metrics: [SHARED, FAILED], judgement: undefined, then: { phase: 'Failed' } },
]
for (const { name, metrics, judgement, then } of rows) test(name, async (t) => { t.match(at(metrics, judgement).status, then) })

test('one outage is told once, whoever says it and whatever comes in between, and the next one anew', async (t) => {
  const reasons = (decision: ReturnType<typeof at>): readonly string[] => decision.news.map(({ reason }) => reason)
  const due = (status: CanaryStatus): CanaryStatus => ({ ...status, gate: { ...status.gate, nextCheckAt: new Date(NOW).toISOString() } })
  const first = at([FAILED], judged('BothBad'))
  t.same(reasons(first), ['CanaryBothArmsBad'])
  const byMetric = at([SHARED], judged('Undecided'), due(first.status))
  t.same(reasons(byMetric), [], 'the same outage in the longer window of a metric')
  const suspected = at([], judged('Suspect'), due(byMetric.status))
  t.same(reasons(suspected), ['CanarySuspect'])
  const back = at([FAILED], judged('BothBad'), due(suspected.status))
  t.same(reasons(back), [], 'still the same')
  const over = at([], judged('Undecided'), due(back.status))
  t.ok(reasons(over).includes('CanaryAdvanced'))
  t.same(reasons(at([FAILED], judged('BothBad'), { ...due(over.status), canaryWeight: 50, gate: { ...due(over.status).gate, step: 0 } })), ['CanaryBothArmsBad'], 'another outage')
})

test('it is told once, though its numbers change', async (t) => {
  const first = at([], judged('BothBad'))
  t.match(first.news, [{ reason: 'CanaryBothArmsBad', severity: 'warn', message: /^Halt cart\.shop advancement: both arms are bad/ }])
  const again = at([], { ...judged('BothBad'), words: 'both arms are bad: canary fails 84 % of 1,204 requests, primary 81.5 % of 97' }, first.status)
  t.same(again.news, [])
})
