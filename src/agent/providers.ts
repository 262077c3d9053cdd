import type { Canary } from '#api/canary.ts'
import type { Kind, TrafficProvider } from '#traffic/provider.ts'
import { providerFor, TRAFFIC_PROVIDERS } from '#traffic/registry.ts'

/** The traffic provider of a Canary. Admission denies unknown names; one that slipped by fails its own Canary and no other. */
export function trafficProviderFor(canary: Canary, defaultProvider: string): TrafficProvider {
  const name = canary.spec.provider ?? defaultProvider
  const provider = providerFor(name)
  if (!provider) throw new Error(`spec.provider: ${name} is not known; use one of ${TRAFFIC_PROVIDERS.map((known) => known.name).join(', ')}`)
  return provider
}

/** Every kind that some provider reads. */
export function routerKinds(): readonly Kind[] {
  const kinds = new Map(TRAFFIC_PROVIDERS.flatMap(({ watches }) => watches.map((kind) => [`${kind.apiVersion}/${kind.kind}`, kind] as const)))
  return [...kinds.values()]
}
