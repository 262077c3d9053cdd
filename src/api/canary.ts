import { Type, type Static, type TSchema } from 'typebox'
import type { KubeObject } from '#api/objects.ts'

/**
 * The Canary: Flagger's resource field by field, plus `spec.gate` and `status.gate`, which are ours.
 * These schemas are the source of the TypeScript types, of validation, and of the generated CRD.
 * Flagger's bounds stay as wide as Flagger has them; what is unsafe is refused by the rules in `src/policy`, with a way out.
 */

const text = (description?: string) => Type.Optional(Type.String(description === undefined ? {} : { description }))
const texts = () => Type.Optional(Type.Array(Type.String()))
const textMap = () => Type.Optional(Type.Record(Type.String(), Type.String()))
/** Flagger's schema says `number`, its code decodes ints: a fraction stalls its controller, so ours says integer. */
const whole = (description?: string) => Type.Optional(Type.Integer(description === undefined ? {} : { description }))
const oneOf = <const T extends string[]>(values: readonly [...T]) => Type.Enum(values)
const durationText = (description: string) => Type.Optional(Type.String({ pattern: '^[0-9]+(m|s)', description }))
/** Any JSON object, kept as it is. */
const anything = () => Type.Optional(Type.Object({}, { 'x-kubernetes-preserve-unknown-fields': true }))

export const PROVIDER_NAMES = [
  'apisix', 'appmesh', 'appmesh:v1beta2', 'contour', 'gatewayapi:v1', 'gatewayapi:v1beta1', 'gloo', 'istio', 'knative', 'kubernetes',
  'kuma', 'linkerd', 'nginx', 'osm', 'skipper', 'smi:v1alpha1', 'smi:v1alpha2', 'smi:v1alpha3', 'traefik',
] as const
export type ProviderName = (typeof PROVIDER_NAMES)[number]

export const PHASES = [
  'Initializing', 'Initialized', 'Waiting', 'Progressing', 'WaitingPromotion', 'Promoting', 'Finalising', 'Succeeded', 'Failed',
  'Terminating', 'Terminated',
] as const
export type Phase = (typeof PHASES)[number]

export const HOOK_TYPES = [
  'rollout', 'pre-rollout', 'confirm-rollout', 'confirm-traffic-increase', 'confirm-promotion', 'post-rollout', 'rollback', 'event',
] as const
export type HookType = (typeof HOOK_TYPES)[number]

const StringMatch = Type.Object({
  exact: text(), prefix: text(), suffix: text(), regex: text(),
})

const ThresholdRange = Type.Object({ min: Type.Optional(Type.Number()), max: Type.Optional(Type.Number()) })

const CrossReference = Type.Object({ name: Type.String(), namespace: text() })

const TypedReference = <const T extends string[]>(kinds: readonly [...T]) => ({
  apiVersion: text(),
  kind: oneOf(kinds),
  name: Type.String(),
})

const HttpMatch = Type.Object({
  name: text(),
  uri: Type.Optional(StringMatch),
  scheme: Type.Optional(StringMatch),
  method: Type.Optional(StringMatch),
  authority: Type.Optional(StringMatch),
  headers: Type.Optional(Type.Record(Type.String(), StringMatch)),
  withoutHeaders: Type.Optional(Type.Record(Type.String(), StringMatch)),
  queryParams: Type.Optional(Type.Record(Type.String(), StringMatch)),
  port: whole(),
  sourceLabels: textMap(),
  sourceNamespace: text(),
  gateways: texts(),
  ignoreUriCase: Type.Optional(Type.Boolean()),
})

const HeaderOperations = Type.Object({ add: textMap(), set: textMap(), remove: texts() })
const Metadata = Type.Object({ labels: textMap(), annotations: textMap() })

const CanaryService = Type.Object({
  name: text('Apex name; generates <name>-primary and <name>-canary. Defaults to the target\'s name.'),
  port: Type.Integer({ description: 'Port of the three Services.' }),
  portName: text(),
  targetPort: Type.Optional(Type.Union([Type.Integer(), Type.String()], { 'x-kubernetes-int-or-string': true })),
  appProtocol: text(),
  trafficDistribution: Type.Optional(oneOf(['PreferClose', 'PreferSameZone', 'PreferSameNode'])),
  portDiscovery: Type.Optional(Type.Boolean()),
  headless: Type.Optional(Type.Boolean()),
  timeout: text(),
  backendTimeout: text(),
  gateways: texts(),
  gatewayRefs: Type.Optional(Type.Array(Type.Object({
    group: text(), kind: text(), name: Type.String(), namespace: text(), sectionName: text(), port: whole(),
  }), { maxItems: 32 })),
  hosts: texts(),
  delegation: Type.Optional(Type.Boolean()),
  trafficPolicy: anything(),
  match: Type.Optional(Type.Array(HttpMatch)),
  rewrite: Type.Optional(Type.Object({ uri: text(), authority: text(), type: text() })),
  retries: Type.Optional(Type.Object({ attempts: whole(), perTryTimeout: text(), retryOn: text() })),
  headers: Type.Optional(Type.Object({ request: Type.Optional(HeaderOperations), response: Type.Optional(HeaderOperations) })),
  mirror: Type.Optional(Type.Array(Type.Object({
    backendRef: Type.Optional(Type.Object({ group: text(), kind: text(), name: Type.String(), namespace: text(), port: whole() })),
  }))),
  corsPolicy: anything(),
  meshName: text(),
  backends: texts(),
  apex: Type.Optional(Metadata),
  primary: Type.Optional(Metadata),
  canary: Type.Optional(Metadata),
  unmanagedMetadata: Type.Optional(Type.Object({ annotations: texts(), labels: texts() })),
})

