import type { Http } from '#api/http.ts'
import type { Canary } from '#api/canary.ts'
import { parseDuration } from '#api/duration.ts'
import { LABEL_ROLE, type Role } from '#api/names.ts'
import { objectKey, type KubeObject } from '#api/objects.ts'
import type { Measurement } from '#api/measurement.ts'
import type { Caches } from '#agent/caches.ts'
import { createConfig, DEFAULT_POLL_SECONDS, type JudgeConfig } from '#judge/config.ts'
import { createState, judge, memoryOf, secondsToNextPoll, type Judgement } from '#judge/judge.ts'
import { judgeMode, judgeSettingsOf } from '#judge/settings.ts'
import type { JudgeState, Memory } from '#judge/state.ts'
import type { Log } from '#kube/log.ts'
import type { BuiltinMetric } from '#metrics/builtin.ts'
import { absorbRound, badPodOf, badPodText, EMPTY_EMBEDDED, measureEmbedded, type EmbeddedState } from '#metrics/embedded.ts'
import { scrapePods, scrapeTargetOf, type ScrapePod, type ScrapeSettings } from '#metrics/scrape.ts'
import type { JudgementSeen, Seen } from '#rollout/decision.ts'
import { phaseOf } from '#rollout/status.ts'

/**
 * Watches the pods of a run themselves: every few seconds the counters of both arms, for the checks that have no metrics server and for the judge.
 * Only while a run lasts; its memory is a cache that a new agent starts afresh.
 */
export type Vigil = {
  /**
   * Polls if it is time to, and answers what is known; when something is decided on it, it always is. `nextAt` (Unix ms) is when it wants to
   * be called again. Never rejects.
   */
  look(canary: Canary, seen: Seen, why?: 'decision'): Promise<{ readonly judgement: JudgementSeen | undefined; readonly nextAt: number | undefined }>
  measure(key: string, metric: BuiltinMetric, arm: Role, windowSeconds: number): Measurement | undefined
  /** The one pod of the canary that fails where the others do not, in words. */
  badPod(key: string, windowSeconds: number): string | undefined
  forget(key: string): void
}

export type VigilOptions = { readonly http: Http; readonly caches: Caches; readonly log: Log; readonly now: () => number }

type Watch = {
  readonly revision: string
  readonly embedded: EmbeddedState
  readonly config: JudgeConfig | undefined
  readonly state: JudgeState | undefined
  readonly last: Judgement | undefined
  readonly nextAt: number
  readonly polledAt: number
  readonly weight: number
}

/** Counters this young need not be read again for a decision (ms). */
const FRESH_MS = 200
/** How far back one bad pod is looked for. */
const BAD_POD_SECONDS = 60
/** A round must end within the skew that a poll may have: a fifth of it. */
const ROUND_DEADLINE_MS = (DEFAULT_POLL_SECONDS * 1_000) / 5

export function createVigil({ http, caches, log, now }: VigilOptions): Vigil {
  const watches = new Map<string, Watch>()
  /** How failures clump outlives a run: without it the first minutes of the next are judged as if they never did. */
  const memories = new Map<string, Memory>()

  async function poll(canary: Canary, seen: Seen, watch: Watch): Promise<Watch> {
    const weight = seen.routes?.canary ?? 0
    const round = await scrapePods(podsOf(canary, caches), http, {
      deadlineMs: ROUND_DEADLINE_MS, signal: AbortSignal.timeout(ROUND_DEADLINE_MS), now, names: settingsOf(canary),
    })
    const at = now()
    const { state: embedded, poll: counted, skewSeconds, problems } = absorbRound(watch.embedded, round, { weight, pollSeconds: DEFAULT_POLL_SECONDS, nowMs: at, windowSeconds: longestWindow(canary) })
    if (problems.length > 0) log.debug({ canary: objectKey(canary.metadata), problems }, 'pods scraped with problems')
    const fresh = { ...watch, embedded, weight, polledAt: at, nextAt: at + DEFAULT_POLL_SECONDS * 1_000 }
    if (!counted) return fresh
    const config = watch.config ?? createConfig(judgeSettingsOf(canary.spec, embedded.bounds))
    const state = watch.state ?? createState(config, memories.get(objectKey(canary.metadata)))
    const judged = judge(state, { ...counted, metrics: Object.fromEntries(Object.entries(counted.metrics).filter(([name]) => config.metrics.some((metric) => metric.name === name))) }, config)
    return { ...fresh, config, state: judged.state, last: judged, nextAt: at + secondsToNextPoll(judged.state, skewSeconds, config) * 1_000 }
  }

  return {
    async look(canary, seen, why) {
      const key = objectKey(canary.metadata)
      const phase = phaseOf(canary.status ?? {})
      const isRunning = (phase === 'Progressing' || phase === 'WaitingPromotion') && !seen.deleting && seen.canary?.readyReplicas !== 0
      const revision = canary.status?.lastAppliedSpec ?? ''
      if (!isRunning) {
        const ended = phase !== 'Progressing' && phase !== 'WaitingPromotion' ? watches.get(key) : undefined
        if (ended?.state) memories.set(key, memoryOf(ended.state))
        if (ended) watches.delete(key)
        return { judgement: undefined, nextAt: undefined }
      }
      const known = watches.get(key)
      const watch = known?.revision === revision ? known : { revision, embedded: EMPTY_EMBEDDED, config: undefined, state: undefined, last: undefined, nextAt: 0, polledAt: 0, weight: 0 }
      // Also just after a change of weight: the stretch before and the one after must not be counted as one.
      const isDue = now() >= watch.nextAt || watch.weight !== (seen.routes?.canary ?? 0) || (why === 'decision' && now() - watch.polledAt >= FRESH_MS)
      const next = isDue ? await poll(canary, seen, watch).catch((err: unknown) => {
        log.error({ err, canary: key }, 'pods could not be watched')
        return { ...watch, nextAt: now() + DEFAULT_POLL_SECONDS * 1_000 }
      }) : watch
      watches.set(key, next)
      const mode = judgeMode(canary.spec)
      const judgement = next.last && mode !== 'off' ? { mode, verdict: next.last.verdict, words: wordsOf(next.last, next.embedded, now()) } : undefined
      return { judgement, nextAt: next.nextAt }
    },
    measure(key, metric, arm, windowSeconds) {
      const watch = watches.get(key)
      return watch && measureEmbedded(watch.embedded, metric, arm, windowSeconds, now())
    },
    badPod(key, windowSeconds) {
      const bad = badPodOf(watches.get(key)?.embedded ?? EMPTY_EMBEDDED, windowSeconds, now())
      return bad && badPodText(bad)
    },
    forget(key) {
      watches.delete(key)
      memories.delete(key)
    },
  }
}

