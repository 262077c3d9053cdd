import type { Http } from '#api/http.ts'
import { test } from 'tap'
import type { CanaryMetric, CanarySpec } from '#api/canary.ts'
import type { Measurement } from '#api/measurement.ts'
import type { MetricTemplate } from '#api/metric-template.ts'
import type { Caches } from '#agent/caches.ts'
import { createMeasuring } from '#agent/measuring.ts'
import type { Vigil } from '#agent/vigil.ts'
import { NO_BOUNDS } from '#policy/reach.ts'
import type { Reach } from '#policy/rule.ts'
import type { Seen } from '#rollout/decision.ts'
import { createFakeKube } from '../fake-kube.ts'
import { createLogLines } from '../kube/log-lines.ts'
import { canary } from './world.ts'

const SERVER = 'http://prometheus.test'
const success: CanaryMetric = { name: 'request-success-rate', interval: '1m', thresholdRange: { min: 99 } }

const ENFORCED: Partial<CanarySpec> = { gate: { judge: { mode: 'enforce' } } }

type Scene = { readonly answer?: number | 'none' | 'down' | 'garbage'; readonly server?: 'none'; readonly templates?: Readonly<Record<string, MetricTemplate['spec']>>; readonly embedded?: Measurement; readonly primary?: Measurement; readonly badPod?: string; readonly spec?: Partial<CanarySpec>; readonly provider?: string; readonly reach?: Readonly<Record<string, Partial<Reach>>> }

async function measured(metrics: readonly CanaryMetric[], scene: Scene = {}) {
  const { measuring, object, provider, queries, lines } = made(metrics, scene)
  return { ...await measuring.measure(object, { name: 'cart', namespace: 'shop', spec: object.spec } as Seen, provider), queries, lines }
}

function made(metrics: readonly CanaryMetric[], { answer = 100, server, templates = {}, embedded, primary, badPod, spec = {}, provider = 'traefik', reach }: Scene = {}) {
  const queries: string[] = []
  const http: Http = async ({ url, privateOnly }) => {
    queries.push(`${new URL(url).origin} ${new URL(url).searchParams.get('query')}${privateOnly === undefined ? '' : ` (private only: ${privateOnly})`}`)
    if (answer === 'down') throw new Error('connect ECONNREFUSED')
    const result = answer === 'none' ? [] : [{ metric: {}, value: [0, String(answer)] }]
    return { status: 200, body: answer === 'garbage' ? '<html>' : JSON.stringify({ status: 'success', data: { resultType: 'vector', result } }) }
  }
  const object = canary({ spec, analysis: { metrics: [...metrics] } })
  const { lines, log } = createLogLines()
  const measuring = createMeasuring({
    reach: (namespace) => ({ ...NO_BOUNDS, ...reach?.[namespace] }), http, client: createFakeKube().client, metricsServer: server === 'none' ? undefined : SERVER, log, now: () => 0, wait: async () => {},
    caches: { metricTemplate: (namespace: string, name: string) => templates[`${namespace}/${name}`] && { spec: templates[`${namespace}/${name}`] } } as unknown as Caches,
    vigil: { measure: (_key: string, _metric: string, arm: string) => (arm === 'primary' ? primary : embedded), badPod: (_key: string, _seconds: number, slowerThanMs?: number) => badPod && `${badPod}${slowerThanMs === undefined ? '' : ` ${slowerThanMs}`}` } as unknown as Vigil,
  })
  return { measuring, object, provider, queries, lines }
}

