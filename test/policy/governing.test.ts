import { test } from 'tap'
import type { CanaryPolicy, ClusterCanaryPolicy } from '#api/policies.ts'
import { gatedSpec, withDefaults } from '#policy/defaults.ts'
import { effectivePolicy, isGatedBy, loosenings, policyFindings } from '#policy/effective.ts'
import { evaluateCanary, evaluateObject } from '#policy/evaluate.ts'
import { withExemptions, type Subject } from '#policy/exemptions.ts'
import { createGoverning } from '#policy/governing.ts'
import { freezeFindings, runHold, startHold } from '#policy/holds.ts'
import type { ManifestIo } from '#cli/manifests.ts'
import { policyCommand } from '#cli/policy.ts'
import { canaryOf, contextOf } from './canaries.ts'

const cluster = (spec: object, name = 'base') => ({ apiVersion: 'canarygate.dev/v1alpha1', kind: 'ClusterCanaryPolicy', metadata: { name }, spec }) as unknown as ClusterCanaryPolicy
const team = (spec: object) => ({ apiVersion: 'canarygate.dev/v1alpha1', kind: 'CanaryPolicy', metadata: { name: 'team', namespace: 'shop' }, spec }) as unknown as CanaryPolicy
const SHOP = { name: 'shop', labels: { tier: 'gold' } }
const effective = (spec: object) => effectivePolicy([cluster(spec)], [], SHOP)
const NOW = Date.parse('2026-01-09T12:00:30Z')
const ALICE = { username: 'alice', groups: ['devs'] }
const SUBJECT: Subject = { namespace: 'shop', canary: 'cart', user: ALICE }

const gates = [
  { name: 'no gate gates nothing', spec: {}, gated: false },
  { name: 'an empty gate gates all that the policy is about', spec: { gate: {} }, gated: true },
  { name: 'by the workload\'s label', spec: { gate: { workloads: { matchLabels: { app: 'cart' } } } }, gated: true },
  { name: 'another label does not', spec: { gate: { workloads: { matchLabels: { app: 'pay' } } } }, gated: false },
  { name: 'by its name', spec: { gate: { workloads: { names: ['cart'] } } }, gated: true },
  { name: 'by the namespace\'s label', spec: { gate: { namespaces: { matchLabels: { tier: 'gold' } } } }, gated: true },
  { name: 'another namespace does not', spec: { gate: { namespaces: { names: ['other'] } } }, gated: false },
  { name: 'a policy of another namespace gates nothing here', spec: { namespaces: { names: ['other'] }, gate: {} }, gated: false },
]
const CART = { apiVersion: 'apps/v1', kind: 'Deployment', metadata: { name: 'cart', namespace: 'shop', labels: { app: 'cart' } } }
for (const { name, spec, gated } of gates) test(`gate: ${name}`, async (t) => { t.equal(isGatedBy(effective(spec), CART), gated) })

