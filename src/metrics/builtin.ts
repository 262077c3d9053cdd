/**
 * The queries that come with CanaryGate, as data: what each router, mesh or ingress counts about the requests of one arm. Rows and
 * matchers are Flagger's; workloads and Services are ours: pods belong to `<target>-canary` and `<target>-primary`.
 */

import { roleName, type Role } from '#api/names.ts'

export const BUILTIN_METRICS = ['request-success-rate', 'request-duration', 'error-rate'] as const
export type BuiltinMetric = (typeof BUILTIN_METRICS)[number]

export type BuiltinNames = {
  readonly namespace: string
  readonly target: string
  /** `service.name`, or the target's name. */
  readonly service: string
  readonly ingress: string
  readonly route: string
}

/**
 * Placeholders: `<ns>`, `<workload>` and `<svc>` (both with the arm), `<service>`, `<ingress>`, `<route>`, `<arm>`, and `<interval>`.
 * Names are escaped for a regular expression where the matcher is one.
 */
type Source = {
  /** Counter of requests, with its own matchers if it has any. */
  readonly requests: string
  readonly requestMatchers?: string
  /** Matcher of the requests that succeeded. */
  readonly ok: string
  /** Matchers that choose the arm. */
  readonly arm: string
  /** Where one arm needs other matchers; null where it cannot be told from the other. */
  readonly primaryArm?: string | null
  readonly duration:
    | { readonly kind: 'p99'; readonly buckets: string; readonly matchers?: string; readonly unit: 'ms' | 's' }
    /** The source has no buckets: a mean instead. Always seconds. */
    | { readonly kind: 'mean'; readonly metric: string }
}

const POD = '<workload>-[0-9a-zA-Z]+(-[0-9a-zA-Z]+)'
const ENVOY = {
  requests: 'envoy_cluster_upstream_rq',
  ok: 'envoy_response_code!~"5.*"',
  duration: { kind: 'p99', buckets: 'envoy_cluster_upstream_rq_time_bucket', unit: 'ms' },
} as const

const SOURCES = {
  istio: {
    requests: 'istio_requests_total',
    ok: 'response_code!~"5.*"',
    arm: 'reporter="destination", destination_workload_namespace="<ns>", destination_workload=~"<workload>"',
    duration: { kind: 'p99', buckets: 'istio_request_duration_milliseconds_bucket', unit: 'ms' },
  },
  linkerd: {
    requests: 'response_total',
    ok: 'classification!="failure"',
    arm: 'namespace="<ns>", deployment=~"<workload>", direction="inbound"',
    duration: { kind: 'p99', buckets: 'response_latency_ms_bucket', unit: 'ms' },
  },
  kubernetes: {
    requests: 'http_request_duration_seconds_count',
    ok: 'status!~"5.*"',
    arm: `kubernetes_namespace="<ns>", kubernetes_pod_name=~"${POD}"`,
    duration: { kind: 'p99', buckets: 'http_request_duration_seconds_bucket', unit: 's' },
  },
  nginx: {
    requests: 'nginx_ingress_controller_requests',
    ok: 'status!~"5.*"',
    arm: 'namespace="<ns>", ingress="<ingress>", canary!=""',
    primaryArm: 'namespace="<ns>", ingress="<ingress>", canary=""',
    duration: { kind: 'mean', metric: 'nginx_ingress_controller_response_duration_seconds' },
  },
  traefik: {
    requests: 'traefik_service_request_duration_seconds_bucket',
    requestMatchers: 'le="+Inf"',
    ok: 'code!~"5.."',
    // The same Service is named after its provider: an IngressRoute's, or an HTTPRoute's.
    arm: 'service=~"<ns>-<svc>-[0-9a-zA-Z-]+@kubernetes(crd|gateway)"',
    duration: { kind: 'p99', buckets: 'traefik_service_request_duration_seconds_bucket', unit: 's' },
  },
  contour: { ...ENVOY, arm: 'envoy_cluster_name=~"<ns>_<svc>_[0-9a-zA-Z-]+"' },
  gloo: { ...ENVOY, arm: 'envoy_cluster_name=~"<ns>-<svc>upstream-[0-9a-zA-Z-]+_[0-9a-zA-Z-]+"' },
  kuma: { ...ENVOY, arm: 'service=~"<svc>_<ns>_svc_[0-9a-zA-Z-]+"' },
  // The route of a Knative canary is its latest revision; the one before has no name that we know.
  knative: { ...ENVOY, arm: 'envoy_cluster_name=~"<ns>/<route>"', primaryArm: null },
  appmesh: { ...ENVOY, arm: `kubernetes_namespace="<ns>", kubernetes_pod_name=~"${POD}"` },
  apisix: {
    requests: 'apisix_http_status',
    ok: 'code!~"5.."',
    // One route carries both arms, and its counters do not say to which backend a request went.
    arm: 'route=~"<ns>_<route>-<svc>_.+"',
    primaryArm: null,
    duration: { kind: 'p99', buckets: 'apisix_http_latency_bucket', matchers: 'type=~"request"', unit: 'ms' },
  },
  osm: {
    requests: 'osm_request_total',
    ok: 'response_code!~"5.*"',
    arm: 'destination_namespace="<ns>", destination_kind="Deployment", destination_name="<workload>"',
    duration: { kind: 'p99', buckets: 'osm_request_duration_ms_bucket', unit: 'ms' },
  },
  skipper: {
    requests: 'skipper_response_duration_seconds_bucket',
    requestMatchers: 'le="+Inf"',
    ok: 'code!~"5.."',
    arm: 'route=~"kube(ew)?_<_ns>__<_ingress>_canary__.*__<_service>_<arm>(_[0-9]+)?"',
    duration: { kind: 'mean', metric: 'skipper_serve_route_duration_seconds' },
  },
} as const satisfies Readonly<Record<string, Source>>

