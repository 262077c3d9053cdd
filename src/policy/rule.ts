import type { Canary, CanaryMetric } from '#api/canary.ts'
import type { MetricProviderType } from '#api/metric-template.ts'
import type { KubeObject, ObjectReader, Workload } from '#api/objects.ts'

export type Severity = 'deny' | 'warn' | 'audit' | 'off'

/** One fault found by a rule. */
export type Finding = {
  /** Path into the object as kubectl users write it: `spec.analysis.webhooks[0].url`. */
  readonly field: string
  /** What is wrong: one clause, with the value that was found. */
  readonly message: string
  /** The way out, with a value that would pass. */
  readonly fix: string
  /** Overrides the rule's own severity, where one rule finds harder and softer faults. */
  readonly severity?: Severity
}

/** A finding as reported: with the rule that found it and the severity in force. */
export type ReportedFinding = Finding & { readonly rule: string; readonly severity: Severity }

/** What a traffic provider can do, keyed by its name; handed in, so that rules need not import `src/traffic`. */
export type ProviderCapabilities = {
  readonly weights: boolean
  readonly mirror: boolean
  readonly match: boolean
  readonly sessionAffinity: boolean
  /** Requests to a core Service of the user's can be split (`targetRef.kind: Service`). */
  readonly services: boolean
}

/** Lists of all policies that give one: what is allowed has to be in each of them. */
export type Reach = { readonly metricHosts: readonly Allowed[]; readonly namespaces: readonly Allowed[] }
export type Allowed = { readonly policy: string; readonly names: readonly string[] }

/** What a rule may look at besides the Canary itself. */
export type RuleContext = {
  /** Used where `spec.provider` is left out; absent offline, when nobody has said it. */
  readonly defaultProvider?: string | undefined
  readonly providers: Readonly<Record<string, ProviderCapabilities>>
  /** Files are judged, not what somebody asks an installation to store. */
  readonly isOffline?: boolean
  /** The stored object in an update. */
  readonly old?: Canary
  /** The cluster, from caches; absent offline (`lint`), and then rules that resolve references say nothing. */
  readonly cluster?: {
    readonly objects: ObjectReader
    readonly target: Workload | undefined
    readonly canaries: readonly Canary[]
    /** Kinds that the caches hold, so that "not there" can be told from "not looked at"; all of them when left out. */
    knows?(kind: string): boolean
  }
  readonly production?: boolean
  /** How far the policies let it reach; without any bound when left out. */
  readonly reach?: Reach
  /** Why a query cannot be made of its template and this metric's values, by the metric client; nothing is said when left out. */
  renderFault?(query: string, provider: MetricProviderType, canary: Canary, metric: CanaryMetric): string | undefined
  /** Metrics that need neither query nor template; Flagger's two and `error-rate` when left out. */
  readonly builtinMetrics?: readonly string[]
}

export type Rule = {
  /** kebab-case, stable: policies name it. */
  readonly id: string
  readonly default: Severity
  /** One sentence for `docs/rules.md`: what goes wrong without it. */
  readonly why: string
  /** Rows of the compatibility contract that it answers: `10.3` of the validation matrix, `1.8.4` of the values that break Flagger. */
  readonly covers?: readonly string[]
  check(canary: Canary, context: RuleContext): readonly Finding[]
}

/** A rule about an object that is not a Canary (MetricTemplate, AlertProvider, policies). */
export type ObjectRule<T extends KubeObject = KubeObject> = Omit<Rule, 'check'> & { check(object: T, context: RuleContext): readonly Finding[] }