const defaulted = [
  { name: 'what is missing is given', spec: { analysis: { threshold: 2 } }, defaults: { provider: 'traefik', analysis: { interval: '1m' } }, then: { provider: 'traefik', analysis: { interval: '1m', threshold: 2 } } },
  { name: 'what is said stays', spec: { analysis: { interval: '10s' } }, defaults: { analysis: { interval: '1m' } }, then: { analysis: { interval: '10s' } } },
  { name: 'a second strategy is not put beside the first', spec: { analysis: { iterations: 5 } }, defaults: { analysis: { stepWeight: 10, maxWeight: 50, threshold: 3 } }, then: { analysis: { iterations: 5, threshold: 3 } } },
  { name: 'nor steps beside weights', spec: { analysis: { stepWeight: 5 } }, defaults: { gate: { steps: [{ weight: 5 }], atMaxWeight: 'wait' } }, then: { analysis: { stepWeight: 5 }, gate: { atMaxWeight: 'wait' } } },
  { name: 'the target is nobody\'s default', spec: {}, defaults: { targetRef: { name: 'x' }, service: { port: 1 } }, then: {} },
]
const WEIGHTS = { stepWeight: 10, maxWeight: 50 }
const deployment = (more: object, name = 'cart') => ({ targetRef: { apiVersion: 'apps/v1', kind: 'Deployment', name }, analysis: WEIGHTS, ...more })
const BASELINE = { gate: { baseline: {}, atMaxWeight: 'wait' } }
const baselines = [
  { name: 'is given where it can be had', spec: deployment({}), given: true },
  { name: 'is not given to Blue/Green', spec: deployment({ analysis: { iterations: 5 } }), given: false },
  { name: 'is not given to Blue/Green by the same policy', spec: deployment({ analysis: {} }), defaults: { ...BASELINE, analysis: { iterations: 5 } }, given: false },
  { name: 'is not given to a DaemonSet', spec: deployment({ targetRef: { apiVersion: 'apps/v1', kind: 'DaemonSet', name: 'cart' } }), given: false },
  { name: 'is not given beside sessions', spec: deployment({ analysis: { ...WEIGHTS, sessionAffinity: { cookieName: 'c' } } }), given: false },
  { name: 'is not given where no judge looks', spec: deployment({ gate: { judge: { mode: 'off' } } }), given: false },
  { name: 'is not given to a name without room', spec: deployment({}, 'a'.repeat(55)), given: false },
]
for (const { name, spec, defaults = BASELINE, given } of baselines) {
  test(`a policy's baseline ${name}, and all else is`, async (t) => {
    const merged = withDefaults<Record<string, unknown>>(spec, defaults)
    t.match(merged, { gate: { atMaxWeight: 'wait', baseline: given ? {} : undefined } })
    t.strictSame(evaluateCanary({ ...canaryOf(), spec: { ...canaryOf().spec, ...merged } }, contextOf()).filter(({ rule }) => rule === 'baseline-possible'), [])
  })
}

test('a baseline that a Canary asks for itself is not taken away: a rule says why it cannot be had', async (t) => {
  const spec = deployment({ analysis: { iterations: 5 }, gate: { baseline: {} } })
  t.same(withDefaults(spec, { gate: { baseline: {} } }), spec)
})

test('a gated target gets a policy\'s baseline where it can have it', async (t) => {
  const policy = (spec: object) => effective({ defaults: { ...BASELINE, ...spec } })
  t.match(gatedSpec(WEIGHTS, policy({}), 'cart'), { gate: { baseline: {} } })
  t.match(gatedSpec(WEIGHTS, policy({ analysis: { iterations: 5 } }), 'cart'), { gate: { atMaxWeight: 'wait', baseline: undefined } })
  t.match(gatedSpec(WEIGHTS, policy({}), 'a'.repeat(55)), { gate: { atMaxWeight: 'wait', baseline: undefined } })
})

for (const { name, spec, defaults, then } of defaulted) test(`defaults: ${name}`, async (t) => { t.strictSame(withDefaults(spec, defaults), then) })

test('a gated target\'s settings keep within the limits', async (t) => {
  const analysis = { interval: '10s', threshold: 9, stepWeights: [50, 100] }
  const policy = effective({ limits: { minInterval: '1m', maxThreshold: 3, maxFirstWeight: 10, maxStepWeight: 20, maxWeight: 60 }, required: { approval: true }, defaults: { provider: 'traefik' } })
  const spec = gatedSpec(analysis, policy)
  t.strictSame(spec, { provider: 'traefik', gate: { atMaxWeight: 'wait' }, analysis: { interval: '1m', threshold: 3, stepWeights: [10, 30, 50, 60] } })
  t.strictSame(policyFindings({ ...canaryOf(), spec: { ...canaryOf().spec, ...spec } }, policy), [])
  t.strictSame(gatedSpec(analysis, effective({})), { analysis }, 'without limits as it is')
})

const FINDING = { rule: 'policy-limits', severity: 'deny', field: 'spec', message: 'is too much', fix: 'use less' } as const
const exemption = (kind: string, name: string, more: object = {}) =>
  ({ exemptions: [{ subject: { kind, name }, rules: ['policy-limits'], reason: 'migration', expires: '2026-02-01T00:00:00Z', ...more }] })
