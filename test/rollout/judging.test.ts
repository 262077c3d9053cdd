import { test } from 'tap'
import type { CanarySpec, CanaryStatus } from '#api/canary.ts'
import { routesTo } from '#api/routes.ts'
import type { JudgementSeen, Seen, WorkloadSeen } from '#rollout/decision.ts'
import { step } from '#rollout/step.ts'

const NOW = Date.UTC(2026, 0, 1, 12)
const iso = (at: number): string => new Date(at).toISOString()
const WORDS = 'canary fails 4.1 % of 2,310 requests, primary 0.3 % of 20,900'
type Judge = NonNullable<NonNullable<CanarySpec['gate']>['judge']>
type GateJudge = NonNullable<NonNullable<CanaryStatus['gate']>['judge']>

/** In mid-run at 20 %, second step of three, its check due `dueInMs` from now. */
const running = (dueInMs: number, judge: GateJudge = { memory: 'clumps', state: 'older', verdict: 'Undecided', at: iso(NOW - 5_000) }, more: CanaryStatus = {}): CanaryStatus => ({
  phase: 'Progressing', lastAppliedSpec: 'v2', lastPromotedSpec: 'v1', canaryWeight: 20, failedChecks: 0, iterations: 0, lastTransitionTime: iso(NOW - 30_000),
  conditions: [{ type: 'Promoted', status: 'Unknown', reason: 'Progressing', message: 'New revision detected, progressing canary analysis.', lastUpdateTime: iso(NOW), lastTransitionTime: iso(NOW) }],
  ...more,
  gate: { step: 1, nextCheckAt: iso(NOW + dueInMs), changedAt: iso(NOW - 90_000), readyAt: iso(NOW - 90_000), routesAt: iso(NOW - 60_000), routesFor: '80/20', judge, ...more.gate },
})

const workload = (revision: string): WorkloadSeen => ({ revision, replicas: 2, readyReplicas: 2, runningReplicas: 2, readiness: { ready: true }, restartedAt: undefined })

function seen(verdict: JudgementSeen['verdict'], { mode = 'enforce', ...judge }: Judge = {}, more: Partial<Seen> & { readonly tooShort?: string } = {}): Seen {
  const { tooShort, ...others } = more
  return {
    name: 'shop', namespace: 'prod', deleting: false, hasFinalizer: true, commands: [],
    spec: { targetRef: { apiVersion: 'apps/v1', kind: 'Deployment', name: 'shop' }, gate: { judge: { mode, ...judge } }, analysis: { interval: '1m', threshold: 3, stepWeights: [10, 20, 30] } },
    target: {
      revision: 'v2', image: 'v2', restartedAt: undefined, wantedReplicas: 2, adopted: true, replicas: 0, runningReplicas: 0, paused: false, held: false, gate: 'pending', requestedBy: 'kim', scaled: false,
    },
    targetReady: false, stableRevision: undefined, primary: workload('v1'), canary: workload('v2'), routes: routesTo(20), endpoints: { primary: 2, canary: 2 }, apex: 'primary',
    provider: { name: 'traefik', settleMs: 0, weightsByReplicas: false }, check: { metrics: [] },
    judgement: mode === 'off' ? undefined : { mode, verdict, words: WORDS, record: { state: 'newer', memory: 'clumps' }, tooShort },
    ...others,
  }
}

const failing = { check: { metrics: [{ name: 'request-success-rate', measurement: { kind: 'value', value: 90 }, failure: 'success rate 90 % < 99 %' }] } } as const
const decide = (status: CanaryStatus, what: Seen, now = NOW) => step(status, what, now)
const reasons = ({ news }: ReturnType<typeof step>) => news.map(({ reason }) => reason)

test('a canary that is proved worse goes back between two checks, with the numbers', async (t) => {
  const { status, effects, news } = decide(running(50_000), seen('Worse'))
  t.match(status, { phase: 'Failed', canaryWeight: 0, gate: { reason: WORDS } })
  t.match(effects[0], { kind: 'setRoutes', routes: { primary: 100, canary: 0 } })
  t.match(news, [{ reason: 'CanaryProvedWorse', message: `Rolling back shop.prod: ${WORDS}`, severity: 'error' }, { reason: 'CanaryRolledBack' }])
  t.strictSame(status.gate?.judge, { verdict: 'Worse', words: WORDS, at: iso(NOW), memory: 'clumps' }, 'the evidence goes with the run, the last word stays')
})

test('mode warn only tells it, once in a run whatever the numbers become', async (t) => {
  const first = decide(running(50_000), seen('Worse', { mode: 'warn' }))
  t.match(first, { status: { phase: 'Progressing', canaryWeight: 20 }, news: [{ reason: 'CanaryLooksWorse', type: 'Warning', severity: 'warn', message: `shop.prod: ${WORDS}; it stays, as spec.gate.judge.mode is warn` }] })
  t.strictSame(reasons(decide(first.status, seen('Worse', { mode: 'warn' }), NOW + 5_000)), [])
  t.strictSame(reasons(decide(first.status, seen('Worse', { mode: 'warn' }), NOW + 60_000)), ['CanaryAdvanced'], 'and goes on by its thresholds')
})