/** The judge's reason, and the pod that is to blame when it is one of several. */
function wordsOf({ verdict, reason }: Judgement, embedded: EmbeddedState, nowMs: number): string {
  const bad = verdict === 'Worse' || verdict === 'Suspect' ? badPodOf(embedded, BAD_POD_SECONDS, nowMs) : undefined
  return bad ? `${reason}; ${badPodText(bad)}` : reason
}

/** Seconds that some metric of this Canary looks back; ten minutes at least, so that a change of settings in mid-run finds its data. */
const longestWindow = (canary: Canary): number =>
  Math.max(600, ...(canary.spec.analysis.metrics ?? []).map(({ interval }) => (parseDuration(interval ?? '') ?? 0) / 1_000))

function settingsOf(canary: Canary): ScrapeSettings {
  const { port, path, requests, duration } = canary.spec.gate?.scrape ?? {}
  return {
    ...(port === undefined ? {} : { port }), ...(path === undefined ? {} : { path }),
    ...(requests ? { requests: { name: requests.name, ...(requests.statusLabel === undefined ? {} : { statusLabel: requests.statusLabel }) } } : {}),
    ...(duration ? { duration: { name: duration.name } } : {}),
  }
}

type PodView = KubeObject & {
  readonly spec?: { readonly containers?: readonly { readonly ports?: readonly { readonly containerPort: number; readonly name?: string; readonly protocol?: string }[] }[] }
  readonly status?: {
    readonly podIP?: string
    readonly conditions?: readonly { readonly type: string; readonly status: string; readonly lastTransitionTime?: string }[]
    readonly containerStatuses?: readonly { readonly state?: { readonly running?: { readonly startedAt?: string } } }[]
  }
}

function podsOf(canary: Canary, caches: Caches): Readonly<Record<Role, readonly ScrapePod[]>> {
  const settings = settingsOf(canary)
  const pods = caches.pods(canary.metadata.namespace ?? '', canary.spec.targetRef.name) as readonly PodView[]
  const ofRole = (role: Role) => pods
    .filter((pod) => pod.metadata.labels?.[LABEL_ROLE] === role && !pod.metadata.deletionTimestamp)
    .flatMap((pod) => scrapePod(pod, settings) ?? [])
  return { canary: ofRole('canary'), primary: ofRole('primary') }
}

function scrapePod(pod: PodView, settings: ScrapeSettings): ScrapePod | undefined {
  const target = scrapeTargetOf(pod.metadata.annotations ?? {}, (pod.spec?.containers ?? []).flatMap(({ ports }) => ports ?? []), settings)
  const ip = pod.status?.podIP
  const startedAt = (pod.status?.containerStatuses ?? []).flatMap(({ state }) => state?.running?.startedAt ?? []).sort().at(-1)
  if (!target || !ip || startedAt === undefined) return undefined
  const ready = pod.status?.conditions?.find(({ type }) => type === 'Ready')
  return {
    ...target, name: pod.metadata.name, ip, startedAtMs: Date.parse(startedAt), ready: ready?.status === 'True',
    ...(ready?.status === 'True' && ready.lastTransitionTime ? { readyAtMs: Date.parse(ready.lastTransitionTime) } : {}),
  }
}
