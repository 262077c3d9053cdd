import type { Canary } from '#api/canary.ts'
import type { ProviderCapabilities, RuleContext } from '#policy/rule.ts'

/** The provider in force, with its API version where it has one. */
export const providerOf = (canary: Canary, context: RuleContext): string => canary.spec.provider ?? context.defaultProvider

/** Undefined for a provider that is not implemented: then `provider-supported` speaks, and the other rules have nothing to add. */
export const capabilitiesOf = (canary: Canary, context: RuleContext): ProviderCapabilities | undefined => {
  const name = providerOf(canary, context)
  return Object.hasOwn(context.providers, name) ? context.providers[name] : undefined
}

/** `gatewayapi` of `gatewayapi:v1`. */
export const familyOf = (provider: string): string => provider.split(':')[0] ?? provider

/** Names of the implemented providers that can do something, for the way out. */
export const providersWith = (context: RuleContext, ability: keyof ProviderCapabilities): string =>
  Object.keys(context.providers).filter((name) => context.providers[name]?.[ability]).sort().join(', ') || 'none yet'
