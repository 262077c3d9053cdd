import { readFile } from 'node:fs/promises'
import { setTimeout as sleep } from 'node:timers/promises'
import { test } from 'tap'
import type { Canary } from '#api/canary.ts'
import { FIELD_MANAGER } from '#api/names.ts'
import { objectKey, type KubeObject, type ObjectReader } from '#api/objects.ts'
import { routesTo } from '#api/routes.ts'
import { createKubeClient, type KubeClient } from '#kube/client.ts'
import { isConflict } from '#kube/error.ts'
import { loadClusterConfig } from '#kube/config.ts'
import type { TrafficProvider } from '#traffic/provider.ts'
import { TRAFFIC_PROVIDERS } from '#traffic/registry.ts'
import { canaryOf, deployment, object, service } from './cluster.ts'

/** The same promises on a real API server, whose defaults, ownership of fields and validation no double knows. */

const CLUSTER_FILE = new URL('../../.cluster/cluster.json', import.meta.url)
const kubeconfig = await readFile(CLUSTER_FILE, 'utf8').then((text) => (JSON.parse(text) as { kubeconfig?: string }).kubeconfig, () => undefined)
const skip = kubeconfig === undefined ? 'no cluster is up: make cluster-up' : false

/** What a Gateway's controller needs to accept a change; measured 1.5 s at most. */
const ACCEPTED_WITHIN_MS = 10_000
const POLL_MS = 50
const ATTEMPTS = 5

type World = { readonly client: KubeClient; readonly namespace: string; readonly canary: Canary; look(): Promise<ObjectReader>; apply(render: (objects: ObjectReader) => readonly KubeObject[]): Promise<void> }

const KINDS = [
  { apiVersion: 'v1', kind: 'Service' }, { apiVersion: 'apps/v1', kind: 'Deployment' }, { apiVersion: 'traefik.io/v1alpha1', kind: 'IngressRoute' },
  { apiVersion: 'traefik.io/v1alpha1', kind: 'TraefikService' }, { apiVersion: 'gateway.networking.k8s.io/v1', kind: 'HTTPRoute' },
  { apiVersion: 'gateway.networking.k8s.io/v1beta1', kind: 'HTTPRoute' },
]

/** A namespace of its own, and a ConfigMap in the Canary's place: no agent that may run here takes it for work. */
async function world(client: KubeClient, name: string, spec: Parameters<typeof canaryOf>[0]): Promise<World> {
  const namespace = `traffic-${process.pid}-${name}`
  await client.create({ apiVersion: 'v1', kind: 'Namespace', metadata: { name: namespace } })
  const owner = await client.create({ apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'shop', namespace } })
  const canary: Canary = { ...canaryOf(spec), apiVersion: 'v1', kind: 'ConfigMap', metadata: owner.metadata }
  const own = (made: KubeObject): KubeObject => ({ ...made, metadata: { ...made.metadata, namespace } })
  const labels = { app: 'shop' }
  for (const made of [
    deployment('shop', labels), deployment('shop-primary', { ...labels, 'canarygate.dev/role': 'primary' }), service('shop', { ...labels, 'canarygate.dev/role': 'primary' }),
    service('shop-primary', labels), service('shop-canary', labels),
    object('gateway.networking.k8s.io/v1', 'Gateway', 'edge', { gatewayClassName: 'traefik', listeners: [{ name: 'web', port: 8000, protocol: 'HTTP' }] }),
  ]) {
    const { spec: fields } = own(made) as KubeObject & { readonly spec: Readonly<Record<string, unknown>> }
    await client.create({ ...own(made), spec: made.kind === 'Deployment' ? { ...fields, replicas: 0 } : fields })
  }
  async function look(): Promise<ObjectReader> {
    const found = new Map<string, readonly KubeObject[]>()
    for (const { apiVersion, kind } of KINDS) {
      const { items } = await client.list(apiVersion, kind, { namespace })
      found.set(`${apiVersion}/${kind}`, items.map((item) => ({ ...item, apiVersion, kind })))
    }
    const list = (apiVersion: string, kind: string) => found.get(`${apiVersion}/${kind}`) ?? []
    return { list, get: (ref) => list(ref.apiVersion, ref.kind).find(({ metadata }) => objectKey(metadata) === objectKey(ref)) }
  }
  /** A Gateway's controller writes the route's status at any moment: a conflict is looked at anew, as in the agent's next turn. */
  async function apply(render: (objects: ObjectReader) => readonly KubeObject[]): Promise<void> {
    for (let attempt = 1; ; attempt += 1) {
      try {
        for (const made of render(await look())) await client.apply(made, { fieldManager: FIELD_MANAGER, force: true })
        return
      } catch (err) {
        if (!isConflict(err) || attempt === ATTEMPTS) throw err
      }
    }
  }
  return { client, namespace, canary, look, apply }
}

