import type { Canary } from '#api/canary.ts'
import { apexName, isServiceTarget } from '#api/defaults.ts'
import { baselineName, canaryName, primaryName } from '#api/names.ts'
import type { KubeObject, ObjectReader } from '#api/objects.ts'
import { canonicalJson } from '#api/canonical-json.ts'
import { routesTo, type Routes } from '#api/routes.ts'
import { isOwn } from '#api/selectors.ts'
import { isApplied } from '#traffic/applied.ts'
import { agreedRoutes, apexShare, isTest, markOf, mayHaveBaseline, patchedMetadata, placeOf, routeMetadata, routePort, type Mark } from '#traffic/canary-route.ts'
import { baselineShareOf, divided, isCanaryAlone, isChosenList, leadsToPrimary, mentions, released, restored, shareOf, withBaseline, withoutBaseline, type Entry, type EntryRules } from '#traffic/entries.ts'
import type { TrafficProvider } from '#traffic/provider.ts'
import { testCondition, type Syntax } from '#traffic/traefik-match.ts'
import { isMirrored, isMirrorEntry, mirrored, mirrorName, mirrorService, unmirrored } from '#traffic/traefik-mirror.ts'

/** Traefik's API group, and the one it had before version 3. */
const API_VERSIONS = ['traefik.io/v1alpha1', 'traefik.containo.us/v1alpha1'] as const

type IngressRoute = KubeObject & { readonly spec: { readonly routes?: readonly Rule[]; readonly [field: string]: unknown } }
type Rule = {
  readonly match?: string; readonly priority?: number; readonly syntax?: string; readonly services?: readonly Entry[]; readonly [field: string]: unknown
}
type TraefikService = KubeObject & { readonly spec: { readonly weighted?: { readonly services?: readonly Entry[]; readonly [field: string]: unknown } } }

/**
 * Two ways, by what is there. IngressRoutes (and TraefikServices) of the user's that name the apex Service are split in place during a run and restored
 * after it, so that a tool which compares them with Git sees them as written while nothing runs. Where an IngressRoute names the TraefikService `<s>`, or nothing
 * routes yet, that TraefikService is ours, as in Flagger. An A/B test adds rules to the IngressRoutes in both.
 */
export const traefik: TrafficProvider = {
  name: 'traefik',
  supports: { weights: true, mirror: true, match: true, sessionAffinity: false, services: true },
  watches: API_VERSIONS.flatMap((apiVersion) => [{ apiVersion, kind: 'IngressRoute' }, { apiVersion, kind: 'TraefikService' }]),
  // Traefik takes a second change within its throttle time, 2 s by default, only at its end; measured up to 0.5 s besides.
  settleMs: 2_500,
  read(canary, objects) {
    const routers = routersOf(canary, objects)
    const { foreign, own, ingressRoutes } = routers
    if (ingressRoutes.some((object) => hasChosen(canary, object))) {
      // A condition that somebody changed might let everybody in: a test is in force only when it is written as it should be.
      return isTest(canary) && renderRoutes(canary, routesTo(100), routers, objects).length === 0 ? routesTo(100) : undefined
    }
    const lists = [...foreign, ...(own ? [own] : [])].flatMap((object) => splitLists(canary, object))
    const shares = lists.map((entries) => shareOf(whole(canary, unmirrored(canary, entries)), apexName(canary), rulesOf(canary)))
    const mirroring = lists.filter((entries) => isMirrored(canary, entries)).length
    if (mirroring > 0 && (mirroring < lists.length || !isMirrorReady(canary, routers, objects))) return undefined
    return agreedRoutes(shares.map((share) => (share === 'apex' ? apexShare(canary, objects) : share)), mirroring > 0, lists.map((entries) => baselineShareOf(entries, apexName(canary), rulesOf(canary))))
  },
  obstacle(canary, objects) {
    const { foreign, ingressRoutes, isReference } = routersOf(canary, objects)
    const isLed = ingressRoutes.some((object) => foreign.includes(object) || rulesIn(object).some(({ services = [] }) => services.some(isReference)))
    const apex = apexName(canary)
    return isLed ? undefined : `no IngressRoute of namespace ${canary.metadata.namespace ?? ''} leads to Service ${apex} or TraefikService ${apex}`
  },
  render: (canary, routes, objects) => renderRoutes(canary, routes, routersOf(canary, objects), objects),
  release(canary, objects) {
    const routers = routersOf(canary, objects)
    const { own } = routers
    const patches = candidates(canary, routers).flatMap((object) => patch(canary, object, (rules, mark) => releasedRules(canary, rules, mark)))
    if (!own) return patches
    // It outlives the Canary: an IngressRoute that names it would lose its service.
    const wanted = renderOwn(canary, own.apiVersion, [entry(canary, apexName(canary), 100, own, objects)], true)
    return isApplied(own, wanted) ? patches : [...patches, wanted]
  },
}

