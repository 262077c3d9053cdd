import type { Canary } from '#api/canary.ts'
import { apexName, isServiceTarget } from '#api/defaults.ts'
import { canaryName, primaryName } from '#api/names.ts'
import type { KubeObject, ObjectReader } from '#api/objects.ts'
import { canonicalJson } from '#api/revision.ts'
import { isOwn } from '#api/selectors.ts'
import { isApplied } from '#traffic/applied.ts'
import { agreedRoutes, apexShare, markOf, patchedMetadata, placeOf, routeMetadata, routePort } from '#traffic/canary-route.ts'
import { divided, mentions, released, shareOf, type Entry, type EntryRules } from '#traffic/entries.ts'
import type { TrafficProvider } from '#traffic/provider.ts'

/** Traefik's API group, and the one it had before version 3. */
const API_VERSIONS = ['traefik.io/v1alpha1', 'traefik.containo.us/v1alpha1'] as const

type IngressRoute = KubeObject & { readonly spec: { readonly routes?: readonly Rule[]; readonly [field: string]: unknown } }
type Rule = { readonly services?: readonly Entry[]; readonly [field: string]: unknown }
type TraefikService = KubeObject & { readonly spec: { readonly weighted?: { readonly services?: readonly Entry[]; readonly [field: string]: unknown } } }

/**
 * Two ways, by what is there. IngressRoutes (and TraefikServices) of the user's that name the apex Service are split in place during a run and restored
 * after it, so that a tool which compares them with Git sees them as written while nothing runs. Where an IngressRoute names the TraefikService `<s>`, or nothing
 * routes yet, that TraefikService is ours, as in Flagger.
 */
export const traefik: TrafficProvider = {
  name: 'traefik',
  supports: { weights: true, mirror: false, match: false, sessionAffinity: false },
  watches: API_VERSIONS.flatMap((apiVersion) => [{ apiVersion, kind: 'IngressRoute' }, { apiVersion, kind: 'TraefikService' }]),
  // Traefik takes a second change within its throttle time, 2 s by default, only at its end; measured up to 0.5 s besides.
  settleMs: 2_500,
  read(canary, objects) {
    const rules = rulesOf(canary)
    const { foreign, own } = routersOf(canary, objects)
    const lists = [...foreign, ...(own ? [own] : [])].flatMap(listsOf).filter((entries) => mentions(entries, apexName(canary), rules))
    const shares = lists.map((entries) => shareOf(entries, apexName(canary), rules))
    return agreedRoutes(shares.map((share) => (share === 'apex' ? apexShare(canary, objects) : share)), false)
  },
  render(canary, routes, objects) {
    const { foreign, own, needsOwn, apiVersion } = routersOf(canary, objects)
    const patches = foreign.flatMap((object) => patch(canary, object, (entries, isSplit, rules) => divided(entries, apexName(canary), routes.canary, isSplit, rules)))
    if (!needsOwn) return patches
    const wanted = renderOwn(canary, apiVersion, weighted(canary, routes.canary, own, objects), false)
    return isApplied(own, wanted) ? patches : [...patches, wanted]
  },
  release(canary, objects) {
    const { foreign, own } = routersOf(canary, objects)
    const patches = foreign.flatMap((object) =>
      patch(canary, object, (entries, isSplit, rules) => ({ entries: released(entries, apexName(canary), isSplit, rules), isSplit: false })))
    if (!own) return patches
    // It outlives the Canary: an IngressRoute that names it would lose its service.
    const wanted = renderOwn(canary, own.apiVersion, [entry(canary, apexName(canary), 100, own, objects)], true)
    return isApplied(own, wanted) ? patches : [...patches, wanted]
  },
}

const rulesOf = (canary: Canary): EntryRules => ({
  isService: ({ kind, namespace }) => (kind === undefined || kind === 'Service') && (!namespace || namespace === canary.metadata.namespace),
  isWeightFilledIn: false,
  isApexRequested: isServiceTarget(canary),
})

function listsOf(object: IngressRoute | TraefikService): readonly (readonly Entry[])[] {
  if (object.kind === 'TraefikService') return [(object as TraefikService).spec.weighted?.services ?? []]
  return ((object as IngressRoute).spec.routes ?? []).map(({ services }) => services ?? [])
}

