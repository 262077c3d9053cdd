import type { Http } from '#api/http.ts'
import { hasBaseline } from '#api/baseline.ts'
import type { Canary } from '#api/canary.ts'
import { COUNTED_PROVIDERS } from '#api/counting-proxies.ts'
import { apexName } from '#api/defaults.ts'
import { parseDuration } from '#api/duration.ts'
import { LABEL_ROLE, type Role, type WorkloadRole } from '#api/names.ts'
import { objectKey, type KubeObject } from '#api/objects.ts'
import type { Measurement } from '#api/measurement.ts'
import type { Caches } from '#agent/caches.ts'
import { readEvidence, readMemory, writeEvidence, writeMemory } from '#agent/evidence.ts'
import type { Proxies } from '#agent/proxies.ts'
import { createConfig, DEFAULT_POLL_SECONDS, type JudgeConfig, type JudgedMetric } from '#judge/config.ts'
import { MISSES_UNTIL_DROPPED } from '#judge/increase.ts'
import { createState, judge, memoryOf, secondsToNextPoll, type Judgement } from '#judge/judge.ts'
import type { Poll } from '#judge/poll.ts'
import { shortfall, type Traffic } from '#judge/power.ts'
import { ERRORS, judgeMode, judgeSettingsOf, LATENCY } from '#judge/settings.ts'
import { hasEvidence, type JudgeState, type Memory } from '#judge/state.ts'
import type { Log } from '#kube/log.ts'
import { BAD_POD_SECONDS, badPodOf, badPodText, leftOutText, slowPodOf } from '#metrics/bad-pod.ts'
import type { BuiltinMetric } from '#metrics/builtin.ts'
import { absorbRound, EMPTY_EMBEDDED, measureEmbedded, type EmbeddedState } from '#metrics/embedded.ts'
import { routesFor, SCRAPED_PROXIES } from '#metrics/proxy.ts'
import { scrapePods, scrapeProxy, scrapeTargetOf, type ScrapePod, type ScrapeRound, type ScrapeSettings } from '#metrics/scrape.ts'
import { isComparedWithBaseline } from '#rollout/baseline.ts'
import type { JudgementSeen, Seen } from '#rollout/decision.ts'
import { TOO_SHORT } from '#rollout/judging.ts'
import { planOf, strategyOf } from '#rollout/plan.ts'
import { plannedSteps } from '#rollout/power.ts'
import { phaseOf } from '#rollout/status.ts'

/**
 * Watches the pods of a run themselves: every few seconds the counters of both arms, for the checks that have no metrics server and for the judge.
 * Only while a run lasts; what the judge knows is also in the Canary's status, from which another agent goes on.
 */
export type Vigil = {
  /**
   * Polls if it is time to, and answers what is known; when something is decided on it, it always is. `nextAt` (Unix ms) is when it wants to
   * be called again. Never rejects.
   */
  look(canary: Canary, seen: Seen, why?: 'decision'): Promise<{ readonly judgement: JudgementSeen | undefined; readonly nextAt: number | undefined }>
  measure(key: string, metric: BuiltinMetric, arm: Role, windowSeconds: number): Measurement | undefined
  /** The one pod of the canary that fails where the others do not, in words; with `slowerThanMs` the one that answers later than that. */
  badPod(key: string, windowSeconds: number, slowerThanMs?: number): string | undefined
  forget(key: string): void
  /** Leadership came: somebody else may have watched since, and wrote down what was seen. */
  takeOver(): void
}

export type VigilOptions = {
  readonly http: Http
  readonly caches: Caches
  readonly log: Log
  readonly now: () => number
  /** The proxies of which somebody said where they are, for Canaries that want their counters. */
  readonly proxies?: readonly Proxies[]
}

type Watch = {
  readonly revision: string
  readonly embedded: EmbeddedState
  /** How failures clump outlives a run: without it the first minutes of the next are judged as if they never did. */
  readonly memory: Memory
  readonly judged: Judged | undefined
  /** The counters of the last round are another agent's. */
  readonly isTakenOver: boolean
  readonly polledAt: number
  readonly nextAt: number
  readonly weight: number
  /** What the canary was compared with then, where not with the primary. */
  readonly against: Against
}

type Against = NonNullable<Poll['against']> | undefined

type Judged = { readonly config: JudgeConfig; readonly last: Judgement; readonly record: NonNullable<JudgementSeen['record']> }

