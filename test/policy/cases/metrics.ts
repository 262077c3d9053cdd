import type { Canary } from '#api/canary.ts'
import { renderFault } from '#metrics/canary-query.ts'
import { canaryOf, clusterOf, objectOf, type Cases } from '../canaries.ts'

const metrics = (...list: object[]) => ({ metrics: list })
const rate = (more: object) => metrics({ name: 'request-success-rate', interval: '1m', ...more })
const duration = (more: object) => metrics({ name: 'request-duration', interval: '1m', ...more })
const errors = (more: object) => metrics({ name: 'error-rate', interval: '1m', ...more })
const own = (more: object) => metrics({ name: 'budget', interval: '1m', thresholdRange: { max: 2 }, ...more })
/** As it is stored, with what the agent saw of its metrics last. */
const looked = (troubles: NonNullable<NonNullable<NonNullable<Canary['status']>['gate']>['look']>['metrics']): Canary =>
  ({ ...canaryOf(), status: { gate: { look: { at: '2026-11-21T12:00:00.000Z', metrics: troubles } } } })
/** The same after a run at so many requests a second. */
const served = (requestsPerSecond: number, failureRate = 0.002): Canary =>
  ({ ...canaryOf(), status: { gate: { traffic: { at: '2026-11-21T12:00:00.000Z', requestsPerSecond, failureRate, clumping: 1 } } } })
const templateRef = { name: 'budget', namespace: 'platform' }
const template = (query: string, provider: object = { type: 'prometheus', address: 'http://prometheus.test' }) =>
  objectOf('flagger.app/v1beta1', 'MetricTemplate', 'budget', { spec: { provider, query } }, 'platform')
const secured = template('vector(1)', { type: 'datadog', secretRef: { name: 'datadog' } })
const secret = (...keys: string[]) => objectOf('v1', 'Secret', 'datadog', { data: Object.fromEntries(keys.map((key) => [key, 'eA=='])) }, 'platform')
const load = { name: 'load', url: 'http://load.test/', timeout: '5s' }

const BOUND = { reach: { metricHosts: [{ policy: 'base', names: ['prom.example.org', '*.signalfx.com'] }], namespaces: [] } }

