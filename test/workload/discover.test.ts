import { test } from 'tap'
import type { KubeObject } from '#api/objects.ts'
import { defaultCanary, discover } from '#workload/discover.ts'
import { inCluster, objectOf, targetOf } from './fixtures.ts'

const service = (name: string, selector: Readonly<Record<string, string>>, spec: Readonly<Record<string, unknown>> = {}): KubeObject =>
  objectOf('v1', 'Service', name, { spec: { selector, ports: [{ name: 'metrics', port: 9090 }, { name: 'http', port: 80, targetPort: 8080 }], ...spec } })
const shop = service('shop', { app: 'shop' })
const ingressRoute = objectOf('traefik.io/v1alpha1', 'IngressRoute', 'web', { spec: { routes: [{ services: [{ name: 'shop', port: 80 }] }] } })
const httpRoute = objectOf('gateway.networking.k8s.io/v1', 'HTTPRoute', 'edge', { spec: { rules: [{ backendRefs: [{ kind: 'Service', name: 'shop' }] }] } })
const ingress = objectOf('networking.k8s.io/v1', 'Ingress', 'ing', { spec: { rules: [{ http: { paths: [{ backend: { service: { name: 'shop' } } }] } }] } })
const rest = { found: true, service: 'shop', port: 80, targetPort: 8080 }

const cases: readonly { name: string; objects: readonly KubeObject[]; wants: unknown }[] = [
  { name: 'a Service alone splits by pod counts', objects: [shop], wants: { ...rest, provider: 'kubernetes', reason: /no IngressRoute, HTTPRoute or Ingress names Service shop/ } },
  { name: 'an IngressRoute means Traefik', objects: [shop, ingressRoute], wants: { ...rest, provider: 'traefik', reason: 'IngressRoute web routes to Service shop' } },
  { name: 'an HTTPRoute means Gateway API', objects: [shop, httpRoute], wants: { ...rest, provider: 'gatewayapi:v1' } },
  { name: 'an Ingress goes on naming the apex', objects: [shop, ingress], wants: { ...rest, provider: 'kubernetes', reason: /Ingress ing routes to Service shop/ } },
  { name: 'of several Services the routed one counts', objects: [service('front', { app: 'shop' }), service('other', { tier: 'fe' }), ingressRoute, shop], wants: { service: 'shop', provider: 'traefik' } },
  { name: 'of several the one with the target\'s name', objects: [service('admin', { app: 'shop' }), shop], wants: { service: 'shop' } },
  { name: 'a headless one only if there is no other', objects: [service('peers', { app: 'shop' }, { clusterIP: 'None' }), service('front', { app: 'shop' })], wants: { service: 'front' } },
  { name: 'several and no clue', objects: [service('a', { app: 'shop' }), service('b', { app: 'shop' })], wants: { found: false, reason: /Services a, b all select/ } },
  { name: 'none', objects: [service('cart', { app: 'cart' })], wants: { found: false, reason: 'no Service in namespace prod selects the pods of Deployment shop' } },
  {
    name: 'a Service shared with another workload is not taken from it', objects: [shop, { ...targetOf(), metadata: { name: 'shop-v2', namespace: 'prod' } }],
    wants: { found: false, reason: /also selects the pods of Deployment shop-v2/ },
  },
  { name: 'no port', objects: [service('shop', { app: 'shop' }, { ports: [{ port: 53, protocol: 'UDP' }] })], wants: { found: false, reason: 'Service shop has no TCP port' } },
]
for (const { name, objects, wants } of cases) test(`discover: ${name}`, async (t) => t.match(discover(targetOf(), inCluster(targetOf(), ...objects)), wants))

test('the Canary that stands for a gated namespace', async (t) => {
  const found = discover(targetOf(), inCluster(shop, ingressRoute))
  if (!found.found) return t.fail('not found')
  t.match(defaultCanary(targetOf(), found, { analysis: { interval: '1m', threshold: 3, stepWeight: 10 }, gate: { atMaxWeight: 'wait' } }), {
    apiVersion: 'flagger.app/v1beta1', kind: 'Canary', metadata: { name: 'shop', namespace: 'prod' },
    spec: {
      provider: 'traefik', targetRef: { apiVersion: 'apps/v1', kind: 'Deployment', name: 'shop' }, service: { name: 'shop', port: 80, targetPort: 8080 },
      analysis: { interval: '1m', threshold: 3, stepWeight: 10 }, gate: { atMaxWeight: 'wait', generated: true },
    },
  })
})
