import { test } from 'tap'
import type { CanarySpec, CanaryStatus } from '#api/canary.ts'
import { routesTo } from '#api/routes.ts'
import type { BaselineSeen, Seen, WorkloadSeen } from '#rollout/decision.ts'
import { step } from '#rollout/step.ts'

const NOW = Date.UTC(2026, 0, 1, 12)
const iso = (at: number): string => new Date(at).toISOString()

const SPEC: CanarySpec = {
  targetRef: { apiVersion: 'apps/v1', kind: 'Deployment', name: 'shop' }, gate: { baseline: {} }, analysis: { interval: '1m', threshold: 3, stepWeights: [10, 40, 100] },
}
const workload = (revision: string, more: Partial<WorkloadSeen> = {}): WorkloadSeen =>
  ({ revision, replicas: 2, readyReplicas: 2, runningReplicas: 2, readiness: { ready: true }, restartedAt: undefined, ...more })
const baseline = (more: Partial<BaselineSeen> = {}): BaselineSeen => ({ ...workload('v1'), beside: 'v2', ...more })
const STARTING = { ready: false, retriable: true, reason: 'waiting for rollout to finish: 0 of 2' } as const
const HOPELESS = { ...STARTING, retriable: false } as const

/** Before the first weight, or at the first step with its check a minute away. */
const waiting: CanaryStatus = { phase: 'Progressing', lastAppliedSpec: 'v2', lastPromotedSpec: 'v1', canaryWeight: 0, gate: { step: -1, changedAt: iso(NOW - 5_000), readyAt: iso(NOW - 2_000), routesAt: iso(NOW - 4_000), routesFor: '100/0' } }
const running = (routesFor: string): CanaryStatus => ({
  phase: 'Progressing', lastAppliedSpec: 'v2', lastPromotedSpec: 'v1', canaryWeight: 10, failedChecks: 0,
  gate: { step: 0, nextCheckAt: iso(NOW + 30_000), changedAt: iso(NOW - 90_000), readyAt: iso(NOW - 90_000), routesAt: iso(NOW - 60_000), routesFor },
})
function seen(more: Partial<Seen> = {}): Seen {
  return {
    name: 'shop', namespace: 'prod', deleting: false, hasFinalizer: true, commands: [], spec: SPEC,
    target: {
      revision: 'v2', image: 'v2', restartedAt: undefined, wantedReplicas: 2, adopted: true, replicas: 0, runningReplicas: 0, paused: false, held: false, gate: 'pending', requestedBy: 'kim', scaled: false,
    },
    targetReady: false, stableRevision: undefined, primary: workload('v1'), canary: workload('v2'), baseline: baseline(), routes: routesTo(0),
    endpoints: { primary: 2, canary: 2, baseline: 2 }, apex: 'primary', provider: { name: 'traefik', settleMs: 0, weightsByReplicas: false }, check: undefined, judgement: undefined, ...more,
  }
}
const of = (role: string, kind: string) => ({ role: at, kind: what }: { readonly kind: string; readonly role?: string }): boolean => what === kind && at === role
const reasons = ({ news }: ReturnType<typeof step>) => news.map(({ reason }) => reason)

test('it is made beside the canary: of the stable revision, as many, for this revision', async (t) => {
  const { effects } = step(waiting, seen({ baseline: undefined }), NOW)
  t.match(effects.find(of('baseline', 'deploy')), { revision: 'v1', replicas: 2, beside: 'v2' })
})

test('one of another run, or one that was changed by hand, is made anew once no request reaches it', async (t) => {
  for (const old of [baseline({ beside: 'v0' }), baseline({ revision: 'foreign' })]) {
    t.match(step(waiting, seen({ baseline: old }), NOW).effects.find(of('baseline', 'deploy')), { revision: 'v1', beside: 'v2' })
    t.equal(step(waiting, seen({ baseline: old, routes: routesTo(10) }), NOW).effects.find(of('baseline', 'deploy')), undefined, 'not while requests may')
  }
})

test('the first weight waits for it, and gives both the same share', async (t) => {
  const notYet = step(waiting, seen({ baseline: baseline({ readiness: STARTING, readyReplicas: 0 }), endpoints: { primary: 2, canary: 2, baseline: 0 } }), NOW)
  t.match(notYet.status, { canaryWeight: 0, gate: { step: -1 } })
  const { status, effects } = step(waiting, seen(), NOW)
  t.match(status, { canaryWeight: 10, gate: { routesFor: '90/10+baseline10' } })
  t.match(effects.find(({ kind }) => kind === 'setRoutes'), { routes: { primary: 90, canary: 10, baseline: 10 } })
})

test('one that does not come up is not waited for beyond the deadline: the primary is compared with, and that is said', async (t) => {
  const without = { baseline: baseline({ readiness: HOPELESS, readyReplicas: 0 }), endpoints: { primary: 2, canary: 2, baseline: 0 } }
  const begun = step(waiting, seen(without), NOW)
  t.match(begun.status, { canaryWeight: 10, gate: { routesFor: '90/10' } })
  const next = step(running('90/10'), seen({ ...without, routes: routesTo(10) }), NOW)
  t.match(next.news, [{ reason: 'CanaryBaselineLost', severity: 'warn', message: /warm primary.*waiting for rollout to finish: 0 of 2/ }])
  t.strictSame(reasons(step(next.status, seen({ ...without, routes: routesTo(10) }), NOW + 1_000)), [], 'once')
})