const rows: readonly { readonly name: string; readonly metric: CanaryMetric; readonly scene?: Scene; readonly then: object; readonly query?: RegExp }[] = [
  { name: 'a value within its range passes', metric: success, then: { failure: undefined, halt: undefined, measurement: { kind: 'value', value: 100 } }, query: /traefik_service_request.*shop-cart-canary/ },
  { name: 'a value outside of it fails, in Flagger\'s words', metric: success, scene: { answer: 61.39 }, then: { failure: 'Halt cart.shop advancement success rate 61.39% < 99%' } },
  { name: 'no data fails', metric: success, scene: { answer: 'none' }, then: { failure: /no values found/, halt: undefined } },
  { name: 'a server that cannot be asked holds and fails nothing', metric: success, scene: { answer: 'down' }, then: { failure: undefined, halt: /ECONNREFUSED/ } },
  { name: 'an answer that is none holds', metric: success, scene: { answer: 'garbage' }, then: { failure: undefined, halt: /not one of a Prometheus query/ } },
  { name: 'an inline query is rendered and asked', metric: { name: 'errors', query: 'errors{pod=~"{{ target }}-.*"}[{{ interval }}]', thresholdRange: { max: 5 } }, scene: { answer: 9 }, then: { failure: /errors 9\.00 > 5/ }, query: /errors\{pod=~"cart-.*"\}\[1m\]/ },
  { name: 'the Canary\'s own server goes before the agent\'s', metric: success, scene: { spec: { metricsServer: 'http://own.test' } }, then: { failure: undefined }, query: /^http:\/\/own\.test / },
  { name: 'without a server the pods are asked', metric: success, scene: { server: 'none', embedded: { kind: 'value', value: 42 } }, then: { failure: /42\.00% < 99%/ } },
  { name: 'what the primary fails too holds and fails nothing', metric: success, scene: { server: 'none', embedded: { kind: 'value', value: 42 }, primary: { kind: 'value', value: 50 }, spec: ENFORCED }, then: { failure: undefined, inBothArms: /^Halt cart\.shop advancement success rate 42\.00% < 99%; the primary fails this check, too/ } },
  { name: 'with Flagger\'s verdicts it fails', metric: success, scene: { server: 'none', embedded: { kind: 'value', value: 42 }, primary: { kind: 'value', value: 50 } }, then: { failure: /42\.00% < 99%$/, inBothArms: undefined } },
  { name: 'a server is asked about the primary too', metric: success, scene: { answer: 42, spec: ENFORCED }, then: { failure: undefined, inBothArms: /the primary fails this check/ } },
  { name: 'what the primary passes fails', metric: success, scene: { server: 'none', embedded: { kind: 'value', value: 42 }, primary: { kind: 'value', value: 100 }, spec: ENFORCED }, then: { failure: /42\.00% < 99%$/, inBothArms: undefined } },
  { name: 'one bad pod is named', metric: success, scene: { server: 'none', embedded: { kind: 'value', value: 42 }, badPod: 'nearly all of it in pod x' }, then: { failure: /42\.00% < 99%; nearly all of it in pod x$/ } },
  { name: 'no data of the pods says why', metric: { name: 'request-duration', interval: '1m', thresholdRange: { max: 500 } }, scene: { server: 'none', embedded: { kind: 'no-data', reason: 'the pods have no histogram of request durations' } }, then: { failure: /is not receiving traffic: the pods have no histogram of request durations$/ } },
  { name: 'one slow pod is named by the bound', metric: { name: 'request-duration', interval: '1m', thresholdRange: { max: 500 } }, scene: { server: 'none', embedded: { kind: 'value', value: 900 }, badPod: 'nearly all of it in pod x' }, then: { failure: /900ms > 500ms; nearly all of it in pod x 500$/ } },
  { name: 'one pod that is too fast is nothing to name', metric: { name: 'request-duration', interval: '1m', thresholdRange: { min: 500 } }, scene: { server: 'none', embedded: { kind: 'value', value: 90 }, badPod: 'nearly all of it in pod x' }, then: { failure: /90ms < 500ms$/ } },
  { name: 'pods that have not been scraped yet hold', metric: success, scene: { server: 'none' }, then: { failure: undefined, halt: /not been scraped yet/ } },
  { name: 'an inline query without a server holds, and says what to set', metric: { name: 'errors', query: 'up' }, scene: { server: 'none' }, then: { halt: /set spec\.metricsServer/ } },
  { name: 'a template that is not there holds', metric: { name: 'x', templateRef: { name: 'gone' } }, then: { halt: /Metric template gone\.shop error: not found/ } },
  { name: 'a template of an unknown provider holds, with those that there are', metric: { name: 'x', templateRef: { name: 'odd' } }, scene: { templates: { 'shop/odd': { provider: { type: 'crystal-ball' as 'prometheus' }, query: 'up' } } }, then: { halt: /crystal-ball error: not supported; use one of .*prometheus/ } },
  { name: 'a template is asked at its own address', metric: { name: 'x', interval: '2m', templateRef: { name: 'mine', namespace: 'other' }, thresholdRange: { max: 1 } }, scene: { answer: 0.5, templates: { 'other/mine': { provider: { type: 'prometheus', address: 'http://mine.test' }, query: 'rate(x{ns="{{ namespace }}"}[{{ interval }}])' } as MetricTemplate['spec'] } }, then: { failure: undefined, halt: undefined }, query: /^http:\/\/mine\.test rate\(x\{ns="shop"\}\[2m\]\)$/ },
  { name: 'a template that cannot be rendered holds', metric: { name: 'x', templateRef: { name: 'broken' } }, scene: { templates: { 'shop/broken': { provider: { type: 'prometheus', address: SERVER }, query: '{{ nobody }}' } as MetricTemplate['spec'] } }, then: { halt: /query render error/ } },
]
for (const { name, metric, scene, then, query } of rows) test(name, async (t) => {
  const { metrics, queries } = await measured([metric], scene)
  t.match(metrics[0], then)
  if (query) t.match(queries[0], query)
})

