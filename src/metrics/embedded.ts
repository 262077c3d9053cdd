/**
 * The embedded default source: rounds of scrapes in, polls for the judge and measurements for thresholds out. Pure: the state is a
 * value that the caller keeps, as plain JSON.
 */

import { formatDuration } from '#api/duration.ts'
import type { Measurement } from '#api/measurement.ts'
import type { Role } from '#api/names.ts'
import { completenessOf, increase, type Baseline, type PodCounters } from '#judge/increase.ts'
import type { Poll } from '#judge/poll.ts'
import { ERRORS, LATENCY } from '#judge/settings.ts'
import { BAD_POD_SECONDS, badPodOf, type PodPoll } from '#metrics/bad-pod.ts'
import type { BuiltinMetric } from '#metrics/builtin.ts'
import { noData, unavailable, value } from '#metrics/provider.ts'
import type { PodAnswer, ScrapeRound } from '#metrics/scrape.ts'

export type EmbeddedState = {
  /** The last complete round; absent before the first. */
  readonly baseline?: {
    readonly errors: Readonly<Record<Role, Baseline>>
    readonly latency: Readonly<Record<Role, Baseline>>
    /** Which counter each pod was read from, by pod; and which histogram, after a space. */
    readonly sources: Readonly<Record<string, string>>
    readonly weight: number
    /** What the canary was compared with, where that was not the primary. */
    readonly against?: string
  }
  /** Bounds of the latency channels, milliseconds: fixed for the run by the first histograms seen. Empty until then. */
  readonly bounds: readonly number[]
  /** Rounds in a row that each pod has missed. */
  readonly misses: Readonly<Record<string, number>>
  /** What both arms served, round by round, oldest first. */
  readonly window: readonly WindowPoll[]
  /** Why the last round was not counted. */
  readonly problem?: string
  /** Why the last round that was counted tells nothing of an arm. */
  readonly blind?: Readonly<Partial<Record<Role, string>>>
}

export type WindowPoll = PodPoll & { readonly seconds: number } & Readonly<Record<Role, ArmWindow>>
/** Requests and failures; requests with a latency, and those slower than each bound. */
export type ArmWindow = { readonly requests: number; readonly failures: number; readonly timed: number; readonly slower: readonly number[] }

export const EMPTY_EMBEDDED: EmbeddedState = { bounds: [], misses: {}, window: [] }

export type RoundTerms = {
  /** The canary's weight, in force now. A round after a change of weight gives a `mixed` poll, so scrape just before and just after. */
  readonly weight: number
  readonly pollSeconds: number
  /** Of whom the other arm's pods are, where not of the primary; see Poll. A change of it gives a `mixed` poll. */
  readonly against?: NonNullable<Poll['against']> | undefined
  /** When the round was made, Unix ms. */
  readonly nowMs: number
  /** A pod's latency counts once it has been ready for so long. */
  readonly warmUpSeconds?: number
  /** The baseline is not this agent's own: it only counts if no pod changed since. */
  readonly isTakenOver?: boolean
  /** How far back measurements may look. */
  readonly windowSeconds?: number
}

export type Absorbed = {
  readonly state: EmbeddedState
  /** Absent when the round was not complete, or was the first. */
  readonly poll?: Poll
  readonly skewSeconds: number
  /** What a person should know: pods that do not answer, pages without known counters. */
  readonly problems: readonly string[]
}

/** A canary that just started is slow for honest reasons. */
const WARM_UP_SECONDS = 60
const WINDOW_SECONDS = 600
/** Longer than so many polls without a complete round, the stretch between is lost: too much may have happened in it. */
const MAX_GAP_POLLS = 10
/** Longer than so many polls, the same pods must have been there all the time, or the arms' windows would not match. */
const STEADY_GAP_POLLS = 4
const MAX_WINDOW_POLLS = 1_000
/** Each bound is a channel of the judge; more of them tell little more. */
const MAX_BOUNDS = 24

