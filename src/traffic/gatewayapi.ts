import type { Canary } from '#api/canary.ts'
import { apexName, isServiceTarget } from '#api/defaults.ts'
import { canaryName, primaryName } from '#api/names.ts'
import type { Condition, KubeObject, ObjectReader } from '#api/objects.ts'
import { canonicalJson } from '#api/canonical-json.ts'
import { routesTo, type Routes } from '#api/routes.ts'
import { isOwn } from '#api/selectors.ts'
import { isApplied } from '#traffic/applied.ts'
import { agreedRoutes, apexShare, isTest, markOf, mayHaveBaseline, patchedMetadata, routeMetadata, routePort, type Mark } from '#traffic/canary-route.ts'
import { baselineShareOf, divided, isCanaryAlone, isChosenList, mentions, released, restored, roleOf, shareOf, withBaseline, withoutBaseline, type Entry, type EntryRules } from '#traffic/entries.ts'
import { classWithout } from '#traffic/gateway-class.ts'
import { isMirrorTo, mirrorTo, serviceFilters, serviceRef, type Filter } from '#traffic/gateway-filters.ts'
import { analysisMatches, serviceMatches, type RouteMatch } from '#traffic/gateway-match.ts'
import type { TrafficProvider } from '#traffic/provider.ts'
import { cookieMatches, isStickyRule, spentCookieAt, stickyCookiesAt, withCookie, withoutCookies, type StickyCookie, type StickyCookies } from '#traffic/session-cookie.ts'

type ParentRef = {
  readonly group?: string; readonly kind?: string; readonly name: string; readonly namespace?: string; readonly sectionName?: string; readonly port?: number
}
type Rule = {
  readonly matches?: readonly RouteMatch[]
  readonly filters?: readonly Filter[]
  readonly backendRefs?: readonly Entry[]
  readonly [field: string]: unknown
}
type HttpRoute = KubeObject & {
  readonly spec: { readonly parentRefs?: readonly ParentRef[]; readonly rules?: readonly Rule[]; readonly [field: string]: unknown }
  readonly status?: { readonly parents?: readonly { readonly parentRef: ParentRef; readonly conditions?: readonly Condition[] }[] }
}

type Version = 'v1' | 'v1beta1'

const GATEWAY_GROUP = 'gateway.networking.k8s.io'

/**
 * HTTPRoutes of the user's that send to the apex Service are split in place during a run: rules, filters and timeouts stay theirs. Without one,
 * the HTTPRoute `<s>` is ours and attached to `service.gatewayRefs`, as in Flagger. Routes count only once every parent has accepted them as they are now.
 */
function gatewayApi(name: string, version: Version): TrafficProvider {
  const apiVersion = `${GATEWAY_GROUP}/${version}`
  return {
    name,
    supports: { weights: true, mirror: true, match: true, sessionAffinity: true, services: true },
    watches: [{ apiVersion, kind: 'HTTPRoute' }, { apiVersion, kind: 'Gateway' }, { apiVersion, kind: 'GatewayClass' }],
    // "Accepted" is said before the data plane has it; measured up to 0.14 s with Traefik, whose throttle time of 2 s may come on top.
    settleMs: 2_500,
    read(canary, objects) {
      const { foreign, own } = httpRoutesOf(canary, apiVersion, objects)
      const all = own ? [...foreign, own] : foreign
      if (all.length === 0 || !all.every(isAccepted)) return undefined
      if (all.some((route) => hasChosen(canary, route, own))) {
        // A condition that somebody changed might let everybody in: a test is in force only when it is written as it should be.
        return isTest(canary) && renderRoutes(canary, apiVersion, version, routesTo(100), objects).length === 0 ? routesTo(100) : undefined
      }
      const lists = all.flatMap((route) => (route === own ? ownLists(route) : foreignLists(canary, route)))
      const shares = lists.map((entries) => shareOf(whole(canary, entries), apexName(canary), entryRules(canary)))
      const mirrored = all.some((route) => (route.spec.rules ?? []).some(({ filters }) => isMirrored(canary, filters)))
      return agreedRoutes(shares.map((share) => (share === 'apex' ? apexShare(canary, objects) : share)), mirrored, lists.map((entries) => baselineShareOf(entries, apexName(canary), entryRules(canary))))
    },
    obstacle(canary, objects) {
      const routes = httpRoutesOf(canary, apiVersion, objects)
      const all = routes.own ? [...routes.foreign, routes.own] : routes.foreign
      const apex = apexName(canary)
      if (all.length === 0) return `no HTTPRoute of namespace ${canary.metadata.namespace ?? ''} leads to Service ${apex}`
      const className = canary.spec.analysis.mirror ? classWithoutMirror(canary, apiVersion, routes, objects) : undefined
      if (className !== undefined) return `GatewayClass ${className} does not list ${MIRROR_FEATURE}: a rule that mirrors would answer 500 there`
      return all.flatMap((route) => refusalOf(route) ?? [])[0]
    },
    render: (canary, routes, objects) => renderRoutes(canary, apiVersion, version, routes, objects),
    release(canary, objects) {
      const { foreign, previews, own } = httpRoutesOf(canary, apiVersion, objects)
      const patches = [...foreign, ...previews].flatMap((route) => patch(canary, route, (rules, mark) => releasedRules(canary, rules, mark)))
      if (!own) return patches
      const backendRefs = [{ ...serviceRef(apexName(canary), routePort(canary, objects)), weight: 1 }]
      const wanted = ownRoute(canary, apiVersion, [baseRule(canary, version, serviceMatches(canary), serviceFilters(canary), backendRefs)], true)
      return isApplied(own, wanted) ? patches : [...patches, wanted]
    },
  }
}

