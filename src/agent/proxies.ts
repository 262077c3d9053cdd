import type { KubeObject } from '#api/objects.ts'
import type { KubeClient } from '#kube/client.ts'
import type { ScrapePod } from '#metrics/scrape.ts'

/** The pods of the proxy whose counters are read: asked for while a run reads them, and no more often than they change. */
export type Proxies = {
  /** Empty while there is none. Rejects when the API server cannot be asked. */
  pods(): Promise<readonly ScrapePod[]>
}

export type ProxyAddress = { readonly namespace: string; readonly service: string; readonly port: number; readonly path: string }

const REMEMBERED_MS = 10_000
const ADDRESS = /^([a-z0-9-]+)\/([a-z0-9-]+):(\d{1,5})(\/\S*)?$/

/** `namespace/service:port`, with a path where it is not `/metrics`; an error that says so for anything else. */
export function parseProxyAddress(text: string): ProxyAddress {
  const [, namespace, service, port, path = '/metrics'] = ADDRESS.exec(text) ?? []
  if (namespace === undefined || service === undefined) throw new Error(`TRAEFIK_METRICS: "${text}" is not <namespace>/<service>:<port>; write it like traefik/traefik:9100`)
  return { namespace, service, port: Number(port), path }
}

type EndpointSlice = KubeObject & {
  readonly endpoints?: readonly { readonly addresses: readonly string[]; readonly conditions?: { readonly ready?: boolean }; readonly targetRef?: { readonly name?: string } }[]
}

export function createProxies({ namespace, service, port, path }: ProxyAddress, client: Pick<KubeClient, 'list'>, now: () => number): Proxies {
  let known: { readonly at: number; readonly pods: readonly ScrapePod[] } | undefined
  return {
    async pods() {
      if (known && now() - known.at < REMEMBERED_MS) return known.pods
      const { items } = await client.list<EndpointSlice>('discovery.k8s.io/v1', 'EndpointSlice', { namespace, labelSelector: `kubernetes.io/service-name=${service}` })
      const pods = items.flatMap(({ endpoints = [] }) => endpoints).flatMap(({ addresses: [ip], conditions, targetRef }) =>
        (ip === undefined || conditions?.ready === false ? [] : [{ name: targetRef?.name ?? ip, ip, port, path, scheme: 'http' as const, startedAtMs: 0, ready: true }]))
      known = { at: now(), pods }
      return pods
    },
  }
}
