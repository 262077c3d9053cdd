import { test } from 'tap'
import type { LintReport } from '#cli/lint-report.ts'
import { lintCommand } from '#cli/lint.ts'
import { capabilities } from '#traffic/registry.ts'

/**
 * What a pull request with each of these settings is told: one row or more for every value that Flagger's schema takes and that breaks
 * its run, and for every row of the validation matrix that a file alone can show. `at`: the fields that must be denied, and no others.
 */
type Loose = Readonly<Record<string, unknown>>
type Row = {
  readonly row: string; readonly name: string; readonly at: readonly string[]
  readonly analysis?: Loose; readonly service?: Loose; readonly spec?: Loose; readonly severity?: 'warn'; readonly beside?: readonly object[]
}

const METRIC = { name: 'request-success-rate', interval: '1m', thresholdRange: { min: 99 } }
const HOOK = { name: 'load', type: 'rollout', url: 'http://tester.shop/', timeout: '5s' }
const TARGET = { apiVersion: 'apps/v1', kind: 'Deployment', name: 'cart' }
const A = 'spec.analysis'
const drop = (value: Loose): Loose => Object.fromEntries(Object.entries(value).filter(([, child]) => child !== undefined))

const canary = ({ analysis, service, spec }: Pick<Row, 'analysis' | 'service' | 'spec'>, name = 'cart'): object => ({
  apiVersion: 'flagger.app/v1beta1', kind: 'Canary', metadata: { name, namespace: 'shop' },
  spec: drop({
    provider: 'istio', targetRef: TARGET, service: drop({ port: 80, ...service }),
    analysis: drop({ interval: '1m', threshold: 5, stepWeight: 10, maxWeight: 50, metrics: [METRIC], ...analysis }), ...spec,
  }),
})
const template = (provider: object, query = 'sum(rate(http_requests_total{pod=~"{{ target }}-.*"}[{{ interval }}]))'): object =>
  ({ apiVersion: 'flagger.app/v1beta1', kind: 'MetricTemplate', metadata: { name: 'mine', namespace: 'shop' }, spec: { provider, query } })
const PROMETHEUS = { type: 'prometheus', address: 'http://prometheus.shop:9090' }
const alertProvider = (spec: object): object => ({ apiVersion: 'flagger.app/v1beta1', kind: 'AlertProvider', metadata: { name: 'team', namespace: 'shop' }, spec })
const metrics = (more: Loose): { readonly metrics: readonly Loose[] } => ({ metrics: [drop({ ...METRIC, ...more })] })
const hooks = (more: Loose): { readonly webhooks: readonly Loose[] } => ({ webhooks: [{ ...HOOK, ...more }] })
const TEMPLATED = { name: 'mine', templateRef: { name: 'mine' }, thresholdRange: { max: 1 } }
const BLUE_GREEN = { stepWeight: undefined, maxWeight: undefined, iterations: 5 }
const HEADER = [{ headers: { 'x-ring': { exact: 'inner' } } }]