/** A round must end within the skew that a poll may have: a fifth of it. */
const ROUND_DEADLINE_MS = (DEFAULT_POLL_SECONDS * 1_000) / 5
/** For a pod that is not waited for any longer: an answer within it brings the pod back (ms). */
const GIVEN_UP_DEADLINE_MS = 200
/** Counters this young need not be read again for a decision (ms). */
const FRESH_MS = 200
/** What a run's first so many seconds under traffic say about its traffic is enough for a warning. */
const TRAFFIC_SECONDS = 30

export function createVigil({ http, caches, log, now, proxies = [] }: VigilOptions): Vigil {
  const watches = new Map<string, Watch>()

  async function poll(canary: Canary, seen: Seen, watch: Watch): Promise<Watch> {
    const weight = seen.routes?.canary ?? 0
    const against = againstIn(seen)
    const round = await scrape(canary, seen, watch.embedded, against)
    const at = now()
    if (typeof round === 'string') {
      return { ...watch, embedded: { ...watch.embedded, problem: round }, weight, against, polledAt: at, nextAt: at + DEFAULT_POLL_SECONDS * 1_000 }
    }
    const { state: embedded, poll: counted, skewSeconds, problems } = absorbRound(watch.embedded, round, {
      weight, against, pollSeconds: DEFAULT_POLL_SECONDS, nowMs: at, windowSeconds: longestWindow(canary), isTakenOver: watch.isTakenOver, ...warmUpOf(canary),
    })
    if (problems.length > 0) log.debug({ canary: objectKey(canary.metadata), problems }, 'pods scraped with problems')
    const isTakenOver = watch.isTakenOver && embedded.baseline === watch.embedded.baseline
    const fresh = { ...watch, embedded, weight, against, isTakenOver, polledAt: at, nextAt: at + DEFAULT_POLL_SECONDS * 1_000 }
    if (!counted) return fresh
    const { config, state } = startOf(canary, fresh)
    const isJudged = (metric: JudgedMetric): boolean => metric.kind === 'rate' || isSameBounds(metric.bounds, embedded.bounds)
    const metrics = Object.fromEntries(Object.entries(counted.metrics).filter(([name]) => config.metrics.some((metric) => metric.name === name && isJudged(metric))))
    const last = judge(state, { ...counted, metrics }, config)
    return { ...fresh, judged: { config, last, record: recordOf(last.state, embedded) }, nextAt: at + secondsToNextPoll(last.state, skewSeconds, config) * 1_000 }
  }

  /** What is known of the run when this agent first looks at it: what another one wrote down, or nothing but the clumps. */
  function begin(canary: Canary, revision: string): Watch {
    const fresh: Watch = {
      revision, embedded: EMPTY_EMBEDDED, memory: readMemory(canary.status), judged: undefined, isTakenOver: false, polledAt: 0, nextAt: 0, weight: 0, against: undefined,
    }
    const found = isBeforeTraffic(canary) ? undefined : readEvidence(canary.status, (bounds) => createConfig(judgeSettingsOf(canary.spec, bounds)))
    if (!found) return fresh
    const { state, config, counters } = found
    log.info({ canary: objectKey(canary.metadata), revision }, 'the evidence of the run was taken over')
    const embedded = { ...EMPTY_EMBEDDED, ...counters }
    // A poll that adds nothing tells what was known.
    const against = counters.baseline?.against === undefined ? undefined : { name: counters.baseline.against, weight: 0 }
    const last = judge(state, { seconds: 0, weight: 0, mixed: true, ...(against ? { against } : {}), metrics: {} }, config)
    return { ...fresh, embedded, judged: { config, last, record: recordOf(state, embedded) }, isTakenOver: true, weight: counters.baseline?.weight ?? 0, against }
  }

  /** One round, or why there is none. */
  async function scrape(canary: Canary, { provider }: Seen, { misses }: EmbeddedState, against: Against): Promise<ScrapeRound | string> {
    const names = new Set(Object.keys(misses).filter((name) => (misses[name] ?? 0) >= MISSES_UNTIL_DROPPED))
    const terms = { deadlineMs: ROUND_DEADLINE_MS, givenUp: { names, deadlineMs: GIVEN_UP_DEADLINE_MS }, signal: AbortSignal.timeout(ROUND_DEADLINE_MS), now }
    const other: WorkloadRole = against ? 'baseline' : 'primary'
    const pods = podsOf(canary, caches, other)
    if (canary.spec.gate?.scrape?.from !== 'proxy') return await scrapePods(pods, http, { ...terms, names: settingsOf(canary) })
    const fitting = SCRAPED_PROXIES.filter((proxy) => routesFor(proxy, provider.name))
    if (fitting.length === 0) return `spec.gate.scrape.from: proxy needs spec.provider ${COUNTED_PROVIDERS.join(' or ')}, and it is ${provider.name}: use pods`
    const known = proxies.filter(({ proxy }) => fitting.includes(proxy))
    if (known.length === 0) return `nobody told the agent where the proxy counts: set its ${fitting.map(({ variable, example }) => `${variable}, like ${example}`).join(', or ')}`
    const asked = await Promise.all(known.map(async ({ proxy, pods: podsOfProxy }) => ({ proxy, pods: await podsOfProxy() })))
    if (asked.every((each) => each.pods.length === 0)) return `${known.map(({ proxy }) => proxy.variable).join(' and ')}: a Service without a ready pod`
    const readyAt = (arm: Role) => Math.max(...pods[arm].map(({ readyAtMs }) => readyAtMs ?? now()), 0) || undefined
    // Whoever routes counts; any other proxy has nothing to say of these Services.
    const rounds = await Promise.all(asked.map(async (each) => {
      const names = (role: WorkloadRole) => each.proxy.counters(canary.metadata.namespace ?? '', apexName(canary), role)
      return await scrapeProxy(each.pods, { canary: names('canary'), primary: names(other) }, { canary: readyAt('canary'), primary: readyAt('primary') }, http, terms, other)
    }))
    return { canary: rounds.flatMap((round) => round.canary), primary: rounds.flatMap((round) => round.primary) }
  }

  return {
    async look(canary, seen, why) {
      const key = objectKey(canary.metadata)
      const phase = phaseOf(canary.status ?? {})
      const isUnderWay = phase === 'Progressing' || phase === 'WaitingPromotion'
      if (!isUnderWay) watches.delete(key)
      // While its pods start the primary alone is watched: it teaches how failures bunch, or the canary's first minutes would be judged without.
      const isGone = seen.canary?.readyReplicas === 0 && !isBeforeTraffic(canary)
      if (!isUnderWay || seen.deleting || isGone) return { judgement: undefined, nextAt: undefined }
      const revision = canary.status?.lastAppliedSpec ?? ''
      const known = watches.get(key)
      const watch = known?.revision === revision ? restarted(canary, known) : begin(canary, revision)
      const at = now()
      // Also just after a change of weight: the stretch before and the one after must not be counted as one.
      const isDue = at >= watch.nextAt || watch.weight !== (seen.routes?.canary ?? 0) || watch.against?.name !== againstIn(seen)?.name || (why === 'decision' && at - watch.polledAt >= FRESH_MS)
      const next = isDue ? await poll(canary, seen, watch).catch((err: unknown) => {
        log.error({ err, canary: key }, 'pods could not be watched')
        const problem = `the pods could not be asked: ${err instanceof Error ? err.message : 'failed'}`
        return { ...watch, embedded: { ...watch.embedded, problem }, nextAt: now() + DEFAULT_POLL_SECONDS * 1_000 }
      }) : watch
      watches.set(key, next)
      return { judgement: judgementOf(canary, next, now()), nextAt: next.nextAt }
    },
    measure(key, metric, arm, windowSeconds) {
      const watch = watches.get(key)
      return watch && measureEmbedded(watch.embedded, metric, arm, windowSeconds, now())
    },
    badPod(key, windowSeconds, slowerThanMs) {
      const { embedded } = watches.get(key) ?? { embedded: EMPTY_EMBEDDED }
      const bad = slowerThanMs === undefined ? badPodOf(embedded, windowSeconds, now()) : slowPodOf(embedded, slowerThanMs, windowSeconds, now())
      return bad && badPodText(bad)
    },
    forget: (key) => { watches.delete(key) },
    takeOver: () => { watches.clear() },
  }
}

