import { test } from 'tap'
import type { ClusterCanaryPolicy } from '#api/policies.ts'
import { warningsOf } from '#admission/answer.ts'
import { signaturesOf, signCommands } from '#admission/commands.ts'
import { governedRules } from '#admission/governed.ts'
import { judge } from '#admission/hooks.ts'
import type { AdmissionRequest } from '#admission/review.ts'
import { createGoverning } from '#policy/governing.ts'
import { AGENT, ALICE, canary, NOW, workload } from './fixtures/reviews.ts'

const governing = (spec: object) => createGoverning({
  clusterPolicies: () => [{ apiVersion: 'canarygate.dev/v1alpha1', kind: 'ClusterCanaryPolicy', metadata: { name: 'base' }, spec } as unknown as ClusterCanaryPolicy],
  policiesOf: () => [], labelsOf: () => ({}),
})
const rules = (spec: object) => governedRules(governing(spec), () => NOW)
const CONTEXT = { defaultProvider: 'kubernetes', providers: {} }
const BY = 'canarygate.dev/promote-by'
const GROUPS = 'canarygate.dev/promote-groups'
const PROMOTE = 'canarygate.dev/promote'
const AT = 'canarygate.dev/promote-at'
const NOW_TEXT = new Date(NOW).toISOString()
const EARLIER = new Date(NOW - 7_200_000).toISOString()
const BOB = { username: 'bob', groups: ['ops', 'system:authenticated'] }
const SIGNED_BY_BOB = { [PROMOTE]: 'why', [BY]: 'bob', [GROUPS]: 'ops\nsystem:authenticated', [AT]: NOW_TEXT }
const BY_CAROL = { [PROMOTE]: 'why', [BY]: 'carol', [GROUPS]: 'admins', [AT]: EARLIER }
const applied = (value: string) => ({ 'kubectl.kubernetes.io/last-applied-configuration': JSON.stringify({ metadata: { annotations: { [PROMOTE]: value } } }) })
const GIVEN_BEFORE = { gate: { audit: [{ at: EARLIER, by: 'bob', command: 'promote', reason: 'why' }] } }

const signatures = [
  { name: 'a new command is signed by its author', old: {}, next: { [PROMOTE]: 'why' }, then: SIGNED_BY_BOB },
  { name: 'whatever name came with it', old: {}, next: { [PROMOTE]: 'why', [BY]: 'carol', [GROUPS]: 'admins' }, then: SIGNED_BY_BOB },
  { name: 'and whatever time', old: {}, next: { [PROMOTE]: 'why', [AT]: '2099-01-01T00:00:00Z' }, then: SIGNED_BY_BOB },
  { name: 'one that was there keeps its author and its time', old: BY_CAROL, next: { [PROMOTE]: 'why', [BY]: 'bob', [GROUPS]: 'ops', [AT]: NOW_TEXT }, then: BY_CAROL },
  { name: 'also when it comes without them', old: BY_CAROL, next: { [PROMOTE]: 'why' }, then: BY_CAROL },
  { name: 'another reason is another command', old: BY_CAROL, next: { ...BY_CAROL, [PROMOTE]: 'because' }, then: { ...SIGNED_BY_BOB, [PROMOTE]: 'because' } },
  { name: 'what a manifest brings again was given when it came first', old: {}, next: { [PROMOTE]: 'why', ...applied('why') }, status: GIVEN_BEFORE, then: { ...SIGNED_BY_BOB, [AT]: EARLIER, ...applied('why') } },
  { name: 'in other words it is given anew', old: {}, next: { [PROMOTE]: 'again', ...applied('again') }, status: GIVEN_BEFORE, then: { ...SIGNED_BY_BOB, [PROMOTE]: 'again', ...applied('again') } },
  { name: 'and without a manifest too', old: {}, next: { [PROMOTE]: 'why' }, status: GIVEN_BEFORE, then: SIGNED_BY_BOB },
  { name: 'a signature without a command goes', old: SIGNED_BY_BOB, next: { [BY]: 'bob', [GROUPS]: 'ops' }, then: {} },
  { name: 'an unsigned one that was there stays unsigned', old: { [PROMOTE]: 'why' }, next: { [PROMOTE]: 'why', [BY]: 'bob' }, then: { [PROMOTE]: 'why' } },
]
for (const { name, old, next, status = {}, then } of signatures) {
  test(name, async (t) => {
    const apply = (annotations: Readonly<Record<string, string>>) => {
      const wanted = signaturesOf(canary({}, {}, annotations), canary({}, {}, old), { user: BOB, now: NOW, canary: canary(status) })
      return Object.fromEntries(Object.entries({ ...annotations, ...wanted }).filter((entry): entry is [string, string] => entry[1] !== undefined))
    }
    const signed = apply(next)
    t.strictSame(signed, then)
    t.strictSame(apply(signed), signed, 'a second pass changes nothing')
  })
}

