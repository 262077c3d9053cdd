import type { Canary } from '#api/canary.ts'
import { FLAGGER_ROUTERS } from '#policy/flagger-routers.ts'
import type { ProviderCapabilities, RuleContext } from '#policy/rule.ts'

/** The provider in force, with its API version where it has one; undefined offline, where the Canary leaves it to an installation's default. */
export const providerOf = (canary: Canary, context: RuleContext): string | undefined => canary.spec.provider ?? context.defaultProvider

/** Undefined for a name that nobody knows: then `provider-supported` or the schema speaks, and the other rules have nothing to add. */
export function capabilitiesOf(canary: Canary, context: RuleContext): ProviderCapabilities | undefined {
  const name = providerOf(canary, context)
  return name === undefined ? undefined : capabilitiesIn(context.providers, name) ?? capabilitiesIn(FLAGGER_ROUTERS, name)
}

const capabilitiesIn = (routers: Readonly<Record<string, ProviderCapabilities>>, name: string): ProviderCapabilities | undefined =>
  (Object.hasOwn(routers, name) ? routers[name] : undefined)

/** `gatewayapi` of `gatewayapi:v1`. */
export const familyOf = (provider: string | undefined): string | undefined => provider?.split(':')[0]

/** Names of the implemented providers that can do something, for the way out. */
export const providersWith = (context: RuleContext, ability: keyof ProviderCapabilities): string =>
  Object.keys(context.providers).filter((name) => context.providers[name]?.[ability]).sort().join(', ') || 'none yet'