const rows: readonly Row[] = [
  // Values that break Flagger without an admission error.
  ...(['stepWeight', 'threshold', 'maxWeight', 'stepWeightPromotion', 'mirrorWeight', 'primaryReadyThreshold', 'canaryReadyThreshold'] as const)
    .map((field): Row => ({ row: '1.8.1 10.1', name: `a fraction in ${field}`, analysis: { [field]: 33.3 }, at: [`${A}.${field}`] })),
  { row: '1.8.1 10.1', name: 'a fraction in iterations', analysis: { ...BLUE_GREEN, iterations: 2.5 }, at: [`${A}.iterations`] },
  { row: '1.8.1 10.1', name: 'a fraction in progressDeadlineSeconds', spec: { progressDeadlineSeconds: 60.5 }, at: ['spec.progressDeadlineSeconds'] },
  { row: '1.8.1 10.1', name: 'a fraction in the port', service: { port: 80.5 }, at: ['spec.service.port'] },
  { row: '1.8.1 10.1', name: 'a fraction in retries', analysis: hooks({ retries: 1.5 }), at: [`${A}.webhooks[0].retries`] },
  { row: '1.8.1 10.1', name: 'a fraction in maxAge', analysis: { sessionAffinity: { cookieName: 'c', maxAge: 0.5 } }, at: [`${A}.sessionAffinity.maxAge`] },
  { row: '1.8.1 10.1', name: 'a fraction in a list of weights', analysis: { stepWeight: undefined, maxWeight: undefined, stepWeights: [5, 10.5] }, at: [`${A}.stepWeights[1]`] },
  { row: '1.8.2', name: 'a step of 0', analysis: { stepWeight: 0 }, at: [`${A}.stepWeight`] },
  { row: '1.8.2', name: 'no way to advance', analysis: { stepWeight: undefined }, at: [A] },
  { row: '1.8.3 10.4', name: 'a step that overshoots', analysis: { stepWeight: 30 }, at: [`${A}.maxWeight`], severity: 'warn' },
  { row: '1.8.4 10.2', name: 'a maximum that is never reached', analysis: { maxWeight: 150 }, at: [`${A}.maxWeight`] },
  { row: '1.8.5 10.3', name: 'weights that fall', analysis: { stepWeight: undefined, maxWeight: undefined, stepWeights: [10, 50, 20] }, at: [`${A}.stepWeights`] },
  { row: '1.8.5 10.3', name: 'a weight twice', analysis: { stepWeight: undefined, maxWeight: undefined, stepWeights: [10, 10, 20] }, at: [`${A}.stepWeights`] },
  { row: '1.8.6 10.3', name: 'an empty list of weights', analysis: { stepWeight: undefined, maxWeight: undefined, stepWeights: [] }, at: [`${A}.stepWeights`] },
  { row: '1.8.7 10.9', name: 'mirroring by a router that cannot', spec: { provider: 'linkerd' }, analysis: { mirror: true }, at: [`${A}.mirror`] },
  { row: '1.8.7 10.9', name: 'mirroring TCP', service: { appProtocol: 'TCP' }, analysis: { mirror: true }, at: [`${A}.mirror`] },
  { row: '1.8.8 10.7', name: 'a match without iterations', analysis: { match: HEADER }, at: [`${A}.match`] },
  { row: '1.8.9 10.8', name: 'a match on plain Kubernetes', spec: { provider: 'kubernetes' }, analysis: { ...BLUE_GREEN, match: HEADER }, at: [`${A}.match`] },
  { row: '1.8.9 10.8', name: 'mirroring on plain Kubernetes', spec: { provider: 'kubernetes' }, analysis: { ...BLUE_GREEN, mirror: true }, at: [`${A}.mirror`] },
  { row: '1.8.9 10.8', name: 'no iterations on plain Kubernetes', spec: { provider: 'kubernetes' }, analysis: { ...BLUE_GREEN, iterations: 0 }, at: [`${A}.iterations`] },
  { row: '1.8.10 10.6', name: 'a threshold of 0', analysis: { threshold: 0 }, at: [`${A}.threshold`] },
  { row: '1.8.10 10.6', name: 'a threshold below 0', analysis: { threshold: -1 }, at: [`${A}.threshold`] },
  { row: '1.8.10', name: 'iterations below 0', analysis: { ...BLUE_GREEN, iterations: -3 }, at: [`${A}.iterations`] },
  { row: '1.8.11 10.2', name: 'always ready', analysis: { canaryReadyThreshold: 0 }, at: [`${A}.canaryReadyThreshold`] },
  { row: '1.8.11 10.2', name: 'never ready', analysis: { primaryReadyThreshold: 120 }, at: [`${A}.primaryReadyThreshold`] },
  { row: '1.8.12 10.9', name: 'one cookie for both', analysis: { sessionAffinity: { cookieName: 'c', primaryCookieName: 'c' } }, at: [`${A}.sessionAffinity.primaryCookieName`] },
  { row: '1.8.13', name: 'no analysis', spec: { analysis: undefined }, at: [A] },
  { row: '1.8.14 10.10', name: 'Knative without a Knative target', spec: { provider: 'knative' }, at: ['spec.targetRef'] },
  { row: '1.8.14 10.10', name: 'a Knative target without Knative', spec: { targetRef: { ...TARGET, apiVersion: 'serving.knative.dev/v1', kind: 'Service' } }, at: ['spec.provider'] },
  { row: '1.8.14 10.10', name: 'an autoscaler for Knative', spec: { provider: 'knative', targetRef: { ...TARGET, apiVersion: 'serving.knative.dev/v1', kind: 'Service' }, autoscalerRef: { apiVersion: 'autoscaling/v2', kind: 'HorizontalPodAutoscaler', name: 'cart' } }, at: ['spec.autoscalerRef'] },
  { row: '1.8.16 10.16', name: 'two Canaries of one target', beside: [canary({ service: { name: 'other' } }, 'other')], at: ['spec.targetRef.name'] },
  { row: '10.16', name: 'two Canaries of one Service', beside: [canary({ service: { name: 'cart' }, spec: { targetRef: { ...TARGET, name: 'basket' } } }, 'other')], at: ['spec.service.name'] },
  { row: '1.8.18 10.13', name: 'a hook without a host', analysis: hooks({ url: 'tester/gate' }), at: [`${A}.webhooks[0].url`] },
  { row: '1.8.18 10.13', name: 'a hook by another protocol', analysis: hooks({ url: 'ftp://tester.shop/' }), at: [`${A}.webhooks[0].url`] },
  { row: '1.8.18', name: 'a hook at the metadata service', analysis: hooks({ url: 'http://169.254.169.254/latest/' }), at: [`${A}.webhooks[0].url`] },
  { row: '1.8.19 10.13', name: 'a timeout that is none', analysis: hooks({ timeout: '5sx' }), at: [`${A}.webhooks[0].timeout`] },
  { row: '1.8.19', name: 'a timeout without a unit', analysis: hooks({ timeout: '5' }), at: [`${A}.webhooks[0].timeout`] },
  { row: '10.13', name: 'retries below 0', analysis: hooks({ retries: -1 }), at: [`${A}.webhooks[0].retries`] },
  { row: '10.13', name: 'timeouts longer than the interval', analysis: hooks({ timeout: '2m' }), at: [`${A}.webhooks`], severity: 'warn' },
  { row: '1.8.20 10.14', name: 'an alert without a severity', analysis: { alerts: [{ name: 'a', severity: '', providerRef: { name: 'team' } }] }, at: [`${A}.alerts[0].severity`], severity: 'warn' },
  // The rest of the validation matrix.
  { row: '10.2', name: 'a step above 100', analysis: { stepWeight: 500, maxWeight: undefined }, at: [`${A}.stepWeight`] },
  { row: '10.2', name: 'a step above the maximum', analysis: { stepWeight: 60 }, at: [`${A}.stepWeight`] },
  { row: '10.2', name: 'a maximum of 0', analysis: { maxWeight: 0 }, at: [`${A}.maxWeight`] },
  { row: '10.2', name: 'a promotion step above 100', analysis: { stepWeightPromotion: 200 }, at: [`${A}.stepWeightPromotion`] },
  { row: '10.2', name: 'a mirror weight above 100', analysis: { mirror: true, mirrorWeight: 150 }, at: [`${A}.mirrorWeight`] },
  { row: '10.3', name: 'a weight above 100 in the list', analysis: { stepWeight: undefined, maxWeight: undefined, stepWeights: [50, 120] }, at: [`${A}.stepWeights`] },
  { row: '10.3', name: 'a maximum beside the list', analysis: { stepWeight: undefined, stepWeights: [5, 10] }, at: [`${A}.maxWeight`], severity: 'warn' },
  { row: '10.2', name: 'two strategies at once', analysis: { iterations: 5 }, at: [A] },
  { row: '10.5', name: 'an interval below ten seconds', analysis: { interval: '2s' }, at: [`${A}.interval`] },
  { row: '10.5', name: 'an interval with a tail', analysis: { interval: '5mfoo' }, at: [`${A}.interval`] },
  { row: '10.5', name: 'milliseconds', analysis: { interval: '500ms' }, at: [`${A}.interval`] },
  { row: '10.5', name: 'an interval of hours', analysis: { interval: '1h' }, at: [`${A}.interval`] },
  { row: '10.5', name: 'a window that is none', analysis: metrics({ interval: '1mm' }), at: [`${A}.metrics[0].interval`] },
  { row: '10.5', name: 'a window below ten seconds', analysis: metrics({ interval: '5s' }), at: [`${A}.metrics[0].interval`] },
  { row: '10.5', name: 'a window that mixes steps', analysis: metrics({ interval: '5m' }), at: [`${A}.metrics[0].interval`], severity: 'warn' },
  { row: '10.6', name: 'a threshold that is over before its window', analysis: { interval: '10s', threshold: 2 }, at: [`${A}.threshold`], severity: 'warn' },
  { row: '10.7', name: 'a match by a router that has none', spec: { provider: 'linkerd' }, analysis: { ...BLUE_GREEN, match: HEADER }, at: [`${A}.match`] },
  { row: '10.7', name: 'a prefix on nginx', spec: { provider: 'nginx', ingressRef: { apiVersion: 'networking.k8s.io/v1', kind: 'Ingress', name: 'cart' } }, analysis: { ...BLUE_GREEN, match: [{ headers: { 'x-a': { prefix: 'b' } } }] }, at: [`${A}.match[0].headers[x-a]`] },
  { row: '10.7', name: 'two headers on nginx', spec: { provider: 'nginx', ingressRef: { apiVersion: 'networking.k8s.io/v1', kind: 'Ingress', name: 'cart' } }, analysis: { ...BLUE_GREEN, match: [{ headers: { a: { exact: 'b' }, c: { exact: 'd' } } }] }, at: [`${A}.match`] },
  { row: '10.7', name: 'a match by path', analysis: { ...BLUE_GREEN, match: [{ ...HEADER[0], uri: { prefix: '/' } }] }, at: [`${A}.match[0].uri`] },
  { row: '10.8', name: 'session affinity on plain Kubernetes', spec: { provider: 'kubernetes' }, analysis: { sessionAffinity: { cookieName: 'c' } }, at: [`${A}.sessionAffinity`] },
  { row: '10.9', name: 'mirroring in an A/B test', analysis: { ...BLUE_GREEN, match: HEADER, mirror: true }, at: [`${A}.mirror`] },
  { row: '10.9', name: 'session affinity in Blue/Green', analysis: { ...BLUE_GREEN, sessionAffinity: { cookieName: 'c' } }, at: [`${A}.sessionAffinity`] },
  { row: '10.9', name: 'a cookie with a blank', analysis: { sessionAffinity: { cookieName: 'my cookie' } }, at: [`${A}.sessionAffinity.cookieName`] },
  { row: '10.10', name: 'nginx without its Ingress', spec: { provider: 'nginx' }, at: ['spec.ingressRef'] },
  { row: '10.10', name: 'skipper without its Ingress', spec: { provider: 'skipper' }, at: ['spec.ingressRef'] },
  { row: '10.10', name: 'apisix without its route', spec: { provider: 'apisix' }, at: ['spec.routeRef'] },
  { row: '10.10', name: 'the Gateway API without a Gateway', spec: { provider: 'gatewayapi:v1' }, at: ['spec.service.gatewayRefs'] },
  { row: '10.10', name: 'App Mesh without a mesh', spec: { provider: 'appmesh' }, at: ['spec.service.meshName'] },
  { row: '10.11', name: 'delegation with hosts', service: { delegation: true, hosts: ['a.example.org'], gateways: ['mesh'] }, at: ['spec.service.gateways', 'spec.service.hosts'] },
  { row: '10.12', name: 'a metric from nowhere', analysis: { metrics: [{ name: 'mine', interval: '1m', thresholdRange: { max: 1 } }] }, at: [`${A}.metrics[0]`] },
  { row: '10.12', name: 'a built-in metric with a template', analysis: metrics({ templateRef: { name: 'mine' } }), at: [`${A}.metrics[0]`] },
  { row: '10.12', name: 'a metric without a bound', analysis: metrics({ thresholdRange: undefined }), at: [`${A}.metrics[0].thresholdRange`] },
  { row: '10.12', name: 'a minimum above the maximum', analysis: { metrics: [{ ...TEMPLATED, interval: '1m', thresholdRange: { min: 5, max: 1 } }] }, at: [`${A}.metrics[0].thresholdRange`] },
  { row: '10.12', name: 'a duration in seconds', analysis: { metrics: [{ name: 'request-duration', interval: '1m', thresholdRange: { max: 0.5 } }] }, at: [`${A}.metrics[0].thresholdRange.max`] },
  { row: '10.12', name: 'a success rate above 100', analysis: metrics({ thresholdRange: { min: 990 } }), at: [`${A}.metrics[0].thresholdRange.min`] },
  { row: '10.12', name: 'a template without a window', analysis: { metrics: [TEMPLATED] }, at: [`${A}.metrics[0].interval`] },
  { row: '10.12', name: 'a template without its variable', analysis: { metrics: [{ ...TEMPLATED, interval: '1m' }] }, beside: [template(PROMETHEUS, 'up{job="{{ variables.job }}", pod=~"{{ target }}"}')], at: [`${A}.metrics[0].templateVariables`] },
  { row: '10.12', name: 'an inline query that is none', analysis: { metrics: [{ name: 'mine', interval: '1m', threshold: 1, query: 'sum(rate(x[1m])' }] }, at: [`${A}.metrics[0].query`] },
  { row: '10.15', name: 'a generated target', spec: { targetRef: { ...TARGET, name: 'cart-primary' } }, at: ['spec.targetRef.name'] },
  { row: '10.15', name: 'a target whose name is too long', spec: { targetRef: { ...TARGET, name: 'c'.repeat(60) } }, at: ['spec.targetRef.name'] },
  { row: '10.15', name: 'a DaemonSet that is not updated', spec: { targetRef: { ...TARGET, kind: 'DaemonSet' } }, beside: [{ apiVersion: 'apps/v1', kind: 'DaemonSet', metadata: { name: 'cart', namespace: 'shop' }, spec: { selector: { matchLabels: { app: 'cart' } }, updateStrategy: { type: 'OnDelete' }, template: { metadata: { labels: { app: 'cart' } }, spec: { containers: [] } } } }], at: ['spec.targetRef.name'] },
  { row: '10.18', name: 'a deadline that a pull does not fit into', spec: { progressDeadlineSeconds: 5 }, at: ['spec.progressDeadlineSeconds'], severity: 'warn' },
  { row: '10.21', name: 'an analysis that is skipped', spec: { skipAnalysis: true }, at: ['spec.skipAnalysis'], severity: 'warn' },
  { row: '10.21', name: 'nothing that is checked', analysis: { metrics: undefined }, at: [`${A}.metrics`], severity: 'warn' },
  { row: '10.22', name: 'an alert provider with two addresses', spec: {}, beside: [alertProvider({ type: 'slack', address: 'https://hooks.example.org/', secretRef: { name: 'a' } })], at: ['spec.address'] },
  { row: '10.22', name: 'an alert provider without an address', beside: [alertProvider({ type: 'slack' })], at: ['spec.secretRef'] },
  { row: '10.22', name: 'an alert provider whose address is no URL', beside: [alertProvider({ type: 'discord', address: 'hooks.example.org' })], at: ['spec.address'] },
  { row: '10.22', name: 'a template that does not parse', beside: [template(PROMETHEUS, 'up{pod=~"{{ target }"}')], at: ['spec.query'] },
  { row: '10.22', name: 'a template with an unknown word', beside: [template(PROMETHEUS, 'up{pod=~"{{ workload }}"}')], at: ['spec.query'] },
  { row: '10.22', name: 'a template without an address', beside: [template({ type: 'prometheus' })], at: ['spec.provider.address'] },
  { row: '10.22', name: 'a template without credentials', beside: [template({ type: 'datadog' }, 'sum:x{service:{{ target }}}')], at: ['spec.provider.secretRef'] },
  { row: '10.22', name: 'a template without a region', beside: [template({ type: 'cloudwatch' }, '[{"Id": "{{ target }}"}]')], at: ['spec.provider.region'] },
  { row: '10.22', name: 'a template for PromQL that is none', beside: [template(PROMETHEUS, 'sum(rate(x{pod=~"{{ target }}"}[{{ interval }}])')], at: ['spec.query'] },
]