const CanaryMetric = Type.Object({
  name: Type.String({ minLength: 1 }),
  interval: durationText('Window of the query; 1m for built-in and inline ones when left out.'),
  threshold: Type.Optional(Type.Number({ description: 'Older form: a minimum for request-success-rate, a maximum for all others.' })),
  thresholdRange: Type.Optional(ThresholdRange),
  query: text('Inline PromQL.'),
  templateRef: Type.Optional(CrossReference),
  templateVariables: textMap(),
})

const CanaryWebhook = Type.Object({
  name: Type.String({ minLength: 1 }),
  type: Type.Optional(oneOf(['', ...HOOK_TYPES])),
  url: Type.String({ minLength: 1 }),
  timeout: durationText('Per attempt; 10s when left out.'),
  metadata: textMap(),
  muteAlert: Type.Optional(Type.Boolean()),
  retries: whole(),
  disableTLS: Type.Optional(Type.Boolean()),
})

const CanaryAnalysis = Type.Object({
  interval: durationText('Time between two checks; 60s when left out, never below 10s in Flagger.'),
  threshold: whole('Failed checks tolerated; rolled back when as many have failed.'),
  maxWeight: whole('Promotion starts when a check passes at this weight (percent).'),
  stepWeight: whole('Percent added after each passed check.'),
  stepWeights: Type.Optional(Type.Array(Type.Integer())),
  stepWeightPromotion: whole('Percent moved back to the primary per interval during promotion; 0 moves all at once.'),
  iterations: whole('Blue/Green (without match) or A/B (with match): number of checks.'),
  mirror: Type.Optional(Type.Boolean()),
  mirrorWeight: whole(),
  match: Type.Optional(Type.Array(Type.Object({
    headers: Type.Optional(Type.Record(Type.String(), StringMatch)),
    queryParams: Type.Optional(Type.Record(Type.String(), StringMatch)),
    sourceLabels: textMap(),
  }))),
  primaryReadyThreshold: whole(),
  canaryReadyThreshold: whole(),
  metrics: Type.Optional(Type.Array(CanaryMetric)),
  webhooks: Type.Optional(Type.Array(CanaryWebhook)),
  alerts: Type.Optional(Type.Array(Type.Object({
    name: Type.String(), severity: Type.Optional(oneOf(['', 'info', 'warn', 'error'])), providerRef: CrossReference,
  }))),
  sessionAffinity: Type.Optional(Type.Object({
    cookieName: Type.String(), primaryCookieName: text(), domain: text(), httpOnly: Type.Optional(Type.Boolean()),
    maxAge: Type.Optional(Type.Integer({ default: 86_400 })), partitioned: Type.Optional(Type.Boolean()), path: text(),
    sameSite: Type.Optional(oneOf(['Strict', 'Lax', 'None'])), secure: Type.Optional(Type.Boolean()),
  })),
})

export const JUDGE_MODES = ['off', 'warn', 'enforce'] as const
export type JudgeMode = (typeof JUDGE_MODES)[number]
const INCONCLUSIVE = ['advance', 'extend', 'hold'] as const
const EARLY = ['never', 'steps', 'all'] as const

