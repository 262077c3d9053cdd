import { readFile } from 'node:fs/promises'
import { parser } from '@prometheus-io/lezer-promql'
import { test } from 'tap'
import type { Canary } from '#api/canary.ts'
import type { Caches } from '#agent/caches.ts'
import { createTelemetry } from '#agent/telemetry.ts'
import { createMeters } from '#loadtest/meters.ts'
import { expressions, rules } from './expressions.ts'
import { canary } from '../agent/world.ts'

/** Dashboard and alerts ask for what is there. That Prometheus itself reads them is tested on the cluster. */

/** Of users' own workloads, and of the API server. */
const FOREIGN: Exported = new Map([
  ['http_requests_total', ['status', 'pod', 'namespace']],
  ['apiserver_admission_webhook_fail_open_count', ['name', 'type']],
])
/** Of the webhook's page, which needs a server: test/admission/server.test.ts has the lines. */
const ADMISSION_LABELS: Readonly<Record<string, readonly string[]>> = {
  canarygate_admission_reviews_total: ['hook', 'outcome'], canarygate_admission_findings_total: ['rule', 'severity'],
  canarygate_policy_findings_total: ['namespace', 'rule', 'severity'], canarygate_admission_review_duration_seconds: ['hook'],
}
/** Prometheus adds them to whatever it scrapes. */
const TARGET_LABELS = ['job', 'instance', 'pod', 'namespace']

/** Labels by metric, those of histograms by their parts. */
type Exported = ReadonlyMap<string, readonly string[]>

async function exported(): Promise<Exported> {
  const one: Canary = { ...canary({ name: 'cart' }), status: { phase: 'Progressing', gate: { changedAt: '2026-01-01T00:00:00Z' } } }
  const agent = createTelemetry({
    caches: () => ({ canaries: () => [one], canary: () => one }) as unknown as Caches, queue: () => undefined, isLeader: () => true, leads: () => true,
    usage: () => ({ residentBytes: 1, cpuSeconds: 1, eventLoopSeconds: 1, startedAt: 1 }), version: '1', defaultProvider: 'kubernetes',
  })
  agent.onChecked(one, [{ name: 'latency', measurement: { kind: 'value', value: 1 } }], 1)
  agent.onRequest({ verb: 'GET', resource: 'pods', status: 200, seconds: 1 })
  const tester = createMeters()
  tester.request({ name: 'cart', namespace: 'shop' }, 200, 1)
  tester.command('cmd', 'done')
  const found = new Map<string, readonly string[]>()
  for (const page of [agent.render(), tester.render({ running: 0, waiting: 0, openGates: 0 })]) {
    for (const [, name = '', labels = ''] of page.matchAll(/^([a-z_]+)(?:\{(.*)\})? \S+$/gm)) found.set(name, [...labels.matchAll(/(\w+)="/g)].map(([, label = '']) => label))
  }
  for (const [, name = ''] of (await readFile('src/admission/server.ts', 'utf8')).matchAll(/'(canarygate_\w+)'/g)) {
    const labels = ADMISSION_LABELS[name] ?? []
    if (!name.endsWith('_duration_seconds')) found.set(name, labels)
    else for (const part of ['bucket', 'sum', 'count']) found.set(`${name}_${part}`, part === 'bucket' ? [...labels, 'le'] : labels)
  }
  return new Map([...found, ...FOREIGN])
}

/** The metrics that a query asks for, each with the labels that it is matched by, and the labels that it is grouped by or joined on. */
function asksOf(query: string): { readonly metrics: readonly { readonly name: string; readonly labels: readonly string[] }[]; readonly grouping: readonly string[] } {
  const metrics: { name: string; labels: string[] }[] = []
  const grouping: string[] = []
  parser.parse(query).iterate({ enter: ({ name, from, to, node }) => {
    const text = query.slice(from, to)
    if (name === 'Identifier' && node.parent?.name === 'VectorSelector') metrics.push({ name: text, labels: [] })
    if (name !== 'LabelName') return
    if (node.parent?.name === 'GroupingLabels') grouping.push(text)
    else metrics.at(-1)?.labels.push(text)
  } })
  return { metrics, grouping }
}

test('every expression is PromQL, and asks for metrics that are exported', async (t) => {
  const known = await exported()
  const all = await expressions()
  t.ok(all.length > 30)
  for (const { where, text } of all) {
    let faultAt: number | undefined
    parser.parse(text).iterate({ enter: (node) => { if (node.type.isError) faultAt ??= node.from } })
    t.equal(faultAt, undefined, where)
    const { metrics, grouping } = asksOf(text)
    t.ok(metrics.length > 0, where)
    t.same(metrics.map(({ name }) => name).filter((name) => !known.has(name)), [], where)
    for (const { name, labels } of metrics) t.same(labels.filter((label) => ![...known.get(name) ?? [], ...TARGET_LABELS].includes(label)), [], `${where}: labels of ${name}`)
    const all = [...metrics.flatMap(({ name }) => known.get(name) ?? []), ...TARGET_LABELS]
    t.same(grouping.filter((label) => !all.includes(label)), [], `${where}: grouping`)
  }
})

test('an expression with a fault, and a metric that nobody exports, are seen', async (t) => {
  const known = await exported()
  const { metrics, grouping } = asksOf('sum by (colour) (rate(canarygate_nothing_total{outcome="x"}[5m])) / flagger_canary_status')
  t.same(metrics.map(({ name }) => name).filter((name) => !known.has(name)), ['canarygate_nothing_total'])
  t.same([metrics[0]?.labels, grouping], [['outcome'], ['colour']])
})

test('every alert says in words what is the matter, and its labels are those of its query', async (t) => {
  for (const { alert, expr, annotations } of await rules()) {
    t.ok((annotations['summary'] ?? '').length > 20, alert)
    t.ok((annotations['description'] ?? '').length > 40, `${alert} says what to do`)
    const used = [...Object.values(annotations).join(' ').matchAll(/\$labels\.(\w+)/g)].map(([, label = '']) => label)
    const [, grouped] = /^(?:sum|max|min) by \(([^)]*)\)/.exec(expr) ?? []
    if (grouped !== undefined) t.same(used.filter((label) => !grouped.split(/,\s*/).includes(label)), [], alert)
    else if (/^\(?(?:sum|max|min|histogram_quantile)\(/.test(expr)) t.same(used, [], `${alert} has no labels left`)
  }
})
