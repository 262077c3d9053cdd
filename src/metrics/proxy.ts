/** What proxies count about the requests of one arm, for those who scrape them. One proxy a file, data alone. */

import { COUNTING_PROXIES, type CountingProxy } from '#api/counting-proxies.ts'
import type { WorkloadRole } from '#api/names.ts'
import { envoyCounters } from '#metrics/envoy.ts'
import type { CounterNames } from '#metrics/exposition.ts'
import { traefikCounters } from '#metrics/traefik.ts'

export type ScrapedProxy = {
  readonly name: CountingProxy
  /** Of the agent's environment: where its pods are. */
  readonly variable: string
  readonly example: string
  /** Of its page, where nobody says otherwise. */
  readonly path: string
  /** Counters of one arm on its page: the first of these that are there. Services are DNS labels, so nothing in a name means anything to a regular expression. */
  counters(namespace: string, apex: string, arm: WorkloadRole): readonly CounterNames[]
}

/** Every proxy that can be scraped. A new one is one file, one line here and its providers in `COUNTING_PROXIES`. */
export const SCRAPED_PROXIES: readonly ScrapedProxy[] = [
  { name: 'traefik', variable: 'TRAEFIK_METRICS', example: 'traefik/traefik:9100', path: '/metrics', counters: traefikCounters },
  { name: 'envoy', variable: 'ENVOY_METRICS', example: 'projectcontour/envoy:8002', path: '/stats/prometheus', counters: envoyCounters },
]

export const routesFor = ({ name }: ScrapedProxy, provider: string): boolean => (COUNTING_PROXIES[name] as readonly string[]).includes(provider)
