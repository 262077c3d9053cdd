import { test } from 'tap'
import type { CanaryService } from '#api/canary.ts'
import type { KubeObject, Service } from '#api/objects.ts'
import { servingOf, type Serving } from '#api/selectors.ts'
import { renderApex, renderServices } from '#workload/services.ts'
import { canaryOf, inCluster, objectOf, targetOf, templateOf } from './fixtures.ts'

const ROLE = 'canarygate.dev/role'
const SELECTOR = { app: 'shop', tier: 'fe' }
const serviceOf = (selector: Readonly<Record<string, string>>, spec: Readonly<Record<string, unknown>> = {}, metadata: Partial<KubeObject['metadata']> = {}): Service =>
  objectOf('v1', 'Service', 'shop', { spec: { selector, ...spec } }, metadata) as Service
const flaggerPrimary = targetOf({ metadata: { name: 'shop-primary' }, spec: { selector: { matchLabels: { app: 'shop-primary' } } } })

test('two Services, one a role, owned by the Canary and found again by their role', async (t) => {
  const services = renderServices(canaryOf(), targetOf(), inCluster())
  t.match(services, [
    { metadata: { name: 'shop-primary', labels: { app: 'shop-primary', [ROLE]: 'primary' } }, spec: { selector: { ...SELECTOR, [ROLE]: 'primary' } } },
    { metadata: { name: 'shop-canary', labels: { app: 'shop-canary', [ROLE]: 'canary' } }, spec: { selector: { ...SELECTOR, [ROLE]: 'canary' } } },
  ])
  for (const { metadata, spec } of services) {
    t.equal(metadata.ownerReferences?.[0]?.uid, 'canary-uid')
    t.same(metadata.annotations, { 'kustomize.toolkit.fluxcd.io/reconcile': 'disabled', 'helm.toolkit.fluxcd.io/driftDetection': 'disabled' })
    t.same(spec.ports, [{ name: 'http', port: 80, targetPort: 8080, protocol: 'TCP' }])
  }
})

const portCases: readonly { name: string; service: CanaryService; apex?: Service; ports: readonly unknown[] }[] = [
  { name: 'the target port defaults to the port', service: { port: 80 }, ports: [{ name: 'http', port: 80, targetPort: 80, protocol: 'TCP' }] },
  {
    name: 'port discovery adds every other container port, but no sidecar\'s', service: { port: 80, targetPort: 'web', portDiscovery: true },
    ports: [
      { name: 'http', port: 80, targetPort: 'web', protocol: 'TCP' }, { name: 'tcp-app-1', port: 9090, targetPort: 9090, protocol: 'TCP' },
      { name: 'grpc', port: 9091, targetPort: 9091, protocol: 'TCP' },
    ],
  },
  {
    name: 'the user\'s Service says what the Canary leaves out, and keeps its other ports reachable by role', service: { port: 80 },
    apex: serviceOf(SELECTOR, { ports: [{ name: 'web', port: 80, targetPort: 'web', nodePort: 30080 }, { name: 'metrics', port: 9090, targetPort: 9090, nodePort: 30090 }] }),
    ports: [{ name: 'web', port: 80, targetPort: 'web', protocol: 'TCP' }, { name: 'metrics', port: 9090, targetPort: 9090 }],
  },
  { name: 'name and protocol as asked', service: { port: 80, portName: 'grpc', appProtocol: 'grpc' }, ports: [{ name: 'grpc', port: 80, targetPort: 80, protocol: 'TCP', appProtocol: 'grpc' }] },
]
for (const { name, service, apex, ports } of portCases) {
  test(name, async (t) => {
    const template = templateOf('shop:1')
    const containers = [
      { name: 'app', ports: [{ containerPort: 8080, name: 'web' }, { containerPort: 9090 }] }, { name: 'side', ports: [{ containerPort: 9091, name: 'grpc' }] },
      { name: 'istio-proxy', ports: [{ containerPort: 15090 }] },
    ]
    const target = targetOf({ spec: { template: { ...template, spec: { containers } } } })
    for (const { spec } of renderServices(canaryOf({ service }), target, inCluster(...(apex ? [apex] : [])))) t.same(spec.ports, ports)
  })
}

test('metadata, headless and traffic distribution as the Canary asks', async (t) => {
  const canary = canaryOf({ service: { port: 80, headless: true, trafficDistribution: 'PreferClose', canary: { labels: { a: 'b' }, annotations: { c: 'd' } } } })
  const [primary, second] = renderServices(canary, targetOf(), inCluster())
  t.match(second, { metadata: { labels: { a: 'b' }, annotations: { c: 'd' } }, spec: { clusterIP: 'None', trafficDistribution: 'PreferClose' } })
  t.notOk(primary?.metadata.labels?.['a'])
})

