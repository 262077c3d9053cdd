import type { Canary } from '#api/canary.ts'
import type { Routes } from '#api/routes.ts'
import type { Filter } from '#traffic/gateway-filters.ts'
import type { RouteMatch } from '#traffic/gateway-match.ts'

export type StickyCookie = { readonly name: string; readonly value: string; readonly setCookie: string }
export type StickyCookies = { readonly canary: StickyCookie; readonly primary: StickyCookie | undefined }

const DEFAULT_MAX_AGE_SECONDS = 86_400

/**
 * The cookies that keep a client on the arm which answered it first, while both arms have weight. Their value is the revision under analysis: with the
 * next one no rule knows the old cookie any more, so nothing has to be remembered or cleaned up. Undefined when not asked for.
 */
export function stickyCookiesAt(canary: Canary, routes: Routes): StickyCookies | undefined {
  const settings = canary.spec.analysis.sessionAffinity
  if (!settings || routes.canary <= 0 || routes.canary >= 100) return undefined
  const value = canary.status?.lastAppliedSpec ?? 'canary'
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

type HeaderModifier = Filter & { readonly responseHeaderModifier?: { readonly add?: readonly { readonly name: string; readonly value: string }[]; readonly [field: string]: unknown } }
type Filtered = { readonly filters?: readonly Filter[]; readonly [field: string]: unknown }
const MODIFIER = 'ResponseHeaderModifier'

/** An entry whose answers hand out a cookie, beside whatever its owner does to them: a list has one filter of a type at most. */
export function withCookie<E>(entry: E & Filtered, cookie: StickyCookie | undefined): E & Filtered {
  if (!cookie) return entry
  const filters: readonly HeaderModifier[] = entry.filters ?? []
  const own = filters.find(({ type }) => type === MODIFIER)
  const add = [...(own?.responseHeaderModifier?.add ?? []), { name: 'Set-Cookie', value: cookie.setCookie }]
  const modifier = { type: MODIFIER, responseHeaderModifier: { ...own?.responseHeaderModifier, add } }
  return { ...entry, filters: [...filters.filter((filter) => filter !== own), modifier] }
}

/** The entry as it was before. */
export function withoutCookies<E>(canary: Canary, entry: E & Filtered): E & Filtered {
  const { cookieName, primaryCookieName } = canary.spec.analysis.sessionAffinity ?? {}
  const isOurs = ({ name, value }: { readonly name: string; readonly value: string }): boolean =>
    name === 'Set-Cookie' && [cookieName, primaryCookieName].some((cookie) => cookie !== undefined && value.startsWith(`${cookie}=`))
  const { filters = [], ...rest } = entry
  const left = filters.flatMap((filter: HeaderModifier): readonly Filter[] => {
    if (!filter.responseHeaderModifier?.add?.some(isOurs)) return [filter]
    const { add: _, ...others } = filter.responseHeaderModifier
    const add = filter.responseHeaderModifier.add.filter((each) => !isOurs(each))
    const modifier = { ...others, ...(add.length > 0 ? { add } : {}) }
    return Object.keys(modifier).length > 0 ? [{ ...filter, responseHeaderModifier: modifier }] : []
  })
  return (left.length > 0 ? { ...rest, filters: left } : rest) as E & Filtered
}

const escaped = (text: string): string => text.replaceAll(/[.*+?^${}()|[\]\\]/g, '\\$&')
/** The whole header, as some routers match it and others search in it. */
const patternOf = ({ name, value }: StickyCookie): string => `^(.*;\\s*)?${escaped(name)}=${escaped(value)}(;.*)?$`
const PATTERN_OF_OURS = /^\^\(\.\*;\\s\*\)\?.+=.+\(;\.\*\)\?\$$/

/** A match on the Cookie header replaces one of the user's: a header may be named once. */
export const cookieMatches = (base: readonly RouteMatch[], cookie: StickyCookie): readonly RouteMatch[] =>
  base.map((match) => ({
    ...match,
    headers: [
      { type: 'RegularExpression', name: 'Cookie', value: patternOf(cookie) },
      ...(match.headers ?? []).filter((header) => header.name.toLowerCase() !== 'cookie'),
    ],
  }))

/** Made by `cookieMatches`. */
export const isStickyRule = ({ matches = [] }: { readonly matches?: readonly RouteMatch[] }): boolean =>
  matches.length > 0 && matches.every(({ headers = [] }) => headers.some(({ type, name, value }) => type === 'RegularExpression' && name === 'Cookie' && PATTERN_OF_OURS.test(value)))
