import type { CanaryStatus, Phase } from '#api/canary.ts'
import type { News, Seen } from '#rollout/decision.ts'

/** Pieces of the next status and of the sentences told about it. */

export const timestamp = (now: number): string => new Date(now).toISOString()
export const timeOf = (text: string | undefined): number | undefined => {
  const time = text === undefined ? Number.NaN : Date.parse(text)
  return Number.isNaN(time) ? undefined : time
}

export const phaseOf = (status: CanaryStatus): Phase => (status.phase === undefined || status.phase === '' ? 'Initializing' : status.phase) as Phase

const AT_REST: readonly Phase[] = ['Initialized', 'Succeeded', 'Failed']
/** No run is under way, and none waits to begin. */
export const isAtRest = (status: CanaryStatus): boolean => AT_REST.includes(phaseOf(status))

type Gate = NonNullable<CanaryStatus['gate']>

/** The status with some of `status.gate` replaced; an undefined value removes the field. */
export function withGate(status: CanaryStatus, change: { readonly [K in keyof Gate]?: Gate[K] | undefined }): CanaryStatus {
  const merged = Object.entries({ ...status.gate, ...change }).filter(([, value]) => value !== undefined)
  return { ...status, gate: Object.fromEntries(merged) }
}

const PAST = ['changedAt', 'routesAt', 'readyAt', 'hooksAt', 'queuedAt'] as const

/**
 * Times that lie ahead although they cannot were written by a clock that was ahead: ours before it was set back, or another agent's. They are taken
 * for now, or everything that is counted from them would wait until then.
 */
export function notAhead(status: CanaryStatus, now: number, longestIntervalMs: number): CanaryStatus {
  const { gate = {} } = status
  const isAhead = (at: string | undefined, byMs: number): boolean => (timeOf(at) ?? now) > now + byMs
  const past = PAST.filter((field) => isAhead(gate[field], 0)).map((field) => [field, timestamp(now)] as const)
  const next = isAhead(gate.nextCheckAt, longestIntervalMs) ? [['nextCheckAt', timestamp(now + longestIntervalMs)] as const] : []
  return past.length + next.length === 0 ? status : withGate(status, Object.fromEntries([...past, ...next]))
}

/** Enters a phase; the counters stay as the caller says. */
export function enter(status: CanaryStatus, phase: Phase, now: number, change: Partial<CanaryStatus> = {}): CanaryStatus {
  return withGate({ ...status, ...change, phase }, { changedAt: timestamp(now), ...change.gate })
}

const CONDITION: Record<Phase, { readonly status: string; readonly message: (kind: string) => string }> = {
  Initializing: { status: 'Unknown', message: (kind) => `New ${kind} detected, starting initialization.` },
  Initialized: { status: 'True', message: (kind) => `${kind} initialization completed.` },
  Waiting: { status: 'Unknown', message: () => 'Waiting for approval.' },
  Progressing: { status: 'Unknown', message: () => 'New revision detected, progressing canary analysis.' },
  WaitingPromotion: { status: 'Unknown', message: () => 'Waiting for approval.' },
  Promoting: { status: 'Unknown', message: () => 'Canary analysis completed, starting primary rolling update.' },
  Finalising: { status: 'Unknown', message: () => 'Canary analysis completed, routing all traffic to primary.' },
  Succeeded: { status: 'True', message: () => 'Canary analysis completed successfully, promotion finished.' },
  Failed: { status: 'False', message: (kind) => `Canary analysis failed, ${kind} scaled to zero.` },
  Terminating: { status: 'Unknown', message: (kind) => `New ${kind} detected, starting initialization.` },
  Terminated: { status: 'Unknown', message: (kind) => `New ${kind} detected, starting initialization.` },
}

/** Condition of a Canary whose last decision could not be carried out (see `agent/failing`). */
export const RECONCILED = 'Reconciled'

/** The other conditions. A status is written when all its effects are done: a failure that was noted is over then. */
const othersOf = (status: CanaryStatus): NonNullable<CanaryStatus['conditions']> =>
  (status.conditions ?? []).filter(({ type }) => type !== 'Promoted' && type !== RECONCILED)