function renderRoutes(canary: Canary, routes: Routes, routers: Routers, objects: ObjectReader): readonly KubeObject[] {
  const { own, needsOwn, apiVersion, mirror } = routers
  const patches = candidates(canary, routers).flatMap((object) => patch(canary, object, (rules, mark) => splitRules(canary, rules, mark, routes, object.apiVersion, routers, objects)))
  const mirroring = routes.mirror ? [mirrorService(canary, apiVersion, objects)].filter((wanted) => !isApplied(mirror, wanted)) : []
  const entries = weighted(canary, isTest(canary) ? routesTo(0) : routes, own, objects)
  const wanted = renderOwn(canary, apiVersion, routes.mirror ? mirrored(canary, entries, (each) => leads(canary, each)) : entries, false)
  // First what is referred to, then what refers to it.
  return [...mirroring, ...patches, ...(needsOwn && !isApplied(own, wanted) ? [wanted] : [])]
}

const rulesOf = (canary: Canary): EntryRules => ({
  isService: ({ kind, namespace }) => (kind === undefined || kind === 'Service') && (!namespace || namespace === canary.metadata.namespace),
  isWeightFilledIn: false,
  isApexRequested: isServiceTarget(canary),
  hasBaseline: mayHaveBaseline(canary),
})

const whole = (canary: Canary, entries: readonly Entry[]): readonly Entry[] => withoutBaseline(entries, apexName(canary), rulesOf(canary))
const leads = (canary: Canary, entry: Entry): boolean => leadsToPrimary(entry, apexName(canary), rulesOf(canary))
const concerns = (canary: Canary, entries: readonly Entry[]): boolean =>
  mentions(entries, apexName(canary), rulesOf(canary)) && !isCanaryAlone(entries, apexName(canary), rulesOf(canary))

/** A TraefikService is looked at as a route with one rule. */
const rulesIn = (object: IngressRoute | TraefikService): readonly Rule[] =>
  (object.kind === 'TraefikService' ? [{ services: (object as TraefikService).spec.weighted?.services ?? [] }] : (object as IngressRoute).spec.routes ?? [])

/** A rule of our making: for the chosen requests of an A/B test. */
const isChosen = (canary: Canary, { services = [] }: Rule): boolean => isChosenList(services, apexName(canary), rulesOf(canary))
const hasChosen = (canary: Canary, object: IngressRoute): boolean =>
  markOf(object, apexName(canary)) === 'match' && rulesIn(object).some((rule) => isChosen(canary, rule))

/** Lists that divide this Canary's live requests. */
function splitLists(canary: Canary, object: IngressRoute | TraefikService): readonly (readonly Entry[])[] {
  const isMatch = markOf(object, apexName(canary)) === 'match'
  return rulesIn(object).filter((rule) => !(isMatch && isChosen(canary, rule))).flatMap(({ services = [] }) => (concerns(canary, services) ? [services] : []))
}

type Routers = {
  readonly ingressRoutes: readonly IngressRoute[]
  /** Of the user's, with a list that sends to this Canary's Services. */
  readonly foreign: readonly (IngressRoute | TraefikService)[]
  readonly own: TraefikService | undefined
  readonly needsOwn: boolean
  readonly mirror: KubeObject | undefined
  readonly apiVersion: string
  /** Whether an entry leads to this Canary by way of a TraefikService, and to nothing else. */
  readonly isReference: (entry: Entry) => boolean
}

