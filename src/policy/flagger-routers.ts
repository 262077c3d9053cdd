import type { ProviderName } from '#api/canary.ts'
import type { ProviderCapabilities } from '#policy/rule.ts'

/**
 * What the routers of Flagger's providers can do. For those that CanaryGate does not drive, too: a setting that no router of that name
 * can serve is a fault of the setting, whoever drives it. Traefik can more than Flagger asks of it.
 */
const router = (can: Partial<ProviderCapabilities> = {}): ProviderCapabilities => ({ weights: true, mirror: false, match: false, sessionAffinity: false, services: true, ...can })
const chooses = router({ match: true })
const everything = router({ mirror: true, match: true, sessionAffinity: true })

export const FLAGGER_ROUTERS: Readonly<Record<ProviderName, ProviderCapabilities>> = {
  apisix: router(), appmesh: chooses, 'appmesh:v1beta2': chooses, contour: chooses, 'gatewayapi:v1': everything, 'gatewayapi:v1beta1': everything,
  gloo: chooses, istio: everything, knative: router({ services: false }), kubernetes: router({ services: false }), kuma: router(), linkerd: router(), nginx: chooses, osm: router(),
  skipper: router(), 'smi:v1alpha1': router(), 'smi:v1alpha2': router(), 'smi:v1alpha3': router(), traefik: router({ mirror: true, match: true }),
}
