import { readdirSync, readFileSync } from 'node:fs'
import { test } from 'tap'
import { Errors } from 'typebox/value'
import { parse } from 'yaml'
import { ClusterCanaryPolicySpec, type ClusterCanaryPolicy } from '#api/policies.ts'
import { effectivePolicy, policyFindings } from '#policy/effective.ts'
import { evaluateCanary, evaluateObject, findingText } from '#policy/evaluate.ts'
import { unknownFields } from '#policy/unknown-fields.ts'
import { canaryOf, contextOf } from './canaries.ts'

const DIRECTORY = new URL('../../manifests/policies/', import.meta.url)
const policies = readdirSync(DIRECTORY).map((file) => parse(readFileSync(new URL(file, DIRECTORY), 'utf8')) as ClusterCanaryPolicy)
const named = (name: string) => policies.filter((policy) => policy.metadata.name === name)

for (const policy of policies) {
  test(`${policy.metadata.name} is valid`, async (t) => {
    t.strictSame(Errors(ClusterCanaryPolicySpec, policy.spec), [])
    t.strictSame(unknownFields(ClusterCanaryPolicySpec, policy.spec, 'spec'), [])
    t.strictSame(evaluateObject(policy, contextOf()).map(findingText), [])
  })
}

test('balanced admits an ordinary Canary', async (t) => {
  t.strictSame(policyFindings(canaryOf(), effectivePolicy(named('balanced'), [], { name: 'shop' })), [])
})

test('strict holds for critical namespaces only', async (t) => {
  const found = (labels: Record<string, string>) => policyFindings(canaryOf(), effectivePolicy(named('strict'), [], { name: 'shop', labels })).map((finding) => finding.field)
  t.strictSame(found({}), [])
  t.ok(found({ 'canarygate.dev/tier': 'critical' }).includes('spec.gate.atMaxWeight'))
})

test('development lets quick runs pass with a word', async (t) => {
  const { severities } = effectivePolicy(named('development'), [], { name: 'play', labels: { 'canarygate.dev/tier': 'development' } })
  const findings = evaluateCanary(canaryOf({ analysis: { interval: '2s' } }), contextOf(), severities)
  t.strictSame(findings.filter((finding) => finding.severity === 'deny'), [])
  t.ok(findings.some((finding) => finding.rule === 'interval-too-short' && finding.severity === 'warn'))
})