function renderRoutes(canary: Canary, apiVersion: string, version: Version, asked: Routes, objects: ObjectReader): readonly KubeObject[] {
  const found = httpRoutesOf(canary, apiVersion, objects)
  const { foreign, own, needsOwn } = found
  const routes = asked.mirror && classWithoutMirror(canary, apiVersion, found, objects) !== undefined ? { ...asked, mirror: false } : asked
  const patches = foreign.flatMap((route) => patch(canary, route, (rules, mark) => splitRules(canary, rules, routes, mark, objects)))
  if (!needsOwn) return patches
  const wanted = ownRoute(canary, apiVersion, ownRules(canary, routes, version, objects), false)
  return isApplied(own, wanted) ? patches : [...patches, wanted]
}

export const gatewayApiV1 = gatewayApi('gatewayapi:v1', 'v1')
export const gatewayApiV1Beta1 = gatewayApi('gatewayapi:v1beta1', 'v1beta1')

const entryRules = (canary: Canary): EntryRules => ({
  isService: (entry) => (entry['kind'] ?? 'Service') === 'Service' && ['', 'core'].includes(String(entry['group'] ?? '')) &&
    (!entry['namespace'] || entry['namespace'] === canary.metadata.namespace),
  isWeightFilledIn: true,
  isApexRequested: isServiceTarget(canary),
  hasBaseline: mayHaveBaseline(canary),
})

const whole = (canary: Canary, entries: readonly Entry[]): readonly Entry[] => withoutBaseline(entries, apexName(canary), entryRules(canary))

type HttpRoutes = {
  /** Of the user's, with a rule that divides this Canary's live requests. */
  readonly foreign: readonly HttpRoute[]
  /** Of the user's, with rules that lead to the canary alone. */
  readonly previews: readonly HttpRoute[]
  readonly own: HttpRoute | undefined
  readonly needsOwn: boolean
}

/** Only the Canary's own namespace is looked at. */
function httpRoutesOf(canary: Canary, apiVersion: string, objects: ObjectReader): HttpRoutes {
  const apex = apexName(canary)
  const all = objects.list(apiVersion, 'HTTPRoute', canary.metadata.namespace ?? '').map((object) => object as HttpRoute)
  const isConcerned = (route: HttpRoute): boolean => (route.spec.rules ?? []).some((rule) => concerns(canary, rule))
  const named = all.find(({ metadata }) => metadata.name === apex)
  const hasParents = (canary.spec.service?.gatewayRefs?.length ?? 0) > 0
  // One of the user's with this name that says nothing of ours is taken over, as by Flagger, when the Canary says where it attaches.
  const own = named && (isOwn(named, canary) || (hasParents && !isConcerned(named))) ? named : undefined
  const others = all.filter((route) => route !== own)
  const foreign = others.filter(isConcerned)
  const previews = others.filter((route) => !foreign.includes(route) && (route.spec.rules ?? []).some((rule) => mentionsRoles(canary, rule)))
  return { foreign, previews, own, needsOwn: hasParents && (own !== undefined || foreign.length === 0) }
}