export type BuiltinSource = keyof typeof SOURCES
export const BUILTIN_SOURCES: readonly string[] = Object.keys(SOURCES)

/** Which row a traffic provider's canaries are asked with; undefined for a provider that is not known. */
export function builtinSource(provider: string): BuiltinSource | undefined {
  const [family = ''] = provider.split(':')
  // Gateways count per route, not per backend: their canaries are asked at the pods. The same for SMI's split, which is linkerd's or osm's.
  if (family === 'gatewayapi') return 'kubernetes'
  if (family === 'smi') return 'linkerd'
  return isSource(family) ? family : undefined
}

const isSource = (name: string): name is BuiltinSource => Object.hasOwn(SOURCES, name)

/**
 * PromQL of a builtin metric for one arm: percent of successes (`request-success-rate`) or failures (`error-rate`), or milliseconds
 * (`request-duration`). Undefined where the source cannot tell this arm from the other. `interval` as PromQL writes it.
 */
export function builtinQuery(metric: BuiltinMetric, from: BuiltinSource, names: BuiltinNames, arm: Role, interval: string): string | undefined {
  const source: Source = SOURCES[from]
  const choice = arm === 'primary' && source.primaryArm !== undefined ? source.primaryArm : source.arm
  if (choice === null) return undefined
  const matchers = fill(choice, names, arm)
  if (metric === 'request-duration') return durationQuery(source.duration, matchers, interval)
  const success = successQuery(source, matchers, interval)
  return metric === 'error-rate' ? `100 - ${success}` : success
}

function successQuery({ requests, requestMatchers, ok }: Source, matchers: string, interval: string): string {
  const sum = (...more: readonly (string | undefined)[]) => `sum(rate(${requests}{${[matchers, requestMatchers, ...more].filter(Boolean).join(', ')}}[${interval}]))`
  return `${sum(ok)} / ${sum()} * 100`
}

function durationQuery(duration: Source['duration'], matchers: string, interval: string): string {
  if (duration.kind === 'mean') {
    const sum = (suffix: string) => `sum(rate(${duration.metric}_${suffix}{${matchers}}[${interval}]))`
    return `${sum('sum')} / ${sum('count')} * 1000`
  }
  const all = duration.matchers ? `${matchers}, ${duration.matchers}` : matchers
  const quantile = `histogram_quantile(0.99, sum(rate(${duration.buckets}{${all}}[${interval}])) by (le))`
  return duration.unit === 's' ? `${quantile} * 1000` : quantile
}

const PLACEHOLDER = /(=~|=)"([^"]*)"/g

function fill(matchers: string, names: BuiltinNames, arm: Role): string {
  const values: Readonly<Record<string, string>> = {
    ns: names.namespace,
    workload: roleName(names.target, arm),
    svc: roleName(names.service, arm),
    ingress: names.ingress,
    route: names.route,
    arm,
    _ns: underscored(names.namespace),
    _ingress: underscored(names.ingress),
    _service: underscored(names.service),
  }
  return matchers.replaceAll(PLACEHOLDER, (_, operator: string, pattern: string) => {
    const quote = operator === '=~' ? (text: string) => escapePromString(escapeRegex(text)) : escapePromString
    return `${operator}"${pattern.replaceAll(/<(\w+)>/g, (whole, key: string) => (Object.hasOwn(values, key) ? quote(values[key] ?? '') : whole))}"`
  })
}

/** Skipper writes every character of a name that is no word character as an underscore. */
const underscored = (name: string): string => name.replaceAll(/\W/g, '_')
/** Names may have dots, which would match anything. */
const escapeRegex = (text: string): string => text.replaceAll(/[.*+?^${}()|[\]\\]/g, String.raw`\$&`)
const escapePromString = (text: string): string => text.replaceAll(/[\\"]/g, String.raw`\$&`)