const userRoute = ({ name }: TrafficProvider): KubeObject | undefined => {
  if (name === 'traefik') {
    return object('traefik.io/v1alpha1', 'IngressRoute', 'web', {
      entryPoints: ['web'], routes: [{ match: 'Host(`nobody.example`)', kind: 'Rule', middlewares: [{ name: 'gzip' }], services: [{ name: 'shop', port: 80 }, { name: 'cart', port: 80, weight: 2 }] }],
    })
  }
  if (!name.startsWith('gateway')) return undefined
  return object(`gateway.networking.k8s.io/${name.split(':')[1]}`, 'HTTPRoute', 'web', {
    parentRefs: [{ name: 'edge' }], hostnames: ['nobody.example'], rules: [{ backendRefs: [{ name: 'shop', port: 80 }], timeouts: { request: '5s' } }],
  })
}

const WEIGHTS = [0, 1, 37, 100, 0]

if (skip) test('traffic on a real API server', { skip }, async () => {})
else {
  const client = createKubeClient(await loadClusterConfig({ kubeconfig: kubeconfig ?? '', now: Date.now }), { userAgent: 'canarygate/traffic-test', qps: 200, burst: 200, now: Date.now, random: Math.random })
  const namespaces: string[] = []
  let count = 0
  for (const provider of TRAFFIC_PROVIDERS) {
    for (const start of ['own', 'user'] as const) {
      const route = userRoute(provider)
      if (start === 'user' && !route) continue
      test(`a real API server: ${provider.name}, ${start === 'own' ? 'objects of our own' : 'a route of the user\'s'}`, async (t) => {
        count += 1
        const own = { service: { gatewayRefs: [{ name: 'edge' }], hosts: ['shop.example.org'], timeout: '5s', headers: { request: { add: { a: 'b' } } }, rewrite: { uri: '/' } } }
        const { namespace, canary, look, apply } = await world(client, String(count), start === 'own' ? own : {})
        namespaces.push(namespace)
        if (start === 'user' && route) await client.create({ ...route, metadata: { ...route.metadata, namespace } }, { fieldManager: 'kubectl' })
        const spec = async () => route && (await client.get({ apiVersion: route.apiVersion, kind: route.kind, namespace, name: 'web' }))?.['spec']
        const before = await spec()
        for (const weight of WEIGHTS) {
          await apply((objects) => provider.render(canary, routesTo(weight), objects))
          t.same(provider.render(canary, routesTo(weight), await look()), [], `nothing to write at ${weight}`)
          // Whole pods have a weight only when there are some.
          if (provider.name === 'kubernetes' && weight % 100 !== 0) continue
          const until = Date.now() + ACCEPTED_WITHIN_MS
          let read = provider.read(canary, await look())
          while (!read && Date.now() < until) {
            await sleep(POLL_MS)
            read = provider.read(canary, await look())
          }
          t.same(read, routesTo(weight), `weight ${weight}`)
        }
        t.same(await spec(), before, 'at rest as its owner wrote it')

        await apply((objects) => provider.render(canary, routesTo(40), objects))
        await apply((objects) => provider.release(canary, objects))
        t.same(provider.release(canary, await look()), [], 'released once')
        const left = await look()
        for (const { apiVersion, kind } of provider.watches.filter((watched) => watched.apiVersion !== 'apps/v1' && KINDS.some(({ apiVersion: known }) => known === watched.apiVersion))) {
          for (const made of left.list(apiVersion, kind, namespace).filter(({ metadata }) => ['shop', 'web'].includes(metadata.name))) {
            t.notMatch(JSON.stringify(made['spec']), /shop-(primary|canary)/)
            t.same(made.metadata.ownerReferences ?? [], [])
          }
        }
      })
    }
  }

  test('a real API server: an object that its owner deleted is not made again', async (t) => {
    const provider = TRAFFIC_PROVIDERS.find(({ name }) => name === 'traefik')
    if (!provider) return t.fail('no traefik')
    const { namespace, canary, look, apply } = await world(client, 'gone', {})
    namespaces.push(namespace)
    const route = userRoute(provider)
    if (!route) return t.fail('no route')
    await client.create({ ...route, metadata: { ...route.metadata, namespace } })
    const seen = await look()
    await client.delete({ apiVersion: route.apiVersion, kind: route.kind, namespace, name: 'web' })
    await t.rejects(apply(() => provider.render(canary, routesTo(10), seen)), /uid|not found/i)
    t.equal(await client.get({ apiVersion: route.apiVersion, kind: route.kind, namespace, name: 'web' }), undefined)
  })

  test('afterwards', async () => {
    for (const namespace of namespaces) await client.delete({ apiVersion: 'v1', kind: 'Namespace', name: namespace })
    await client.close()
  })
}
