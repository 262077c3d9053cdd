import { gatewayApiV1, gatewayApiV1Beta1 } from '#traffic/gatewayapi.ts'
import { kubernetes } from '#traffic/kubernetes.ts'
import type { TrafficProvider } from '#traffic/provider.ts'
import { traefik } from '#traffic/traefik.ts'

/** Every router that requests can be split with. A new one is one file and one line here. */
export const TRAFFIC_PROVIDERS: readonly TrafficProvider[] = [kubernetes, traefik, gatewayApiV1, gatewayApiV1Beta1]

/** Undefined for an unknown name: it is denied with the known ones, never replaced by a default. */
export const providerFor = (name: string): TrafficProvider | undefined => TRAFFIC_PROVIDERS.find((provider) => provider.name === name)

/** What each provider can do, for the policy rules. */
export const capabilities: Readonly<Record<string, TrafficProvider['supports']>> =
  Object.fromEntries(TRAFFIC_PROVIDERS.map(({ name, supports }) => [name, supports]))