const MINE = { 'platform/mine': { provider: { type: 'prometheus', address: 'https://prom.example.org' }, query: 'up' } } as const
const theirs: CanaryMetric = { name: 'x', interval: '2m', templateRef: { name: 'mine', namespace: 'platform' }, thresholdRange: { max: 100 } }
const reaches: typeof rows = [
  { name: 'a host that policies allow may have any address', metric: theirs, scene: { templates: MINE, reach: { shop: { metricHosts: [{ policy: 'base', names: ['*.example.org'] }] } } }, then: { halt: undefined }, query: /^https:\/\/prom\.example\.org up$/ },
  { name: 'one that they do not allow only a private one', metric: theirs, scene: { templates: MINE, reach: { shop: { metricHosts: [{ policy: 'base', names: ['api.datadoghq.com'] }] } } }, then: {}, query: /up \(private only: prom\.example\.org is not among the hosts outside that policy base allows/ },
  { name: 'the policies where the template is count as well', metric: theirs, scene: { templates: MINE, reach: { platform: { metricHosts: [{ policy: 'base', names: [] }] } } }, then: {}, query: /private only/ },
  { name: "a Canary's own metrics server, too", metric: success, scene: { spec: { metricsServer: 'https://own.example.org' }, reach: { shop: { metricHosts: [{ policy: 'base', names: [] }] } } }, then: {}, query: /private only/ },
  { name: "the agent's is its owner's choice", metric: success, scene: { reach: { shop: { metricHosts: [{ policy: 'base', names: [] }] } } }, then: {}, query: /\[1m\]\)\) \* 100$/ },
  { name: 'a template in a namespace that policies do not allow holds', metric: theirs, scene: { templates: MINE, reach: { shop: { namespaces: [{ policy: 'base', names: ['monitoring'] }] } } }, then: { failure: undefined, halt: /mine\.platform error: namespace platform is not among those that policy base lets Canaries of shop use/ } },
  { name: 'and in one that they allow is asked', metric: theirs, scene: { templates: MINE, reach: { shop: { namespaces: [{ policy: 'base', names: ['platform'] }] } } }, then: { halt: undefined } },
]
for (const { name, metric, scene, then, query } of reaches) test(`reach: ${name}`, async (t) => {
  const { metrics, queries } = await measured([metric], scene)
  t.match(metrics[0], then)
  if (query) t.match(queries[0], query)
})

const probes: readonly { readonly name: string; readonly scene: Scene; readonly gives: readonly object[] }[] = [
  { name: 'says what cannot be asked, and of which metric', scene: { templates: MINE, answer: 'down' }, gives: [{ metric: 'request-success-rate', reason: /ECONNREFUSED/ }, { metric: 'x', reason: /ECONNREFUSED/ }] },
  { name: 'says what is missing', scene: {}, gives: [{ metric: 'x', reason: /mine\.platform error: not found/ }] },
  { name: 'has nothing against no data, or a value out of bounds', scene: { templates: MINE, answer: 'none' }, gives: [] },
  { name: 'waits for no pods', scene: { templates: MINE, server: 'none' }, gives: [] },
]
for (const { name, scene, gives } of probes) test(`the probe ${name}`, async (t) => {
  const { measuring, object, provider } = made([success, theirs], scene)
  const found = await measuring.probe(object, provider)
  t.match(found, gives)
  t.equal(found.length, gives.length)
})

test('metrics are asked independently: one that fails keeps none from being judged', async (t) => {
  const { metrics } = await measured([success, { name: 'x', templateRef: { name: 'gone' } }, { name: 'request-duration', thresholdRange: { max: 500 } }])
  t.same(metrics.map(({ name, halt, failure }) => [name, halt !== undefined, failure !== undefined]), [['request-success-rate', false, false], ['x', true, false], ['request-duration', false, false]])
})

test('no metrics: nobody is asked, and nothing fails', async (t) => {
  const { metrics, queries } = await measured([])
  t.same([metrics, queries], [[], []])
})
