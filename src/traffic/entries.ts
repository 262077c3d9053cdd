import { baselineName, canaryName, primaryName } from '#api/names.ts'
import type { Routes } from '#api/routes.ts'

/**
 * Lists of weighted backends, as an IngressRoute's `services` and an HTTPRoute's `backendRefs` are. While a run is on, the user's entry for the
 * apex is replaced, in its place, by one for the primary and one for the canary; at rest it stands there again as it was. Nothing is
 * remembered for that: both entries are copies of the user's, and their weights sum to a hundred times its weight.
 */
export type Entry = { readonly name?: string; readonly weight?: number; readonly [field: string]: unknown }

/** Which entries are Services of the Canary's namespace, and how the weight of one that has none is written. */
export type EntryRules = {
  readonly isService: (entry: Entry) => boolean
  /** Written where a weight is 1: routers whose API fills it in show it, the others do not. */
  readonly isWeightFilledIn: boolean
  /** The apex holds what was requested last, not what serves: at rest, too, requests go to the primary. */
  readonly isApexRequested: boolean
  /** `<s>-baseline` is ours: of a Canary without a baseline it may be anybody's. */
  readonly hasBaseline: boolean
}

/** Entries of our making sum to this times the weight of the entry that they stand for. */
const SCALE = 100

const weightOf = (entry: Entry): number => entry.weight ?? 1

type Kinds = { readonly apex: boolean; readonly primary: boolean; readonly canary: boolean; readonly baseline: boolean }
const kindsOf = (entry: Entry, apex: string, rules: EntryRules): Kinds => {
  const isService = rules.isService(entry)
  const leadsTo = (name: string): boolean => isService && entry.name === name
  return { apex: leadsTo(apex), primary: leadsTo(primaryName(apex)), canary: leadsTo(canaryName(apex)), baseline: rules.hasBaseline && leadsTo(baselineName(apex)) }
}

export const mentions = (entries: readonly Entry[], apex: string, rules: EntryRules): boolean =>
  entries.some((entry) => Object.values(kindsOf(entry, apex, rules)).some(Boolean))

export const mentionsApex = (entries: readonly Entry[], apex: string, rules: EntryRules): boolean =>
  entries.some((entry) => kindsOf(entry, apex, rules).apex)

/** The role that an entry sends to; undefined for the apex and for anything else. */
export function roleOf(entry: Entry, apex: string, rules: EntryRules): 'primary' | 'canary' | undefined {
  const { primary, canary } = kindsOf(entry, apex, rules)
  return primary ? 'primary' : canary ? 'canary' : undefined
}

/** An entry whose requests are answered by the primary while no weight is on the canary. */
export function leadsToPrimary(entry: Entry, apex: string, rules: EntryRules): boolean {
  const { apex: isApex, primary } = kindsOf(entry, apex, rules)
  return isApex || primary
}

/**
 * The list of a rule that was made for the chosen requests of an A/B test: the primary's entry stands in it at weight 0, unlike in a rule of the user's
 * that leads to the canary alone.
 */
export function isChosenList(entries: readonly Entry[], apex: string, rules: EntryRules): boolean {
  const kinds = entries.map((entry) => ({ entry, ...kindsOf(entry, apex, rules) }))
  const primaries = kinds.filter((kind) => kind.primary)
  return !kinds.some((kind) => kind.apex) && primaries.length > 0 && primaries.every(({ entry }) => entry.weight === 0) && kinds.some(({ entry, canary }) => canary && weightOf(entry) > 0)
}

/** A rule of the user's that leads to the canary alone, for trying it out: it splits nothing, and stays as it is. */
export function isCanaryAlone(entries: readonly Entry[], apex: string, rules: EntryRules): boolean {
  const kinds = entries.map((entry) => kindsOf(entry, apex, rules))
  return kinds.some(({ canary }) => canary) && !kinds.some((kind) => kind.apex || kind.primary)
}

/** The canary's part, in percent, of what a list sends to this Canary's Services; `apex` when it goes to the apex, undefined when none does. */
export function shareOf(entries: readonly Entry[], apex: string, rules: EntryRules): number | 'apex' | undefined {
  const kinds = entries.map((entry) => ({ entry, ...kindsOf(entry, apex, rules) }))
  if (kinds.some((kind) => kind.apex)) return 'apex'
  const sum = (role: 'primary' | 'canary') => kinds.filter((kind) => kind[role]).reduce((total, { entry }) => total + weightOf(entry), 0)
  const [primary, canary] = [sum('primary'), sum('canary')]
  return primary + canary === 0 ? undefined : (100 * canary) / (primary + canary)
}

/** The baseline's part, in percent, of what a list sends to this Canary's Services. */
export function baselineShareOf(entries: readonly Entry[], apex: string, rules: EntryRules): number {
  const kinds = entries.map((entry) => ({ entry, ...kindsOf(entry, apex, rules) })).filter(({ primary, canary, baseline }) => primary || canary || baseline)
  const sum = (of: typeof kinds): number => of.reduce((total, { entry }) => total + weightOf(entry), 0)
  const own = kinds.filter(({ baseline }) => baseline)
  return own.length === 0 || sum(kinds) === 0 ? 0 : (100 * sum(own)) / sum(kinds)
}

/** A divided list with the baseline's part behind each entry of the primary, of whose weight it is taken. */
export function withBaseline(entries: readonly Entry[], apex: string, { primary, baseline = 0 }: Pick<Routes, 'primary' | 'baseline'>, rules: EntryRules): readonly Entry[] {
  if (baseline <= 0) return entries
  return entries.flatMap((entry) => {
    if (!kindsOf(entry, apex, rules).primary) return [entry]
    const share = Math.round((weightOf(entry) * baseline) / primary)
    return share === 0 ? [entry] : [{ ...entry, weight: weightOf(entry) - share }, { ...entry, name: baselineName(apex), weight: share }]
  })
}

