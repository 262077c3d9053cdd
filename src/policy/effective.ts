import type { Canary, CanarySpec } from '#api/canary.ts'
import { COMMAND_AGE_MS } from '#api/commands.ts'
import { formatDuration, formatInterval, parseDuration } from '#api/duration.ts'
import type { KubeObject } from '#api/objects.ts'
import type { CanaryPolicy, ClusterCanaryPolicy, FreezeWindow, PolicyExemption, PolicyLimits, PolicySelector } from '#api/policies.ts'
import { hasHold, intervalMsOf, theoreticalMsOf, thresholdOf, weightSteps } from '#policy/analysis.ts'
import { attempt } from '#policy/attempt.ts'
import { boundsOf } from '#policy/metric.ts'
import { boundOfHost, boundOfNamespace } from '#policy/reach.ts'
import { defaultSeverityOf } from '#policy/registry.ts'
import type { Allowed, Finding, Reach, ReportedFinding, Severity } from '#policy/rule.ts'

/** What holds for one namespace: the strictest of all policies that match. */
export type EffectivePolicy = {
  readonly severities: Readonly<Record<string, Severity>>
  readonly limits: PolicyLimits
  readonly required: { readonly metrics: readonly string[]; readonly alerts: boolean; readonly approval: boolean }
  readonly freeze: readonly PolicyWindow[]
  readonly concurrency: { readonly cluster?: number; readonly namespace?: number }
  readonly defaults: Readonly<Record<string, unknown>>
  /** Names of the policies that gave a default. */
  readonly defaultsFrom: readonly string[]
  /** Selectors of workloads that are gated here; one that selects nothing in particular selects all. */
  readonly gates: readonly PolicySelector[]
  readonly exemptions: readonly PolicyExemption[]
  /** Names of the policies that enforce authority over commands; none: whoever may update the object may command it. */
  readonly authority: readonly string[]
  readonly reach: Reach
  /** Names of the policies it was made of, for messages. */
  readonly sources: readonly string[]
}

/** A freeze window with the name of its policy. */
export type PolicyWindow = FreezeWindow & { readonly policy: string }

export type PolicyNamespace = { readonly name: string; readonly labels?: Readonly<Record<string, string>> }

type Spec = ClusterCanaryPolicy['spec'] & CanaryPolicy['spec']
const STRICT: readonly Severity[] = ['deny', 'warn', 'audit', 'off']
const stricter = (a: Severity, b: Severity): Severity => (STRICT.indexOf(a) <= STRICT.indexOf(b) ? a : b)

/** `min...` limits tighten upwards, `max...` limits downwards; durations are compared as such. */
const LIMITS: readonly (keyof PolicyLimits)[] = [
  'minInterval', 'minAnalysis', 'maxFirstWeight', 'maxStepWeight', 'maxWeight', 'maxThreshold', 'minSuccessRate', 'maxRequestDuration', 'maxCommandAge',
]
const sizeOf = (value: string | number): number => (typeof value === 'number' ? value : parseDuration(value) ?? 0)
const isStricter = (limit: keyof PolicyLimits, a: string | number, b: string | number): boolean =>
  limit.startsWith('min') ? sizeOf(a) > sizeOf(b) : sizeOf(a) < sizeOf(b)

/** How long after it was given a command is obeyed. Policies can only say less than what holds without one. */
export const commandAgeMs = ({ limits: { maxCommandAge } }: Pick<EffectivePolicy, 'limits'>): number =>
  Math.min(COMMAND_AGE_MS, parseDuration(maxCommandAge ?? '') ?? COMMAND_AGE_MS)

/** Does a cluster's policy hold in this namespace? */
export function appliesTo({ spec }: ClusterCanaryPolicy, namespace: PolicyNamespace): boolean {
  return selects(spec.namespaces, namespace)
}

/** Labels or names: a selector that says neither selects everything. */
function selects({ matchLabels, names }: PolicySelector = {}, { name, labels }: PolicyNamespace): boolean {
  if (matchLabels === undefined && names === undefined) return true
  const byLabels = matchLabels !== undefined && Object.entries(matchLabels).every(([key, value]) => labels?.[key] === value)
  return byLabels || (names?.includes(name) ?? false)
}

