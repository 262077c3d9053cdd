import type { CanaryStatus } from '#api/canary.ts'
import { sessionCookies } from '#api/session-affinity.ts'
import type { Effect, Seen } from '#rollout/decision.ts'

/** The status with the cookies that the routes asked for hand out, or take back: written with them, as Flagger's status names them. */
export function withCookies(status: CanaryStatus, effects: readonly Effect[], { spec, provider }: Seen): CanaryStatus {
  const asked = effects.findLast((effect) => effect.kind === 'setRoutes')
  if (!asked) return status
  const { sessionAffinityCookie, primarySessionAffinityCookie, previousSessionAffinityCookie, ...rest } = status
  const cookies = provider.keepsSessions ? sessionCookies(spec, status.lastAppliedSpec ?? '') : undefined
  if (!cookies) return sessionAffinityCookie === undefined && previousSessionAffinityCookie === undefined ? status : rest
  const { canary } = asked.routes
  if (canary > 0 && canary < 100) {
    const primary = cookies.primary ?? primarySessionAffinityCookie
    return { ...status, sessionAffinityCookie: cookies.canary, ...(primary === undefined ? {} : { primarySessionAffinityCookie: primary }) }
  }
  if (canary > 0 || sessionAffinityCookie === undefined) return status
  return { ...rest, ...(primarySessionAffinityCookie === undefined ? {} : { primarySessionAffinityCookie }), previousSessionAffinityCookie: sessionAffinityCookie }
}
