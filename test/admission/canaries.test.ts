import { test } from 'tap'
import type { RuleContext } from '#policy/rule.ts'
import { reviewCanary, reviewObject, type RulesContext } from '#admission/canaries.ts'
import type { KubeObject } from '#api/objects.ts'
import { AGENT, canary, finding, request } from './fixtures/reviews.ts'

const FINDINGS = [finding(), finding({ severity: 'warn', rule: 'few-checks' }), finding({ severity: 'audit', rule: 'quiet' })]
function context(findings = FINDINGS) {
  const seen: { object: KubeObject; context: RuleContext }[] = []
  const judge = (object: KubeObject, ruleContext: RuleContext) => { seen.push({ object, context: ruleContext }); return findings }
  const rules: RulesContext = { rules: { canary: judge, object: judge }, ruleContext: () => ({ defaultProvider: 'istio', providers: {} }), agentUsers: [AGENT] }
  return { seen, rules }
}
const review = (shape: Parameters<typeof request>[0]) => request({ group: 'flagger.app', resource: 'canaries', kind: 'Canary', ...shape })

test('a Canary that is made is judged with all findings', async (t) => {
  const { rules, seen } = context()
  const { findings, warnings } = reviewCanary(review({ operation: 'CREATE', object: canary() }), rules)
  t.same(findings, FINDINGS)
  t.match(warnings, [/^CanaryGate: spec.analysis.stepWeight: 60 is more/])
  t.equal(warnings.length, 1, 'audit is not for the terminal')
  t.equal(seen[0]?.context.old, undefined)
})

test('an update is judged against what is stored', async (t) => {
  const { rules, seen } = context()
  const old = canary()
  reviewCanary(review({ object: canary({}, { suspend: true }), oldObject: old }), rules)
  t.equal(seen[0]?.context.old, old)
  t.equal(seen[0]?.context.defaultProvider, 'istio')
})

const unjudged: readonly [string, Parameters<typeof request>[0]][] = [
  ['an update of metadata alone', { object: canary({}, {}, { note: 'x' }), oldObject: canary() }],
  ['an update of status alone', { object: canary({ phase: 'Failed' }), oldObject: canary() }],
  ['the removal of a finalizer from a Canary that goes', { object: { ...canary({}, { suspend: true }), metadata: { name: 'cart', deletionTimestamp: 'now' } }, oldObject: canary() }],
  ['what the agent writes', { operation: 'CREATE', object: canary(), user: { username: AGENT, groups: [] } }],
  ['the status subresource', { subResource: 'status', object: canary({}, { suspend: true }), oldObject: canary() }],
]
for (const [name, shape] of unjudged) {
  test(`${name} is not judged, so that stricter rules never lock an object in`, async (t) => {
    const { rules, seen } = context()
    t.same(reviewCanary(review(shape), rules), { findings: [], warnings: [] })
    t.same(seen, [])
  })
}

test('a Canary without the parts that rules lean on is denied before them', async (t) => {
  const { rules, seen } = context()
  const fields = (spec: unknown) => reviewCanary(review({ operation: 'CREATE', object: { ...canary(), spec } as KubeObject }), rules).findings.map(({ field }) => field)
  t.same(fields(undefined), ['spec'])
  t.same(fields({}), ['spec.targetRef', 'spec.analysis'])
  t.same(fields({ targetRef: { name: 'cart' } }), ['spec.analysis'])
  t.same(seen, [])
})

test('deleting a Canary in mid-run passes with a warning', async (t) => {
  const { rules } = context()
  t.match(reviewCanary(review({ operation: 'DELETE', oldObject: canary({ phase: 'Progressing' }) }), rules), { findings: [], warnings: [/in phase Progressing: its analysis ends here/] })
  t.same(reviewCanary(review({ operation: 'DELETE', oldObject: canary({ phase: 'Succeeded' }) }), rules).warnings, [])
})

test('MetricTemplates, AlertProviders and policies are judged when they change, and deleted freely', async (t) => {
  const { rules, seen } = context()
  const template: KubeObject = { apiVersion: 'flagger.app/v1beta1', kind: 'MetricTemplate', metadata: { name: 'errors' }, spec: { query: 'up' } }
  t.same(reviewObject(review({ operation: 'CREATE', resource: 'metrictemplates', object: template }), rules).findings, FINDINGS)
  t.same(reviewObject(review({ operation: 'DELETE', resource: 'metrictemplates', oldObject: template }), rules).findings, [])
  t.same(reviewObject(review({ resource: 'metrictemplates', object: template, oldObject: { ...template } }), rules).findings, [])
  t.equal(seen.length, 1)
})
