import { test } from 'tap'
import type { Service } from '#api/objects.ts'
import { routesTo } from '#api/routes.ts'
import { kubernetes } from '#traffic/kubernetes.ts'
import { canaryOf, createCluster, deployment, service } from './cluster.ts'

const labels = { app: 'shop' }
const role = (name: string) => ({ ...labels, 'canarygate.dev/role': name })
const clusterOf = (primary: number, canary: number, selector: Readonly<Record<string, string>>) => createCluster([
  deployment('shop', labels), deployment('shop-primary', role('primary'), { status: { readyReplicas: primary } }),
  deployment('shop-canary', role('canary'), { status: { readyReplicas: canary } }), service('shop', selector),
])
const both = { ...labels, 'canarygate.dev/target': 'shop' }

const reads = [
  { name: 'ready pods are the weight', primary: 3, canary: 1, selector: both, routes: routesTo(25) },
  { name: 'a lone canary pod among hundreds is not nothing', primary: 400, canary: 1, selector: both, routes: routesTo(1) },
  { name: 'nor all', primary: 1, canary: 400, selector: both, routes: routesTo(99) },
  { name: 'a canary without ready pods gets nothing', primary: 3, canary: 0, selector: both, routes: routesTo(0) },
  { name: 'no ready pods at all: nobody knows', primary: 0, canary: 0, selector: both, routes: undefined },
  { name: 'the canary alone, whatever pods there are', primary: 3, canary: 3, selector: role('canary'), routes: routesTo(100) },
  { name: 'somebody else\'s pods', primary: 3, canary: 3, selector: { app: 'cart' }, routes: undefined },
]
for (const { name, primary, canary, selector, routes } of reads) {
  test(`read: ${name}`, async (t) => t.same(kubernetes.read(canaryOf(), clusterOf(primary, canary, selector)), routes))
}

test('a selector that a tool put back is a difference, even if it has only a key less', async (t) => {
  const cluster = clusterOf(3, 0, labels)
  const [apex] = kubernetes.render(canaryOf(), routesTo(0), cluster)
  t.same((apex as Service).spec, { selector: role('primary') })
})

test('an apex of our own is rendered whole: what were left out would be removed', async (t) => {
  const cluster = clusterOf(3, 1, role('primary'))
  cluster.put({ ...service('shop', role('primary'), { clusterIP: '10.0.0.1', type: 'ClusterIP' }), metadata: { name: 'shop', namespace: 'prod', labels: { 'app.kubernetes.io/managed-by': 'canarygate' } } })
  const [apex] = kubernetes.render(canaryOf(), routesTo(25), cluster)
  t.match(apex?.['spec'], { selector: both, ports: [{ name: 'http', port: 80 }], type: 'ClusterIP' })
  t.notOk('clusterIP' in (apex as Service).spec)
  t.equal(apex?.metadata.ownerReferences?.[0]?.uid, 'canary-uid')
})