/** Only the Canary's own namespace is looked at: across namespaces Traefik needs `allowCrossNamespace`. */
function routersOf(canary: Canary, objects: ObjectReader): Routers {
  const namespace = canary.metadata.namespace ?? ''
  const apex = apexName(canary)
  const ingressRoutes = API_VERSIONS.flatMap((apiVersion) => objects.list(apiVersion, 'IngressRoute', namespace).map((object) => object as IngressRoute))
  const services = API_VERSIONS.flatMap((apiVersion) => objects.list(apiVersion, 'TraefikService', namespace).map((object) => object as TraefikService))
  const named = services.find(({ metadata }) => metadata.name === apex)
  const isConcerned = (object: IngressRoute | TraefikService): boolean => splitLists(canary, object).length > 0
  // One of the user's with this name that says nothing of ours is taken over, as by Flagger.
  const own = named && (isOwn(named, canary) || !isConcerned(named)) ? named : undefined
  const isReferenceTo = ({ kind, name, namespace: of }: Entry, names: readonly string[]): boolean =>
    kind === 'TraefikService' && names.includes(name ?? '') && (!of || of === namespace)
  const referring = ingressRoutes.find((object) => rulesIn(object).some(({ services: entries = [] }) => entries.some((each) => isReferenceTo(each, [apex]))))
  const foreign = [...ingressRoutes, ...services.filter((service) => service !== own)].filter(isConcerned)
  const isOurs = (each: Entry): boolean => isMirrorEntry(canary, each) || mentions([each], apex, rulesOf(canary))
  const throughs = services.filter((service) => service !== own && isConcerned(service) && splitLists(canary, service).flat().every(isOurs)).map(({ metadata }) => metadata.name)
  return {
    ingressRoutes,
    foreign,
    own,
    needsOwn: own !== undefined || (referring !== undefined && named === undefined) || foreign.length === 0,
    mirror: services.find(({ metadata }) => metadata.name === mirrorName(canary)),
    apiVersion: (own ?? referring ?? ingressRoutes[0])?.apiVersion ?? API_VERSIONS[0],
    isReference: (each) => isReferenceTo(each, [apex, ...throughs]),
  }
}

/** Objects of the user's that may have to be changed: those that send to us, and in an A/B test all that lead to us. */
function candidates(canary: Canary, { ingressRoutes, foreign, isReference }: Routers): readonly (IngressRoute | TraefikService)[] {
  const isLeading = (object: IngressRoute): boolean =>
    markOf(object, apexName(canary)) !== undefined || rulesIn(object).some(({ services = [] }) => services.some(isReference) || isCanaryAlone(services, apexName(canary), rulesOf(canary)))
  return [...foreign, ...ingressRoutes.filter((object) => !foreign.includes(object) && isLeading(object))]
}

const isMirrorReady = (canary: Canary, { mirror, apiVersion }: Routers, objects: ObjectReader): boolean =>
  mirror !== undefined && isApplied(mirror, mirrorService(canary, apiVersion, objects))

type Change = { readonly rules: readonly Rule[]; readonly mark: Mark | undefined }

/** One object of the user's with its rules changed; nothing when they are as they should be. Everything but the rules is left out, and so not ours. */
function patch(canary: Canary, object: IngressRoute | TraefikService, change: (rules: readonly Rule[], mark: Mark | undefined) => Change): readonly KubeObject[] {
  const apex = apexName(canary)
  const before = rulesIn(object)
  const standing = markOf(object, apex)
  const { rules, mark } = change(before, standing)
  if (standing === mark && canonicalJson(rules) === canonicalJson(before)) return []
  const spec = object.kind === 'TraefikService' ? { weighted: { services: rules[0]?.services ?? [] } } : { routes: rules }
  return [{ apiVersion: object.apiVersion, kind: object.kind, metadata: patchedMetadata(object, apex, mark), spec }]
}

/** The rules as their owner wrote them. */
function restoredRules(canary: Canary, rules: readonly Rule[], mark: Mark | undefined): readonly Rule[] {
  return rules.flatMap((rule) => {
    if (!rule.services || !concerns(canary, rule.services)) return [rule]
    if (mark === 'match' && isChosen(canary, rule)) return []
    return [{ ...rule, services: restored(whole(canary, unmirrored(canary, rule.services)), apexName(canary), mark === 'weights', rulesOf(canary)) }]
  })
}

function splitRules(
  canary: Canary, rules: readonly Rule[], mark: Mark | undefined, routes: Routes, apiVersion: string, routers: Routers, objects: ObjectReader,
): Change {
  const own = restoredRules(canary, rules, mark)
  if (isTest(canary) && routes.canary > 0) return testedRules(canary, own, apiVersion, routers, objects)
  let isSplit = false
  const changed = own.map((rule): Rule => {
    if (!rule.services || !concerns(canary, rule.services)) return rule
    const split = divided(rule.services, apexName(canary), routes.canary, false, rulesOf(canary))
    isSplit ||= split.isSplit
    const services = withBaseline(split.entries, apexName(canary), routes, rulesOf(canary))
    return { ...rule, services: routes.mirror ? mirrored(canary, services, (each) => leads(canary, each)) : services }
  })
  return { rules: changed, mark: isSplit ? 'weights' : undefined }
}

