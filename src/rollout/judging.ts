import type { CanaryStatus } from '#api/canary.ts'
import type { JudgementSeen, News, Seen } from '#rollout/decision.ts'
import type { Plan } from '#rollout/plan.ts'
import { canaryOf, phaseOf, timeOf, timestamp, warning, withGate } from '#rollout/status.ts'

/** What the judge's word means for a run, and what of it is written down. Thresholds are not its business: they count beside it. */

type JudgeStatus = NonNullable<NonNullable<CanaryStatus['gate']>['judge']>

/** The event that says so, once in a run. */
export const TOO_SHORT = 'CanaryAnalysisTooShort'

const isEnforced = (seen: Seen): boolean => seen.judgement?.mode === 'enforce'

export const isProvedWorse = (seen: Seen): boolean => isEnforced(seen) && seen.judgement?.verdict === 'Worse'

/** What keeps the weight from rising although the thresholds pass: holds, never a rollback. */
export function doubtOf(seen: Seen): News | undefined {
  if (!seen.judgement || !isEnforced(seen)) return undefined
  const { verdict, words } = seen.judgement
  if (verdict === 'Suspect') return warning('CanarySuspect', `Halt ${canaryOf(seen)} advancement: ${words}`)
  if (verdict === 'NoData') return warning('CanaryNoTraffic', `Halt ${canaryOf(seen)} advancement: ${words}`, 'warn')
  return undefined
}

export type Telling = { readonly status: CanaryStatus; readonly news: readonly News[] }

/** Told once in a run, whatever its numbers become. */
export function onceInRun(status: CanaryStatus, item: News): Telling {
  const told = status.gate?.judge?.told ?? []
  if (told.includes(item.reason)) return { status, news: [] }
  return { status: withJudge(status, { told: [...told, item.reason] }), news: [item] }
}

/** It is over: the next time it is news again. */
export function forgetTold(status: CanaryStatus, reason: string): CanaryStatus {
  const told = status.gate?.judge?.told ?? []
  if (!told.includes(reason)) return status
  const left = told.filter((other) => other !== reason)
  const { told: _, ...judge } = status.gate?.judge ?? {}
  return withGate(status, { judge: left.length > 0 ? { ...judge, told: left } : judge })
}

const withJudge = (status: CanaryStatus, change: Partial<JudgeStatus>): CanaryStatus => withGate(status, { judge: { ...status.gate?.judge, ...change } })

/** What a person should hear between two checks, though nothing follows from it. Undefined: nothing new. */
export function warned(status: CanaryStatus, seen: Seen): Telling | undefined {
  const { judgement } = seen
  if (!judgement) return undefined
  const isWorse = judgement.verdict === 'Worse' && judgement.mode === 'warn'
  const items = [
    ...(isWorse ? [warning('CanaryLooksWorse', `${canaryOf(seen)}: ${judgement.words}; it stays, as spec.gate.judge.mode is warn`, 'warn')] : []),
    ...(judgement.tooShort === undefined ? [] : [warning(TOO_SHORT, `${canaryOf(seen)}: ${judgement.tooShort} (analysis-too-short-to-tell)`)]),
  ]
  const telling = items.reduce<Telling>((all, item) => {
    const { status: next, news } = onceInRun(all.status, item)
    return { status: next, news: [...all.news, ...news] }
  }, { status, news: [] })
  return telling.news.length > 0 ? telling : undefined
}

/** Whether the check of this step may come now: the canary is proved good at this weight. Once a step, or a check that fails would fail again and again. */
export function mayCheckEarly(status: CanaryStatus, seen: Pick<Seen, 'spec' | 'judgement'>, plan: Plan): boolean {
  const { early = 'never' } = seen.spec.gate?.judge ?? {}
  const index = status.gate?.step ?? -1
  const step = plan.steps[index]
  if (!step || step.mirror || plan.strategy !== 'weighted') return false
  if (seen.judgement?.mode !== 'enforce' || seen.judgement.verdict !== 'Good' || status.gate?.judge?.early === index) return false
  return early === 'all' || (early === 'steps' && index + 1 < plan.steps.length)
}

/** The check of this step is due now. */
export const checkEarly = (status: CanaryStatus, now: number): CanaryStatus =>
  withGate(status, { nextCheckAt: timestamp(now), judge: { ...status.gate?.judge, early: status.gate?.step ?? 0 } })

