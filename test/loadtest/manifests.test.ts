import { readFileSync } from 'node:fs'
import { test } from 'tap'
import { parse, parseAllDocuments } from 'yaml'

/** What is installed beside the product: alerts and panels in order, and a pod that may do nothing else. Their queries: test/manifests. */

type Rule = { readonly alert: string; readonly expr: string; readonly for?: string; readonly labels: { readonly severity: string }; readonly annotations: { readonly summary: string } }
type Panel = { readonly title: string; readonly id: number; readonly type: string; readonly gridPos: { x: number; y: number; w: number; h: number }; readonly targets?: readonly { readonly expr: string }[] }

const { spec } = parse(readFileSync('manifests/telemetry/prometheus-rule.yaml', 'utf8')) as { spec: { groups: readonly { name: string; rules: readonly Rule[] }[] } }
const rules = spec.groups.flatMap((group) => group.rules)
const dashboard = JSON.parse(readFileSync('manifests/telemetry/dashboard.json', 'utf8')) as { panels: readonly Panel[] }

test('every alert has a severity, a summary and a name of its own', async (t) => {
  for (const { labels, annotations } of rules) {
    t.match(labels.severity, /^(?:critical|warning)$/)
    t.ok(annotations.summary.length > 0)
  }
  t.equal(new Set(rules.map(({ alert }) => alert)).size, rules.length)
})

test('panels have ids of their own and do not overlap', async (t) => {
  const panels = dashboard.panels
  t.equal(new Set(panels.map(({ id }) => id)).size, panels.length)
  const overlapping = panels.flatMap((a, index) => panels.slice(index + 1).filter((b) =>
    a.gridPos.x < b.gridPos.x + b.gridPos.w && b.gridPos.x < a.gridPos.x + a.gridPos.w && a.gridPos.y < b.gridPos.y + b.gridPos.h && b.gridPos.y < a.gridPos.y + a.gridPos.h,
  ).map((b) => `${a.title} and ${b.title}`))
  t.same(overlapping, [])
})

test('the load tester runs as nobody, writes nothing, and has no word with the API server', async (t) => {
  const [document] = parseAllDocuments(readFileSync('manifests/loadtester/deployment.yaml', 'utf8'))
  t.match(document?.toJS(), {
    metadata: { name: 'flagger-loadtester' },
    spec: { replicas: 1, template: { spec: {
      automountServiceAccountToken: false, securityContext: { runAsNonRoot: true, seccompProfile: { type: 'RuntimeDefault' } },
      containers: [{ args: ['loadtest'], securityContext: { readOnlyRootFilesystem: true, allowPrivilegeEscalation: false, capabilities: { drop: ['ALL'] } } }],
    } } },
  })
})