test('the agent takes commands away unsigned', async (t) => {
  const request = { operation: 'UPDATE', object: canary(), oldObject: canary({}, {}, SIGNED_BY_BOB), user: { username: AGENT, groups: [] }, subResource: '' } as unknown as AdmissionRequest
  t.strictSame(signCommands(request, [AGENT], NOW), [])
})

test('a second pass on a server whose clock differs a little changes nothing', async (t) => {
  const wanted = signaturesOf(canary({}, {}, SIGNED_BY_BOB), canary(), { user: BOB, now: NOW + 900, canary: undefined })
  t.equal(wanted[AT], NOW_TEXT)
})

test('server-side apply is a manifest, too', async (t) => {
  const managedFields = [{ manager: 'flux', operation: 'Apply', time: NOW_TEXT, fieldsV1: { 'f:metadata': { 'f:annotations': { [`f:${PROMOTE}`]: {} } } } }]
  const object = canary({}, {}, { [PROMOTE]: 'why' })
  const applied = { ...object, metadata: { ...object.metadata, managedFields } }
  t.equal(signaturesOf(applied, canary(), { user: BOB, now: NOW, canary: canary(GIVEN_BEFORE) })[AT], EARLIER)
})

test('a policy\'s severities, limits, defaults and exemptions decide about a Canary', async (t) => {
  const found = (spec: object) => rules(spec).canary(canary(), CONTEXT, ALICE).filter(({ rule }) => rule.startsWith('policy-') || rule === 'no-alerts')
    .map(({ rule, severity }) => `${rule}: ${severity}`)
  t.strictSame(found({ rules: { 'no-alerts': 'off' } }), [])
  t.strictSame(found({ rules: { 'no-alerts': 'deny' } }), ['no-alerts: deny'])
  t.strictSame(found({ rules: { 'no-alerts': 'audit' } }), ['no-alerts: audit'])
  t.strictSame(found({ rules: { 'no-alerts': 'off' }, required: { approval: true } }), ['policy-required: deny'])
  t.strictSame(found({ rules: { 'no-alerts': 'off' }, required: { approval: true }, defaults: { gate: { atMaxWeight: 'wait' } } }), [], 'what the policy gives is not missed')
  const exempt = { exemptions: [{ subject: { kind: 'User', name: ALICE.username }, rules: ['no-alerts'], reason: 'new', expires: '2099-01-01T00:00:00Z' }] }
  t.strictSame(found({ rules: { 'no-alerts': 'deny' }, ...exempt }), ['no-alerts: warn'])
})

