import { hasBaseline } from '#api/baseline.ts'
import type { CanaryStatus } from '#api/canary.ts'
import { canaryReplicasFor } from '#api/replica-weights.ts'
import { sameRoutes, writeRoutes, type Routes } from '#api/routes.ts'
import type { Effect, Seen } from '#rollout/decision.ts'
import { timeOf, timestamp, withGate } from '#rollout/status.ts'

export type Routing = {
  readonly status: CanaryStatus
  /** Asked of the router in this turn; empty when it already says so. */
  readonly effects: readonly Effect[]
  /** The router says so, and has for as long as it takes until requests follow. */
  readonly settled: boolean
  /** The router says so. */
  readonly isInForce: boolean
  readonly wakeAt: number | undefined
}

/** Requests are not sent to a primary that is known to serve nothing while the canary serves: better a doubted answer than none. */
export const mayGoHome = (seen: Seen): boolean => seen.endpoints.primary > 0 || seen.endpoints.canary === 0 || seen.target?.wantedReplicas === 0

/** The status of a decision that asks for routes: whatever was in force before, these have to be seen in force anew. */
export function asking(status: CanaryStatus, effects: readonly Effect[]): CanaryStatus {
  const last = effects.findLast((effect) => effect.kind === 'setRoutes')
  return last ? withGate(status, { routesFor: writeRoutes(last.routes), routesAt: undefined }) : status
}

/**
 * Asks for routes and tells when they may be relied on. `routesAt` is the moment they were first seen in force:
 * pods are taken from an arm only when that lies `settleMs` back, since a router follows its objects late.
 */
export function route(status: CanaryStatus, seen: Seen, wanted: Routes, now: number): Routing {
  const asked: Effect = { kind: 'setRoutes', routes: wanted }
  const mark = writeRoutes(wanted)
  if (seen.routes && wanted.primary > seen.routes.primary && !mayGoHome(seen)) {
    return { status: withGate(status, { routesAt: undefined, routesFor: mark }), effects: [], settled: false, isInForce: false, wakeAt: undefined }
  }
  if (!agrees(seen, wanted)) {
    // Others changed what had been in force. That it was is forgotten first, by a write of its own: put back and not noted, it would count as settled.
    if (status.gate?.routesFor === mark && status.gate.routesAt !== undefined) {
      return { status: withGate(status, { routesAt: undefined }), effects: [], settled: false, isInForce: false, wakeAt: now }
    }
    return { status: withGate(status, { routesAt: undefined, routesFor: mark }), effects: [asked], settled: false, isInForce: false, wakeAt: undefined }
  }
  const since = status.gate?.routesFor === mark ? timeOf(status.gate.routesAt) : undefined
  if (since === undefined) {
    const first = withGate(status, { routesAt: timestamp(now), routesFor: mark })
    return { status: first, effects: [], settled: seen.provider.settleMs === 0, isInForce: true, wakeAt: now + seen.provider.settleMs }
  }
  const settledAt = since + seen.provider.settleMs
  return { status, effects: [], settled: now >= settledAt, isInForce: true, wakeAt: now >= settledAt ? undefined : settledAt }
}

/**
 * Replica ratios are read back rounded by whole pods, and a canary without pods looks like all weight on the primary: there, what the apex selects
 * is what was asked of it.
 */
export function agrees(seen: Seen, wanted: Routes): boolean {
  if (seen.provider.weightsByReplicas) return seen.apex === (wanted.canary <= 0 ? 'primary' : wanted.canary >= 100 ? 'canary' : 'both')
  return seen.routes !== undefined && sameRoutes(seen.routes, wanted)
}

/** An autoscaler of its own sizes the canary: where pods are the weight there is none. */
export const isCanaryScaled = (seen: Seen): boolean => (seen.target?.scaled ?? false) && !seen.provider.weightsByReplicas

/** How many canary pods a weight needs: all that the owner asks for behind a router, a share of them where pods are the weight. */
export function canaryReplicas(seen: Seen, weight: number): number {
  const wanted = Math.max(1, seen.target?.wantedReplicas ?? 1)
  return seen.provider.weightsByReplicas && weight > 0 ? canaryReplicasFor(weight, wanted, hasBaseline(seen.spec)).replicas : wanted
}

/** The share that whole pods give, where it is another. As planned, not as pods come and go: each of them would be a write. */
export function servedAs(weight: number, seen: Seen): { readonly replicas: number; readonly percent: number } | undefined {
  if (!seen.provider.weightsByReplicas || weight <= 0 || weight >= 100) return undefined
  const { replicas, effectiveWeight } = canaryReplicasFor(weight, seen.target?.wantedReplicas ?? 1, hasBaseline(seen.spec))
  const percent = Math.round(effectiveWeight)
  return percent === weight ? undefined : { replicas, percent }
}
