import { test } from 'tap'
import type { Canary } from '#api/canary.ts'
import { denials, evaluate, evaluateCanary, evaluateObject, findingText, warnings } from '#policy/evaluate.ts'
import type { Rule } from '#policy/rule.ts'
import { canaryOf, contextOf, objectOf } from './canaries.ts'

const context = contextOf()
const bad = canaryOf({ analysis: { stepWeight: 60, interval: '5s', threshold: 0, metrics: undefined } })

test('all faults are told at once, the hardest first and in the order of the fields', async (t) => {
  const findings = evaluateCanary(bad, context)
  t.strictSame(denials(findings).map((finding) => finding.rule), ['interval-too-short', 'step-above-max', 'threshold-range'])
  t.ok(warnings(findings).length > 0)
  const ranks = findings.map((finding) => ['deny', 'warn', 'audit'].indexOf(finding.severity))
  t.strictSame(ranks, ranks.toSorted((a, b) => a - b))
})

test('a finding reads as a sentence with the way out', async (t) => {
  const [finding] = evaluateCanary(canaryOf({ analysis: { stepWeight: 60 } }), context)
  t.equal(finding && findingText(finding), 'spec.analysis.stepWeight: 60 is more than maxWeight (50); use at most 50 (step-above-max)')
})

test('a policy makes a rule harder, softer, or silent', async (t) => {
  const severityOf = (severities: Parameters<typeof evaluateCanary>[2]) =>
    evaluateCanary(bad, context, severities).find((finding) => finding.rule === 'interval-too-short')?.severity
  t.equal(severityOf({}), 'deny')
  t.equal(severityOf({ 'interval-too-short': 'warn' }), 'warn')
  t.equal(severityOf({ 'interval-too-short': 'audit' }), 'audit')
  t.equal(severityOf({ 'interval-too-short': 'off' }), undefined)
  t.equal(evaluateCanary(canaryOf({ analysis: { alerts: [] } }), context, { 'no-alerts': 'deny' })[0]?.severity, 'deny')
})

test('a policy that says deny is not softened by an annotation', async (t) => {
  const quick = canaryOf({ metadata: { annotations: { 'canarygate.dev/allow-short-interval': 'true' } }, analysis: { interval: '2s' } })
  const found = (severities: Parameters<typeof evaluateCanary>[2]) => evaluateCanary(quick, context, severities).find((one) => one.field === 'spec.analysis.interval')?.severity
  t.equal(found({}), 'warn')
  t.equal(found({ 'interval-too-short': 'deny' }), 'deny')
})

test('a rule that fails becomes a warning that names it, and the others are heard', async (t) => {
  const failing: Rule = { id: 'broken', default: 'deny', why: '', check: () => { throw new TypeError('no such thing') } }
  const speaking: Rule = { id: 'speaking', default: 'deny', why: '', check: () => [{ field: 'spec', message: 'm', fix: 'f' }] }
  const findings = evaluate([failing, speaking], bad, context, {})
  t.match(findings, [{ rule: 'speaking', severity: 'deny' }, { rule: 'broken', severity: 'warn', message: /broken.*no such thing/ }])
})

test('an object in which everything is missing or of another type crashes nothing', async (t) => {
  for (const spec of [undefined, null, 7, {}, { analysis: null }, { analysis: {} }, { analysis: { metrics: 'x', webhooks: 7, match: [null] }, targetRef: [] }]) {
    t.doesNotThrow(() => evaluateCanary({ apiVersion: 'flagger.app/v1beta1', kind: 'Canary', metadata: { name: 'x' }, spec } as unknown as Canary, context))
  }
})

test('without an analysis that alone is said', async (t) => {
  t.strictSame(evaluateCanary(canaryOf({ spec: { analysis: undefined } }), context).map((finding) => finding.rule), ['analysis-present'])
})

test('list positions sort as numbers', async (t) => {
  const webhooks = Array.from({ length: 12 }, (_, i) => ({ name: `h${i}`, url: 'nowhere', type: 'event' }))
  const fields = denials(evaluateCanary(canaryOf({ analysis: { webhooks } }), context)).map((finding) => finding.field)
  t.strictSame(fields, webhooks.map((_, i) => `spec.analysis.webhooks[${i}].url`))
})

test('objects are told apart by their kind', async (t) => {
  t.match(evaluateObject(objectOf('flagger.app/v1beta1', 'AlertProvider', 'a', { spec: { type: 'slack' } }), context), [{ rule: 'alert-address' }])
  t.match(evaluateObject(objectOf('flagger.app/v1beta1', 'MetricTemplate', 'm', { spec: { provider: { type: 'prometheus' }, query: 'up{a="{{ target }}"}' } }), context), [{ rule: 'metric-provider-fields' }])
  t.strictSame(evaluateObject(objectOf('v1', 'ConfigMap', 'c'), context), [])
  t.ok(evaluateObject(bad, context).length > 0)
})

test('nothing that it is given is changed', async (t) => {
  const before = JSON.stringify(bad)
  evaluateCanary(bad, context)
  t.equal(JSON.stringify(bad), before)
})
