import fc from 'fast-check'
import { test } from 'tap'
import { evaluateCanary } from '#policy/evaluate.ts'
import { promqlFaults } from '#policy/promql.ts'
import { templateFacts } from '#policy/query-template.ts'
import { canaryOf, contextOf } from './canaries.ts'

const cases = [
  { name: 'a plain query', template: 'up', facts: { faults: [], unknown: [], functions: [], variables: [], sample: 'up' } },
  { name: 'functions get samples', template: 'up{pod="{{ target }}"}[{{interval}}]', facts: { functions: ['target', 'interval'], sample: 'up{pod="sample"}[1m]' } },
  { name: 'trimmed actions', template: '{{- target -}}', facts: { faults: [], functions: ['target'] } },
  { name: 'variables', template: '{{ variables.job }}{{ index variables "team" }}', facts: { variables: ['job', 'team'], unknown: [] } },
  { name: 'words in strings are no functions', template: '{{ printf "%s of nobody" target }}', facts: { unknown: [], sample: undefined } },
  { name: 'an unknown function', template: '{{ pod }}', facts: { unknown: ['pod'] } },
  { name: 'a fault', template: '{{ target', facts: { faults: [/never closed/], sample: undefined } },
]
for (const { name, template, facts } of cases) test(name, async (t) => { t.match(templateFacts(template), facts) })

test('a query made to take long takes no time', async (t) => {
  const started = process.hrtime.bigint()
  for (const part of ['{{', '}}', '{{"', 'a{', '((', '{{ (', 'rate(']) {
    const query = part.repeat(500_000)
    templateFacts(query)
    templateFacts(query.slice(0, 16_000))
    promqlFaults(query)
    promqlFaults(query.slice(0, 2_000))
  }
  t.ok(process.hrtime.bigint() - started < 3_000_000_000n)
})

test('many queries in one Canary are not all parsed', async (t) => {
  const metrics = Array.from({ length: 500 }, (_, i) => ({ name: `m${i}`, query: 'rate('.repeat(200), thresholdRange: { max: 1 } }))
  const findings = evaluateCanary(canaryOf({ analysis: { metrics } }), contextOf()).filter((finding) => finding.rule === 'inline-query')
  t.ok(findings.length > 0 && findings.length < 10)
})

test('no settings make a rule fail, and every finding says what, where and how else', async (t) => {
  const value = fc.oneof(fc.integer({ min: -5, max: 200 }), fc.double(), fc.string(), fc.constantFrom('5m', '1s', '10s', '5mfoo', '{{ target }}', 'rate(x[1m])'), fc.boolean())
  const number = fc.oneof(fc.integer({ min: -5, max: 200 }), fc.double({ noNaN: true }))
  const analysis = fc.record({
    interval: fc.oneof(fc.constantFrom('1s', '30s', '1m', '5mfoo'), fc.string()), threshold: number, stepWeight: number, maxWeight: number, iterations: number,
    stepWeights: fc.array(number), mirror: fc.boolean(), mirrorWeight: number, match: fc.array(fc.record({ headers: fc.dictionary(fc.string(), fc.record({ exact: fc.string() })) })),
    metrics: fc.array(fc.record({ name: fc.oneof(fc.constantFrom('request-duration', 'request-success-rate', 'error-rate'), fc.string()), threshold: number, query: fc.string(), thresholdRange: fc.record({ min: number, max: number }, { requiredKeys: [] }) }, { requiredKeys: ['name'] })),
    webhooks: fc.array(fc.record({ name: fc.string(), url: fc.oneof(fc.webUrl(), fc.string()), timeout: fc.string(), retries: number }, { requiredKeys: ['name', 'url'] })),
  }, { requiredKeys: [] })
  fc.assert(fc.property(analysis, fc.dictionary(fc.string(), value), (settings, noise) => {
    for (const finding of evaluateCanary(canaryOf({ analysis: { ...settings, ...noise, metrics: settings.metrics, webhooks: settings.webhooks } }), contextOf())) {
      if (finding.message.includes('could not look at it')) throw new Error(`${finding.rule}: ${finding.message}`)
      if (!finding.field.startsWith('spec') || finding.message === '' || finding.fix === '') throw new Error(JSON.stringify(finding))
    }
  }), { numRuns: 500 })
  t.pass()
})
