import { test } from 'tap'
import { createProxies, parseProxyAddresses, proxiesIn } from '#agent/proxies.ts'
import { SCRAPED_PROXIES, type ScrapedProxy } from '#metrics/proxy.ts'
import { createFakeKube } from '../fake-kube.ts'

const [TRAEFIK, ENVOY] = SCRAPED_PROXIES as readonly [ScrapedProxy, ScrapedProxy]

const rows = [
  { text: 'traefik/traefik:9100', gives: { namespace: 'traefik', service: 'traefik', port: 9100, path: '/metrics' } },
  { text: 'edge/proxy:8080/stats', gives: { namespace: 'edge', service: 'proxy', port: 8080, path: '/stats' } },
]
for (const { text, gives } of rows) test(`the address ${text}`, async (t) => { t.same(parseProxyAddresses(TRAEFIK, text), [gives]) })
for (const text of ['traefik:9100', 'traefik/traefik', 'http://traefik.traefik:9100', '', 'traefik/traefik:9100,']) {
  test(`no address: "${text}"`, async (t) => { t.throws(() => parseProxyAddresses(TRAEFIK, text), /TRAEFIK_METRICS: .* write it like traefik\/traefik:9100/) })
}

test('the environment says which proxies there are, several of a kind with commas between', async (t) => {
  t.same(proxiesIn({}), [])
  t.same(proxiesIn({ ENVOY_METRICS: 'projectcontour/envoy:8002, shop/public-istio:15020/stats/prometheus?usedonly', TRAEFIK_METRICS: '' }), [{
    proxy: ENVOY,
    addresses: [
      { namespace: 'projectcontour', service: 'envoy', port: 8002, path: '/stats/prometheus' },
      { namespace: 'shop', service: 'public-istio', port: 15020, path: '/stats/prometheus?usedonly' },
    ],
  }])
  t.throws(() => proxiesIn({ ENVOY_METRICS: 'envoy:8002' }), /ENVOY_METRICS: .* write it like projectcontour\/envoy:8002/)
})

test('the ready pods behind the Service, asked for at most every ten seconds', async (t) => {
  let at = 0
  const { client } = createFakeKube()
  const slice = (name: string, service: string, endpoints: readonly object[]) =>
    client.create({ apiVersion: 'discovery.k8s.io/v1', kind: 'EndpointSlice', metadata: { name, namespace: 'traefik', labels: { 'kubernetes.io/service-name': service } }, addressType: 'IPv4', endpoints, ports: [] } as never)
  await slice('a', 'traefik', [{ addresses: ['10.0.0.9'], conditions: { ready: true }, targetRef: { kind: 'Pod', name: 'traefik-1' } }, { addresses: ['10.0.0.10'], conditions: { ready: false } }])
  await slice('b', 'other', [{ addresses: ['10.0.0.11'] }])
  const proxies = createProxies({ proxy: TRAEFIK, addresses: parseProxyAddresses(TRAEFIK, 'traefik/traefik:9100') }, client, () => at)
  t.match(await proxies.pods(), [{ name: 'traefik-1', ip: '10.0.0.9', port: 9100, path: '/metrics', ready: true }])
  t.equal((await proxies.pods()).length, 1)
  await slice('c', 'traefik', [{ addresses: ['10.0.0.12'] }])
  t.equal((await proxies.pods()).length, 1, 'remembered')
  at = 10_000
  t.equal((await proxies.pods()).length, 2)
})

test('of two families of addresses, and of two Services, each pod is asked once', async (t) => {
  const { client } = createFakeKube()
  const slice = (name: string, service: string, addressType: string, ip: string, pod: string) => client.create({
    apiVersion: 'discovery.k8s.io/v1', kind: 'EndpointSlice', metadata: { name, namespace: 'edge', labels: { 'kubernetes.io/service-name': service } },
    addressType, endpoints: [{ addresses: [ip], conditions: { ready: true }, targetRef: { kind: 'Pod', name: pod } }], ports: [],
  } as never)
  await slice('a4', 'a', 'IPv4', '10.0.0.9', 'envoy-1')
  await slice('a6', 'a', 'IPv6', 'fd00::9', 'envoy-1')
  await slice('b4', 'b', 'IPv4', '10.0.0.10', 'envoy-2')
  const proxies = createProxies({ proxy: ENVOY, addresses: parseProxyAddresses(ENVOY, 'edge/a:8002,edge/b:9091/metrics') }, client, () => 0)
  t.same((await proxies.pods()).map(({ name, port, path }) => [name, port, path]), [['envoy-1', 8002, '/stats/prometheus'], ['envoy-2', 9091, '/metrics']])
})