/** Whom the canary is compared with now, and how much they get; undefined: the primary, which gets the rest. */
const againstIn = (seen: Seen): Against => (isComparedWithBaseline(seen) ? { name: 'baseline', weight: seen.routes?.baseline ?? 0 } : undefined)

const isBeforeTraffic = ({ status }: Canary): boolean => (status?.gate?.step ?? -1) < 0

/** A run that began anew is another analysis, with an error rate of its own: only what was learnt about the service stays. */
function restarted(canary: Canary, watch: Watch): Watch {
  if (!watch.judged || !isBeforeTraffic(canary) || !hasEvidence(watch.judged.last.state)) return watch
  return { ...watch, judged: undefined, memory: memoryOf(watch.judged.last.state) }
}

/** The state that the next poll adds to. Settings stay for a run, but for histograms that only showed up with the first requests. */
function startOf(canary: Canary, { judged, memory, embedded }: Watch): { readonly config: JudgeConfig; readonly state: JudgeState } {
  if (judged && hasEvidence(judged.last.state)) return { config: judged.config, state: judged.last.state }
  const config = createConfig(judgeSettingsOf(canary.spec, embedded.bounds))
  if (!judged) return { config, state: createState(config, memory) }
  const isSame = config.metrics.length === judged.config.metrics.length && judged.config.metrics.every((metric) => metric.kind === 'rate' || isSameBounds(metric.bounds, embedded.bounds))
  return isSame ? { config: judged.config, state: judged.last.state } : { config, state: createState(config, memoryOf(judged.last.state)) }
}