test('mode off says and does nothing', async (t) => {
  t.strictSame(reasons(decide(running(50_000), seen('Worse', { mode: 'off' }))), [])
  t.strictSame(reasons(decide(running(0), seen('Worse', { mode: 'off' }))), ['CanaryAdvanced'])
})

for (const { verdict, reason } of [{ verdict: 'Suspect', reason: 'CanarySuspect' }, { verdict: 'BothBad', reason: 'CanaryBothArmsBad' }, { verdict: 'NoData', reason: 'CanaryNoTraffic' }] as const) {
  test(`${verdict} holds the weight when the check passes`, async (t) => {
    t.match(decide(running(0), seen(verdict)), { status: { canaryWeight: 20, failedChecks: 0 }, news: [{ reason, message: `Halt shop.prod advancement: ${WORDS}` }] })
    t.match(decide(running(0), seen(verdict, { mode: 'warn' })), { status: { canaryWeight: 30 } })
  })
}

test('while both arms are bad a failed threshold is nobody\'s fault: it does not count, and the run resumes', async (t) => {
  const outage = decide(running(0), seen('BothBad', {}, failing))
  t.match(outage, { status: { failedChecks: 0, canaryWeight: 20, phase: 'Progressing' }, news: [{ reason: 'CanaryBothArmsBad', severity: 'warn' }] })
  t.match(decide(outage.status, seen('Undecided'), NOW + 60_000), { status: { canaryWeight: 30, failedChecks: 0 } })
  t.match(decide(running(0), seen('BothBad', { mode: 'warn' }, failing)), { status: { failedChecks: 1 } }, 'mode warn counts as Flagger does')
  t.match(decide(running(0), seen('Undecided', {}, failing)), { status: { failedChecks: 1 } })
})

test('a step that ends inconclusive goes on by its thresholds, and says so once', async (t) => {
  for (const mode of ['enforce', 'warn'] as const) {
    const first = decide(running(0), seen('Undecided', { mode }))
    t.match(first, { status: { canaryWeight: 30 } })
    t.strictSame(reasons(first), ['CanaryInconclusive', 'CanaryAdvanced'])
    t.match(first.news[0], { message: `shop.prod goes on by its thresholds alone: inconclusive, ${WORDS}` })
    t.notOk(reasons(decide({ ...first.status, gate: { ...first.status.gate, routesFor: '70/30' } }, seen('Undecided', { mode }, { routes: routesTo(30) }), NOW + 60_000)).includes('CanaryInconclusive'))
  }
})

test('inconclusive: hold keeps the weight until the judge can tell or somebody decides', async (t) => {
  const first = decide(running(0), seen('Undecided', { inconclusive: 'hold' }))
  t.match(first, { status: { canaryWeight: 20, gate: { nextCheckAt: iso(NOW + 60_000) } }, news: [{ reason: 'CanaryInconclusive', severity: 'warn' }] })
  const second = decide(first.status, seen('Undecided', { inconclusive: 'hold' }), NOW + 60_000)
  t.match(second, { status: { canaryWeight: 20 }, news: [] })
  t.match(decide(second.status, seen('Good', { inconclusive: 'hold' }), NOW + 120_000), { status: { canaryWeight: 30 } })
  t.match(decide(running(0), seen('Undecided', { mode: 'warn', inconclusive: 'hold' })), { status: { canaryWeight: 30 } })
})

test('inconclusive: extend gives a step its time twice more, then goes on', async (t) => {
  const extend = { inconclusive: 'extend' } as const
  const first = decide(running(0), seen('Undecided', extend))
  const second = decide(first.status, seen('Undecided', extend), NOW + 60_000)
  const third = decide(second.status, seen('Undecided', extend), NOW + 120_000)
  t.strictSame([first, second, third].map(({ status }) => status.canaryWeight), [20, 20, 30])
  t.match(first.news, [{ reason: 'CanaryStepExtended', message: /^Extending the step of shop\.prod \(1 of 2\): inconclusive, canary fails/ }])
  t.strictSame(reasons(third), ['CanaryInconclusive', 'CanaryAdvanced'])
})

const early = [
  { name: 'not when nobody allowed it', judge: {}, index: 1, comes: false },
  { name: 'in a middle step', judge: { early: 'steps' }, index: 1, comes: true },
  { name: 'not in the last step', judge: { early: 'steps' }, index: 2, comes: false },
  { name: 'in the last step where all are allowed', judge: { early: 'all' }, index: 2, comes: true },
  { name: 'not in mode warn', judge: { mode: 'warn', early: 'all' }, index: 1, comes: false },
] as const
for (const { name, judge, index, comes } of early) {
  test(`a canary proved good is checked early: ${name}`, async (t) => {
    const weight = [10, 20, 30][index] ?? 0
    const status = running(50_000, { memory: 'clumps' }, { canaryWeight: weight, gate: { step: index, routesFor: `${100 - weight}/${weight}` } })
    const decision = decide(status, seen('Good', judge, { routes: routesTo(weight) }))
    t.strictSame(reasons(decision), comes ? ['CanaryProvedGood'] : [])
    t.equal(decision.status.gate?.nextCheckAt, comes ? iso(NOW) : iso(NOW + 50_000))
  })
}