/** Does a policy make this workload a target, whatever its namespace's label says? */
export const isGatedBy = ({ gates }: EffectivePolicy, { metadata }: KubeObject): boolean =>
  gates.some((workloads) => selects(workloads, { name: metadata.name, ...(metadata.labels ? { labels: metadata.labels } : {}) }))

/** Policies of other namespaces must have been left out already; the order of the given ones does not matter but for defaults of equal rank. */
export function effectivePolicy(cluster: readonly ClusterCanaryPolicy[], own: readonly CanaryPolicy[], namespace: PolicyNamespace): EffectivePolicy {
  const matching = cluster.filter((policy) => appliesTo(policy, namespace))
  const all: readonly { readonly spec: Partial<Spec>; readonly name: string }[] =
    [...matching, ...own].map((policy) => ({ spec: policy.spec, name: policy.metadata.name }))
  return {
    severities: severitiesOf(matching, own),
    limits: strictestLimits(all.map(({ spec }) => spec.limits ?? {})),
    required: {
      metrics: [...new Set(all.flatMap(({ spec }) => spec.required?.metrics ?? []))].sort(),
      alerts: all.some(({ spec }) => spec.required?.alerts === true),
      approval: all.some(({ spec }) => spec.required?.approval === true),
    },
    freeze: all.flatMap(({ spec, name }) => (spec.freeze ?? []).map((window) => ({ ...window, policy: name }))),
    concurrency: {
      ...least('cluster', all.map(({ spec }) => spec.concurrency?.cluster)),
      ...least('namespace', all.map(({ spec }) => spec.concurrency?.namespace)),
    },
    defaults: all.reduce<Record<string, unknown>>((merged, { spec }) => mergeDefaults(merged, { ...spec.defaults }), {}),
    defaultsFrom: all.filter(({ spec }) => Object.keys(spec.defaults ?? {}).length > 0).map(({ name }) => name),
    gates: matching.flatMap(({ spec: { gate } }) => (gate && selects(gate.namespaces, namespace) ? [gate.workloads ?? {}] : [])),
    exemptions: matching.flatMap(({ spec }) => spec.exemptions ?? []),
    authority: all.filter(({ spec }) => spec.authority === 'enforced').map(({ name }) => name),
    reach: { metricHosts: allowedBy(all, 'metricHosts'), namespaces: allowedBy(all, 'namespaces') },
    sources: all.map(({ name }) => name),
  }
}

function severitiesOf(cluster: readonly ClusterCanaryPolicy[], own: readonly CanaryPolicy[]): Record<string, Severity> {
  const severities: Record<string, Severity> = {}
  for (const { spec } of cluster) {
    for (const [rule, severity] of Object.entries(spec.rules ?? {})) severities[rule] = stricter(severities[rule] ?? severity, severity)
  }
  // A namespace's word never softens: what it is measured by is the cluster's word, else the rule's own.
  for (const { spec } of own) {
    for (const [rule, severity] of Object.entries(spec.rules ?? {})) severities[rule] = stricter(severities[rule] ?? defaultSeverityOf(rule) ?? severity, severity)
  }
  return severities
}

function strictestLimits(all: readonly PolicyLimits[]): PolicyLimits {
  const limits: Record<string, string | number> = {}
  for (const one of all) {
    for (const name of LIMITS) {
      const [value, present] = [one[name], limits[name]]
      if (value !== undefined && (present === undefined || isStricter(name, value, present))) limits[name] = value
    }
  }
  return limits as PolicyLimits
}

const allowedBy = (all: readonly { readonly spec: Partial<Spec>; readonly name: string }[], list: keyof Reach): readonly Allowed[] =>
  all.flatMap(({ spec, name }) => { const names = spec.reach?.[list]; return names ? [{ policy: name, names }] : [] })

const least = <K extends string>(name: K, values: readonly (number | undefined)[]): { readonly [key in K]?: number } => {
  const given = values.filter((value) => value !== undefined)
  return given.length === 0 ? {} : { [name]: Math.min(...given) } as { readonly [key in K]?: number }
}

