/** Proxies whose own counters can tell primary and canary apart (`spec.gate.scrape.from: proxy`), and the traffic providers that they route for. */
export const COUNTING_PROXIES = {
  traefik: ['traefik', 'gatewayapi:v1', 'gatewayapi:v1beta1'],
  envoy: ['gatewayapi:v1', 'gatewayapi:v1beta1'],
} as const

export type CountingProxy = keyof typeof COUNTING_PROXIES

export const COUNTED_PROVIDERS: readonly string[] = [...new Set(Object.values(COUNTING_PROXIES).flat())]
