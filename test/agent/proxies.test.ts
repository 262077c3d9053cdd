import { test } from 'tap'
import { createProxies, parseProxyAddress } from '#agent/proxies.ts'
import { createFakeKube } from '../fake-kube.ts'

const rows = [
  { text: 'traefik/traefik:9100', gives: { namespace: 'traefik', service: 'traefik', port: 9100, path: '/metrics' } },
  { text: 'edge/proxy:8080/stats', gives: { namespace: 'edge', service: 'proxy', port: 8080, path: '/stats' } },
]
for (const { text, gives } of rows) test(`the address ${text}`, async (t) => { t.same(parseProxyAddress(text), gives) })
for (const text of ['traefik:9100', 'traefik/traefik', 'http://traefik.traefik:9100', '']) {
  test(`no address: "${text}"`, async (t) => { t.throws(() => parseProxyAddress(text), /TRAEFIK_METRICS: .* write it like traefik\/traefik:9100/) })
}

test('the ready pods behind the Service, asked for at most every ten seconds', async (t) => {
  let at = 0
  const { client } = createFakeKube()
  const slice = (name: string, service: string, endpoints: readonly object[]) =>
    client.create({ apiVersion: 'discovery.k8s.io/v1', kind: 'EndpointSlice', metadata: { name, namespace: 'traefik', labels: { 'kubernetes.io/service-name': service } }, addressType: 'IPv4', endpoints, ports: [] } as never)
  await slice('a', 'traefik', [{ addresses: ['10.0.0.9'], conditions: { ready: true }, targetRef: { kind: 'Pod', name: 'traefik-1' } }, { addresses: ['10.0.0.10'], conditions: { ready: false } }])
  await slice('b', 'other', [{ addresses: ['10.0.0.11'] }])
  const proxies = createProxies(parseProxyAddress('traefik/traefik:9100'), client, () => at)
  t.match(await proxies.pods(), [{ name: 'traefik-1', ip: '10.0.0.9', port: 9100, path: '/metrics', ready: true }])
  t.equal((await proxies.pods()).length, 1)
  await slice('c', 'traefik', [{ addresses: ['10.0.0.12'] }])
  t.equal((await proxies.pods()).length, 1, 'remembered')
  at = 10_000
  t.equal((await proxies.pods()).length, 2)
})