export const metricCases: Readonly<Record<string, Cases>> = {
  'metric-source': {
    valid: [
      { name: 'built-in names' },
      { name: 'the error rate is built in', analysis: errors({ thresholdRange: { max: 1 } }) },
      { name: 'the error rate with a template of its own', analysis: errors({ thresholdRange: { max: 1 }, templateRef }) },
      { name: 'a template', analysis: own({ templateRef }) },
      { name: 'a query', analysis: own({ query: 'vector(1)' }) },
    ],
    invalid: [
      { name: 'a name and nothing else', analysis: own({}), fields: ['spec.analysis.metrics[0]'] },
      { name: 'a built-in name with a template', analysis: rate({ thresholdRange: { min: 99 }, templateRef }), fields: ['spec.analysis.metrics[0]'] },
      { name: 'a query and a template', analysis: own({ query: 'vector(1)', templateRef }), fields: ['spec.analysis.metrics[0]'] },
    ],
  },
  'baseline-possible': {
    valid: [
      { name: 'none asked for' },
      { name: 'beside weights', spec: { gate: { baseline: {} } }, analysis: { stepWeight: 10, maxWeight: 50 } },
      { name: 'switched off where it could not be', spec: { gate: { baseline: { enabled: false } } }, analysis: { iterations: 5 } },
      { name: 'its own Deployment of an earlier run', spec: { gate: { baseline: {} } }, context: { cluster: clusterOf([objectOf('apps/v1', 'Deployment', 'cart-baseline', { metadata: { name: 'cart-baseline', namespace: 'shop', labels: { 'canarygate.dev/role': 'baseline' } } })]) } },
    ],
    invalid: [
      { name: 'a DaemonSet', spec: { gate: { baseline: {} }, targetRef: { apiVersion: 'apps/v1', kind: 'DaemonSet', name: 'cart' } }, fields: ['spec.gate.baseline'] },
      { name: 'Blue/Green', spec: { gate: { baseline: {} } }, analysis: { iterations: 5 }, fields: ['spec.gate.baseline'] },
      { name: 'users who stay with a version', spec: { gate: { baseline: {} } }, analysis: { sessionAffinity: { cookieName: 'canary' } }, fields: ['spec.gate.baseline'] },
      { name: 'no judge', spec: { gate: { baseline: {}, judge: { mode: 'off' } } }, fields: ['spec.gate.baseline'] },
      { name: 'a name without room', spec: { gate: { baseline: {} }, targetRef: { apiVersion: 'apps/v1', kind: 'Deployment', name: 'a'.repeat(55) } }, fields: ['spec.gate.baseline'] },
      { name: 'the name is taken', spec: { gate: { baseline: {} } }, context: { cluster: clusterOf([objectOf('v1', 'Service', 'cart-baseline')]) }, fields: ['spec.gate.baseline'] },
    ],
  },
  'scrape-source': {
    valid: [
      { name: 'pods wherever', spec: { provider: 'kubernetes', gate: { scrape: { port: 9090, path: '/m' } } } },
      { name: 'behind Traefik', spec: { gate: { scrape: { from: 'proxy' } } } },
      { name: 'behind a Gateway', spec: { provider: 'gatewayapi:v1', gate: { scrape: { from: 'proxy' } } } },
      { name: 'offline nobody knows the default', spec: { provider: undefined, gate: { scrape: { from: 'proxy' } } }, context: { defaultProvider: undefined } },
    ],
    invalid: [
      { name: 'no proxy', spec: { provider: 'kubernetes', gate: { scrape: { from: 'proxy' } } }, fields: ['spec.gate.scrape.from'], severity: 'deny' },
      { name: 'none by default', spec: { provider: undefined, gate: { scrape: { from: 'proxy' } } }, fields: ['spec.gate.scrape.from'] },
      { name: 'settings of pods', spec: { gate: { scrape: { from: 'proxy', port: 9090, requests: { name: 'hits' } } } }, fields: ['spec.gate.scrape.port', 'spec.gate.scrape.requests'], severity: 'warn' },
    ],
  },
  'judge-needs-limit': {
    valid: [
      { name: 'a limit', spec: { gate: { judge: { mode: 'enforce' } } }, analysis: { ...rate({ thresholdRange: { min: 99 } }), stepWeight: 10, maxWeight: 100 } },
      { name: 'a limit for the error rate', spec: { gate: { judge: { mode: 'enforce' } } }, analysis: { ...errors({ thresholdRange: { max: 1 } }), stepWeight: 10, maxWeight: 100 } },
      { name: 'weights that leave a primary', spec: { gate: { judge: { mode: 'enforce' } } }, analysis: { ...duration({ thresholdRange: { max: 500 } }), stepWeight: 10, maxWeight: 80 } },
      { name: 'a judge that only warns', analysis: { ...duration({ thresholdRange: { max: 500 } }), stepWeight: 10, maxWeight: 100 } },
    ],
    invalid: [
      { name: 'all weight and no limit', spec: { gate: { judge: { mode: 'enforce' } } }, analysis: { ...duration({ thresholdRange: { max: 500 } }), stepWeight: 10, maxWeight: 100 }, fields: ['spec.analysis.metrics'] },
      { name: 'the same on a Canary that the agent wrote', spec: { gate: { generated: true } }, analysis: { ...duration({ thresholdRange: { max: 500 } }), stepWeight: 30, maxWeight: 90 }, fields: ['spec.analysis.metrics'] },
    ],
  },
  'metric-threshold': {
    valid: [{ name: 'a minimum' }, { name: 'the older form', analysis: rate({ threshold: 99 }) }, { name: 'a range', analysis: own({ templateRef, thresholdRange: { min: 1, max: 2 } }) }],
    invalid: [
      { name: 'no bound', analysis: rate({}), fields: ['spec.analysis.metrics[0].thresholdRange'] },
      { name: 'an empty range', analysis: own({ templateRef, thresholdRange: {} }), fields: ['spec.analysis.metrics[0].thresholdRange'] },
      { name: 'a minimum above the maximum', analysis: own({ templateRef, thresholdRange: { min: 3, max: 2 } }), fields: ['spec.analysis.metrics[0].thresholdRange'] },
    ],
  },
  'metric-threshold-ignored': {
    valid: [{ name: 'a range alone' }],
    invalid: [{ name: 'both', analysis: rate({ threshold: 95, thresholdRange: { min: 99 } }), fields: ['spec.analysis.metrics[0].threshold'] }],
  },
  'request-duration-bounds': {
    valid: [{ name: 'half a second', analysis: duration({ thresholdRange: { max: 500 } }) }, { name: 'a template measures what it likes', analysis: duration({ templateRef, thresholdRange: { max: 0.5 } }) }],
    invalid: [
      { name: 'half a second in seconds', analysis: duration({ thresholdRange: { max: 0.5 } }), fields: ['spec.analysis.metrics[0].thresholdRange.max'] },
      { name: 'a fraction of a millisecond', analysis: duration({ thresholdRange: { max: 250.5 } }), fields: ['spec.analysis.metrics[0].thresholdRange.max'] },
      { name: 'nothing', analysis: duration({ thresholdRange: { max: 0 } }), fields: ['spec.analysis.metrics[0].thresholdRange.max'] },
      { name: 'the older form', analysis: duration({ threshold: 0.5 }), fields: ['spec.analysis.metrics[0].threshold'] },
    ],
  },
  'request-duration-units': {
    valid: [{ name: 'half a second' }],
    invalid: [
      { name: 'two milliseconds', analysis: duration({ thresholdRange: { max: 2 } }), fields: ['spec.analysis.metrics[0].thresholdRange'] },
      { name: 'a minimum alone', analysis: duration({ thresholdRange: { min: 500 } }), fields: ['spec.analysis.metrics[0].thresholdRange'] },
    ],
  },
  'success-rate-bounds': {
    valid: [{ name: '99.9 percent', analysis: rate({ thresholdRange: { min: 99.9 } }) }, { name: 'all of them', analysis: rate({ thresholdRange: { min: 100 } }) }],
    invalid: [
      { name: 'a fraction', analysis: rate({ thresholdRange: { min: 0.99 } }), fields: ['spec.analysis.metrics[0].thresholdRange.min'] },
      { name: 'nothing', analysis: rate({ thresholdRange: { min: 0 } }), fields: ['spec.analysis.metrics[0].thresholdRange.min'] },
      { name: 'more than all', analysis: rate({ thresholdRange: { min: 101 } }), fields: ['spec.analysis.metrics[0].thresholdRange.min'] },
      { name: 'a maximum alone', analysis: rate({ thresholdRange: { max: 1 } }), fields: ['spec.analysis.metrics[0].thresholdRange.max'] },
      { name: 'a fraction in the older form', analysis: rate({ threshold: 0.99 }), fields: ['spec.analysis.metrics[0].threshold'] },
    ],
  },
  'lenient-success-rate': {
    valid: [{ name: '95 percent', analysis: rate({ thresholdRange: { min: 95 } }) }],
    invalid: [{ name: 'half of them', analysis: rate({ thresholdRange: { min: 50 } }), fields: ['spec.analysis.metrics[0].thresholdRange'] }],
  },
  'error-rate-bounds': {
    valid: [{ name: 'one percent', analysis: errors({ thresholdRange: { max: 1 } }) }, { name: 'with a template it may be anything', analysis: errors({ templateRef, thresholdRange: { max: 500 } }) }],
    invalid: [
      { name: 'all of them', analysis: errors({ thresholdRange: { max: 100 } }), fields: ['spec.analysis.metrics[0].thresholdRange.max'] },
      { name: 'a minimum alone', analysis: errors({ thresholdRange: { min: 1 } }), fields: ['spec.analysis.metrics[0].thresholdRange.min'] },
    ],
  },
  'metric-template-interval': {
    valid: [{ name: 'a minute', analysis: own({ templateRef }) }, { name: 'built-in metrics have a default', analysis: metrics({ name: 'request-success-rate', thresholdRange: { min: 99 } }) }],
    invalid: [{ name: 'none', analysis: own({ templateRef, interval: undefined }), fields: ['spec.analysis.metrics[0].interval'] }],
  },
  'metric-template-exists': {
    valid: [
      { name: 'it does', analysis: own({ templateRef }), context: { cluster: clusterOf([template('vector(1)')]) } },
      { name: 'offline nobody knows', analysis: own({ templateRef }) },
      { name: 'nobody watches templates', analysis: own({ templateRef }), context: { cluster: { ...clusterOf(), knows: () => false } } },
    ],
    invalid: [{ name: 'it does not', analysis: own({ templateRef }), context: { cluster: clusterOf() }, fields: ['spec.analysis.metrics[0].templateRef'] }],
  },
  'metric-template-variables': {
    valid: [
      { name: 'all given', analysis: own({ templateRef, templateVariables: { job: 'cart' } }), context: { cluster: clusterOf([template('up{job="{{ variables.job }}"}')]) } },
      { name: 'offline nobody knows', analysis: own({ templateRef }) },
      { name: 'a dashed name where the language has them', analysis: own({ templateRef, templateVariables: { service: 'a-b' } }), context: { renderFault, cluster: clusterOf([template('avg:x{service:{{ variables.service }}}', { type: 'datadog' })]) } },
    ],
    invalid: [
      { name: 'one missing', analysis: own({ templateRef }), context: { cluster: clusterOf([template('up{job="{{ variables.job }}"}')]) }, fields: ['spec.analysis.metrics[0].templateVariables'] },
      { name: 'one missing by index', analysis: own({ templateRef }), context: { cluster: clusterOf([template('up{job="{{ index variables "job" }}"}')]) }, fields: ['spec.analysis.metrics[0].templateVariables'] },
      { name: 'a value that would change the query', analysis: own({ templateRef, templateVariables: { limit: '0 or vector(1)' } }), context: { renderFault, cluster: clusterOf([template('up > {{ variables.limit }}')]) }, fields: ['spec.analysis.metrics[0].templateVariables'] },
      { name: 'one missing in an inline query', analysis: own({ query: 'up{job="{{ variables.job }}"}' }), fields: ['spec.analysis.metrics[0].templateVariables'] },
    ],
  },
  'metrics-server-host': {
    valid: [
      { name: 'without a bound', spec: { metricsServer: 'https://prom.elsewhere.test' } },
      { name: 'an allowed one', spec: { metricsServer: 'https://prom.example.org/' }, context: BOUND },
      { name: "the cluster's", spec: { metricsServer: 'http://prometheus.monitoring.svc.cluster.local:9090' }, context: BOUND },
      { name: 'one of a namespace that there is', spec: { metricsServer: 'http://prometheus.monitoring:9090' }, context: { ...BOUND, cluster: { ...clusterOf(), objects: { get: ({ kind, name }) => (kind === 'Namespace' && name === 'monitoring' ? objectOf('v1', kind, name) : undefined), list: () => [] } } } },
      { name: 'a private address', spec: { metricsServer: 'http://10.0.0.1:9090' }, context: BOUND },
    ],
    invalid: [
      { name: 'a public address', spec: { metricsServer: 'http://8.8.8.8:9090' }, context: BOUND, fields: ['spec.metricsServer'], severity: 'deny' },
      { name: 'a name that may be one', spec: { metricsServer: 'http://prom.elsewhere.test' }, context: BOUND, fields: ['spec.metricsServer'], severity: 'warn' },
    ],
  },
  'metric-secret-keys': {
    valid: [
      { name: 'all there', analysis: own({ templateRef }), context: { cluster: clusterOf([secured, secret('datadog_api_key', 'datadog_application_key')]) } },
      { name: 'a Secret that cannot be seen may be there', analysis: own({ templateRef }), context: { cluster: clusterOf([secured]) } },
    ],
    invalid: [{ name: 'a key missing', analysis: own({ templateRef }), context: { cluster: clusterOf([secured, secret('datadog_api_key')]) }, fields: ['spec.analysis.metrics[0].templateRef'] }],
  },
  'inline-query': {
    valid: [
      { name: 'a ratio', analysis: own({ query: '100 * sum(rate(e_total{pod=~"{{ target }}-.*"}[{{ interval }}])) / sum(rate(r_total[{{ interval }}]))' }) },
      { name: 'a query with a condition cannot be told', analysis: own({ query: '{{ if eq namespace "a" }}up{{ else }}vector(1){{ end }}' }) },
    ],
    invalid: [
      { name: 'a bracket too few', analysis: own({ query: 'sum(rate(r_total[1m])' }), fields: ['spec.analysis.metrics[0].query'] },
      { name: 'a constant', analysis: own({ query: '1' }), fields: ['spec.analysis.metrics[0].query'] },
      { name: 'a range', analysis: own({ query: 'r_total[1m]' }), fields: ['spec.analysis.metrics[0].query'] },
      { name: 'an unknown function', analysis: own({ query: 'up{pod="{{ pod }}"}' }), fields: ['spec.analysis.metrics[0].query'] },
      { name: 'an action without an end', analysis: own({ query: 'up{pod="{{ target"}' }), fields: ['spec.analysis.metrics[0].query'] },
      { name: 'a counter as it is', analysis: own({ query: 'sum(r_total)' }), fields: ['spec.analysis.metrics[0].query'], severity: 'warn' },
    ],
  },
  'metric-without-data': {
    valid: [
      { name: 'the last look found nothing wrong', context: { old: looked([]) } },
      { name: 'another metric had none', context: { old: looked([{ name: 'mine', trouble: 'no-data' }]) } },
      { name: 'its settings are others since', analysis: { metrics: [{ name: 'request-success-rate', interval: '2m', thresholdRange: { min: 99 } }] }, context: { old: looked([{ name: 'request-success-rate', trouble: 'no-data' }]) } },
    ],
    invalid: [{ name: 'no data when the agent asked last', context: { old: looked([{ name: 'request-duration', trouble: 'no-data' }]) }, fields: ['spec.analysis.metrics[1]'] }],
  },
  'primary-fails-metric': {
    valid: [{ name: 'nobody has looked yet' }, { name: 'the canary alone failed', context: { old: looked([]) } }],
    invalid: [{ name: 'what serves does not meet the bound', context: { old: looked([{ name: 'request-success-rate', trouble: 'primary-fails' }]) }, fields: ['spec.analysis.metrics[0]'] }],
  },
  'analysis-too-short-to-tell': {
    valid: [
      { name: 'nobody has seen its requests yet', context: { old: canaryOf() } },
      { name: 'plenty of requests', context: { old: served(1_000) } },
      { name: 'few requests, and the time for them', analysis: { interval: '180m' }, context: { old: served(2) } },
      { name: 'nothing is compared', spec: { gate: { judge: { mode: 'off' } } }, context: { old: served(2) } },
      { name: 'no time would do beside a primary at its limit', context: { old: served(2, 0.02) } },
    ],
    invalid: [
      { name: 'two requests a second', context: { old: served(2) }, fields: ['spec.analysis.interval'], severity: 'warn' },
      { name: 'steps of their own length', analysis: { stepWeight: undefined, maxWeight: undefined }, spec: { gate: { steps: [{ weight: 5, interval: '1m' }, { weight: 20, interval: '2m' }] } }, context: { old: served(20) }, fields: ['spec.analysis.interval'] },
    ],
  },
  'metrics-server-address': {
    valid: [{ name: 'a URL', spec: { metricsServer: 'http://prometheus.monitoring:9090' } }],
    invalid: [{ name: 'a host alone', spec: { metricsServer: 'prometheus:9090' }, fields: ['spec.metricsServer'] }],
  },
  'duplicate-metrics': {
    valid: [{ name: 'two names' }],
    invalid: [{ name: 'one name', analysis: metrics({ name: 'request-success-rate', thresholdRange: { min: 99 } }, { name: 'request-success-rate', thresholdRange: { min: 98 } }), fields: ['spec.analysis.metrics[1].name'] }],
  },
  'no-metrics': {
    valid: [{ name: 'metrics' }, { name: 'the pods\' own counters', analysis: { metrics: [], webhooks: [load] }, spec: { gate: { scrape: { port: 8080 } } } }],
    invalid: [{ name: 'a webhook alone', analysis: { metrics: undefined, webhooks: [load] }, fields: ['spec.analysis.metrics'] }],
  },
  'nothing-checked': {
    valid: [{ name: 'metrics' }, { name: 'a webhook', analysis: { metrics: [], webhooks: [load] } }],
    invalid: [
      { name: 'nothing', analysis: { metrics: undefined }, fields: ['spec.analysis.metrics'] },
      { name: 'approvals judge nothing', analysis: { metrics: [], webhooks: [{ ...load, type: 'confirm-promotion' }] }, fields: ['spec.analysis.metrics'] },
    ],
  },
}