/** `spec.gate`: everything that Flagger's resource has no word for. */
const CanaryGateSettings = Type.Object({
  failures: Type.Optional(oneOf(['total', 'consecutive'])),
  steps: Type.Optional(Type.Array(Type.Object({
    weight: Type.Integer({ minimum: 1, maximum: 100 }),
    interval: durationText('Time at this weight before its check.'),
    hold: Type.Optional(Type.Boolean({ description: 'Wait here for `canarygate.dev/resume` or `promote`.' })),
  }), { maxItems: 100 })),
  atMaxWeight: Type.Optional(oneOf(['promote', 'wait'])),
  judge: Type.Optional(Type.Object({
    mode: Type.Optional(Type.Enum([...JUDGE_MODES], { description: 'off; warn: only tells (when left out, on a Canary that a person wrote); enforce: rolls back and holds (on one that the agent wrote).' })),
    alpha: Type.Optional(Type.Number({ exclusiveMinimum: 0, maximum: 0.5, description: 'Most that a run whose canary is not worse than tolerated is rolled back with; 0.01 when left out.' })),
    minEffect: Type.Optional(Type.Number({ minimum: 1, maximum: 100, description: 'The smallest effect that counts: up to so many times the primary\'s rate of failed or slow requests is no regression; 1.5 when left out.' })),
    tolerance: Type.Optional(Type.Number({ minimum: 1, maximum: 100, description: 'Another name of minEffect, which wins where both are given.' })),
    latencyMinEffect: Type.Optional(Type.Number({ minimum: 1, maximum: 100, description: 'The same for slow requests alone; minEffect when left out.' })),
    warmUp: Type.Optional(Type.String({ pattern: '^([0-9]+(m|s))+$', description: 'A pod\'s latency is compared once it has been ready for so long; 60s when left out. Failures are compared from its first request on.' })),
    floor: Type.Optional(Type.Number({ minimum: 0, maximum: 1, description: 'A canary at or under this rate is never worse, 0 to 1; a tenth of the limit when left out, 0.001 without a limit.' })),
    inconclusive: Type.Optional(Type.Enum([...INCONCLUSIVE], { description: 'A step whose time is over before the judge can tell, mode enforce: advance by the thresholds (when left out), extend the step twice before that, or hold.' })),
    early: Type.Optional(Type.Enum([...EARLY], { description: 'Whether a canary that is proved good gets its check before the interval is over, mode enforce: never (when left out), steps: but for the last step, all.' })),
  })),
  scrape: Type.Optional(Type.Object({
    /** Whose counters are read: the pods' own unless it says `proxy`. */
    from: Type.Optional(oneOf(['pods', 'proxy'])),
    port: Type.Optional(Type.Integer({ minimum: 1, maximum: 65_535 })),
    path: text(),
    requests: Type.Optional(Type.Object({ name: Type.String(), statusLabel: text() })),
    duration: Type.Optional(Type.Object({ name: Type.String() })),
  })),
  baseline: Type.Optional(Type.Object({
    enabled: Type.Optional(Type.Boolean({ description: 'false takes it away again; true when left out.' })),
  }, { description: 'Fresh pods of the stable revision beside the canary, as many and as old: the judge compares with them instead of the warm primary.' })),
  configTracking: Type.Optional(Type.Boolean()),
  revisionHistoryLimit: Type.Optional(Type.Integer({ minimum: 1, maximum: 100 })),
  generated: Type.Optional(Type.Boolean({ description: 'Written by the agent for a gated namespace; it goes when the target goes.' })),
})

export const CanarySpec = Type.Object({
  provider: Type.Optional(oneOf(PROVIDER_NAMES)),
  metricsServer: text('Prometheus base URL for built-in checks and inline queries.'),
  targetRef: Type.Object({ apiVersion: Type.String(), kind: oneOf(['DaemonSet', 'Deployment', 'Service']), name: Type.String() }),
  autoscalerRef: Type.Optional(Type.Object({
    ...TypedReference(['HorizontalPodAutoscaler', 'ScaledObject']),
    primaryScalerQueries: textMap(),
    primaryScalerReplicas: Type.Optional(Type.Object({
      minReplicas: Type.Optional(Type.Integer({ minimum: 1 })), maxReplicas: Type.Optional(Type.Integer({ minimum: 1 })),
    })),
  })),
  ingressRef: Type.Optional(Type.Object(TypedReference(['Ingress']))),
  routeRef: Type.Optional(Type.Object(TypedReference(['ApisixRoute', 'IngressRoute']))),
  upstreamRef: Type.Optional(Type.Object({ ...TypedReference(['Upstream']), namespace: text() })),
  service: Type.Optional(CanaryService),
  analysis: CanaryAnalysis,
  progressDeadlineSeconds: whole('Seconds before a workload that does not become ready fails; 600 when left out.'),
  skipAnalysis: Type.Optional(Type.Boolean()),
  revertOnDeletion: Type.Optional(Type.Boolean()),
  suspend: Type.Optional(Type.Boolean()),
  gate: Type.Optional(CanaryGateSettings),
})

const StatusCondition = Type.Object({
  type: Type.String(), status: Type.String(), reason: Type.String(), message: text(), lastUpdateTime: text(), lastTransitionTime: text(),
})

