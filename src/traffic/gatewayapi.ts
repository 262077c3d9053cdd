import type { Canary } from '#api/canary.ts'
import { apexName, isServiceTarget } from '#api/defaults.ts'
import { canaryName, primaryName } from '#api/names.ts'
import type { Condition, KubeObject, ObjectReader } from '#api/objects.ts'
import { canonicalJson } from '#api/revision.ts'
import type { Routes } from '#api/routes.ts'
import { isOwn } from '#api/selectors.ts'
import { isApplied } from '#traffic/applied.ts'
import { agreedRoutes, apexShare, markOf, patchedMetadata, routeMetadata, routePort, type Mark } from '#traffic/canary-route.ts'
import { divided, mentions, mentionsApex, released, restored, shareOf, type Entry, type EntryRules } from '#traffic/entries.ts'
import { isMirrorTo, mirrorTo, serviceFilters, serviceRef, type Filter } from '#traffic/gateway-filters.ts'
import { analysisMatches, serviceMatches, type RouteMatch } from '#traffic/gateway-match.ts'
import type { TrafficProvider } from '#traffic/provider.ts'
import { cookieFilter, cookieMatches, stickyCookies } from '#traffic/session-cookie.ts'

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

const GATEWAY_GROUP = 'gateway.networking.k8s.io'

/**
 * HTTPRoutes of the user's that send to the apex Service are split in place during a run: rules, filters and timeouts stay theirs. Without one,
 * the HTTPRoute `<s>` is ours and attached to `service.gatewayRefs`, as in Flagger. Routes count only once every parent has accepted them as they are now.
 */
function gatewayApi(name: string, version: 'v1' | 'v1beta1'): TrafficProvider {
  const apiVersion = `${GATEWAY_GROUP}/${version}`
  return {
    name,
    supports: { weights: true, mirror: true, match: true, sessionAffinity: true },
    watches: [{ apiVersion, kind: 'HTTPRoute' }],
    // "Accepted" is said before the data plane has it; measured up to 0.14 s with Traefik, whose throttle time of 2 s may come on top.
    settleMs: 2_500,
    read(canary, objects) {
      const { foreign, own } = httpRoutesOf(canary, apiVersion, objects)
      const all = own ? [...foreign, own] : foreign
      if (all.length === 0 || !all.every(isAccepted)) return undefined
      const shares = all.flatMap((route) => (route === own ? ownShares(canary, route) : foreignShares(canary, route)))
      const mirrored = all.some((route) => (route.spec.rules ?? []).some(({ filters }) => isMirrored(canary, filters)))
      return agreedRoutes(shares.map((share) => (share === 'apex' ? apexShare(canary, objects) : share)), mirrored)
    },
    render(canary, routes, objects) {
      const { foreign, own, needsOwn } = httpRoutesOf(canary, apiVersion, objects)
      const patches = foreign.flatMap((route) => patch(canary, route, (rules, mark) => splitRules(canary, rules, routes, mark, objects)))
      if (!needsOwn) return patches
      const wanted = ownRoute(canary, apiVersion, ownRules(canary, routes, version, objects), false)
      return isApplied(own, wanted) ? patches : [...patches, wanted]
    },
    release(canary, objects) {
      const { foreign, own } = httpRoutesOf(canary, apiVersion, objects)
      const patches = foreign.flatMap((route) => patch(canary, route, (rules, mark) => releasedRules(canary, rules, mark)))
      if (!own) return patches
      const backendRefs = [{ ...serviceRef(apexName(canary), routePort(canary, objects)), weight: 1 }]
      const wanted = ownRoute(canary, apiVersion, [baseRule(canary, version, serviceMatches(canary), serviceFilters(canary), backendRefs)], true)
      return isApplied(own, wanted) ? patches : [...patches, wanted]
    },
  }
}

export const gatewayApiV1 = gatewayApi('gatewayapi:v1', 'v1')
export const gatewayApiV1Beta1 = gatewayApi('gatewayapi:v1beta1', 'v1beta1')

const entryRules = (canary: Canary): EntryRules => ({
  isService: (entry) => (entry['kind'] ?? 'Service') === 'Service' && ['', 'core'].includes(String(entry['group'] ?? '')) &&
    (!entry['namespace'] || entry['namespace'] === canary.metadata.namespace),
  isWeightFilledIn: true,
  isApexRequested: isServiceTarget(canary),
})

const isTest = ({ spec: { analysis } }: Canary): boolean => (analysis.iterations ?? 0) > 0 && (analysis.match?.length ?? 0) > 0

type HttpRoutes = {
  /** Of the user's, with a rule that sends to this Canary's Services. */
  readonly foreign: readonly HttpRoute[]
  readonly own: HttpRoute | undefined
  readonly needsOwn: boolean
}