test('behind a primary that Flagger made, its own label selects it', async (t) => {
  const [primary, canary] = renderServices(canaryOf(), targetOf(), inCluster(flaggerPrimary))
  t.same(primary?.spec.selector, { app: 'shop-primary' })
  t.same(canary?.spec.selector, { ...SELECTOR, [ROLE]: 'canary' })
})

const apexCases: readonly { name: string; apex?: Service; existing?: KubeObject; selectors: Record<Serving, Readonly<Record<string, string>>> }[] = [
  {
    name: 'a missing apex is made from the target\'s selector',
    selectors: {
      target: SELECTOR, primary: { ...SELECTOR, [ROLE]: 'primary' }, canary: { ...SELECTOR, [ROLE]: 'canary' }, both: { ...SELECTOR, 'canarygate.dev/target': 'shop' },
    },
  },
  {
    name: 'the user\'s narrower selector comes back, whatever it is now', apex: serviceOf({ app: 'shop', [ROLE]: 'canary' }),
    selectors: { target: { app: 'shop' }, primary: { app: 'shop', [ROLE]: 'primary' }, canary: { app: 'shop', [ROLE]: 'canary' }, both: { app: 'shop', 'canarygate.dev/target': 'shop' } },
  },
  {
    name: 'an apex that Flagger pointed at its primary', apex: serviceOf({ app: 'shop-primary' }), existing: flaggerPrimary,
    selectors: { target: { app: 'shop' }, primary: { app: 'shop-primary' }, canary: { app: 'shop', [ROLE]: 'canary' }, both: { 'canarygate.dev/target': 'shop' } },
  },
]
for (const { name, apex, existing, selectors } of apexCases) {
  test(`${name}: what is written reads back`, async (t) => {
    for (const [serving, selector] of Object.entries(selectors) as [Serving, Readonly<Record<string, string>>][]) {
      const rendered = renderApex(canaryOf(), targetOf(), inCluster(...(existing ? [existing] : [])), apex, serving)
      t.same(rendered.spec.selector, selector, serving)
      t.equal(servingOf(rendered, targetOf()), serving)
      const back = renderApex(canaryOf(), targetOf(), inCluster(...(existing ? [existing] : [])), rendered, 'target')
      t.equal(servingOf(back, targetOf()), 'target', 'and back')
      // A selector of our label alone (a Flagger-made primary, both roles) no longer says how narrow it was.
      if (!existing) t.same(back.spec.selector, selectors.target)
    }
  })
}

test('of the user\'s apex only the selector is ours', async (t) => {
  const apex = serviceOf(SELECTOR, { ports: [{ port: 80 }], type: 'LoadBalancer', sessionAffinity: 'ClientIP' }, { uid: 'u', labels: { a: 'b' } })
  t.same(renderApex(canaryOf(), targetOf(), inCluster(), apex, 'primary'), {
    apiVersion: 'v1', kind: 'Service', metadata: { name: 'shop', namespace: 'prod', uid: 'u' }, spec: { selector: { ...SELECTOR, [ROLE]: 'primary' } },
  })
})

test('an apex of ours is owned while it serves the primary, and outlives the Canary when it serves the target', async (t) => {
  const made = renderApex(canaryOf(), targetOf(), inCluster(), undefined, 'primary')
  t.equal(made.metadata.ownerReferences?.[0]?.uid, 'canary-uid')
  const released = renderApex(canaryOf(), targetOf(), inCluster(), made, 'target')
  t.same(released.metadata.ownerReferences, [])
  t.same(released.spec.ports, made.spec.ports)
})

const servingCases: readonly { name: string; selector: Readonly<Record<string, string>> | undefined; serving: string }[] = [
  { name: 'no Service', selector: undefined, serving: 'missing' },
  { name: 'no selector', selector: {}, serving: 'foreign' },
  { name: 'somebody else\'s pods', selector: { app: 'cart' }, serving: 'foreign' },
  { name: 'both roles of another target', selector: { 'canarygate.dev/target': 'cart' }, serving: 'foreign' },
  { name: 'a part of the pods\' labels', selector: { tier: 'fe' }, serving: 'target' },
]
for (const { name, selector, serving } of servingCases) {
  test(`an apex with ${name} is ${serving}`, async (t) => t.equal(servingOf(selector && serviceOf(selector), targetOf()), serving))
}