/** The status as stored: Flagger's one condition made from the phase, first, and the time of the last write, which is now if anything changed. */
export function settled(before: CanaryStatus, decided: CanaryStatus, seen: Seen, now: number): CanaryStatus {
  const phase = phaseOf(decided)
  const after = withConfigs(decided, seen)
  const { status, message } = CONDITION[phase]
  const old = before.conditions?.find(({ type }) => type === 'Promoted')
  const sameCondition = old?.status === status && old.reason === phase
  const { lastTransitionTime: _, conditions: __, ...content } = after
  const { lastTransitionTime: ___, conditions: ____, ...previous } = before
  const others = othersOf(after)
  const sameOthers = JSON.stringify(others) === JSON.stringify((before.conditions ?? []).filter(({ type }) => type !== 'Promoted'))
  if (sameCondition && sameOthers && JSON.stringify(content) === JSON.stringify(previous)) return before
  return {
    ...after,
    phase,
    canaryWeight: after.canaryWeight ?? 0,
    failedChecks: after.failedChecks ?? 0,
    iterations: after.iterations ?? 0,
    lastTransitionTime: timestamp(now),
    conditions: [
      {
        type: 'Promoted',
        status,
        reason: phase,
        message: message(seen.spec.targetRef.kind),
        lastUpdateTime: timestamp(now),
        lastTransitionTime: old?.status === status && old.lastTransitionTime ? old.lastTransitionTime : timestamp(now),
      },
      ...others,
    ],
  }
}

/** `status.trackedConfigs` speaks of the revision in `lastAppliedSpec`. */
function withConfigs(status: CanaryStatus, { target }: Seen): CanaryStatus {
  const { configs = {}, revision } = target ?? {}
  if (revision !== status.lastAppliedSpec || sameMap(configs, status.trackedConfigs ?? {})) return status
  return { ...status, trackedConfigs: configs }
}

type Texts = Readonly<Record<string, string>>
const sameMap = (a: Texts, b: Texts): boolean => Object.keys(a).length === Object.keys(b).length && Object.entries(a).every(([key, value]) => b[key] === value)

export const canaryOf = (seen: Seen): string => `${seen.name}.${seen.namespace}`
export const targetOf = (seen: Seen): string => `${seen.spec.targetRef.name}.${seen.namespace}`
export const primaryOf = (seen: Seen): string => `${seen.spec.targetRef.name}-primary.${seen.namespace}`

export const normal = (reason: string, message: string, severity?: News['severity']): News =>
  ({ reason, type: 'Normal', message, ...(severity ? { severity } : {}) })
export const warning = (reason: string, message: string, severity?: News['severity']): News =>
  ({ reason, type: 'Warning', message, ...(severity ? { severity } : {}) })

/** Why the weight may not rise although nothing failed: somebody asked for that. */
export function heldBy(status: CanaryStatus, seen: Seen): News | undefined {
  if (seen.spec.suspend) return normal('CanarySuspended', 'skipping canary run as object is suspended', 'info')
  if (seen.runHeld) return normal('CanaryHeldByPolicy', `Halt ${canaryOf(seen)} advancement: ${seen.runHeld.reason}`, 'warn')
  return status.gate?.paused ? normal('CanaryPaused', `Halt ${canaryOf(seen)} advancement: ${status.gate.paused}`, 'info') : undefined
}

/** A sentence told once: not again while the status still gives it as the reason. */
export function once(status: CanaryStatus, item: News): { status: CanaryStatus; news: readonly News[] } {
  if (status.gate?.reason === item.message) return { status, news: [] }
  return { status: withGate(status, { reason: item.message }), news: [item] }
}

/** The same for a sentence whose numbers change from check to check. */
export function onceAlike(status: CanaryStatus, item: News): { status: CanaryStatus; news: readonly News[] } {
  const numbers = /\d+(?:[.,]\d+)*/g
  return status.gate?.reason?.replaceAll(numbers, 'n') === item.message.replaceAll(numbers, 'n') ? { status, news: [] } : once(status, item)
}

/**
 * News about pods that are not ready yet. Starting takes its time, and a line for each pod would bury what matters: it is told when it
 * takes longer than usual, or at once when waiting is in vain.
 */
export function notReady(status: CanaryStatus, item: News, isHopeless: boolean, now: number): { status: CanaryStatus; news: readonly News[] } {
  const since = timeOf(status.gate?.changedAt) ?? now
  if (!isHopeless && now - since < READY_PATIENCE_MS) return { status, news: [] }
  return onceAlike(status, item)
}

/** Pods that take longer than this to get ready are worth a line (ms): Flagger's shortest tick. */
const READY_PATIENCE_MS = 10_000

/** While pods are waited for, their deadline may pass without any event: look again after this long (ms). It costs no request. */
export const RECHECK_MS = 10_000

/** What is seen may be this old (ms): pods seen so soon after another revision was asked for may be those of an earlier turn. */
export const OBSERVATION_LAG_MS = 1_000

/** The earlier of two times to look again. */
export const earlier = (a: number | undefined, b: number | undefined): number | undefined =>
  a === undefined ? b : b === undefined ? a : Math.min(a, b)