const isSameBounds = (a: readonly number[], b: readonly number[]): boolean => a.length === b.length && a.every((bound, i) => bound === b[i])

const recordOf = (state: JudgeState, embedded: EmbeddedState): Judged['record'] => ({ state: writeEvidence(state, embedded), memory: writeMemory(memoryOf(state)) })

function judgementOf(canary: Canary, watch: Watch, at: number): JudgementSeen | undefined {
  const mode = judgeMode(canary.spec)
  if (!watch.judged || mode === 'off') return undefined
  const { last, record } = watch.judged
  const traffic = trafficOf(canary, watch, at)
  return { mode, verdict: last.verdict, words: wordsOf(last, watch.judged.config, watch, at), record, traffic, tooShort: traffic && tooShort(canary, watch.judged.config, traffic) }
}

/** The judge's reason, the pod that is to blame when it is one of several, and the one that the canary is not compared with. */
function wordsOf({ verdict, reason, metrics }: Judgement, config: JudgeConfig, { embedded, against }: Pick<Watch, 'embedded' | 'against'>, nowMs: number): string {
  const judged = config.metrics.find(({ name }) => name === LATENCY)
  const slo = judged?.kind === 'histogram' ? judged.slo : undefined
  const isSlow = slo !== undefined && (metrics[LATENCY]?.lnE ?? -Infinity) > (metrics[ERRORS]?.lnE ?? -Infinity)
  const found = isSlow ? slowPodOf(embedded, slo, BAD_POD_SECONDS, nowMs) : badPodOf(embedded, BAD_POD_SECONDS, nowMs)
  const bad = verdict === 'Worse' || verdict === 'Suspect' ? found : undefined
  const leftOut = against && badPodOf(embedded, BAD_POD_SECONDS, nowMs, 'baseline')
  const blind = verdict === 'NoData' ? embedded.blind?.canary : undefined
  return [reason, ...(blind === undefined ? [] : [blind]), ...(bad ? [badPodText(bad)] : []), ...(leftOut ? [leftOutText(leftOut)] : [])].join('; ')
}

/** The requests of the last seconds under traffic, once there were enough of them. */
function trafficOf({ spec }: Canary, { judged, embedded, weight, against }: Watch, at: number): Traffic | undefined {
  const [metric] = judged?.config.metrics ?? []
  const window = embedded.window.filter(({ atMs }) => atMs > at - TRAFFIC_SECONDS * 2_000)
  const seconds = window.reduce((sum, poll) => sum + poll.seconds, 0)
  if (!judged || !metric || strategyOf(spec) !== 'weighted' || weight === 0 || seconds < TRAFFIC_SECONDS) return undefined
  const total = (count: (poll: (typeof window)[number]) => number): number => window.reduce((sum, poll) => sum + count(poll), 0)
  const primary = total((poll) => poll.primary.requests)
  return {
    // Only part of all requests is looked at where there is a baseline.
    requestsPerSecond: ((primary + total((poll) => poll.canary.requests)) / seconds) * (against ? 100 / (weight + against.weight) : 1),
    primaryRate: primary === 0 ? 0 : total((poll) => poll.primary.failures) / primary,
    phi: judged.last.metrics[metric.name]?.phi ?? 1,
  }
}

