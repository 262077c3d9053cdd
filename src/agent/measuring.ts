import type { Http } from '#api/http.ts'
import type { Canary, CanaryMetric } from '#api/canary.ts'
import { apexName } from '#api/defaults.ts'
import type { Role } from '#api/names.ts'
import { objectKey } from '#api/objects.ts'
import { parseDuration } from '#api/duration.ts'
import type { CheckedMetric, Measurement } from '#api/measurement.ts'
import type { Caches } from '#agent/caches.ts'
import { readSecret } from '#agent/secrets.ts'
import type { Vigil } from '#agent/vigil.ts'
import type { KubeClient } from '#kube/client.ts'
import type { Log } from '#kube/log.ts'
import { builtinQuery, builtinSource, BUILTIN_METRICS, type BuiltinMetric } from '#metrics/builtin.ts'
import { judgeMode } from '#judge/settings.ts'
import { builtinKind, checkMetric, missingText, type MetricOrigin, type MetricSpec, type Subject } from '#metrics/check.ts'
import { prometheus } from '#metrics/prometheus.ts'
import { unavailable, type MetricAddress, type Wait } from '#metrics/provider.ts'
import { DEFAULT_WINDOW, refsOf, renderQuery } from '#metrics/canary-query.ts'
import { queryLanguage } from '#metrics/query-language.ts'
import { createMetricProviders } from '#metrics/registry.ts'
import { boundOfHost, boundOfNamespace } from '#policy/reach.ts'
import type { Reach } from '#policy/rule.ts'
import type { Check, Seen } from '#rollout/decision.ts'

export type Measuring = {
  /** One round of checks: every metric asked at once, each with its own deadline. Never rejects. */
  measure(canary: Canary, seen: Seen, provider: string): Promise<Check>
  /**
   * Asks every source outside once, before anything depends on it: what keeps a metric from being asked, by the metric. No data is none of that: nothing
   * serves yet. Never rejects.
   */
  probe(canary: Canary, provider: string): Promise<readonly { readonly metric: string; readonly reason: string }[]>
}

export type MeasuringOptions = {
  readonly client: KubeClient
  readonly http: Http
  readonly metricsServer: string | undefined
  /** How far the policies of a namespace let its Canaries reach. */
  readonly reach: (namespace: string) => Reach
  readonly caches: Caches
  /** The embedded source: asked where no metrics server is configured. */
  readonly vigil: Vigil
  readonly log: Log
  readonly now: () => number
  readonly wait: Wait
}

/** All of one round's answers arrive within this time, or count as unavailable (ms). No source's own deadline is longer. */
const CHECK_DEADLINE_MS = 16_000
const DEFAULT_WINDOW_MS = 60_000

/** Types that ask where their cloud is, whatever the template says. */
const FIXED_HOSTS: readonly string[] = ['cloudwatch', 'stackdriver']

type Asked = { readonly measurement: Measurement; readonly origin: MetricOrigin; readonly spec: MetricSpec; readonly primary?: () => Promise<Measurement> }