/** Later ones win, field by field; `analysis`, `service` and `gate` are merged one level down. Lists are taken whole. */
function mergeDefaults(base: Readonly<Record<string, unknown>>, more: Readonly<Record<string, unknown>>): Record<string, unknown> {
  const isRecord = (value: unknown): value is Record<string, unknown> => typeof value === 'object' && value !== null && !Array.isArray(value)
  const merged = { ...base }
  for (const [key, value] of Object.entries(more)) {
    const present = merged[key]
    merged[key] = isRecord(present) && isRecord(value) ? { ...present, ...value } : value
  }
  return merged
}

/** Where a namespace's policy would loosen what the cluster's policies say. */
export function loosenings(policy: CanaryPolicy, cluster: EffectivePolicy): Finding[] {
  const { rules = {}, limits = {}, concurrency, authority, reach = {} } = policy.spec
  const findings: Finding[] = []
  for (const [rule, severity] of Object.entries(rules)) {
    const base = cluster.severities[rule] ?? defaultSeverityOf(rule)
    if (base === undefined || base === severity || stricter(base, severity) === severity) continue
    findings.push({ field: `spec.rules.${rule}`, message: `${severity} is softer than ${base}, which holds in the cluster`, fix: `use ${base}, or ask for a ClusterCanaryPolicy` })
  }
  for (const name of LIMITS) {
    const [value, base] = [limits[name], cluster.limits[name]]
    if (value === undefined || base === undefined || sizeOf(value) === sizeOf(base) || isStricter(name, value, base)) continue
    findings.push({
      field: `spec.limits.${name}`,
      message: `${value} is ${name.startsWith('min') ? 'less' : 'more'} than the cluster's ${base}`,
      fix: `use ${name.startsWith('min') ? 'at least' : 'at most'} ${base}`,
    })
  }
  for (const [i, host] of (reach.metricHosts ?? []).entries()) {
    const bound = boundOfHost(cluster.reach, host)
    if (bound !== undefined) findings.push({ field: `spec.reach.metricHosts[${i}]`, message: bound, fix: 'remove it: it allows nothing here' })
  }
  for (const [i, namespace] of (reach.namespaces ?? []).entries()) {
    const bound = boundOfNamespace(cluster.reach, namespace, policy.metadata.namespace ?? '')
    if (bound !== undefined) findings.push({ field: `spec.reach.namespaces[${i}]`, message: bound, fix: 'remove it: it allows nothing here' })
  }
  if (authority === 'open' && cluster.authority.length > 0) {
    findings.push({ field: 'spec.authority', message: `open is softer than enforced, which policy ${cluster.authority.join(', ')} says`, fix: 'leave it out' })
  }
  const [runs, allowed] = [concurrency?.namespace, cluster.concurrency.namespace]
  if (runs !== undefined && allowed !== undefined && runs > allowed) {
    findings.push({ field: 'spec.concurrency.namespace', message: `${runs} is more than the cluster's ${allowed}`, fix: `use at most ${allowed}` })
  }
  return findings
}

/** What a Canary lacks against limits and requirements: denials, since a policy said so, unless its `rules` soften them. */
export function policyFindings(canary: Canary, policy: EffectivePolicy): ReportedFinding[] {
  const { spec } = canary
  const from = policy.sources.length > 0 ? ` (policy ${policy.sources.join(', ')})` : ''
  const found = (rule: string, field: string, message: string, fix: string): ReportedFinding =>
    ({ rule, severity: policy.severities[rule] ?? 'deny', field, message: `${message}${from}`, fix })
  return [
    ...attempt('policy-limits', () => limitFindings(spec, policy.limits, found)),
    ...attempt('policy-required', () => requirementFindings(spec, policy.required, found)),
  ].filter(({ severity }) => severity !== 'off')
}

type Found = (rule: string, field: string, message: string, fix: string) => ReportedFinding

