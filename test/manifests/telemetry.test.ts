import { readFile } from 'node:fs/promises'
import { parser } from '@prometheus-io/lezer-promql'
import { test } from 'tap'
import type { Caches } from '#agent/caches.ts'
import { createTelemetry } from '#agent/telemetry.ts'
import { createMeters } from '#loadtest/meters.ts'
import { expressions, rules } from './expressions.ts'
import { canary } from '../agent/world.ts'

/** Dashboard and alerts ask for what is there. That Prometheus itself reads them is tested on the cluster. */

/** Of users' own workloads. */
const FOREIGN = ['http_requests_total']

async function exported(): Promise<Set<string>> {
  const one = canary({ name: 'cart' })
  const agent = createTelemetry({ caches: () => ({ canaries: () => [one] }) as unknown as Caches, queue: () => undefined, isLeader: () => true, usage: () => ({ residentBytes: 1, cpuSeconds: 1 }) })
  const pages = [agent.render(), createMeters().render({ running: 0, waiting: 0, openGates: 0 })]
  const types = pages.flatMap((page) => [...page.matchAll(/^# TYPE (\S+) (\S+)$/gm)].map(([, name = '', type]) => ({ name, type })))
  // The webhook's page needs a server; its names stand in one file.
  const admission = [...(await readFile('src/admission/server.ts', 'utf8')).matchAll(/'(canarygate_\w+)'/g)].map(([, name = '']) => ({ name, type: name.endsWith('_duration_seconds') ? 'histogram' : 'other' }))
  return new Set([...types, ...admission].flatMap(({ name, type }) => (type === 'histogram' ? ['bucket', 'sum', 'count'].map((part) => `${name}_${part}`) : [name])))
}

function metricsOf(query: string): string[] {
  const names: string[] = []
  parser.parse(query).iterate({ enter: (node) => { if (node.name === 'Identifier' && node.node.parent?.name === 'VectorSelector') names.push(query.slice(node.from, node.to)) } })
  return names
}

test('every expression is PromQL, and asks for metrics that are exported', async (t) => {
  const known = await exported()
  const all = await expressions()
  t.ok(all.length > 30)
  for (const { where, text } of all) {
    let faultAt: number | undefined
    parser.parse(text).iterate({ enter: (node) => { if (node.type.isError) faultAt ??= node.from } })
    t.equal(faultAt, undefined, where)
    const names = metricsOf(text)
    t.ok(names.length > 0, where)
    t.same(names.filter((name) => !known.has(name) && !FOREIGN.includes(name)), [], where)
  }
})

test('an expression with a fault, and a metric that nobody exports, are seen', async (t) => {
  const known = await exported()
  t.same(metricsOf('sum(rate(canarygate_nothing_total[5m])) / flagger_canary_status').filter((name) => !known.has(name)), ['canarygate_nothing_total'])
})

test('every alert says in words what is the matter, and its labels are those of its query', async (t) => {
  for (const { alert, expr, annotations } of await rules()) {
    t.ok((annotations['summary'] ?? '').length > 20, alert)
    const used = [...Object.values(annotations).join(' ').matchAll(/\$labels\.(\w+)/g)].map(([, label = '']) => label)
    const [, grouped] = /^(?:sum|max|min) by \(([^)]*)\)/.exec(expr) ?? []
    if (grouped !== undefined) t.same(used.filter((label) => !grouped.split(/,\s*/).includes(label)), [], alert)
    else if (/^\(?(?:sum|max|min|histogram_quantile)\(/.test(expr)) t.same(used, [], `${alert} has no labels left`)
  }
})