test('an early check is a check: it counts when it fails, and does not come a second time in its step', async (t) => {
  const due = decide(running(50_000), seen('Good', { early: 'steps' }))
  const failed = decide(due.status, seen('Good', { early: 'steps' }, failing))
  t.match(failed.status, { canaryWeight: 20, failedChecks: 1, gate: { nextCheckAt: iso(NOW + 60_000) } })
  t.strictSame(reasons(decide(failed.status, seen('Good', { early: 'steps' }), NOW + 5_000)), [])
  t.match(decide(due.status, seen('Good', { early: 'steps' })).status, { canaryWeight: 30 })
})

test('an analysis too short to tell is told once', async (t) => {
  const first = decide(running(50_000), seen('Undecided', { mode: 'warn' }, { tooShort: 'at 12 requests/s it cannot be told' }))
  t.match(first.news, [{ reason: 'CanaryAnalysisTooShort', message: 'shop.prod: at 12 requests/s it cannot be told (analysis-too-short-to-tell)' }])
  t.strictSame(reasons(decide(first.status, seen('Undecided', { mode: 'warn' }, { tooShort: 'at 13 requests/s it cannot be told' }))), [])
})

const writes = [
  { name: 'nothing changed: nothing is written', verdict: 'Undecided', judge: { verdict: 'Undecided', at: iso(NOW - 50_000), state: 'older' }, written: false },
  { name: 'a minute passed', verdict: 'Undecided', judge: { verdict: 'Undecided', at: iso(NOW - 60_000), state: 'older' }, written: true },
  { name: 'good after undecided can wait', verdict: 'Good', judge: { verdict: 'Undecided', at: iso(NOW - 50_000), state: 'older' }, written: false },
  { name: 'a suspicion is written soon', verdict: 'Suspect', judge: { verdict: 'Undecided', at: iso(NOW - 11_000), state: 'older' }, written: true },
  { name: 'one that comes and goes is not written each time', verdict: 'Suspect', judge: { verdict: 'Undecided', at: iso(NOW - 5_000), state: 'older' }, written: false },
  { name: 'the first evidence waits for a write', verdict: 'Undecided', judge: {}, changedAt: NOW - 20_000, written: false },
] as const
for (const { name, verdict, judge, written, ...more } of writes) {
  test(`evidence in the status: ${name}`, async (t) => {
    const { conditions = [] } = decide(running(50_000), seen('Undecided')).status
    const before = running(50_000, judge, { conditions, ...('changedAt' in more ? { gate: { changedAt: iso(more.changedAt) } } : {}) })
    const { status } = decide(before, seen(verdict))
    if (!written) return t.equal(status, before)
    return t.match(status.gate?.judge, { verdict, words: WORDS, at: iso(NOW), state: 'newer', memory: 'clumps' })
  })
}

test('the evidence of a long step is a minute old at most', async (t) => {
  const what = seen('Undecided')
  const long = { ...what, spec: { ...what.spec, analysis: { ...what.spec.analysis, interval: '10m' } } }
  const { conditions = [] } = decide(running(500_000), long).status
  t.match(decide(running(500_000, { verdict: 'Undecided', at: iso(NOW - 60_000), state: 'older' }, { conditions }), long).status.gate?.judge, { state: 'newer', at: iso(NOW) })
})

test('evidence goes along with what is written anyway', async (t) => {
  t.match(decide(running(0), seen('Good')).status, { canaryWeight: 30, gate: { judge: { verdict: 'Good', state: 'newer' } } })
})

test('a run that starts over keeps nothing of the judge but what was learnt about the service', async (t) => {
  const lost = decide(running(50_000, { memory: 'clumps', state: 'older', told: ['CanaryLooksWorse'] }), seen('Undecided', {}, { canary: undefined }))
  t.strictSame(reasons(lost), ['CanaryWorkloadLost'])
  t.strictSame(lost.status.gate?.judge, { memory: 'clumps' })
  const target = seen('Undecided').target
  const superseded = decide(running(50_000), seen('Undecided', {}, target ? { target: { ...target, revision: 'v3' } } : {}))
  t.strictSame(superseded.status.gate?.judge, { memory: 'clumps' })
})

test('Blue/Green tests and copies of requests are not inconclusive', async (t) => {
  t.notOk(reasons(decide(running(0), seen('Undecided', {}, { routes: routesTo(0) }))).includes('CanaryInconclusive'))
})
