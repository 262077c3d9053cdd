import type { Canary } from '#api/canary.ts'
import type { Filter } from '#traffic/gateway-filters.ts'
import type { RouteMatch } from '#traffic/gateway-match.ts'

export type StickyCookie = { readonly name: string; readonly value: string; readonly setCookie: string }

const DEFAULT_MAX_AGE_SECONDS = 86_400

/**
 * The cookies that keep a client on the arm which answered it first. Their value is the revision under analysis: with the next one no rule knows
 * the old cookie any more, so nothing has to be remembered or cleaned up. Undefined when not asked for.
 */
export function stickyCookies(canary: Canary): { readonly canary: StickyCookie; readonly primary: StickyCookie | undefined } | undefined {
  const settings = canary.spec.analysis.sessionAffinity
  if (!settings) return undefined
  const value = canary.status?.sessionAffinityCookie?.split('=')[1]?.split(';')[0] ?? canary.status?.lastAppliedSpec ?? 'canary'
  const { cookieName, primaryCookieName, domain, httpOnly, maxAge = DEFAULT_MAX_AGE_SECONDS, partitioned, path, sameSite, secure } = settings
  const cookie = (name: string): StickyCookie => ({
    name,
    value,
    setCookie: [
      `${name}=${value}`, `Max-Age=${maxAge}`, domain && `Domain=${domain}`, httpOnly && 'HttpOnly', partitioned && 'Partitioned',
      path && `Path=${path}`, sameSite && `SameSite=${sameSite}`, secure && 'Secure',
    ].filter(Boolean).join('; '),
  })
  return { canary: cookie(cookieName), primary: primaryCookieName ? cookie(primaryCookieName) : undefined }
}

export const cookieFilter = ({ setCookie }: StickyCookie): Filter =>
  ({ type: 'ResponseHeaderModifier', responseHeaderModifier: { add: [{ name: 'Set-Cookie', value: setCookie }] } })

/** A match on the Cookie header replaces one of the user's: a header may be named once. */
export const cookieMatches = (base: readonly RouteMatch[], { name, value }: StickyCookie): readonly RouteMatch[] =>
  base.map((match) => ({
    ...match,
    headers: [
      { type: 'RegularExpression', name: 'Cookie', value: `.*${name}.*${value}.*` },
      ...(match.headers ?? []).filter((header) => header.name.toLowerCase() !== 'cookie'),
    ],
  }))