/** The state after one more round, and what happened since the last complete one. */
export function absorbRound(state: EmbeddedState, round: ScrapeRound, terms: RoundTerms): Absorbed {
  const pods = [...round.canary, ...round.primary].map((pod) => withoutLostCounters(pod, state))
  const answered = pods.flatMap((pod) => (pod.answer.kind === 'page' ? [{ pod, atMs: pod.answer.atMs }] : []))
  const { complete, skewSeconds, misses, dropped, reason } = completenessOf({
    ready: pods.filter(({ ready }) => ready).map(({ name }) => name),
    answeredAt: Object.fromEntries(answered.map(({ pod, atMs }) => [pod.name, atMs / 1_000])),
    misses: state.misses,
    pollSeconds: terms.pollSeconds,
  })
  const failures = pods.flatMap(({ name, answer }) => (answer.kind === 'failed' ? [`${name}: ${answer.reason}`] : []))
  const blind = blindArms(round, terms)
  const problems = [...failures, ...Object.values(blind)]
  if (!complete || answered.length === 0) {
    const problem = [reason ?? (pods.length === 0 ? 'there is no pod to scrape' : 'no pod answers'), ...failures.slice(0, 1)].join('; ')
    return { state: { ...state, misses, problem }, skewSeconds, problems: [problem, ...problems] }
  }
  const missing = dropped.map((name) => `${name} is not waited for any longer`)
  const { problem: _, ...clean } = { ...state, misses, blind }
  const counted = countRound(clean, { canary: pods.slice(0, round.canary.length), primary: pods.slice(round.canary.length) }, Math.min(...answered.map(({ atMs }) => atMs)), terms)
  return { ...counted, skewSeconds, problems: [...missing, ...problems, ...counted.problems] }
}

/** A pod whose counters are gone from its page has not answered: taken as zero, they would come back as new requests. */
function withoutLostCounters(pod: PodAnswer, { baseline }: EmbeddedState): PodAnswer {
  if (pod.answer.kind === 'failed' || !baseline || !Object.hasOwn(baseline.sources, pod.name)) return pod
  const { page } = pod.answer
  const isLost = (known: Readonly<Record<Role, Baseline>>): boolean => {
    const before = known.canary.pods[pod.name] ?? known.primary.pods[pod.name]
    return before !== undefined && before.requests > 0 && before.started === pod.startedAtMs / 1_000
  }
  if ((page.errors || !isLost(baseline.errors)) && (page.latency || !isLost(baseline.latency))) return pod
  return { ...pod, answer: { kind: 'failed', reason: `${baseline.sources[pod.name]} is gone from its page` } }
}

/** Arms of which no counter can be read, and why. Many counters appear with the first request, so it may be nothing. */
function blindArms(round: ScrapeRound, { against }: RoundTerms): NonNullable<EmbeddedState['blind']> {
  return Object.fromEntries((['canary', 'primary'] as const).flatMap((arm) => {
    const name = arm === 'primary' ? against?.name ?? arm : arm
    const pages = round[arm].flatMap(({ answer }) => (answer.kind === 'page' ? [answer.page] : []))
    const [silent] = round[arm].flatMap(({ name: pod, answer }) => (answer.kind === 'failed' ? [`${pod}: ${answer.reason}`] : []))
    if (pages.length === 0) return silent === undefined ? [] : [[arm, `no pod of the ${name} answers; ${silent}`]]
    return pages.every(({ errors }) => !errors) ? [[arm, `no pod of the ${name} has a known counter of requests with a status`]] : []
  }))
}