/** As Gateway API names it in a GatewayClass's status. */
const MIRROR_FEATURE = 'HTTPRouteRequestMirror'

function classWithoutMirror(canary: Canary, apiVersion: string, { foreign, own, needsOwn }: HttpRoutes, objects: ObjectReader): string | undefined {
  const ownParents = own || needsOwn ? canary.spec.service?.gatewayRefs ?? [] : []
  const parents = [...foreign.flatMap(({ spec }) => spec.parentRefs ?? []), ...ownParents]
  return classWithout(MIRROR_FEATURE, apiVersion, canary.metadata.namespace ?? '', parents, objects)
}

/** What a parent has against a route, in its own words. */
function refusalOf({ metadata, status }: HttpRoute): string | undefined {
  for (const { parentRef, conditions = [] } of status?.parents ?? []) {
    const refused = conditions.find(({ type, status: value }) => (type === 'Accepted' || type === 'ResolvedRefs') && value === 'False')
    if (refused) return `HTTPRoute ${metadata.name} at ${parentRef.kind ?? 'Gateway'} ${parentRef.name}: ${refused.reason}${refused.message ? `: ${refused.message}` : ''}`
  }
  return status?.parents?.length ? undefined : `no Gateway has taken HTTPRoute ${metadata.name}`
}

/** Accepted by every parent it names, in its present generation. */
function isAccepted({ metadata, spec, status }: HttpRoute): boolean {
  const parents = spec.parentRefs ?? []
  return parents.length > 0 && parents.every((parent) => (status?.parents ?? []).some(({ parentRef, conditions }) =>
    isSameParent(parent, parentRef, metadata.namespace) && (conditions ?? []).some((condition) =>
      condition.type === 'Accepted' && condition.status === 'True' && (condition.observedGeneration ?? 0) >= (metadata.generation ?? 0))))
}

function isSameParent(a: ParentRef, b: ParentRef, namespace: string | undefined): boolean {
  const key = ({ group = GATEWAY_GROUP, kind = 'Gateway', name, namespace: of = namespace, sectionName, port }: ParentRef) =>
    JSON.stringify([group, kind, name, of, sectionName, port])
  return key(a) === key(b)
}

// ---- the HTTPRoute of our own

function ownRoute(canary: Canary, apiVersion: string, rules: readonly Rule[], outlives: boolean): HttpRoute {
  const { gatewayRefs, hosts } = canary.spec.service ?? {}
  return {
    apiVersion,
    kind: 'HTTPRoute',
    metadata: routeMetadata(canary, outlives),
    spec: {
      ...(gatewayRefs?.length ? { parentRefs: gatewayRefs.map((ref) => ({ group: GATEWAY_GROUP, kind: 'Gateway', ...ref })) } : {}),
      ...(hosts?.length ? { hostnames: hosts } : {}),
      rules,
    },
  }
}

function baseRule(
  canary: Canary, version: Version, matches: readonly RouteMatch[], filters: readonly Filter[], backendRefs: readonly Entry[],
): Rule {
  const { timeout, backendTimeout } = canary.spec.service ?? {}
  const timeouts = { ...(timeout ? { request: timeout } : {}), ...(backendTimeout ? { backendRequest: backendTimeout } : {}) }
  return {
    matches,
    ...(filters.length > 0 ? { filters } : {}),
    backendRefs,
    ...(version === 'v1' && Object.keys(timeouts).length > 0 ? { timeouts } : {}),
  }
}