async function linted(objects: readonly object[]): Promise<{ readonly code: number; readonly report: LintReport }> {
  let out = ''
  const code = await lintCommand(['-f', 'a.yaml', '-o', 'json'], {
    readText: () => objects.map((object) => JSON.stringify(object)).join('\n---\n'), listFiles: (path) => [path],
    out: (text) => { out += text }, err: (text) => { throw new Error(text) }, now: () => 0, providers: capabilities,
  })
  return { code, report: JSON.parse(out) as LintReport }
}

test('the settings that the rows start from are denied nothing', async (t) => {
  const { code, report } = await linted([canary({})])
  t.equal(code, 0)
  t.strictSame(report.findings.map(({ rule, severity }) => `${rule}: ${severity}`), ['no-alerts: warn', 'provider-supported: warn', 'revert-on-deletion: audit'])
})

for (const { row, name, at, severity, beside = [], ...more } of rows) {
  test(`${row}: ${name}`, async (t) => {
    const { code, report } = await linted([canary(more), ...beside])
    const denied = [...new Set(report.findings.filter((one) => one.severity === 'deny').map(({ field }) => field))]
    const warned = report.findings.filter((one) => one.severity === 'warn').map(({ field }) => field)
    t.equal(code, severity === 'warn' ? 0 : 1)
    if (severity === 'warn') {
      t.strictSame(denied, [])
      for (const field of at) t.ok(warned.includes(field), warned.join(', '))
    } else t.strictSame(denied, at)
    for (const { fix, message } of report.findings) t.notMatch(`${message} ${fix}`, /undefined|NaN|\[object|could not look/)
  })
}

test('every row of the contract that a file can show is here', async (t) => {
  const shown = new Set(rows.flatMap(({ row }) => row.split(' ')))
  // A cluster or its settings decide: namespaces across (1.8.15, 10.20), names that may not change any more (1.8.17, 10.19), an
  // autoscaler that is there (10.17).
  const elsewhere = ['1.8.15', '1.8.17', '10.17', '10.19', '10.20']
  const all = [...Array.from({ length: 22 }, (_, i) => `10.${i + 1}`), ...Array.from({ length: 20 }, (_, i) => `1.8.${i + 1}`)]
  t.strictSame(all.filter((row) => !shown.has(row) && !elsewhere.includes(row)), [])
  t.comment(`${rows.length} unsafe settings over ${shown.size} rows`)
})