function countRound(before: Omit<EmbeddedState, 'problem'>, round: ScrapeRound, atMs: number, terms: RoundTerms): { state: EmbeddedState; poll?: Poll; problems: readonly string[] } {
  const at = atMs / 1_000
  const bounds = boundsFor(before, round)
  const state = bounds === before.bounds ? before : withoutLatency(before)
  const errors = mapArms((arm) => ({ at, pods: countersOf(round[arm], errorCounters) }))
  const latencyKnown = bounds.length > 0 && [...round.canary, ...round.primary].every((pod) => latencyCounters(pod, bounds) !== 'other bounds')
  const latency = mapArms((arm) => ({ at, pods: latencyKnown ? countersOf(round[arm], (pod) => latencyCounters(pod, bounds)) : {} }))
  const sources = sourcesOf(round)
  const baseline = {
    errors,
    // While only the bounds do not fit, no baseline moves, so that a later round covers both arms alike.
    latency: latencyKnown || bounds.length === 0 || !state.baseline ? mapArms((arm) => ({ since: at, pods: latency[arm].pods })) : state.baseline.latency,
    sources,
    weight: terms.weight,
    ...(terms.against ? { against: terms.against.name } : {}),
  }
  const next = { ...state, bounds, baseline: { ...baseline, errors: mapArms((arm) => ({ since: at, pods: errors[arm].pods })) } }
  const problems = bounds.length > 0 && !latencyKnown ? [`pods have histograms without the bounds ${bounds.join(', ')} ms`] : []
  const last = state.baseline
  if (!last) return { state: next, problems }
  const seconds = at - last.errors.canary.since
  if (seconds > MAX_GAP_POLLS * terms.pollSeconds) return { state: next, problems: [...problems, `${Math.round(seconds)} s without a complete scrape are lost`] }
  if ((terms.isTakenOver || seconds > STEADY_GAP_POLLS * terms.pollSeconds) && !samePods(last.errors, errors)) return { state: next, problems: [...problems, `${Math.round(seconds)} s are lost: pods changed while nobody looked`] }
  if (seconds <= 0) return { state: next, problems: [...problems, 'the clock went back'] }
  const changed = changedSources(last.sources, sources)
  const errorIncrease = mapArms((arm) => increase(withLateStarts(forget(last.errors[arm], changed.errors), errors[arm]), errors[arm]))
  const latencyIncrease = mapArms((arm) => increase(withLateStarts(forget(last.latency[arm], changed.latency), latency[arm]), latency[arm]))
  const warm = (arm: Role) => warmNames(round[arm], terms)
  // A pod of the baseline that fails alone is no virtue of the canary's. It is left out for what was seen before this poll: a choice by this poll's counts would be no fair comparison.
  const leftOut = terms.against && badPodOf(state, BAD_POD_SECONDS, atMs, 'baseline')?.pod
  const isCompared = (name: string): boolean => name !== leftOut
  const times = mapArms((arm) => timed(Object.keys(latency[arm].pods), latencyIncrease[arm].pods, new Set([...warm(arm)].filter(isCompared)), bounds.length))
  // Thresholds judge what users got, warm or not, as they would from a metrics server; only the comparison of the arms waits for warm pods.
  const everyone = mapArms((arm) => timed(Object.keys(latency[arm].pods), latencyIncrease[arm].pods, new Set(Object.keys(latency[arm].pods)), bounds.length))
  const pods = mapArms((arm) => Object.keys(errors[arm].pods).map((name, i): NamedCounts => {
    const [n, k] = errorIncrease[arm].pods[i] ?? [0, 0]
    return [name, [n, scalar(k)]]
  }))
  const proxies = new Set([...round.canary, ...round.primary].flatMap(({ name, isProxy }) => (isProxy ? [name] : [])))
  const isOwn = ([name]: readonly [string, unknown]): boolean => !proxies.has(name)
  const windowPoll: WindowPoll = {
    atMs,
    seconds,
    pods: { canary: Object.fromEntries(pods.canary.filter(isOwn)), baseline: terms.against ? Object.fromEntries(pods.primary.filter(isOwn)) : {} },
    slow: Object.fromEntries(Object.keys(latency.canary.pods).map((name, i): [string, Timed['pods'][number]] => [name, everyone.canary.pods[i] ?? [0, []]]).filter(isOwn)),
    ...mapArms((arm) => ({ requests: errorIncrease[arm].n, failures: scalar(errorIncrease[arm].k), timed: everyone[arm].n, slower: everyone[arm].k })),
  }
  const window = trimmed([...state.window, windowPoll], atMs, terms)
  const compared = pods.primary.filter(([name]) => isCompared(name))
  // How failures bunch is used from the next poll on, so what this one says of a pod counts already.
  const alone = terms.against && badPodOf({ window }, BAD_POD_SECONDS, atMs, 'baseline')?.pod
  return {
    state: { ...next, window },
    poll: {
      seconds,
      weight: terms.weight,
      ...(last.weight === terms.weight && last.against === terms.against?.name ? {} : { mixed: true }),
      ...(terms.against ? { against: { ...terms.against, weight: (terms.against.weight * compared.length) / Math.max(1, pods.primary.length) } } : {}),
      metrics: {
        [ERRORS]: {
          nc: errorIncrease.canary.n,
          kc: scalar(errorIncrease.canary.k),
          np: compared.reduce((sum, [, [n]]) => sum + n, 0),
          kp: compared.reduce((sum, [, [, k]]) => sum + k, 0),
          pods: compared.flatMap(([name, counts]) => (name === alone ? [] : [counts])),
        },
        ...(latencyKnown ? { [LATENCY]: { nc: times.canary.n, kc: times.canary.k, np: times.primary.n, kp: times.primary.k, pods: times.primary.pods } } : {}),
      },
    },
    problems,
  }
}