const JUDGED = { analysis: { interval: '1m', threshold: 5, stepWeight: 10, maxWeight: 50, metrics: [{ name: 'request-success-rate', interval: '1m', thresholdRange: { min: 99 } }] } }
const change = (spec: object, status?: object, annotations?: Readonly<Record<string, string>>) => rules(spec).change({
  target: workload({ image: 'cart:2.4' }), old: workload(), revision: '1bad', user: ALICE,
  canary: { ...canary({}, JUDGED, annotations), ...(status ? { status } : {}) } as ReturnType<typeof canary>,
}).map(({ rule, severity }) => `${rule}: ${severity}`)
const BAD = { gate: { rolledBackRevision: '1bad', reason: 'it failed' } }
test('a revision that was rolled back is refused where a policy says so, until it is retried', async (t) => {
  t.strictSame(change({}, BAD), [], 'without a policy it is stored and not tried')
  t.strictSame(change({ rules: { 'known-bad-revision': 'deny' } }, BAD), ['known-bad-revision: deny'])
  t.strictSame(change({ rules: { 'known-bad-revision': 'audit' } }, BAD), ['known-bad-revision: audit'])
  t.strictSame(change({ rules: { 'known-bad-revision': 'deny' } }, BAD, { 'canarygate.dev/retry': 'again' }), [])
  t.strictSame(change({ rules: { 'known-bad-revision': 'deny' } }, { gate: { rolledBackRevision: '1other' } }), [])
})
test('a freeze window speaks at the change', async (t) => {
  const freeze = (more: object) => ({ freeze: [{ name: 'always', start: '* * * * *', duration: '1h', ...more }] })
  t.strictSame(change(freeze({})), ['freeze-window: warn'])
  t.strictSame(change(freeze({ mode: 'deny' })), ['freeze-window: deny'])
  t.strictSame(change(freeze({ severity: 'audit' })), ['freeze-window: audit'])
})

const QUIET = { gate: { traffic: { at: '2026-11-21T12:00:00.000Z', requestsPerSecond: 0.5, failureRate: 0.002, clumping: 1 } } }
test('a change whose analysis can tell nothing at the requests that were seen is warned about, and never refused for it', async (t) => {
  t.strictSame(change({}, QUIET), ['analysis-too-short-to-tell: warn'])
  t.strictSame(change({ rules: { 'analysis-too-short-to-tell': 'deny' } }, QUIET), ['analysis-too-short-to-tell: warn'])
  t.strictSame(change({ rules: { 'analysis-too-short-to-tell': 'off' } }, QUIET), [])
  t.strictSame(change({}, { gate: { traffic: { ...QUIET.gate.traffic, requestsPerSecond: 5_000 } } }), [])
  const [finding] = rules({}).change({ target: workload({ image: 'cart:2.4' }), old: workload(), revision: '1', user: ALICE, canary: { ...canary({}, JUDGED), status: QUIET } })
  const [warning = ''] = warningsOf(finding ? [finding] : [])
  t.match(warning, /^CanaryGate: canary\/cart spec\.analysis\.interval: cannot tell 98 % success from the primary's 99\.8 %: 30 requests a minute need .* \(seen 2026-11-21\); use an interval of \S+ or more \[analysis-too-short-to-tell\]$/)
  t.ok(warning.length <= 256, `${warning.length} characters, so that none is cut`)
})

test('what is only counted stands in the audit log, not on the terminal', async (t) => {
  const object = canary()
  const request = {
    uid: '1', operation: 'CREATE', group: 'flagger.app', resource: 'canaries', subResource: '', kind: 'Canary', namespace: 'shop', name: 'cart', user: ALICE, dryRun: false, object,
  } as AdmissionRequest
  const { answer, findings } = judge('canaries', request, {
    rules: rules({ rules: { 'no-alerts': 'audit' } }), agentUsers: [AGENT], ownNamespace: 'canarygate', now: () => NOW,
    state: {
      synced: () => true, canaryFor: () => undefined, isGated: () => false, defaultsFor: () => ({ spec: object.spec, policyName: 'default' }),
      objects: { get: () => undefined, list: () => [] }, ruleContext: () => CONTEXT,
    },
  })
  t.ok(findings.some(({ rule, severity }) => rule === 'no-alerts' && severity === 'audit'))
  t.match(answer.auditAnnotations?.['findings'], /no-alerts/)
  t.notOk(answer.warnings?.some((warning) => warning.includes('no-alerts')))
})