const exempted = [
  { name: 'a user', spec: exemption('User', 'alice'), then: 'warn' },
  { name: 'a group', spec: exemption('Group', 'devs'), then: 'warn' },
  { name: 'a canary, with its namespace', spec: exemption('Canary', 'shop/cart'), then: 'warn' },
  { name: 'a namespace', spec: exemption('Namespace', 'shop'), then: 'warn' },
  { name: 'a service account of this namespace', spec: exemption('ServiceAccount', 'ci'), user: { username: 'system:serviceaccount:shop:ci', groups: [] }, then: 'warn' },
  { name: 'a service account of another', spec: exemption('ServiceAccount', 'build/ci'), user: { username: 'system:serviceaccount:build:ci', groups: [] }, then: 'warn' },
  { name: 'nobody else', spec: exemption('User', 'bob'), then: 'deny' },
  { name: 'nobody from another rule', spec: exemption('User', 'alice', { rules: ['no-alerts'] }), then: 'deny' },
  { name: 'nobody once it has expired', spec: exemption('User', 'alice', { expires: '2026-01-01T00:00:00Z' }), then: 'deny' },
  { name: 'nobody when its end cannot be read', spec: exemption('User', 'alice', { expires: 'never' }), then: 'deny' },
]
for (const { name, spec, user, then } of exempted) {
  test(`exempt is ${name}`, async (t) => {
    const [found] = withExemptions([FINDING], effective(spec), { ...SUBJECT, ...(user ? { user } : {}) }, NOW)
    t.equal(found?.severity, then)
    if (then === 'warn') t.match(found?.message, /exempt until 2026-02-01T00:00:00Z: migration/)
  })
}

const WINDOW = { name: 'noon', start: '0 12 * * *', duration: '10m' }
const held = [
  { name: 'a window holds', window: WINDOW, findings: ['warn'], isHeld: true },
  { name: 'one that denies refuses, and holds what slips by', window: { ...WINDOW, mode: 'deny' }, findings: ['deny'], isHeld: true },
  { name: 'one that only warns does not hold', window: { ...WINDOW, severity: 'warn' }, findings: ['warn'], isHeld: false },
  { name: 'one that is only counted does not hold', window: { ...WINDOW, severity: 'audit' }, findings: ['audit'], isHeld: false },
  { name: 'one that is off does nothing', window: { ...WINDOW, severity: 'off' }, findings: [], isHeld: false },
  { name: 'one that is over does nothing', window: { ...WINDOW, duration: '20s' }, findings: [], isHeld: false },
]
for (const { name, window, findings, isHeld } of held) {
  test(`freeze: ${name}`, async (t) => {
    const policy = effective({ freeze: [window] })
    t.strictSame(freezeFindings(policy, SUBJECT, NOW).map(({ severity }) => severity), findings)
    t.strictSame(startHold(policy, SUBJECT, NOW), isHeld ? { reason: 'freeze window "noon" until 2026-01-09T12:10:00Z (policy "base")', until: Date.parse('2026-01-09T12:10:00Z') } : undefined)
  })
}
test('freeze: whoever is exempt is not held', async (t) => {
  const policy = effective({ freeze: [{ ...WINDOW, mode: 'deny' }], ...exemption('User', 'alice', { rules: ['freeze-window'] }) })
  t.strictSame(freezeFindings(policy, SUBJECT, NOW), [])
  t.equal(startHold(policy, SUBJECT, NOW), undefined)
  t.ok(startHold(policy, { namespace: 'shop', user: { username: 'bob', groups: [] } }, NOW))
})

const running = [
  { running: undefined, dueAt: '2026-01-09T12:00:40Z', isHeld: true },
  { running: 'hold', dueAt: '2026-01-09T12:00:40Z', isHeld: true },
  { running: 'finishStep', dueAt: '2026-01-09T12:00:40Z', isHeld: false },
  { running: 'finishStep', dueAt: '2026-01-09T12:01:20Z', isHeld: true },
  { running: 'finish', dueAt: '2026-01-09T12:01:20Z', isHeld: false },
]
for (const { running: mode, dueAt, isHeld } of running) {
  test(`freeze: ${mode ?? 'left out'} with a check due at ${dueAt.slice(11, 19)} ${isHeld ? 'holds' : 'lets it go on'}`, async (t) => {
    const canary = { ...canaryOf({ analysis: { interval: '1m' } }), status: { phase: 'Progressing', gate: { step: 1, nextCheckAt: dueAt } } } as const
    t.equal(runHold(effective({ freeze: [{ ...WINDOW, ...(mode ? { running: mode } : {}) }] }), canary, SUBJECT, NOW) !== undefined, isHeld)
  })
}