function ownRules(canary: Canary, routes: Routes, version: Version, objects: ObjectReader): readonly Rule[] {
  const port = routePort(canary, objects)
  const apex = apexName(canary)
  const to = (name: string, weight: number): Entry => ({ ...serviceRef(name, port), weight })
  const split = withBaseline([to(primaryName(apex), routes.primary), to(canaryName(apex), routes.canary)], apex, routes, entryRules(canary))
  const base = serviceMatches(canary)
  const filters = [...serviceFilters(canary), ...(routes.mirror ? [mirrorTo(serviceRef(canaryName(apex), port))] : [])]
  const rule = (matches: readonly RouteMatch[], backendRefs: readonly Entry[]): Rule => baseRule(canary, version, matches, filters, backendRefs)

  if (isTest(canary)) {
    const chosen = analysisMatches(canary, base)
    return [...(chosen.length > 0 ? [rule(chosen, split)] : []), rule(base, [to(primaryName(apex), 100)])]
  }
  const cookies = stickyCookiesAt(canary, routes)
  // Sticky rules come first: a request with the cookie is the more specific match, and the order decides between equals.
  if (cookies) return stickyRules(canary, rule(base, split), split, cookies)
  const spent = spentCookieAt(canary, routes)
  return [...(spent ? [withCookie<Rule>(rule(cookieMatches(base, spent), split), spent)] : []), rule(base, split)]
}

/** The last rule is for everybody; in an A/B test it keeps them on the primary. */
const ownLists = (route: HttpRoute): readonly (readonly Entry[])[] => [route.spec.rules?.at(-1)?.backendRefs ?? []]

// ---- HTTPRoutes of the user's

type Change = { readonly rules: readonly Rule[]; readonly mark: Mark | undefined }

const isMirrored = (canary: Canary, filters: readonly Filter[] | undefined): boolean =>
  (filters ?? []).some((filter) => isMirrorTo(filter, canaryName(apexName(canary))))

const mentionsRoles = (canary: Canary, { backendRefs = [] }: Rule): boolean => mentions(backendRefs, apexName(canary), entryRules(canary))
/** A rule that divides this Canary's live requests. */
const concerns = (canary: Canary, rule: Rule): boolean => mentionsRoles(canary, rule) && !isCanaryAlone(rule.backendRefs ?? [], apexName(canary), entryRules(canary))

const isChosen = (canary: Canary, { backendRefs = [] }: Rule): boolean => isChosenList(backendRefs, apexName(canary), entryRules(canary))
const hasChosen = (canary: Canary, route: HttpRoute, own: HttpRoute | undefined): boolean =>
  (route === own ? isTest(canary) : markOf(route, apexName(canary)) === 'match') && (route.spec.rules ?? []).some((rule) => isChosen(canary, rule))

/** Rules of our making that stand before one of the user's: for the chosen of an A/B test, or for sessions that stick. */
function isAdded(canary: Canary, rule: Rule, mark: Mark | undefined): boolean {
  return (mark === 'match' && isChosen(canary, rule)) || (mark === 'sticky' && isStickyRule(rule))
}

function foreignLists(canary: Canary, route: HttpRoute): readonly (readonly Entry[])[] {
  const mark = markOf(route, apexName(canary))
  return (route.spec.rules ?? []).filter((rule) => concerns(canary, rule) && !isAdded(canary, rule, mark)).map(({ backendRefs = [] }) => backendRefs)
}

function patch(canary: Canary, route: HttpRoute, change: (rules: readonly Rule[], mark: Mark | undefined) => Change): readonly KubeObject[] {
  const apex = apexName(canary)
  const before = route.spec.rules ?? []
  const standing = markOf(route, apex)
  const { rules, mark } = change(before, standing)
  if (standing === mark && canonicalJson(rules) === canonicalJson(before)) return []
  return [{ apiVersion: route.apiVersion, kind: route.kind, metadata: patchedMetadata(route, apex, mark), spec: { rules } }]
}

/** The rules as their owner wrote them. */
function restoredRules(canary: Canary, rules: readonly Rule[], mark: Mark | undefined): readonly Rule[] {
  return rules.flatMap((rule) => {
    if (!concerns(canary, rule)) return [rule]
    if (isAdded(canary, rule, mark)) return []
    const backendRefs = whole(canary, rule.backendRefs ?? []).map((entry) => (mark === 'sticky' ? withoutCookies<Entry>(canary, entry) : entry))
    return [unmirrored(canary, { ...rule, backendRefs: restored(backendRefs, apexName(canary), mark === 'weights' || mark === 'sticky', entryRules(canary)) })]
  })
}