type Routers = {
  /** Of the user's, with a list that sends to this Canary's Services. */
  readonly foreign: readonly (IngressRoute | TraefikService)[]
  readonly own: TraefikService | undefined
  readonly needsOwn: boolean
  readonly apiVersion: string
}

/** Only the Canary's own namespace is looked at: across namespaces Traefik needs `allowCrossNamespace`. */
function routersOf(canary: Canary, objects: ObjectReader): Routers {
  const namespace = canary.metadata.namespace ?? ''
  const apex = apexName(canary)
  const rules = rulesOf(canary)
  const ingressRoutes = API_VERSIONS.flatMap((apiVersion) => objects.list(apiVersion, 'IngressRoute', namespace).map((object) => object as IngressRoute))
  const services = API_VERSIONS.flatMap((apiVersion) => objects.list(apiVersion, 'TraefikService', namespace).map((object) => object as TraefikService))
  const named = services.find(({ metadata }) => metadata.name === apex)
  const isMentioning = (object: IngressRoute | TraefikService): boolean => listsOf(object).some((entries) => mentions(entries, apex, rules))
  // One of the user's with this name that says nothing of ours is taken over, as by Flagger.
  const own = named && (isOwn(named, canary) || !isMentioning(named)) ? named : undefined
  const isReference = ({ kind, name, namespace: of }: Entry): boolean => kind === 'TraefikService' && name === apex && (!of || of === namespace)
  const referring = ingressRoutes.find((object) => listsOf(object).some((entries) => entries.some(isReference)))
  const foreign = [...ingressRoutes, ...services.filter((service) => service !== own)].filter(isMentioning)
  return {
    foreign,
    own,
    needsOwn: own !== undefined || (referring !== undefined && named === undefined) || foreign.length === 0,
    apiVersion: (own ?? referring ?? ingressRoutes[0])?.apiVersion ?? API_VERSIONS[0],
  }
}

/** One object of the user's with its lists changed; nothing when they are as they should be. Everything but the lists is left out, and so not ours. */
function patch(
  canary: Canary, object: IngressRoute | TraefikService,
  change: (entries: readonly Entry[], isSplit: boolean, rules: EntryRules) => { readonly entries: readonly Entry[]; readonly isSplit: boolean },
): readonly KubeObject[] {
  const apex = apexName(canary)
  const rules = rulesOf(canary)
  const isSplit = markOf(object, apex) !== undefined
  const lists = listsOf(object).map((entries) => (mentions(entries, apex, rules) ? change(entries, isSplit, rules) : { entries, isSplit: false }))
  const isSplitNow = lists.some((list) => list.isSplit)
  if (isSplit === isSplitNow && canonicalJson(lists.map(({ entries }) => entries)) === canonicalJson(listsOf(object))) return []
  const spec = object.kind === 'TraefikService'
    ? { weighted: { services: lists[0]?.entries ?? [] } }
    : { routes: ((object as IngressRoute).spec.routes ?? []).map((rule, index) => (rule.services ? { ...rule, services: lists[index]?.entries } : rule)) }
  return [{ apiVersion: object.apiVersion, kind: object.kind, metadata: patchedMetadata(object, apex, isSplitNow ? 'weights' : undefined), spec }]
}

const renderOwn = (canary: Canary, apiVersion: string, services: readonly Entry[], outlives: boolean): TraefikService =>
  ({ apiVersion, kind: 'TraefikService', metadata: routeMetadata(canary, outlives), spec: { weighted: { services } } })

/** At rest only the primary, as in Flagger: a canary without pods would answer 503 even at weight 0 in a sticky session. */
function weighted(canary: Canary, weight: number, own: TraefikService | undefined, objects: ObjectReader): readonly Entry[] {
  const apex = apexName(canary)
  const primary = entry(canary, primaryName(apex), 100 - weight, own, objects)
  return weight <= 0 ? [primary] : [primary, entry(canary, canaryName(apex), weight, own, objects)]
}

/** An entry keeps what somebody else set on it (transport, headers, stickiness); a new one takes that over from its fellow. */
function entry(canary: Canary, name: string, weight: number, own: TraefikService | undefined, objects: ObjectReader): Entry {
  const entries = own?.spec.weighted?.services ?? []
  const model = entries.find((other) => other.name === name) ?? entries.find((other) => rulesOf(canary).isService(other))
  return { ...model, name, ...placeOf(canary), port: routePort(canary, objects), weight }
}
