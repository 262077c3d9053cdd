/** What proxies count about the requests of one arm, for those who scrape them. Data alone. */

import { roleName, type WorkloadRole } from '#api/names.ts'
import type { CounterNames } from '#metrics/exposition.ts'

/** Traffic providers whose proxy counts by Service, so that the arms can be told apart. */
export const SCRAPED_PROXIES = ['traefik'] as const

export const isScrapedProxy = (provider: string): boolean => (SCRAPED_PROXIES as readonly string[]).includes(provider)

/** A number or a name; not the rest of another Canary's Service whose name begins alike. */
const PORT = '(?!.*-(?:canary|primary|baseline)-)[0-9a-zA-Z-]+'

/**
 * Counters of one arm on Traefik's page. A Service is named after its namespace, its port and its provider; both names are DNS
 * labels, so nothing in them means anything to a regular expression.
 */
export function traefikCounters(namespace: string, apex: string, arm: WorkloadRole): CounterNames {
  const prefix = `${namespace}-${roleName(apex, arm)}-`
  return {
    requests: { name: 'traefik_service_requests_total', statusLabel: 'code' },
    duration: { name: 'traefik_service_request_duration_seconds' },
    where: { label: 'service', containing: `"${prefix}`, pattern: new RegExp(`^${prefix}${PORT}@kubernetes(?:crd|gateway)$`) },
  }
}