function splitRules(canary: Canary, rules: readonly Rule[], routes: Routes, mark: Mark | undefined, objects: ObjectReader): Change {
  const own = restoredRules(canary, rules, mark)
  if (isTest(canary) && routes.canary > 0) return testedRules(canary, own)
  const cookies = stickyCookiesAt(canary, routes)
  let isSplit = false
  const changed = own.flatMap((rule): readonly Rule[] => {
    if (!concerns(canary, rule)) return [rule]
    const split = dividedRule(canary, rule, routes.canary)
    isSplit ||= split.isSplit
    if (cookies) return stickyRules(canary, rule, split.backendRefs, cookies)
    if (routes.mirror) return [mirrored(canary, rule, objects)]
    return [{ ...rule, backendRefs: withBaseline(split.backendRefs, apexName(canary), routes, entryRules(canary)) }]
  })
  return { rules: changed, mark: cookies && changed.length > own.length ? 'sticky' : isSplit ? 'weights' : undefined }
}

function dividedRule(canary: Canary, { backendRefs = [] }: Rule, weight: number): { readonly backendRefs: readonly Entry[]; readonly isSplit: boolean } {
  const { entries, isSplit } = divided(backendRefs, apexName(canary), weight, false, entryRules(canary))
  return { backendRefs: entries, isSplit }
}

const matchesOf = ({ matches }: Rule): readonly RouteMatch[] => (matches?.length ? matches : [{ path: { type: 'PathPrefix', value: '/' } }])

/** Before each rule one for the chosen requests; the rule itself keeps everybody else on the primary. */
function testedRules(canary: Canary, rules: readonly Rule[]): Change {
  let isTested = false
  const tested = rules.flatMap((rule): readonly Rule[] => {
    if (!concerns(canary, rule)) return [rule]
    const matches = analysisMatches(canary, matchesOf(rule))
    const stays = { ...rule, backendRefs: dividedRule(canary, rule, 0).backendRefs }
    if (matches.length === 0) return [stays]
    isTested = true
    return [{ ...rule, matches, backendRefs: dividedRule(canary, rule, 100).backendRefs }, stays]
  })
  return { rules: tested, mark: isTested ? 'match' : undefined }
}

/** Which cookie the answers of a backend hand out. */
function cookieOf(canary: Canary, entry: Entry, cookies: StickyCookies): StickyCookie | undefined {
  const role = roleOf(entry, apexName(canary), entryRules(canary))
  return role === undefined ? undefined : cookies[role]
}

/** Before each rule one for each cookie; the rule itself hands them out. */
function stickyRules(canary: Canary, rule: Rule, backendRefs: readonly Entry[], cookies: StickyCookies): readonly Rule[] {
  const stuck = (cookie: StickyCookie, weight: number): Rule =>
    ({ ...rule, matches: cookieMatches(matchesOf(rule), cookie), backendRefs: dividedRule(canary, rule, weight).backendRefs })
  return [
    stuck(cookies.canary, 100),
    ...(cookies.primary ? [stuck(cookies.primary, 0)] : []),
    { ...rule, backendRefs: backendRefs.map((entry) => withCookie<Entry>(entry, cookieOf(canary, entry, cookies))) },
  ]
}

function releasedRules(canary: Canary, rules: readonly Rule[], mark: Mark | undefined): Change {
  const own = restoredRules(canary, rules, mark)
  return {
    rules: own.map((rule) => (mentionsRoles(canary, rule)
      ? { ...rule, backendRefs: released(rule.backendRefs ?? [], apexName(canary), false, entryRules(canary)) }
      : rule)),
    mark: undefined,
  }
}

function mirrored(canary: Canary, rule: Rule, objects: ObjectReader): Rule {
  const port = (rule.backendRefs?.find((entry) => entryRules(canary).isService(entry))?.['port'] as number | undefined) ?? routePort(canary, objects)
  return { ...rule, filters: [...(rule.filters ?? []), mirrorTo(serviceRef(canaryName(apexName(canary)), port))] }
}

function unmirrored(canary: Canary, rule: Rule): Rule {
  if (!isMirrored(canary, rule.filters)) return rule
  const { filters, ...rest } = rule
  const others = (filters ?? []).filter((filter) => !isMirrorTo(filter, canaryName(apexName(canary))))
  return others.length > 0 ? { ...rest, filters: others } : rest
}