function samePods(before: Readonly<Record<Role, Pick<Baseline, 'pods'>>>, now: Readonly<Record<Role, Pick<Baseline, 'pods'>>>): boolean {
  const known = (arms: typeof now) => (['canary', 'primary'] as const).map((arm) => Object.entries(arms[arm].pods).map(([name, { started }]) => `${name} ${started}`).sort().join()).join('|')
  return known(before) === known(now)
}

const mapArms = <T>(map: (arm: Role) => T): Record<Role, T> => ({ canary: map('canary'), primary: map('primary') })
const scalar = (k: number | readonly number[]): number => (typeof k === 'number' ? k : 0)
const list = (k: number | readonly number[], width: number): readonly number[] => (typeof k === 'number' ? Array.from({ length: width }, () => 0) : k)

/** A pod that is read from another counter than before starts afresh. */
const forget = (baseline: Baseline, pods: ReadonlySet<string>): Baseline =>
  pods.size === 0 ? baseline : { ...baseline, pods: Object.fromEntries(Object.entries(baseline.pods).filter(([name]) => !pods.has(name))) }

/** A start that is only now known of, and was before the last scrape, is no restart since: what was read then are its counters already. */
function withLateStarts(baseline: Baseline, { pods }: { readonly pods: Readonly<Record<string, PodCounters>> }): Baseline {
  const corrected = Object.entries(baseline.pods).map(([name, before]): [string, PodCounters] => {
    const started = Object.hasOwn(pods, name) ? pods[name]?.started : undefined
    return [name, started !== undefined && started < baseline.since ? { ...before, started } : before]
  })
  return { ...baseline, pods: Object.fromEntries(corrected) }
}

function countersOf(pods: readonly PodAnswer[], read: (pod: PodAnswer) => PodCounters | 'other bounds' | undefined): Record<string, PodCounters> {
  return Object.fromEntries(pods.flatMap((pod): [string, PodCounters][] => {
    const counters = read(pod)
    return counters === undefined || counters === 'other bounds' ? [] : [[pod.name, counters]]
  }))
}

/** A page without its counter yet has counted nothing: many appear with the first request. */
function errorCounters({ answer, startedAtMs }: PodAnswer): PodCounters | undefined {
  if (answer.kind === 'failed') return undefined
  const { requests, failures } = answer.page.errors ?? { requests: 0, failures: 0 }
  return { started: startedAtMs / 1_000, requests, bad: failures }
}

function latencyCounters({ answer, startedAtMs }: PodAnswer, bounds: readonly number[]): PodCounters | 'other bounds' | undefined {
  if (answer.kind === 'failed') return undefined
  const started = startedAtMs / 1_000
  const { latency } = answer.page
  if (!latency) return { started, requests: 0, bad: bounds.map(() => 0) }
  const bad = bounds.flatMap((bound) => latency.slower[latency.bounds.indexOf(bound)] ?? [])
  return bad.length === bounds.length ? { started, requests: latency.requests, bad } : 'other bounds'
}