function limitFindings(spec: CanarySpec, limits: PolicyLimits, found: Found): ReportedFinding[] {
  const findings: ReportedFinding[] = []
  const steps = weightSteps(spec)
  const minInterval = parseDuration(limits.minInterval ?? '')
  if (minInterval !== undefined && intervalMsOf(spec) < minInterval) {
    findings.push(found('policy-limits', 'spec.analysis.interval', `${formatDuration(intervalMsOf(spec))} is less than ${formatDuration(minInterval)}`, `use at least ${formatInterval(minInterval)}`))
  }
  const minAnalysis = parseDuration(limits.minAnalysis ?? '')
  if (minAnalysis !== undefined && !spec.skipAnalysis && theoreticalMsOf(spec) < minAnalysis) {
    findings.push(found('policy-limits', 'spec.analysis', `all checks take ${formatDuration(theoreticalMsOf(spec))} and have to take ${formatDuration(minAnalysis)}`, 'use more steps, or a longer interval'))
  }
  if (limits.maxThreshold !== undefined && thresholdOf(spec) > limits.maxThreshold) {
    findings.push(found('policy-limits', 'spec.analysis.threshold', `${thresholdOf(spec)} is more than ${limits.maxThreshold}`, `use at most ${limits.maxThreshold}`))
  }
  const [first] = steps
  const last = steps.at(-1)
  if (first && limits.maxFirstWeight !== undefined && first.weight > limits.maxFirstWeight) {
    findings.push(found('policy-limits', first.field, `the first step gives ${first.weight}%, and ${limits.maxFirstWeight}% is allowed`, `begin with ${limits.maxFirstWeight} or less`))
  }
  if (last && limits.maxWeight !== undefined && last.weight > limits.maxWeight) {
    const field = spec.analysis.stepWeight === undefined ? last.field : 'spec.analysis.maxWeight'
    findings.push(found('policy-limits', field, `${last.weight} is more than ${limits.maxWeight}`, `use at most ${limits.maxWeight}`))
  }
  const steep = steps.find((step, i) => limits.maxStepWeight !== undefined && step.weight - (steps[i - 1]?.weight ?? 0) > limits.maxStepWeight)
  if (steep) findings.push(found('policy-limits', steep.field, `rises by more than ${limits.maxStepWeight} to ${steep.weight}`, `use steps of at most ${limits.maxStepWeight}`))
  for (const [i, metric] of (spec.analysis.metrics ?? []).entries()) {
    const { min, max, field } = boundsOf(metric)
    if (metric.query || metric.templateRef) continue
    const at = `spec.analysis.metrics[${i}].${field}`
    if (metric.name === 'request-success-rate' && limits.minSuccessRate !== undefined && (min ?? 0) < limits.minSuccessRate) {
      findings.push(found('policy-limits', at, `min ${min ?? 'none'} is less than ${limits.minSuccessRate}`, `use min: ${limits.minSuccessRate}`))
    }
    if (metric.name === 'request-duration' && limits.maxRequestDuration !== undefined && (max ?? Infinity) > limits.maxRequestDuration) {
      findings.push(found('policy-limits', at, `max ${max ?? 'none'} is more than ${limits.maxRequestDuration}`, `use max: ${limits.maxRequestDuration}`))
    }
  }
  return findings
}

function requirementFindings(spec: CanarySpec, required: EffectivePolicy['required'], found: Found): ReportedFinding[] {
  const names = new Set((spec.analysis.metrics ?? []).map((metric) => metric.name))
  const findings = required.metrics.filter((name) => !names.has(name))
    .map((name) => found('policy-required', 'spec.analysis.metrics', `${name} is missing`, `add ${name}`))
  if (required.alerts && !(spec.analysis.alerts ?? []).some((alert) => alert.severity)) {
    findings.push(found('policy-required', 'spec.analysis.alerts', 'has no alert', 'add one with severity: error'))
  }
  if (required.approval && !hasHold(spec)) {
    findings.push(found('policy-required', 'spec.gate.atMaxWeight', 'lets a run end without anybody being asked', 'use wait, or a confirm-promotion webhook'))
  }
  return findings
}