test('a baseline that loses its pods gives its share back, and gets it again', async (t) => {
  const lost = step(running('90/10+baseline10'), seen({ routes: routesTo(10, 10), endpoints: { primary: 2, canary: 2, baseline: 0 } }), NOW)
  t.match(lost.effects.find(({ kind }) => kind === 'setRoutes'), { routes: { primary: 90, canary: 10 } })
  t.match(lost.status, { canaryWeight: 10, gate: { routesFor: '90/10' } }, 'the canary keeps its own')
  const back = step(running('90/10'), seen({ routes: routesTo(10) }), NOW)
  t.match(back.effects.find(({ kind }) => kind === 'setRoutes'), { routes: { primary: 90, canary: 10, baseline: 10 } })
})

for (const { weight, share } of [{ weight: 10, share: 10 }, { weight: 33, share: 33 }, { weight: 40, share: 30 }, { weight: 90, share: 5 }, { weight: 99, share: 0 }, { weight: 100, share: 0 }]) {
  test(`beside ${weight} % on the canary it gets ${share} %`, async (t) => {
    const { effects } = step(waiting, seen({ spec: { ...SPEC, analysis: { ...SPEC.analysis, stepWeights: [weight] } } }), NOW)
    t.match(effects.find(({ kind }) => kind === 'setRoutes'), { routes: routesTo(weight, share) })
  })
}

test('it has as many pods as the canary, whoever sizes that one', async (t) => {
  const scaled = seen({ canary: workload('v2', { replicas: 5, readyReplicas: 5 }), routes: routesTo(10, 10) })
  const { target } = scaled
  const { effects } = step(running('90/10+baseline10'), { ...scaled, target: target && { ...target, scaled: true } }, NOW)
  t.strictSame(effects.filter(of('baseline', 'scale')), [{ kind: 'scale', role: 'baseline', replicas: 5 }])
})

test('where pods are the weight it comes with the canary into one Service, and leaves the primary whole', async (t) => {
  const pods = seen({
    provider: { name: 'kubernetes', settleMs: 0, weightsByReplicas: true }, spec: { ...SPEC, provider: 'kubernetes' },
    canary: workload('v2', { replicas: 1, readyReplicas: 1 }), baseline: baseline({ replicas: 1, readyReplicas: 1 }), endpoints: { primary: 2, canary: 1, baseline: 1 },
  })
  const { effects, status } = step(waiting, pods, NOW)
  t.match(effects.find(({ kind }) => kind === 'setRoutes'), { routes: { primary: 90, canary: 10, baseline: undefined } })
  t.match(status, { canaryWeight: 10, gate: { routesFor: '90/10' } })
})

test('requests leave it before its pods go, however the run ends', async (t) => {
  const rolledBack: CanaryStatus = { phase: 'Failed', lastAppliedSpec: 'v2', lastPromotedSpec: 'v1', canaryWeight: 0, gate: { changedAt: iso(NOW - 5_000), rolledBackRevision: 'v2', routesFor: '100/0' } }
  const early = step(rolledBack, seen({ routes: routesTo(10, 10) }), NOW)
  t.match(early.effects.find(({ kind }) => kind === 'setRoutes'), { routes: { primary: 100, canary: 0 } })
  t.equal(early.effects.some(of('baseline', 'scale')), false)
  const settled = { ...rolledBack, gate: { ...rolledBack.gate, routesAt: iso(NOW - 1_000) } }
  t.match(step(settled, seen(), NOW).effects.filter(({ kind }) => kind === 'scale'), [{ role: 'canary', replicas: 0 }, { role: 'baseline', replicas: 0 }])
})

test('a Canary that no longer asks for it in mid-run takes its share back first, then its pods', async (t) => {
  const spec = { ...SPEC, gate: {} }
  const first = step(running('90/10+baseline10'), seen({ spec, routes: routesTo(10, 10) }), NOW)
  t.match(first.effects.find(({ kind }) => kind === 'setRoutes'), { routes: { canary: 10, baseline: undefined } })
  t.equal(first.effects.some(of('baseline', 'scale')), false)
  t.ok(step(running('90/10'), seen({ spec, routes: routesTo(10) }), NOW).effects.some(of('baseline', 'scale')))
})

test('another revision in mid-run leaves no share, and makes it anew beside that', async (t) => {
  const target = seen().target
  const next = target && { ...target, revision: 'v3' }
  const { status, effects } = step(running('90/10+baseline10'), seen({ target: next, routes: routesTo(10, 10) }), NOW)
  t.match(effects.find(({ kind }) => kind === 'setRoutes'), { routes: { primary: 100, canary: 0 } })
  const later = step({ ...status, gate: { ...status.gate, routesAt: iso(NOW), routesFor: '100/0' } }, seen({ target: next, canary: workload('v3') }), NOW + 1_000)
  t.match(later.effects.find(of('baseline', 'deploy')), { revision: 'v1', beside: 'v3' })
})

test('a promotion by hand does not wait for it', async (t) => {
  const { status } = step({ ...waiting, gate: { ...waiting.gate, bypass: 'by kim' } }, seen({ baseline: undefined }), NOW)
  t.equal(status.phase, 'Promoting')
})