/** Those of the first histograms, for the whole run; but where one arm alone had some until now, it does not choose for the other, whose release may have changed its buckets. */
function boundsFor({ bounds, baseline }: Pick<EmbeddedState, 'bounds' | 'baseline'>, round: ScrapeRound): readonly number[] {
  if (bounds.length === 0) return boundsOf(round)
  const isFit = [...round.canary, ...round.primary].every((pod) => latencyCounters(pod, bounds) !== 'other bounds')
  const isOfOneArm = baseline !== undefined && (['canary', 'primary'] as const).some((arm) => Object.values(baseline.latency[arm].pods).every(({ requests }) => requests === 0))
  if (isFit || !isOfOneArm) return bounds
  const shared = boundsOf(round)
  return shared.length > 0 ? shared : bounds
}

/** What was counted by other bounds is no part of what is counted from now on. */
function withoutLatency({ baseline, ...state }: Omit<EmbeddedState, 'problem'>): Omit<EmbeddedState, 'problem'> {
  return {
    ...state,
    ...(baseline ? { baseline: { ...baseline, latency: mapArms((arm) => ({ ...baseline.latency[arm], pods: {} })) } } : {}),
    window: state.window.map(({ slow: _, ...poll }) => ({ ...poll, ...mapArms((arm) => ({ ...poll[arm], timed: 0, slower: [] })) })),
  }
}

/** Bounds that all histograms of the round share, thinned out evenly when there are many. */
function boundsOf(round: ScrapeRound): readonly number[] {
  const all = [...round.canary, ...round.primary].flatMap(({ answer }) => (answer.kind === 'page' && answer.page.latency ? [answer.page.latency.bounds] : []))
  const [first = [], ...others] = all
  const shared = first.filter((bound) => others.every((bounds) => bounds.includes(bound)))
  if (shared.length <= MAX_BOUNDS) return shared
  return Array.from({ length: MAX_BOUNDS }, (_, i) => shared[Math.round((i * (shared.length - 1)) / (MAX_BOUNDS - 1))] ?? 0)
}

function sourcesOf(round: ScrapeRound): Record<string, string> {
  return Object.fromEntries([...round.canary, ...round.primary].flatMap(({ name, answer }): [string, string][] => {
    if (answer.kind === 'failed' || !answer.page.errors) return []
    return [[name, [answer.page.errors.source, answer.page.latency?.source].filter(Boolean).join(' ')]]
  }))
}

/** Pods that are read from another counter, or from another histogram: one that has just appeared, as Envoy's do seconds after its counters, is none. */
function changedSources(before: Readonly<Record<string, string>>, now: Readonly<Record<string, string>>): { readonly errors: ReadonlySet<string>; readonly latency: ReadonlySet<string> } {
  const known = Object.keys(now).filter((pod) => Object.hasOwn(before, pod))
  const part = (sources: Readonly<Record<string, string>>, pod: string, index: 0 | 1): string | undefined => sources[pod]?.split(' ')[index]
  const changed = (index: 0 | 1) => new Set(known.filter((pod) => part(before, pod, index) !== undefined && part(before, pod, index) !== part(now, pod, index)))
  return { errors: changed(0), latency: changed(1) }
}

function warmNames(pods: readonly PodAnswer[], { nowMs, warmUpSeconds = WARM_UP_SECONDS }: RoundTerms): ReadonlySet<string> {
  return new Set(pods.filter(({ readyAtMs, startedAtMs }) => nowMs - (readyAtMs ?? startedAtMs) >= warmUpSeconds * 1_000).map(({ name }) => name))
}

type NamedCounts = readonly [name: string, counts: readonly [requests: number, failures: number]]
type Timed = { readonly n: number; readonly k: readonly number[]; readonly pods: readonly (readonly [number, readonly number[]])[] }