/** Only the Canary's own namespace is looked at. */
function httpRoutesOf(canary: Canary, apiVersion: string, objects: ObjectReader): HttpRoutes {
  const apex = apexName(canary)
  const all = objects.list(apiVersion, 'HTTPRoute', canary.metadata.namespace ?? '').map((object) => object as HttpRoute)
  const isMentioning = (route: HttpRoute): boolean => (route.spec.rules ?? []).some(({ backendRefs = [] }) => mentions(backendRefs, apex, entryRules(canary)))
  const named = all.find(({ metadata }) => metadata.name === apex)
  const hasParents = (canary.spec.service?.gatewayRefs?.length ?? 0) > 0
  // One of the user's with this name that says nothing of ours is taken over, as by Flagger, when the Canary says where it attaches.
  const own = named && (isOwn(named, canary) || (hasParents && !isMentioning(named))) ? named : undefined
  const foreign = all.filter((route) => route !== own && isMentioning(route))
  return { foreign, own, needsOwn: hasParents && (own !== undefined || foreign.length === 0) }
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
  canary: Canary, version: 'v1' | 'v1beta1', matches: readonly RouteMatch[], filters: readonly Filter[], backendRefs: readonly Entry[],
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

function ownRules(canary: Canary, routes: Routes, version: 'v1' | 'v1beta1', objects: ObjectReader): readonly Rule[] {
  const port = routePort(canary, objects)
  const apex = apexName(canary)
  const to = (name: string, weight: number, filters: readonly Filter[] = []): Entry =>
    ({ ...serviceRef(name, port), weight, ...(filters.length > 0 ? { filters } : {}) })
  const split = [to(primaryName(apex), routes.primary), to(canaryName(apex), routes.canary)]
  const base = serviceMatches(canary)
  const filters = [...serviceFilters(canary), ...(routes.mirror ? [mirrorTo(serviceRef(canaryName(apex), port))] : [])]
  const rule = (matches: readonly RouteMatch[], backendRefs: readonly Entry[]): Rule => baseRule(canary, version, matches, filters, backendRefs)

  if (isTest(canary)) {
    const chosen = analysisMatches(canary, base)
    return [...(chosen.length > 0 ? [rule(chosen, split)] : []), rule(base, [to(primaryName(apex), 100)])]
  }
  const cookies = routes.canary > 0 && routes.canary < 100 ? stickyCookies(canary) : undefined
  if (!cookies) return [rule(base, split)]
  // Sticky rules come first: a request with the cookie is the more specific match, and the order decides between equals.
  return [
    rule(cookieMatches(base, cookies.canary), [to(primaryName(apex), 0), to(canaryName(apex), 100)]),
    ...(cookies.primary ? [rule(cookieMatches(base, cookies.primary), [to(primaryName(apex), 100), to(canaryName(apex), 0)])] : []),
    rule(base, [
      to(primaryName(apex), routes.primary, cookies.primary ? [cookieFilter(cookies.primary)] : []),
      to(canaryName(apex), routes.canary, [cookieFilter(cookies.canary)]),
    ]),
  ]
}

/** In an A/B test the first rule chooses the canary's requests; else the last one splits them (sticky ones stand before it). */
function ownShares(canary: Canary, route: HttpRoute): readonly (number | 'apex' | undefined)[] {
  const rules = route.spec.rules ?? []
  const telling = isTest(canary) ? rules[0] : rules.at(-1)
  return [shareOf(telling?.backendRefs ?? [], apexName(canary), entryRules(canary))]
}

// ---- HTTPRoutes of the user's

type Change = { readonly rules: readonly Rule[]; readonly mark: Mark | undefined }

const isMirrored = (canary: Canary, filters: readonly Filter[] | undefined): boolean =>
  (filters ?? []).some((filter) => isMirrorTo(filter, canaryName(apexName(canary))))

const mentionsRoles = (canary: Canary, { backendRefs = [] }: Rule): boolean => mentions(backendRefs, apexName(canary), entryRules(canary))
const isPair = (canary: Canary, rule: Rule): boolean => mentionsRoles(canary, rule) && !mentionsApex(rule.backendRefs ?? [], apexName(canary), entryRules(canary))

function foreignShares(canary: Canary, route: HttpRoute): readonly (number | 'apex' | undefined)[] {
  const rules = (route.spec.rules ?? []).filter((rule) => mentionsRoles(canary, rule))
  // In an A/B test only the rules of our making, before the user's own, send to the canary.
  const pairs = markOf(route, apexName(canary)) === 'match' ? rules.filter((rule) => isPair(canary, rule)) : []
  return (pairs.length > 0 ? pairs : rules).map(({ backendRefs = [] }) => shareOf(backendRefs, apexName(canary), entryRules(canary)))
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
  const apex = apexName(canary)
  return rules.flatMap((rule) => {
    if (!mentionsRoles(canary, rule)) return [rule]
    // A rule of our making, beside the user's own, which still names the apex.
    if (mark === 'match' && isPair(canary, rule)) return []
    return [unmirrored(canary, { ...rule, backendRefs: restored(rule.backendRefs ?? [], apex, mark === 'weights', entryRules(canary)) })]
  })
}

function splitRules(canary: Canary, rules: readonly Rule[], routes: Routes, mark: Mark | undefined, objects: ObjectReader): Change {
  const apex = apexName(canary)
  const own = restoredRules(canary, rules, mark)
  const isTesting = isTest(canary) && routes.canary > 0
  let isSplit = false
  const changed = own.flatMap((rule): readonly Rule[] => {
    if (!mentionsRoles(canary, rule)) return [rule]
    const mirroring = routes.mirror ? mirrored(canary, rule, objects) : rule
    const split = divided(rule.backendRefs ?? [], apex, routes.canary, false, entryRules(canary))
    isSplit ||= split.isSplit
    if (!isTesting || !split.isSplit) return [{ ...mirroring, backendRefs: split.entries }]
    const base = rule.matches?.length ? rule.matches : [{ path: { type: 'PathPrefix', value: '/' } }]
    const chosen = analysisMatches(canary, base)
    return [...(chosen.length > 0 ? [{ ...mirroring, matches: chosen, backendRefs: split.entries }] : []), mirroring]
  })
  return { rules: changed, mark: isSplit ? (isTesting ? 'match' : 'weights') : undefined }
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
