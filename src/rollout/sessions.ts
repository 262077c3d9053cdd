import type { CanaryStatus } from '#api/canary.ts'
import { sessionCookies } from '#api/session-affinity.ts'
import type { Effect, Seen } from '#rollout/decision.ts'

type Cookies = { readonly [K in 'sessionAffinityCookie' | 'primarySessionAffinityCookie' | 'previousSessionAffinityCookie']?: string | undefined }

/** The status with the cookies that the routes asked for hand out, or take back: written with them, as Flagger's status names them. */
export function withCookies(status: CanaryStatus, effects: readonly Effect[], { spec, provider }: Seen): CanaryStatus {
  const asked = effects.findLast((effect) => effect.kind === 'setRoutes')
  if (!asked) return status
  const cookies = provider.keepsSessions ? sessionCookies(spec, status.lastAppliedSpec ?? '') : undefined
  if (!cookies) return replaced(status, { sessionAffinityCookie: undefined, primarySessionAffinityCookie: undefined, previousSessionAffinityCookie: undefined })
  const { canary } = asked.routes
  if (canary > 0 && canary < 100) return replaced(status, { sessionAffinityCookie: cookies.canary, primarySessionAffinityCookie: cookies.primary })
  if (canary > 0 || status.sessionAffinityCookie === undefined) return status
  return replaced(status, { sessionAffinityCookie: undefined, previousSessionAffinityCookie: status.sessionAffinityCookie })
}

/** An undefined value removes the field. */
const replaced = (status: CanaryStatus, cookies: Cookies): CanaryStatus =>
  Object.fromEntries(Object.entries({ ...status, ...cookies }).filter(([, value]) => value !== undefined))
