import { Type, type Static, type TSchema } from 'typebox'
import type { KubeObject } from '#api/objects.ts'

/**
 * ClusterCanaryPolicy (for everybody) and CanaryPolicy (for its namespace): what is gated, what holds by default, and what may not be exceeded.
 * The effective policy is the strictest of all that match; a CanaryPolicy can only tighten.
 */

export const POLICY_SEVERITIES = ['deny', 'warn', 'audit', 'off'] as const

/** A change in a freeze window: admitted and held until its end, or refused. */
export const FREEZE_MODES = ['hold', 'deny'] as const
/** A run that a freeze window meets under way. */
export const FREEZE_RUNNING = ['hold', 'finishStep', 'finish'] as const
/** `open`: whoever may update a Canary or its target may command it; `enforced`: each command needs its verb and a reason. */
export const AUTHORITIES = ['open', 'enforced'] as const

const text = (description: string, more: object = {}) => Type.Optional(Type.String({ description, maxLength: 1_024, ...more }))
const duration = (description: string) => text(description, { maxLength: 32 })
const percent = (description: string) => Type.Optional(Type.Integer({ minimum: 1, maximum: 100, description }))
const anything = (description: string) => Type.Optional(Type.Object({}, { 'x-kubernetes-preserve-unknown-fields': true, description }))
const names = (description: string, maxItems = 100) => Type.Optional(Type.Array(Type.String({ maxLength: 253 }), { maxItems, description }))

const Selector = Type.Object({
  matchLabels: Type.Optional(Type.Record(Type.String(), Type.String())),
  names: names('Exactly these, beside what the labels choose.'),
})

export const FreezeWindow = Type.Object({
  name: Type.String({ minLength: 1, maxLength: 63 }),
  start: Type.String({ description: 'When it begins: a cron expression of five fields.', maxLength: 128 }),
  duration: Type.String({ description: 'How long it lasts, such as 62h.', maxLength: 32 }),
  timeZone: text('IANA name, such as Europe/Berlin; UTC when left out.', { maxLength: 64 }),
  severity: Type.Optional(Type.Enum([...POLICY_SEVERITIES], { description: 'deny (when left out): in force; warn: only said; audit: only counted; off: none.' })),
  mode: Type.Optional(Type.Enum([...FREEZE_MODES], { description: 'What becomes of a change in the window: hold (when left out) admits it, and its run starts when the window ends; deny refuses it.' })),
  running: Type.Optional(Type.Enum([...FREEZE_RUNNING], {
    description: 'What becomes of a run that is under way when the window begins: hold (when left out) keeps its weight, finishStep lets the check under way still raise it, finish lets it go on to its end. Checks and rollbacks go on in any case.',
  })),
})

const shared = {
  rules: Type.Optional(Type.Record(Type.String(), Type.Enum([...POLICY_SEVERITIES]), { description: 'Severity by rule id; see docs/rules.md.', maxProperties: 200 })),
  limits: Type.Optional(Type.Object({
    minInterval: duration('Shortest time between two checks.'),
    minAnalysis: duration('Shortest time that all checks of a run take together.'),
    maxFirstWeight: percent('Highest weight of the first step.'),
    maxStepWeight: percent('Highest rise from one step to the next.'),
    maxWeight: percent('Highest weight before promotion.'),
    maxThreshold: Type.Optional(Type.Integer({ minimum: 1, maximum: 1_000, description: 'Most failed checks that a run may tolerate.' })),
    minSuccessRate: Type.Optional(Type.Number({ minimum: 0, maximum: 100, description: 'Lowest minimum for request-success-rate, in percent.' })),
    maxRequestDuration: Type.Optional(Type.Integer({ minimum: 1, description: 'Highest maximum for request-duration, in milliseconds.' })),
    maxCommandAge: duration('How long after it was given a command such as promote is still obeyed: 1h when left out, and at most.'),
  })),
  required: Type.Optional(Type.Object({
    metrics: names('Metrics that every analysis has to judge.', 20),
    alerts: Type.Optional(Type.Boolean({ description: 'Every analysis needs an alert of severity error.' })),
    approval: Type.Optional(Type.Boolean({ description: 'Every run waits for a person before promotion.' })),
  })),
  freeze: Type.Optional(Type.Array(FreezeWindow, { maxItems: 50 })),
  authority: Type.Optional(Type.Enum([...AUTHORITIES], {
    description: 'enforced: commands (promote, abort, ...) need a reason and the RBAC verb of the same name on canaries.flagger.app; open (when left out): whoever may update the object.',
  })),
  reach: Type.Optional(Type.Object({
    metricHosts: names('Hosts beyond private addresses that metrics may be asked of, such as api.datadoghq.com or *.signalfx.com: any when left out, none when empty.'),
    namespaces: names('Namespaces, beside its own, whose MetricTemplates and AlertProviders a Canary may use: any when left out, none when empty.'),
  }, { description: 'How far Canaries may reach. Of several policies\' lists, what is allowed has to be in each.' })),
  defaults: anything('Fields of a Canary\'s spec that hold where a Canary, or a gated target without one, does not say otherwise.'),
}

export const ClusterCanaryPolicySpec = Type.Object({
  namespaces: Type.Optional(Type.Object(Selector.properties, { description: 'Where it holds; everywhere when left out.' })),
  gate: Type.Optional(Type.Object({
    namespaces: Type.Optional(Selector),
    workloads: Type.Optional(Selector),
  }, { description: 'Workloads that get a Canary by themselves.' })),
  ...shared,
  concurrency: Type.Optional(Type.Object({
    cluster: Type.Optional(Type.Integer({ minimum: 1, description: 'Runs at once in all namespaces.' })),
    namespace: Type.Optional(Type.Integer({ minimum: 1, description: 'Runs at once in one namespace.' })),
  })),
  exemptions: Type.Optional(Type.Array(Type.Object({
    subject: Type.Object({ kind: Type.Enum(['User', 'Group', 'ServiceAccount', 'Canary', 'Namespace']), name: Type.String({ minLength: 1, maxLength: 253 }) }),
    rules: Type.Array(Type.String({ maxLength: 63 }), { minItems: 1, maxItems: 100 }),
    reason: Type.String({ minLength: 1, maxLength: 1_024 }),
    expires: Type.String({ format: 'date-time' }),
  }), { maxItems: 100 })),
})

export const CanaryPolicySpec = Type.Object({
  ...shared,
  concurrency: Type.Optional(Type.Object({ namespace: Type.Optional(Type.Integer({ minimum: 1, description: 'Runs at once here.' })) })),
})

type DeepReadonly<T> = T extends readonly (infer U)[] ? readonly DeepReadonly<U>[]
  : T extends object ? { readonly [K in keyof T]: DeepReadonly<T[K]> } : T
type Of<T extends TSchema> = DeepReadonly<Static<T>>

export type FreezeWindow = Of<typeof FreezeWindow>
export type ClusterCanaryPolicySpec = Of<typeof ClusterCanaryPolicySpec>
export type CanaryPolicySpec = Of<typeof CanaryPolicySpec>
export type PolicyExemption = NonNullable<ClusterCanaryPolicySpec['exemptions']>[number]
export type PolicySelector = NonNullable<ClusterCanaryPolicySpec['namespaces']>
export type PolicyLimits = NonNullable<CanaryPolicySpec['limits']>
export type ClusterCanaryPolicy = KubeObject & { readonly kind: 'ClusterCanaryPolicy'; readonly spec: ClusterCanaryPolicySpec }
export type CanaryPolicy = KubeObject & { readonly kind: 'CanaryPolicy'; readonly spec: CanaryPolicySpec }
