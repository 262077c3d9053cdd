import type { KubeObject } from '#api/objects.ts'
import type { KubeClient } from '#kube/client.ts'
import { SCRAPED_PROXIES, type ScrapedProxy } from '#metrics/proxy.ts'
import type { ScrapePod } from '#metrics/scrape.ts'

/** The pods of a proxy whose counters are read: asked for while a run reads them, and no more often than they change. */
export type Proxies = {
  readonly proxy: ScrapedProxy
  /** Empty while there is none. Rejects when the API server cannot be asked. */
  pods(): Promise<readonly ScrapePod[]>
}

export type ProxyAddress = { readonly namespace: string; readonly service: string; readonly port: number; readonly path: string }
export type ProxySettings = { readonly proxy: ScrapedProxy; readonly addresses: readonly ProxyAddress[] }

const REMEMBERED_MS = 10_000
const ADDRESS = /^([a-z0-9-]+)\/([a-z0-9-]+):(\d{1,5})(\/\S*)?$/

/** The proxies that the environment says are there. */
export const proxiesIn = (env: Readonly<Record<string, string | undefined>>): readonly ProxySettings[] => SCRAPED_PROXIES.flatMap((proxy) => {
  const text = env[proxy.variable]
  return text ? [{ proxy, addresses: parseProxyAddresses(proxy, text) }] : []
})

/** `namespace/service:port`, with a path where it is not the usual one, several of them with commas between; an error that says so for anything else. */
export function parseProxyAddresses({ variable, example, path: usual }: ScrapedProxy, text: string): readonly ProxyAddress[] {
  return text.split(',').map((address) => {
    const [, namespace, service, port, path = usual] = ADDRESS.exec(address.trim()) ?? []
    if (namespace === undefined || service === undefined) throw new Error(`${variable}: "${address.trim()}" is not <namespace>/<service>:<port>; write it like ${example}`)
    return { namespace, service, port: Number(port), path }
  })
}

type EndpointSlice = KubeObject & {
  readonly endpoints?: readonly { readonly addresses: readonly string[]; readonly conditions?: { readonly ready?: boolean }; readonly targetRef?: { readonly name?: string } }[]
}

export function createProxies({ proxy, addresses }: ProxySettings, client: Pick<KubeClient, 'list'>, now: () => number): Proxies {
  let known: { readonly at: number; readonly pods: readonly ScrapePod[] } | undefined

  async function podsBehind({ namespace, service, port, path }: ProxyAddress): Promise<readonly ScrapePod[]> {
    const { items } = await client.list<EndpointSlice>('discovery.k8s.io/v1', 'EndpointSlice', { namespace, labelSelector: `kubernetes.io/service-name=${service}` })
    const pods = items.flatMap(({ endpoints = [] }) => endpoints).flatMap(({ addresses: [ip], conditions, targetRef }): ScrapePod[] =>
      (ip === undefined || conditions?.ready === false ? [] : [{ name: targetRef?.name ?? ip, ip, port, path, scheme: 'http', startedAtMs: 0, ready: true }]))
    // A Service of both address families has a slice for each.
    return [...new Map(pods.map((pod) => [pod.name, pod])).values()]
  }

  return {
    proxy,
    async pods() {
      if (known && now() - known.at < REMEMBERED_MS) return known.pods
      const pods = (await Promise.all(addresses.map(podsBehind))).flat()
      known = { at: now(), pods }
      return pods
    },
  }
}
