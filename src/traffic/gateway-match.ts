import type { Canary, CanaryAnalysis, CanaryService } from '#api/canary.ts'

/** Conditions of a Canary in the words of an HTTPRoute, with every default written out as the API server would. */
export type RouteMatch = {
  readonly path?: { readonly type: string; readonly value: string }
  readonly method?: string
  readonly headers?: readonly NamedMatch[]
  readonly queryParams?: readonly NamedMatch[]
}
type NamedMatch = { readonly type: string; readonly name: string; readonly value: string }
type StringMatch = { readonly exact?: string; readonly prefix?: string; readonly suffix?: string; readonly regex?: string }
type ServiceMatch = NonNullable<CanaryService['match']>[number]
type AnalysisMatch = NonNullable<CanaryAnalysis['match']>[number]

const ANY_PATH = { type: 'PathPrefix', value: '/' } as const

const escaped = (text: string): string => text.replaceAll(/[.*+?^${}()|[\]\\]/g, '\\$&')

/** Headers and query parameters know `Exact` and `RegularExpression` only. */
function named(conditions: Readonly<Record<string, StringMatch>> | undefined): readonly NamedMatch[] {
  return Object.entries(conditions ?? {}).flatMap(([name, { exact, prefix, suffix, regex }]): NamedMatch[] => {
    if (exact !== undefined) return [{ type: 'Exact', name, value: exact }]
    const pattern = regex ?? (prefix !== undefined ? `^${escaped(prefix)}.*` : suffix !== undefined ? `.*${escaped(suffix)}$` : undefined)
    return pattern === undefined ? [] : [{ type: 'RegularExpression', name, value: pattern }]
  })
}

function pathOf(uri: StringMatch | undefined): NonNullable<RouteMatch['path']> {
  if (uri?.exact !== undefined) return { type: 'Exact', value: uri.exact }
  if (uri?.prefix !== undefined) return { type: 'PathPrefix', value: uri.prefix }
  if (uri?.regex !== undefined) return { type: 'RegularExpression', value: uri.regex }
  return ANY_PATH
}

/** `service.match`, or everything. */
export function serviceMatches(canary: Canary): readonly RouteMatch[] {
  const matches = canary.spec.service?.match ?? []
  return matches.length === 0 ? [{ path: ANY_PATH }] : matches.map(serviceMatch)
}

function serviceMatch({ uri, method, headers, queryParams }: ServiceMatch): RouteMatch {
  return withLists({ path: pathOf(uri), ...(method?.exact === undefined ? {} : { method: method.exact }) }, named(headers), named(queryParams))
}

/** Header names are compared without case. A list that is empty is left out, as the API server does. */
function withLists(match: RouteMatch, headers: readonly NamedMatch[], queryParams: readonly NamedMatch[]): RouteMatch {
  const { headers: _, queryParams: __, ...rest } = match
  return { ...rest, ...(headers.length > 0 ? { headers } : {}), ...(queryParams.length > 0 ? { queryParams } : {}) }
}

/** What an HTTPRoute cannot say. Left out it would let everybody in, so such a condition chooses nobody. */
const isSayable = (match: AnalysisMatch): boolean =>
  match.sourceLabels === undefined && named(match.headers).length + named(match.queryParams).length > 0

export const unsayableMatches = (canary: Canary): readonly AnalysisMatch[] => (canary.spec.analysis.match ?? []).filter((match) => !isSayable(match))

/** Who gets the canary in an A/B test: each condition of the analysis within each of `base`. */
export function analysisMatches(canary: Canary, base: readonly RouteMatch[]): readonly RouteMatch[] {
  return (canary.spec.analysis.match ?? []).filter(isSayable).flatMap(({ headers, queryParams }) => base.map((match) =>
    withLists(match, merged(named(headers), match.headers, true), merged(named(queryParams), match.queryParams, false))))
}

/** The analysis's conditions replace those of the same name. */
function merged(own: readonly NamedMatch[], base: readonly NamedMatch[] | undefined, ignoresCase: boolean): readonly NamedMatch[] {
  const key = ({ name }: NamedMatch): string => (ignoresCase ? name.toLowerCase() : name)
  const names = new Set(own.map(key))
  return [...own, ...(base ?? []).filter((match) => !names.has(key(match)))]
}