/** How often a step gets its time again before the thresholds alone decide. */
const MOST_EXTENSIONS = 2

/** The time of a step is over and the judge cannot tell: whether it waits, and what is told. */
export function openQuestion(status: CanaryStatus, seen: Seen): Telling & { readonly waits: boolean } {
  // Without live requests on the canary there is nothing to compare: copies, and the tests of Blue/Green, are not the judge's.
  if (seen.judgement?.verdict !== 'Undecided' || (seen.routes?.canary ?? 0) === 0) return { status, news: [], waits: false }
  const { words } = seen.judgement
  const { inconclusive = 'advance' } = seen.spec.gate?.judge ?? {}
  const wish = isEnforced(seen) ? inconclusive : 'advance'
  const step = status.gate?.step ?? 0
  const { extended } = status.gate?.judge ?? {}
  const times = extended?.step === step ? extended.times : 0
  if (wish === 'extend' && times < MOST_EXTENSIONS) {
    const news = warning('CanaryStepExtended', `Extending the step of ${canaryOf(seen)} (${times + 1} of ${MOST_EXTENSIONS}): inconclusive, ${words}`)
    return { status: withJudge(status, { extended: { step, times: times + 1 } }), news: [news], waits: true }
  }
  if (wish === 'hold') {
    return { ...onceInRun(status, warning('CanaryInconclusive', `Halt ${canaryOf(seen)} advancement: inconclusive, ${words}; to go on use skip-step or promote`, 'warn')), waits: true }
  }
  return { ...onceInRun(status, warning('CanaryInconclusive', `${canaryOf(seen)} goes on by its thresholds alone: inconclusive, ${words}`)), waits: false }
}

const RUNNING: readonly string[] = ['Progressing', 'WaitingPromotion']
/** Evidence younger than this is not written by itself (ms): it waits for a write that happens anyway. So much is lost at most with its agent. */
const LONGEST_UNWRITTEN_MS = 60_000
/** A verdict that changes to and fro is written this often at most (ms). */
const SHORTEST_UNWRITTEN_MS = 10_000
/** What a person who looks at the status must see soon. */
const ALARMING: readonly JudgementSeen['verdict'][] = ['Worse', 'NoData', 'BothBad', 'Suspect']

/**
 * The judge's part of the status: written with what is written anyway, by itself only when it says something alarming, or once in a
 * long step. When the run is over the evidence goes; the last word stays, and what was learnt about the service.
 */
export function recorded(before: CanaryStatus, after: CanaryStatus, seen: Seen, now: number): CanaryStatus {
  const kept = after.gate?.judge
  const { judgement } = seen
  const record = judgement?.record
  if (!RUNNING.includes(phaseOf(after))) {
    if (!record && kept?.state === undefined && kept?.told === undefined) return after
    const { verdict = kept?.verdict, words = kept?.words } = judgement ?? {}
    return withGate(after, { judge: defined({ verdict, words, at: timestamp(now), memory: record?.memory ?? kept?.memory }) })
  }
  // Not of a run that has just begun, or begun anew.
  if (!judgement || !record || (after.gate?.step ?? -1) < 0 || after.lastAppliedSpec !== before.lastAppliedSpec) return after
  const writtenAt = timeOf(kept?.at) ?? timeOf(after.gate?.changedAt) ?? now
  const isNews = judgement.verdict !== kept?.verdict && [judgement.verdict, kept?.verdict].some((verdict) => ALARMING.some((alarming) => alarming === verdict))
  const patience = isNews ? SHORTEST_UNWRITTEN_MS : LONGEST_UNWRITTEN_MS
  if (JSON.stringify(after) === JSON.stringify(before) && now - writtenAt < patience) return after
  const { verdict, words } = judgement
  return withJudge(after, { verdict, words, at: timestamp(now), ...record })
}

/** What a run leaves to the next. */
export function afterRun({ gate }: CanaryStatus): JudgeStatus | undefined {
  return gate?.judge?.memory === undefined ? undefined : { memory: gate.judge.memory }
}

const defined = (fields: { readonly [K in keyof JudgeStatus]: JudgeStatus[K] | undefined }): JudgeStatus =>
  Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined))