function timed(names: readonly string[], pods: readonly (readonly [number, number | readonly number[]])[], warm: ReadonlySet<string>, width: number): Timed {
  const counted = pods.flatMap(([n, k], i): (readonly [number, readonly number[]])[] => (warm.has(names[i] ?? '') ? [[n, list(k, width)]] : []))
  return {
    n: counted.reduce((sum, [n]) => sum + n, 0),
    k: Array.from({ length: width }, (_, i) => counted.reduce((sum, [, k]) => sum + (k[i] ?? 0), 0)),
    pods: counted,
  }
}

function trimmed(window: readonly WindowPoll[], atMs: number, { windowSeconds = WINDOW_SECONDS }: RoundTerms): readonly WindowPoll[] {
  return window.filter((poll) => poll.atMs > atMs - windowSeconds * 1_000).slice(-MAX_WINDOW_POLLS).map((poll) => {
    if (poll.slow === undefined || poll.atMs > atMs - BAD_POD_SECONDS * 1_000) return poll
    const { slow: _, ...rest } = poll
    return rest
  })
}

/** As the queries of other sources. */
const DURATION_QUANTILE = 0.99

/** A builtin metric of one arm over the last `intervalSeconds`: percent, or milliseconds (P99) for `request-duration`. */
export function measureEmbedded(state: EmbeddedState, metric: BuiltinMetric, arm: Role, intervalSeconds: number, nowMs: number): Measurement {
  const polls = state.window.filter(({ atMs }) => atMs > nowMs - intervalSeconds * 1_000)
  if (polls.length === 0) return unavailable(state.problem ?? 'the pods have not been scraped twice yet')
  const interval = formatDuration(intervalSeconds * 1_000)
  const blind = state.blind?.[arm]
  const none = (reason: string): Measurement => noData(blind === undefined ? reason : `${reason}; ${blind}`)
  if (metric === 'request-duration') {
    const requests = polls.reduce((sum, poll) => sum + poll[arm].timed, 0)
    if (state.bounds.length === 0) return noData('the pods have no histogram of request durations')
    if (requests === 0) return none(`the ${arm} served no request with a known duration in the last ${interval}`)
    return value(quantileOf(DURATION_QUANTILE, state.bounds, requests, state.bounds.map((_, i) => polls.reduce((sum, poll) => sum + (poll[arm].slower[i] ?? 0), 0))))
  }
  // One bad pod of the baseline does not make the stable revision one that fails the check, too.
  const bad = arm === 'primary' ? badPodOf({ window: polls }, intervalSeconds, nowMs, 'baseline')?.own : undefined
  const requests = polls.reduce((sum, poll) => sum + poll[arm].requests, -(bad?.requests ?? 0))
  if (requests === 0) return none(`the ${arm} served no request in the last ${interval}`)
  const failed = (100 * polls.reduce((sum, poll) => sum + poll[arm].failures, -(bad?.failures ?? 0))) / requests
  return value(metric === 'error-rate' ? failed : 100 - failed)
}

/**
 * The quantile of a histogram as Prometheus' `histogram_quantile` estimates it: linear within a bucket, the lowest bucket from 0, and
 * the largest finite bound for anything beyond it. NaN without requests.
 */
export function quantileOf(q: number, bounds: readonly number[], requests: number, slower: readonly number[]): number {
  const rank = q * requests
  const within = bounds.map((_, i) => requests - (slower[i] ?? 0))
  const index = within.findIndex((count) => count >= rank)
  const bound = bounds[index]
  if (requests === 0 || bounds.length === 0) return Number.NaN
  if (bound === undefined) return bounds.at(-1) ?? Number.NaN
  const below = index === 0 ? 0 : (within[index - 1] ?? 0)
  if (index === 0 && bound <= 0) return bound
  const from = index === 0 ? 0 : (bounds[index - 1] ?? 0)
  const inside = (within[index] ?? 0) - below
  return inside === 0 ? bound : from + ((bound - from) * (rank - below)) / inside
}