/** Before each rule that leads to us one for the chosen requests; the rule itself keeps everybody else on the primary. */
function testedRules(canary: Canary, rules: readonly Rule[], apiVersion: string, { isReference }: Routers, objects: ObjectReader): Change {
  const apex = apexName(canary)
  let isTested = false
  const tested = rules.flatMap((rule): readonly Rule[] => {
    const services = (rule.services ?? []).map((each) => (isReference(each) ? asApex(canary, each, objects) : each))
    if (rule.match === undefined || !concerns(canary, services)) return [rule]
    const stays = concerns(canary, rule.services ?? []) ? { ...rule, services: divided(services, apex, 0, false, rulesOf(canary)).entries } : rule
    const match = chosenMatch(canary, rule, rules, syntaxOf(rule, apiVersion))
    if (match === undefined) return [stays]
    isTested = true
    return [{ ...rule, match, priority: priorityOf(rule) + 1, services: divided(services, apex, 100, false, rulesOf(canary)).entries }, stays]
  })
  return { rules: tested, mark: isTested ? 'match' : undefined }
}

/** An entry that refers to a TraefikService, as one for the apex in its place. */
function asApex(canary: Canary, { kind: _, ...each }: Entry, objects: ObjectReader): Entry {
  return { ...each, name: apexName(canary), port: routePort(canary, objects) }
}

/** Traefik's own: the longest rule first, unless one is given. */
const priorityOf = ({ priority, match = '' }: Rule): number => priority || match.length

/** The API group of Traefik 2 alone has rules in no other language. */
const syntaxOf = ({ syntax }: Rule, apiVersion: string): Syntax => (syntax === 'v2' || apiVersion === API_VERSIONS[1] ? 'v2' : 'v3')

/** The rule's own requests that are chosen, but for those that another rule takes which would now be of the same priority. */
function chosenMatch(canary: Canary, rule: Rule, rules: readonly Rule[], syntax: Syntax): string | undefined {
  const condition = testCondition(canary, syntax)
  if (condition === undefined) return undefined
  const rivals = rules.flatMap((other) => (other !== rule && other.match !== undefined && priorityOf(other) === priorityOf(rule) + 1 ? [`!(${other.match})`] : []))
  return [`(${rule.match ?? ''})`, `(${condition})`, ...rivals].join(' && ')
}

function releasedRules(canary: Canary, rules: readonly Rule[], mark: Mark | undefined): Change {
  const apex = apexName(canary)
  return {
    rules: restoredRules(canary, rules, mark).map((rule) =>
      (rule.services && mentions(rule.services, apex, rulesOf(canary)) ? { ...rule, services: released(rule.services, apex, false, rulesOf(canary)) } : rule)),
    mark: undefined,
  }
}

const renderOwn = (canary: Canary, apiVersion: string, services: readonly Entry[], outlives: boolean): TraefikService =>
  ({ apiVersion, kind: 'TraefikService', metadata: routeMetadata(canary, outlives), spec: { weighted: { services } } })

/** At rest only the primary, as in Flagger: a canary without pods would answer 503 even at weight 0 in a sticky session. */
function weighted(canary: Canary, { primary, canary: weight, baseline = 0 }: Routes, own: TraefikService | undefined, objects: ObjectReader): readonly Entry[] {
  const apex = apexName(canary)
  const to = (name: string, share: number): readonly Entry[] => (share <= 0 ? [] : [entry(canary, name, share, own, objects)])
  return [entry(canary, primaryName(apex), primary - baseline, own, objects), ...to(baselineName(apex), baseline), ...to(canaryName(apex), weight)]
}

/** An entry keeps what somebody else set on it (transport, headers, stickiness); a new one takes that over from its fellow. */
function entry(canary: Canary, name: string, weight: number, own: TraefikService | undefined, objects: ObjectReader): Entry {
  const entries = own?.spec.weighted?.services ?? []
  const model = entries.find((other) => other.name === name) ?? entries.find((other) => rulesOf(canary).isService(other))
  return { ...model, name, ...placeOf(canary), port: routePort(canary, objects), weight }
}