/** `status.gate`: what is needed to go on after a crash. Times are RFC 3339 with milliseconds. */
const GateStatus = Type.Object({
  step: Type.Optional(Type.Integer({ description: 'Index of the present step; -1 before the first.' })),
  nextCheckAt: text('When the next check is due.'),
  changedAt: text('When the phase last changed.'),
  routesAt: text('When the routes asked for were first seen in force.'),
  routesFor: text('The routes that routesAt speaks of: primary/canary in percent.'),
  readyAt: text('When the canary was first seen ready and serving in this run.'),
  rolledBackRevision: text('The revision that was rolled back last: asked for again, it needs `retry`.'),
  previousRevision: text('What the primary ran before the promotion under way.'),
  paused: text('Why and by whom the run is paused.'),
  reason: text('Why the last decision was taken, in words.'),
  effectiveWeight: Type.Optional(Type.Number({ description: 'The share of requests that the canary gets, where whole pods cannot give the weight that was asked for; in percent.' })),
  requestedBy: text(),
  lastCommand: text('The command last acted upon, who gave it and why.'),
  taken: Type.Optional(Type.Array(Type.String(), { description: 'Commands acted upon whose annotations are still there: they are taken away, not obeyed again.' })),
  queuedAt: text('Since when the run waits for its turn, where a policy limits how many may run at once.'),
  audit: Type.Optional(Type.Array(Type.Object({
    at: Type.String(), by: Type.String(), command: Type.String(), reason: text(), rule: text('What allowed it.'), refused: text('Why it was not obeyed.'),
  }), { maxItems: 20, description: 'The last commands, the newest at the end: who gave which, why, and what allowed it.' })),
  bypass: text('Who asked for a promotion without the rest of the analysis, and why.'),
  released: Type.Optional(Type.Integer({ description: 'Index of the hold that `resume` has opened.' })),
  hooksAt: text('When hooks were last asked while no request reached the canary.'),
  hooksDue: Type.Optional(Type.Boolean({ description: 'The post-rollout hooks of a failed run are still to be called.' })),
  look: Type.Optional(Type.Object({
    at: Type.String(), metrics: Type.Array(Type.Object({ name: Type.String(), trouble: oneOf(['no-data', 'primary-fails']) }), { maxItems: 100 }),
  }, { description: 'What was wrong with the metrics themselves at the last check, for admission to warn of.' })),
  traffic: Type.Optional(Type.Object({
    at: Type.String(),
    requestsPerSecond: Type.Number({ description: 'Of both arms together.' }),
    failureRate: Type.Number({ description: 'Share of the primary\'s requests that failed, 0 to 1.' }),
    clumping: Type.Number({ description: 'How many failures come together, 1 and more.' }),
  }, { description: 'The requests that the last run saw, for admission to warn of an analysis that is too short to tell anything by so many.' })),
  leaderEpoch: Type.Optional(Type.Integer()),
  judge: Type.Optional(Type.Object({
    verdict: text('What the judge said last.'),
    words: text('Why, with the numbers.'),
    at: text('When this was written.'),
    told: Type.Optional(Type.Array(Type.String(), { maxItems: 10, description: 'What is told once in a run, and was.' })),
    early: Type.Optional(Type.Integer({ description: 'Index of the step whose check came early.' })),
    extended: Type.Optional(Type.Object({ step: Type.Integer(), times: Type.Integer() }, { description: 'How often a step got more time.' })),
    state: text('The evidence of the run, from which another agent goes on.'),
    memory: text('How failures of this service come in bunches: it outlives the run.'),
  })),
})

export const CanaryStatus = Type.Object({
  phase: Type.Optional(oneOf(['', ...PHASES])),
  failedChecks: whole(),
  canaryWeight: whole(),
  iterations: whole(),
  trackedConfigs: textMap(),
  lastAppliedSpec: text('Revision under analysis, or analysed last.'),
  lastPromotedSpec: text('Revision that the primary runs.'),
  lastTransitionTime: Type.Optional(Type.String({ format: 'date-time' })),
  sessionAffinityCookie: text(),
  primarySessionAffinityCookie: text(),
  previousSessionAffinityCookie: text(),
  conditions: Type.Optional(Type.Array(StatusCondition)),
  gate: Type.Optional(GateStatus),
})

type DeepReadonly<T> = T extends readonly (infer U)[] ? readonly DeepReadonly<U>[]
  : T extends object ? { readonly [K in keyof T]: DeepReadonly<T[K]> } : T
type Of<T extends TSchema> = DeepReadonly<Static<T>>

export type CanarySpec = Of<typeof CanarySpec>
export type CanaryStatus = Of<typeof CanaryStatus>
export type CanaryAnalysis = CanarySpec['analysis']
export type CanaryService = NonNullable<CanarySpec['service']>
export type CanaryMetric = Of<typeof CanaryMetric>
export type CanaryWebhook = Of<typeof CanaryWebhook>
export type Canary = KubeObject & { readonly spec: CanarySpec; readonly status?: CanaryStatus }
