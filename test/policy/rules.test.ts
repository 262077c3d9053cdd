import { test } from 'tap'
import { evaluate } from '#policy/evaluate.ts'
import { ALERT_PROVIDER_RULES, METRIC_TEMPLATE_RULES, RULES, RULE_IDS } from '#policy/registry.ts'
import type { ReportedFinding } from '#policy/rule.ts'
import { canaryOf, contextOf, objectOf, type Case } from './canaries.ts'
import { CASES } from './cases/all.ts'
import { OBJECT_CASES, type ObjectRow } from './cases/objects.ts'

const summary = (findings: readonly ReportedFinding[]): string[] => findings.map(({ field, message }) => `${field}: ${message}`)

for (const rule of RULES) {
  const found = (row: Case): ReportedFinding[] => evaluate([rule], canaryOf(row), contextOf(row.context), {})
  test(rule.id, async (t) => {
    const cases = CASES[rule.id] ?? { valid: [], invalid: [] }
    t.ok(cases.valid.length > 0 && cases.invalid.length > 0, 'has a table with both lists')
    for (const row of cases.valid) t.strictSame(summary(found(row)), [], `lets pass: ${row.name}`)
    for (const row of cases.invalid) {
      const findings = found(row)
      t.strictSame(new Set(findings.map((finding) => finding.field)), new Set(row.fields), `finds: ${row.name}: ${summary(findings).join('; ')}`)
      for (const finding of findings) {
        t.equal(finding.severity, row.severity ?? finding.severity, `with the right severity: ${row.name}`)
        t.notMatch(finding.message, /undefined|NaN|\[object/, 'in words')
        t.notMatch(finding.fix, /undefined|NaN|\[object|^$/, 'with a way out')
      }
    }
  })
}

for (const rule of [...METRIC_TEMPLATE_RULES, ...ALERT_PROVIDER_RULES]) {
  test(rule.id, async (t) => {
    const cases = OBJECT_CASES[rule.id] ?? { valid: [], invalid: [] }
    t.ok(cases.valid.length > 0 && cases.invalid.length > 0, 'has a table with both lists')
    const found = ({ kind, spec, context }: ObjectRow) => evaluate<never>([rule], objectOf('flagger.app/v1beta1', kind, 'x', { spec }) as never, contextOf(context), {})
    for (const row of cases.valid) t.strictSame(summary(found(row)), [], `lets pass: ${row.name}`)
    for (const row of cases.invalid) {
      const findings = found(row)
      t.strictSame(new Set(findings.map((finding) => finding.field)), new Set(row.fields), `finds: ${row.name}: ${summary(findings).join('; ')}`)
      for (const finding of findings) t.equal(finding.severity, row.severity ?? finding.severity, 'with the right severity')
    }
  })
}

test('every rule has an id of its own, and every table a rule', async (t) => {
  t.equal(new Set(RULE_IDS).size, RULE_IDS.length)
  t.strictSame([...Object.keys(CASES), ...Object.keys(OBJECT_CASES)].filter((id) => !RULE_IDS.includes(id)), [])
})

test('a Canary without fault gets no finding at all', async (t) => {
  t.strictSame(summary(evaluate(RULES, canaryOf(), contextOf(), {})), [])
})

test('every row of the validation matrix and every value that breaks Flagger has a rule', async (t) => {
  const wanted = [...Array.from({ length: 22 }, (_, i) => `10.${i + 1}`), ...Array.from({ length: 20 }, (_, i) => `1.8.${i + 1}`)]
  const covered = new Set([...RULES, ...METRIC_TEMPLATE_RULES, ...ALERT_PROVIDER_RULES].flatMap((rule) => rule.covers ?? []))
  t.strictSame(wanted.filter((row) => !covered.has(row)), [], 'rows without a rule')
  t.strictSame([...covered].filter((row) => !wanted.includes(row)), [], 'rows that do not exist')
  t.comment(`${RULE_IDS.length} rules cover ${covered.size} of ${wanted.length} rows`)
})
