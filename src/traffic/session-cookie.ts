import type { Canary } from '#api/canary.ts'
import { DEFAULT_INTERVAL_SECONDS } from '#api/defaults.ts'
import { parseDuration } from '#api/duration.ts'
import type { Routes } from '#api/routes.ts'
import { sessionCookies } from '#api/session-affinity.ts'
import type { Filter } from '#traffic/gateway-filters.ts'
import type { RouteMatch } from '#traffic/gateway-match.ts'

export type StickyCookie = { readonly name: string; readonly value: string; readonly setCookie: string }
export type StickyCookies = { readonly canary: StickyCookie; readonly primary: StickyCookie | undefined }

const DEFAULT_MAX_AGE_SECONDS = 86_400
/** A cookie of this age is one that browsers drop. */
const GONE_SECONDS = -1

/**
 * The cookies while both arms have weight. The next revision has another value: no rule knows the old cookie any more. The primary's is
 * short-lived, as in Flagger: a growing weight has to reach its users too. Undefined when not asked for.
 */
export function stickyCookiesAt(canary: Canary, routes: Routes): StickyCookies | undefined {
  if (routes.canary <= 0 || routes.canary >= 100) return undefined
  const cookies = sessionCookies(canary.spec, canary.status?.lastAppliedSpec ?? 'canary')
  if (!cookies) return undefined
  const { interval = '', sessionAffinity: { maxAge = DEFAULT_MAX_AGE_SECONDS } = {} } = canary.spec.analysis
  const intervalSeconds = Math.ceil((parseDuration(interval) ?? DEFAULT_INTERVAL_SECONDS * 1_000) / 1_000)
  return {
    canary: cookieOf(canary, cookies.canary, maxAge),
    primary: cookies.primary === undefined ? undefined : cookieOf(canary, cookies.primary, intervalSeconds),
  }
}

/** The canary's cookie of the run that is over, to be taken back from whoever still sends it. Whether the status tells of its end already makes no difference. */
export function spentCookieAt(canary: Canary, routes: Routes): StickyCookie | undefined {
  const { sessionAffinityCookie, previousSessionAffinityCookie } = canary.status ?? {}
  const spent = sessionAffinityCookie ?? previousSessionAffinityCookie
  if (routes.canary > 0 || spent === undefined || !canary.spec.analysis.sessionAffinity) return undefined
  return cookieOf(canary, spent, GONE_SECONDS)
}

/** A browser takes a cookie back only from the domain and path that it was given for. */
function cookieOf(canary: Canary, pair: string, maxAge: number): StickyCookie {
  const { domain, httpOnly, partitioned, path, sameSite, secure } = canary.spec.analysis.sessionAffinity ?? {}
  const [name = '', ...value] = pair.split('=')
  return {
    name,
    value: value.join('='),
    setCookie: [
      pair, `Max-Age=${maxAge}`, domain && `Domain=${domain}`, httpOnly && 'HttpOnly', partitioned && 'Partitioned',
      path && `Path=${path}`, sameSite && `SameSite=${sameSite}`, secure && 'Secure',
    ].filter(Boolean).join('; '),
  }
}

type HeaderModifier = Filter & { readonly responseHeaderModifier?: { readonly add?: readonly { readonly name: string; readonly value: string }[]; readonly [field: string]: unknown } }
type Filtered = { readonly filters?: readonly Filter[]; readonly [field: string]: unknown }
const MODIFIER = 'ResponseHeaderModifier'

/** An entry, or a rule, whose answers carry a cookie, beside whatever its owner does to them: a list has one filter of a type at most. */
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