/** The list as it was before: the primary has its whole part. */
export function withoutBaseline(entries: readonly Entry[], apex: string, rules: EntryRules): readonly Entry[] {
  if (!entries.some((entry) => kindsOf(entry, apex, rules).baseline)) return entries
  return entries.flatMap((entry, index) => {
    if (kindsOf(entry, apex, rules).baseline) return []
    const next = entries[index + 1]
    const isFollowed = kindsOf(entry, apex, rules).primary && next !== undefined && kindsOf(next, apex, rules).baseline
    return [isFollowed ? { ...entry, weight: weightOf(entry) + weightOf(next) } : entry]
  })
}

/** The list as its owner wrote it. `isSplit`: the list is of our making. */
export function restored(entries: readonly Entry[], apex: string, isSplit: boolean, rules: EntryRules): readonly Entry[] {
  const kinds = entries.map((entry) => ({ entry, ...kindsOf(entry, apex, rules) }))
  if (!isSplit || kinds.some((kind) => kind.apex) || !kinds.some((kind) => kind.primary)) return entries
  const total = kinds.filter(({ primary, canary }) => primary || canary).reduce((sum, { entry }) => sum + weightOf(entry), 0)
  const own = kinds.filter(({ primary }) => primary).length
  return kinds.flatMap(({ entry, primary, canary }) => {
    if (canary) return []
    if (!primary) return [weighing(entry, weightOf(entry) / SCALE, rules)]
    return [weighing({ ...entry, name: apex }, total / own / SCALE, rules)]
  })
}

/** The list with `canary` percent of this Canary's part on the canary. `isSplit` in the answer: to be marked as ours. */
export function divided(
  entries: readonly Entry[], apex: string, canary: number, isSplit: boolean, rules: EntryRules,
): { readonly entries: readonly Entry[]; readonly isSplit: boolean } {
  const own = restored(entries, apex, isSplit, rules)
  const pair = (entry: Entry, primaryWeight: number, canaryWeight: number): readonly Entry[] => [
    { ...entry, name: primaryName(apex), weight: primaryWeight }, { ...entry, name: canaryName(apex), weight: canaryWeight },
  ]
  if (mentionsApex(own, apex, rules)) {
    if (canary <= 0 && !rules.isApexRequested) return { entries: own, isSplit: false }
    return {
      entries: own.flatMap((entry) => (kindsOf(entry, apex, rules).apex
        ? pair(entry, weightOf(entry) * (SCALE - canary), weightOf(entry) * canary).slice(0, canary <= 0 ? 1 : 2)
        : [{ ...entry, weight: weightOf(entry) * SCALE }])),
      isSplit: true,
    }
  }
  return { entries: reweighed(own, apex, canary, rules, pair), isSplit: false }
}

/** The user's own pair keeps its entries: only its two weights move, and all are scaled once where the two cannot be divided finely enough. */
function reweighed(
  entries: readonly Entry[], apex: string, canary: number, rules: EntryRules,
  pair: (entry: Entry, primaryWeight: number, canaryWeight: number) => readonly Entry[],
): readonly Entry[] {
  if (shareOf(entries, apex, rules) === canary) return entries
  const kinds = entries.map((entry) => ({ entry, ...kindsOf(entry, apex, rules) }))
  const isAlone = kinds.every((kind) => kind.primary || kind.canary)
  const sum = kinds.filter((kind) => kind.primary || kind.canary).reduce((total, { entry }) => total + weightOf(entry), 0)
  const scale = isAlone || sum % SCALE === 0 ? 1 : SCALE
  const total = isAlone || sum === 0 ? SCALE : sum * scale
  const canaryWeight = (total * canary) / 100
  const hasCanary = kinds.some((kind) => kind.canary)
  return kinds.flatMap((kind) => {
    if (kind.canary) return [{ ...kind.entry, weight: canaryWeight }]
    if (!kind.primary) return [scale === 1 ? kind.entry : { ...kind.entry, weight: weightOf(kind.entry) * scale }]
    return hasCanary ? [{ ...kind.entry, weight: total - canaryWeight }] : pair(kind.entry, total - canaryWeight, canaryWeight)
  })
}

/** The list with this Canary's part on the apex alone: the Services of the roles go with the Canary, so not even a pair of the user's own may stay. */
export function released(entries: readonly Entry[], apex: string, isSplit: boolean, rules: EntryRules): readonly Entry[] {
  const own = restored(entries, apex, isSplit, rules)
  if (mentionsApex(own, apex, rules)) return own
  const kinds = own.map((entry) => ({ entry, ...kindsOf(entry, apex, rules) }))
  const first = kinds.find((kind) => kind.primary || kind.canary)
  if (!first) return entries
  const sum = kinds.filter((kind) => kind.primary || kind.canary).reduce((total, { entry }) => total + weightOf(entry), 0)
  return kinds.flatMap((kind) => {
    if (kind === first) return [weighing({ ...kind.entry, name: apex }, Math.max(1, sum), rules)]
    return kind.primary || kind.canary ? [] : [kind.entry]
  })
}

/** A weight of 1 is written as the owner's API shows it. */
function weighing(entry: Entry, weight: number, rules: EntryRules): Entry {
  // A pair whose weights somebody changed by hand in mid-run need not divide evenly.
  const whole = Math.max(weight > 0 ? 1 : 0, Math.round(weight))
  if (whole !== 1 || rules.isWeightFilledIn) return { ...entry, weight: whole }
  const { weight: _, ...unweighted } = entry
  return unweighted
}
