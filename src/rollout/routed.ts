import type { CanaryStatus } from '#api/canary.ts'
import { readRoutes, type Routes } from '#api/routes.ts'
import type { Decision, Effect, Seen } from '#rollout/decision.ts'
import { planOf } from '#rollout/plan.ts'
import { agrees, servedAs } from '#rollout/routing.ts'
import { canaryOf, earlier, phaseOf, timeOf, timestamp, warning, withGate } from '#rollout/status.ts'

/** Condition `Routed`: do requests go where they were asked to go, and if not, why? Told beside Flagger's one condition. */
export const ROUTED = 'Routed'

/** A router that takes longer than this is worth a line (ms): a Gateway's controller was measured at 1.5 s, Traefik's throttle time is 2 s. */
const ROUTER_PATIENCE_MS = 10_000

type Conditions = NonNullable<CanaryStatus['conditions']>
type Condition = Conditions[number]

/** The decision with the condition, and with a line where the router does not follow, or somebody else has changed what was in force. */
export function told(before: CanaryStatus, decision: Decision, seen: Seen, now: number): Decision {
  const { gate } = decision.status
  const others = (decision.status.conditions ?? []).filter(({ type }) => type !== ROUTED)
  const asked = readRoutes(gate?.routesFor)
  if (!asked) return { ...decision, status: withEffectiveWeight({ ...decision.status, conditions: others }, undefined) }
  const old = before.conditions?.find(({ type }) => type === ROUTED)
  const disturbed = wasDisturbed(before, decision, seen) ? [disturbance(seen)] : []
  const isInForce = gate?.routesAt !== undefined || agrees(seen, asked)
  // What is asked for only now has its own time.
  const asking = before.gate?.routesFor === gate?.routesFor && old?.status !== 'True' ? old : undefined
  const about = isInForce ? { condition: inForce(old, asked, seen, now), news: [], wakeAt: undefined } : pending(asking, asked, phaseOf(decision.status) === 'Failed' ? 'error' : 'warn', seen, now)
  return {
    ...decision,
    status: withEffectiveWeight({ ...decision.status, conditions: [...others, about.condition] }, servedAs(asked.canary, seen)?.percent),
    news: [...decision.news, ...disturbed, ...about.news],
    wakeAt: earlier(decision.wakeAt, about.wakeAt),
  }
}

/** The status of a decision whose effects are done: routes that are seen in force by then are noted with it, and not by a write of their own. */
export function confirmed(before: CanaryStatus, { status, effects }: Decision, seen: Seen, now: number): CanaryStatus {
  const asked = readRoutes(status.gate?.routesFor)
  if (!asked || status.gate?.routesAt !== undefined || !asksRouter(effects) || !agrees(seen, asked)) return status
  const condition = inForce(before.conditions?.find(({ type }) => type === ROUTED), asked, seen, now)
  const conditions = (status.conditions ?? []).map((each) => (each.type === ROUTED ? condition : each))
  return withGate({ ...status, conditions }, { routesAt: timestamp(now) })
}

/** Whether something is asked of the router. */
export const asksRouter = (effects: readonly Effect[]): boolean => effects.some(({ kind }) => kind === 'setRoutes')

const withEffectiveWeight = (status: CanaryStatus, effectiveWeight: number | undefined): CanaryStatus =>
  (status.gate?.effectiveWeight === effectiveWeight ? status : withGate(status, { effectiveWeight }))

function inForce(old: Condition | undefined, asked: Routes, seen: Seen, now: number): Condition {
  return conditionOf(old, 'True', 'InForce', [wordsOf(asked), servedOf(asked, seen), seen.obstacle && `but ${seen.obstacle}`].filter(Boolean).join('; '), now)
}

/** `severity`: requests that still go to what was rolled back are worse than ones that come late to what is tried. */
function pending(old: Condition | undefined, asked: Routes, severity: 'warn' | 'error', seen: Seen, now: number): { readonly condition: Condition; readonly news: Decision['news']; readonly wakeAt: number | undefined } {
  const since = timeOf(old?.lastTransitionTime) ?? now
  if (old?.status !== 'False' && now - since < ROUTER_PATIENCE_MS) {
    return { condition: conditionOf(old, 'Unknown', 'Asked', `asked for: ${wordsOf(asked)}`, now), news: [], wakeAt: since + ROUTER_PATIENCE_MS }
  }
  const message = `${wordsOf(asked)} asked for, and not in force: ${seen.obstacle ?? 'the router has not taken it yet'}`
  const isNew = old?.status !== 'False' || old.message !== message
  return {
    condition: conditionOf(old, 'False', 'NotInForce', message, now),
    news: isNew ? [warning('CanaryRoutesNotInForce', `Halt ${canaryOf(seen)} advancement: ${message}`, severity)] : [],
    wakeAt: undefined,
  }
}

/** What was seen in force is so no longer although nobody of ours asked for anything else. */
function wasDisturbed(before: CanaryStatus, { status, effects }: Decision, seen: Seen): boolean {
  const [was, is] = [before.gate, status.gate]
  const isForgotten = was?.routesAt !== undefined && is?.routesAt === undefined && was.routesFor === is?.routesFor && phaseOf(before) === phaseOf(status)
  const asked = readRoutes(was?.routesFor)
  if (!isForgotten || !asked || asksRouter(effects)) return false
  return !agrees(seen, asked) && !isOwnDoing(before, seen)
}

/** Asked for by us, and not noted: the status could not be saved, or the agent crashed in between. Then the step comes again. */
function isOwnDoing({ gate }: CanaryStatus, seen: Seen): boolean {
  if (!seen.routes) return false
  const plan = planOf(seen.spec, seen.provider.name)
  const next = plan.strategy === 'weighted' ? plan.steps[(gate?.step ?? -1) + 1]?.weight : undefined
  return seen.routes.canary === next || (seen.unsavedRoutes !== undefined && agrees(seen, seen.unsavedRoutes))
}

function disturbance(seen: Seen): Decision['news'][number] {
  const now = seen.routes ? `they are ${wordsOf(seen.routes)} now` : `they are gone, or the router does not take them${seen.obstacle ? ` (${seen.obstacle})` : ''}`
  return warning('CanaryRoutesChanged', `The routes of ${canaryOf(seen)} were changed by others: ${now}; putting them back`)
}

function servedOf({ canary }: Routes, seen: Seen): string | undefined {
  const served = servedAs(canary, seen)
  return served && `served by ${served.replicas} canary pod${served.replicas === 1 ? '' : 's'} as ${served.percent} %`
}

function conditionOf(old: Condition | undefined, status: string, reason: string, message: string, now: number): Condition {
  const isSame = old?.status === status && old.reason === reason && old.message === message
  if (isSame) return old
  return {
    type: ROUTED, status, reason, message, lastUpdateTime: timestamp(now),
    lastTransitionTime: old?.status === status && old.lastTransitionTime ? old.lastTransitionTime : timestamp(now),
  }
}

const wordsOf = ({ primary, canary, mirror, baseline = 0 }: Routes): string =>
  `primary ${primary} %${baseline > 0 ? ` (${baseline} % of it on the baseline)` : ''}, canary ${canary} %${mirror ? ' and copies' : ''}`