/** Whether this analysis can tell a regression that matters at this traffic, by the errors. Told once in a run. */
function tooShort({ spec, status }: Canary, config: JudgeConfig, traffic: Traffic): string | undefined {
  const [metric] = config.metrics
  return metric && !(status?.gate?.judge?.told ?? []).includes(TOO_SHORT) ? shortfall(metric, config, { ...traffic, hasBaseline: hasBaseline(spec) }, plannedSteps(planOf(spec))) : undefined
}

/** Seconds that some metric of this Canary looks back; ten minutes at least, so that a change of settings in mid-run finds its data. */
const longestWindow = (canary: Canary): number =>
  Math.max(600, ...(canary.spec.analysis.metrics ?? []).map(({ interval }) => (parseDuration(interval ?? '') ?? 0) / 1_000))

function warmUpOf({ spec }: Canary): { readonly warmUpSeconds?: number } {
  const milliseconds = parseDuration(spec.gate?.judge?.warmUp ?? '')
  return milliseconds === undefined ? {} : { warmUpSeconds: milliseconds / 1_000 }
}

function settingsOf(canary: Canary): ScrapeSettings {
  const { port, path, requests, duration } = canary.spec.gate?.scrape ?? {}
  return {
    ...(port === undefined ? {} : { port }), ...(path === undefined ? {} : { path }),
    ...(requests ? { requests: { name: requests.name, ...(requests.statusLabel === undefined ? {} : { statusLabel: requests.statusLabel }) } } : {}),
    ...(duration ? { duration: { name: duration.name } } : {}),
  }
}

type PodView = KubeObject & {
  readonly spec?: { readonly containers?: readonly { readonly name?: string; readonly ports?: readonly { readonly containerPort: number; readonly name?: string; readonly protocol?: string }[] }[] }
  readonly status?: {
    readonly podIP?: string
    readonly startTime?: string
    readonly conditions?: readonly { readonly type: string; readonly status: string; readonly lastTransitionTime?: string }[]
    readonly containerStatuses?: readonly { readonly name?: string; readonly state?: { readonly running?: { readonly startedAt?: string } } }[]
  }
}

/** `other`: whose pods the canary is compared with. */
function podsOf(canary: Canary, caches: Caches, other: WorkloadRole): Readonly<Record<Role, readonly ScrapePod[]>> {
  const settings = settingsOf(canary)
  const pods = caches.pods(canary.metadata.namespace ?? '', canary.spec.targetRef.name) as readonly PodView[]
  const ofRole = (role: WorkloadRole) => pods
    .filter((pod) => pod.metadata.labels?.[LABEL_ROLE] === role && !pod.metadata.deletionTimestamp)
    .flatMap((pod) => scrapePod(pod, settings) ?? [])
  return { canary: ofRole('canary'), primary: ofRole(other) }
}

function scrapePod(pod: PodView, settings: ScrapeSettings): ScrapePod | undefined {
  const target = scrapeTargetOf(pod.metadata.annotations ?? {}, (pod.spec?.containers ?? []).flatMap(({ ports }) => ports ?? []), settings)
  const ip = pod.status?.podIP
  const startedAt = target && countsSince(pod, target.port)
  if (!target || !ip || startedAt === undefined) return undefined
  const ready = pod.status?.conditions?.find(({ type }) => type === 'Ready')
  return {
    ...target, name: pod.metadata.name, ip, startedAtMs: Date.parse(startedAt), ready: ready?.status === 'True',
    ...(ready?.status === 'True' && ready.lastTransitionTime ? { readyAtMs: Date.parse(ready.lastTransitionTime) } : {}),
  }
}

/**
 * When that began which counts at this port. With several containers it is the one that declares the port, for a sidecar that restarts has lost none of the
 * counters; where none declares it, the pod, and a restart shows in counters that fell.
 */
function countsSince({ spec, status }: PodView, port: number): string | undefined {
  const started = (status?.containerStatuses ?? []).flatMap(({ name, state }) => (state?.running?.startedAt === undefined ? [] : [{ name, at: state.running.startedAt }]))
  const containers = spec?.containers ?? []
  if (containers.length === 1) return started[0]?.at
  const serving = containers.find(({ ports = [] }) => ports.some(({ containerPort }) => containerPort === port))
  if (serving) return started.find(({ name }) => name === serving.name)?.at
  return started.length === 0 ? undefined : status?.startTime ?? started.map(({ at }) => at).sort()[0]
}
