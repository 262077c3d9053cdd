import type { AlertProvider } from '#api/alert-provider.ts'
import type { Canary } from '#api/canary.ts'
import type { MetricTemplate } from '#api/metric-template.ts'
import type { KubeObject } from '#api/objects.ts'
import type { CanaryPolicy, ClusterCanaryPolicy } from '#api/policies.ts'
import { stumbled } from '#policy/attempt.ts'
import { POLICY_RULES } from '#policy/policy-rules.ts'
import { ALERT_PROVIDER_RULES, METRIC_TEMPLATE_RULES, RULES } from '#policy/registry.ts'
import { analysisPresent } from '#policy/rules/analysis-present.ts'
import type { Finding, ReportedFinding, RuleContext, Severity } from '#policy/rule.ts'

/** A policy's word on rules, by id. It wins over the rule's own severity, and over the one of a single finding. */
export type Severities = Readonly<Record<string, Severity>>

const RANK: Readonly<Record<Severity, number>> = { deny: 0, warn: 1, audit: 2, off: 3 }

type AnyRule<T> = { readonly id: string; readonly default: Severity; check(object: T, context: RuleContext): readonly Finding[] }

/** All findings about a Canary, the hardest first. It never throws: a rule that fails becomes a warning that names the rule. */
export function evaluateCanary(canary: Canary, context: RuleContext, severities: Severities = {}): ReportedFinding[] {
  // Every other rule reads the analysis: without one there is a single thing to say.
  const rules = analysisPresent.check(canary, context).length > 0 ? [analysisPresent] : RULES
  return evaluate(rules, canary, context, severities)
}

/** The same for MetricTemplates, AlertProviders and policies; nothing is said about other kinds. */
export function evaluateObject(object: KubeObject, context: RuleContext, severities: Severities = {}): ReportedFinding[] {
  if (object.kind === 'MetricTemplate') return evaluate(METRIC_TEMPLATE_RULES, object as MetricTemplate, context, severities)
  if (object.kind === 'AlertProvider') return evaluate(ALERT_PROVIDER_RULES, object as AlertProvider, context, severities)
  if (object.kind === 'Canary') return evaluateCanary(object as Canary, context, severities)
  if (object.kind === 'ClusterCanaryPolicy' || object.kind === 'CanaryPolicy') {
    return evaluate(POLICY_RULES, object as ClusterCanaryPolicy | CanaryPolicy, context, severities)
  }
  return []
}

export function evaluate<T>(rules: readonly AnyRule<T>[], object: T, context: RuleContext, severities: Severities): ReportedFinding[] {
  const findings: ReportedFinding[] = []
  for (const rule of rules) {
    // Most rules find nothing: this is the path of every admitted object.
    const found = report(rule, object, context, Object.hasOwn(severities, rule.id) ? severities[rule.id] : undefined)
    if (found.length > 0) findings.push(...found)
  }
  if (findings.length < 2) return findings
  return findings
    .map((finding) => ({ finding, rank: RANK[finding.severity], field: pad(finding.field), rule: pad(finding.rule) }))
    .sort((a, b) => a.rank - b.rank || compare(a.field, b.field) || compare(a.rule, b.rule))
    .map(({ finding }) => finding)
}

const NOTHING: readonly ReportedFinding[] = []

function report<T>(rule: AnyRule<T>, object: T, context: RuleContext, severity: Severity | undefined): readonly ReportedFinding[] {
  if (severity === 'off') return NOTHING
  try {
    const findings = rule.check(object, context)
    return findings.length === 0 ? NOTHING : findings
      .map((finding) => ({ ...finding, rule: rule.id, severity: severity ?? finding.severity ?? rule.default }))
      .filter((finding) => finding.severity !== 'off')
  } catch (err) {
    return [stumbled(rule.id, err)]
  }
}

/** By code point and with numbers as numbers, so that `metrics[10]` follows `metrics[9]` in every locale. */
const compare = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0)
const pad = (field: string): string => field.replaceAll(/\d+/g, (digits) => digits.padStart(6, '0'))

export const denials = (findings: readonly ReportedFinding[]): ReportedFinding[] => findings.filter((finding) => finding.severity === 'deny')
export const warnings = (findings: readonly ReportedFinding[]): ReportedFinding[] => findings.filter((finding) => finding.severity === 'warn')

/** `spec.analysis.stepWeight: 60 is more than maxWeight (50); use at most 50 (step-above-max)` */
export const findingText = ({ field, message, fix, rule }: ReportedFinding): string => `${field}: ${message}; ${fix} (${rule})`