test('the policy of a namespace is made once, and anew when a policy or its labels change', async (t) => {
  let policies = [cluster({ limits: { maxWeight: 50 } })]
  let labels: Record<string, string> = {}
  const governing = createGoverning({ clusterPolicies: () => policies, policiesOf: () => [], labelsOf: () => labels })
  const first = governing.of('shop')
  t.equal(governing.of('shop'), first, 'the same object')
  labels = { 'canarygate.dev/gate': 'enabled' }
  t.ok(governing.isGated(CART), 'by the new label')
  t.not(governing.of('shop'), first)
  policies = [cluster({ limits: { maxWeight: 20 } })]
  governing.changed()
  t.equal(governing.of('shop').limits.maxWeight, 20)
})

test('a team cannot open what the cluster enforces, nor name a demand softer', async (t) => {
  const base = effective({ authority: 'enforced' })
  t.strictSame(loosenings(team({ authority: 'open', rules: { 'policy-limits': 'audit' } }), base).map(({ field }) => field), ['spec.rules.policy-limits', 'spec.authority'])
  t.strictSame(loosenings(team({ authority: 'enforced' }), effective({})), [])
  t.strictSame(effectivePolicy([cluster({ authority: 'enforced' })], [team({ authority: 'open' })], SHOP).authority, ['base'])
})

test('a cluster policy may rehearse its limits', async (t) => {
  const policy = effective({ limits: { maxThreshold: 1 }, rules: { 'policy-limits': 'audit' } })
  t.match(policyFindings(canaryOf(), policy), [{ rule: 'policy-limits', severity: 'audit' }])
  t.strictSame(evaluateObject(cluster({ rules: { 'policy-limits': 'audit', 'freeze-window': 'warn' } }), contextOf()), [], 'these names are known')
})

const MANIFESTS = [
  'apiVersion: canarygate.dev/v1alpha1', 'kind: ClusterCanaryPolicy', 'metadata: {name: base}',
  'spec: {limits: {maxWeight: 20}, authority: enforced, gate: {}, freeze: [{name: noon, start: "0 12 * * *", duration: 10m}], concurrency: {cluster: 3}}',
].join('\n')
const ioOf = (text: string): ManifestIo & { readonly said: string[] } => {
  const said: string[] = []
  return { said, readText: () => text, listFiles: (path) => [path], out: (line) => void said.push(line), err: (line) => void said.push(line), now: () => NOW }
}
test('policy explain says what holds, offline', async (t) => {
  const io = ioOf(MANIFESTS)
  t.equal(await policyCommand(['explain', 'deployment/cart', '-n', 'shop', '-f', 'policies.yaml'], io), 0)
  const text = io.said.join('')
  for (const line of ['deployment/cart in namespace shop', 'policies:    base', 'gated:       yes, by a policy', 'maxWeight: 20', '3 in the cluster', 'enforced (policy base)', 'in force for 9m30s more']) t.ok(text.includes(line), line)
})
test('policy explain takes kinds as people write them to kubectl', async (t) => {
  for (const kind of ['deployment', 'Deployment', 'deploy', 'deployments.apps']) {
    const io = ioOf(MANIFESTS)
    t.equal(await policyCommand(['explain', `${kind}/cart`, '-n', 'shop', '-f', 'policies.yaml'], io), 0)
    t.match(io.said.join(''), /^deployment\/cart in namespace shop/)
  }
})

test('policy explain asks a cluster where no file is given', async (t) => {
  const io = { ...ioOf(''), connect: async () => ({ list: async (_: string, kind: string) => (kind === 'ClusterCanaryPolicy' ? [cluster({ limits: { maxWeight: 7 } })] : []), close: async () => {} }) }
  t.equal(await policyCommand(['explain', 'cart'], io), 0)
  t.match(io.said.join(''), /maxWeight: 7/)
})
test('policy explain says what it cannot do', async (t) => {
  for (const argv of [[], ['explain'], ['explain', 'cart'], ['explain', 'cart', '--what'], ['explain', 'pod/cart', '-f', 'policies.yaml'], ['explain', 'deployment/', '-f', 'policies.yaml']]) t.equal(await policyCommand(argv, ioOf(MANIFESTS)), 2, argv.join(' '))
  t.equal(await policyCommand(['-h'], ioOf('')), 0)
})