export function createMeasuring(options: MeasuringOptions): Measuring {
  const { http, caches, log, now } = options
  const providers = createMetricProviders({ cluster: options.client, wait: options.wait })

  async function measureOne(canary: Canary, metric: CanaryMetric, provider: string, signal: AbortSignal): Promise<Asked> {
    const isBuiltin = (BUILTIN_METRICS as readonly string[]).includes(metric.name) && !metric.templateRef && !metric.query
    const { thresholdRange, threshold } = metric
    const spec: MetricSpec = {
      name: metric.name, kind: isBuiltin ? builtinKind(metric.name) : 'other',
      ...(thresholdRange ? { thresholdRange: bounds(thresholdRange) } : {}), ...(threshold === undefined ? {} : { threshold }),
    }
    const origin: MetricOrigin = isBuiltin ? { kind: server(canary) ? 'builtin' : 'embedded', provider } : metric.templateRef ? { kind: 'template' } : { kind: 'inline' }
    const ask = isBuiltin ? askBuiltin(canary, metric, provider, 'canary', signal) : metric.templateRef ? askTemplate(canary, metric, signal) : askInline(canary, metric, signal)
    return { measurement: await ask, origin, spec, ...(isBuiltin ? { primary: () => askBuiltin(canary, metric, provider, 'primary', signal) } : {}) }
  }

  /** A failure with what else is known of it: one bad pod, or a primary that fails alike. */
  async function explain(canary: Canary, metric: CanaryMetric, checked: CheckedMetric & { readonly failure: string }, { spec, primary }: Asked, subject: Subject): Promise<CheckedMetric> {
    const badPod = server(canary) ? undefined : badPodOf(canary, metric, spec)
    if (badPod) return { ...checked, failure: `${checked.failure}; ${badPod}` }
    // Who keeps to Flagger's verdicts keeps to this one, too.
    if (!primary || judgeMode(canary.spec) !== 'enforce') return checked
    const theirs = await primary()
    if (checkMetric(spec, theirs, subject).failure === undefined) return checked
    const { failure, ...rest } = checked
    return { ...rest, inBothArms: `${failure}; the primary fails this check, too: the new revision is not to blame` }
  }

  function badPodOf(canary: Canary, metric: CanaryMetric, { kind, thresholdRange, threshold = 0 }: MetricSpec): string | undefined {
    const longest = thresholdRange ? thresholdRange.max : threshold
    if (kind !== 'duration') return options.vigil.badPod(objectKey(canary.metadata), windowOf(metric))
    return longest === undefined ? undefined : options.vigil.badPod(objectKey(canary.metadata), windowOf(metric), longest)
  }

  const server = (canary: Canary): string | undefined => canary.spec.metricsServer ?? options.metricsServer
  /** Hosts that policies do not allow are asked only at private addresses. */
  const httpFor = (namespaces: readonly (string | undefined)[]): Http => {
    const metricHosts = namespaces.flatMap((namespace) => options.reach(namespace ?? '').metricHosts)
    return (request, signal) => {
      const bound = URL.canParse(request.url) ? boundOfHost({ metricHosts }, new URL(request.url).hostname) : undefined
      return http(bound === undefined ? request : { ...request, privateOnly: bound }, signal)
    }
  }
  /** The agent's own server is its owner's choice. */
  const serverHttp = ({ metadata, spec }: Canary): Http => (spec.metricsServer === undefined ? http : httpFor([metadata.namespace]))
  const addressOf = (url: string | undefined, metric: CanaryMetric): MetricAddress => ({
    ...(url === undefined ? {} : { url }), at: now(), intervalSeconds: windowOf(metric),
  })

  async function askBuiltin(canary: Canary, metric: CanaryMetric, provider: string, arm: Role, signal: AbortSignal): Promise<Measurement> {
    const url = server(canary)
    if (!url) return options.vigil.measure(objectKey(canary.metadata), metric.name as BuiltinMetric, arm, windowOf(metric)) ?? unavailable('the pods have not been scraped yet')
    const source = builtinSource(provider)
    if (!source) return unavailable(`no built-in query for provider ${provider}: use a MetricTemplate`)
    const names = { namespace: canary.metadata.namespace ?? '', target: canary.spec.targetRef.name, service: apexName(canary), ...refsOf(canary) }
    const query = builtinQuery(metric.name as BuiltinMetric, source, names, arm, metric.interval ?? DEFAULT_WINDOW)
    return query === undefined ? unavailable(`provider ${provider} does not tell the ${arm}'s requests apart`) : prometheus.query(query, addressOf(url, metric), serverHttp(canary), signal)
  }

  async function askInline(canary: Canary, metric: CanaryMetric, signal: AbortSignal): Promise<Measurement> {
    const url = server(canary)
    if (!metric.query) return unavailable('no usable metrics template and query were configured')
    if (!url) return unavailable('no metrics server is configured: set spec.metricsServer, or the agent\'s METRICS_SERVER')
    const rendered = renderQuery(metric.query, canary, metric, 'promql')
    return rendered.error !== undefined ? unavailable(`query render error: ${rendered.error}`) : prometheus.query(rendered.text, addressOf(url, metric), serverHttp(canary), signal)
  }

  async function askTemplate(canary: Canary, metric: CanaryMetric, signal: AbortSignal): Promise<Measurement> {
    const { name = '', namespace = canary.metadata.namespace ?? '' } = metric.templateRef ?? {}
    const bound = boundOfNamespace(options.reach(canary.metadata.namespace ?? ''), namespace, canary.metadata.namespace ?? '')
    if (bound !== undefined) return unavailable(`Metric template ${name}.${namespace} error: ${bound}`)
    const template = caches.metricTemplate(namespace, name)
    if (!template) return unavailable(`Metric template ${name}.${namespace} error: not found`)
    const type = template.spec.provider.type
    const provider = providers.find((known) => known.type === type)
    if (!provider) return unavailable(`Metric template ${name}.${namespace} provider ${type} error: not supported; use one of ${providers.map((known) => known.type).join(', ')}`)
    const rendered = renderQuery(template.spec.query, canary, metric, queryLanguage(type))
    if (rendered.error !== undefined) return unavailable(`Metric template ${name}.${namespace} query render error: ${rendered.error}`)
    const { address, headers, region, insecureSkipVerify, secretRef } = template.spec.provider
    const secret = secretRef ? await readSecret(options.client, namespace, secretRef.name, signal) : undefined
    if (secret && 'reason' in secret) return unavailable(`Metric template ${name}.${namespace} ${secret.reason}`)
    return provider.query(rendered.text, {
      ...addressOf(address, metric), namespaces: [...new Set([canary.metadata.namespace ?? '', namespace])], ...(headers ? { headers } : {}), ...(region ? { region } : {}), ...(insecureSkipVerify ? { insecureSkipVerify } : {}), ...(secret ? { secret: secret.data } : {}),
    }, FIXED_HOSTS.includes(type) ? http : httpFor([canary.metadata.namespace, namespace]), signal)
  }

  /** As `measureOne`; what is broken of ours is told as a source that cannot be asked. */
  const measureSafely = (canary: Canary, metric: CanaryMetric, provider: string, signal: AbortSignal): Promise<Asked> =>
    measureOne(canary, metric, provider, signal).catch((err: unknown) => {
      log.error({ err, metric: metric.name }, 'metric query failed')
      return { measurement: unavailable(err instanceof Error ? err.message : 'query failed'), spec: { name: metric.name, kind: 'other' }, origin: { kind: 'inline' } } satisfies Asked
    })

  return {
    async probe(canary, provider) {
      const signal = AbortSignal.timeout(CHECK_DEADLINE_MS)
      const found = await Promise.all((canary.spec.analysis.metrics ?? []).map(async (metric) => {
        const { measurement, origin } = await measureSafely(canary, metric, provider, signal)
        return measurement.kind === 'unavailable' && origin.kind !== 'embedded' ? [{ metric: metric.name, reason: measurement.reason }] : []
      }))
      return found.flat()
    },

    async measure(canary, seen, provider) {
      const signal = AbortSignal.timeout(CHECK_DEADLINE_MS)
      const subject = { name: seen.name, namespace: seen.namespace }
      const target = { name: seen.spec.targetRef.name, namespace: seen.namespace }
      const metrics = await Promise.all((canary.spec.analysis.metrics ?? []).map(async (metric): Promise<CheckedMetric> => {
        const asked = await measureSafely(canary, metric, provider, signal)
        const { measurement, spec, origin } = asked
        const checked = checkMetric(spec, measurement, subject)
        if (checked.failure !== undefined) return await explain(canary, metric, { ...checked, failure: checked.failure }, asked, subject)
        const missing = missingText(spec, measurement, origin, target)
        if (missing === undefined) return checked
        // No data counts as Flagger counts it; a source that cannot be asked says nothing about the canary, so it only holds.
        return measurement.kind === 'no-data' ? { ...checked, failure: missing } : { ...checked, halt: missing }
      }))
      return { metrics }
    },
  }
}

/** Seconds that a metric looks back. */
const windowOf = (metric: CanaryMetric): number => (parseDuration(metric.interval ?? '') ?? DEFAULT_WINDOW_MS) / 1_000

const bounds = ({ min, max }: { readonly min?: number | undefined; readonly max?: number | undefined }) =>
  ({ ...(min === undefined ? {} : { min }), ...(max === undefined ? {} : { max }) })
