import { baselineShareFor, hasBaseline } from '#api/baseline.ts'
import type { CanaryStatus } from '#api/canary.ts'
import type { Effect, Seen } from '#rollout/decision.ts'
import { isCanaryScaled } from '#rollout/routing.ts'

/**
 * Fresh pods of the stable revision beside the canary. They live as the canary's do: started with it, as many, without requests until they are ready,
 * and scaled to 0 when no request can reach them any more. The run does not depend on them: where they cannot be had, the primary is compared with.
 */

/** How many: as many as the canary has, or is to have. No autoscaler sizes them. */
export const baselineReplicas = (seen: Seen, canaryReplicas: number): number =>
  (isCanaryScaled(seen) && (seen.canary?.replicas ?? 0) > 0 ? seen.canary?.replicas ?? 0 : canaryReplicas)

/** Those that are there are of the stable revision, and of this run. */
export const isFresh = ({ lastPromotedSpec, lastAppliedSpec }: CanaryStatus, { baseline }: Seen): boolean =>
  baseline !== undefined && baseline.revision === lastPromotedSpec && baseline.beside === lastAppliedSpec

/** `isFree`: no request reaches them now. Pods of another run are replaced only then. */
export function keepBaseline(status: CanaryStatus, seen: Seen, canaryReplicas: number, isFree: boolean): readonly Effect[] {
  const { baseline } = seen
  const { lastPromotedSpec, lastAppliedSpec } = status
  if (!hasBaseline(seen.spec) || !lastPromotedSpec || !lastAppliedSpec) return isFree ? releaseBaseline(seen) : []
  const replicas = baselineReplicas(seen, canaryReplicas)
  if (isFresh(status, seen)) return baseline?.replicas === replicas ? [] : [{ kind: 'scale', role: 'baseline', replicas }]
  if (baseline && baseline.runningReplicas > 0 && !isFree) return []
  return [{ kind: 'deploy', role: 'baseline', revision: lastPromotedSpec, replicas, beside: lastAppliedSpec }]
}

/** None is needed any more. */
export const releaseBaseline = ({ baseline }: Seen): readonly Effect[] => ((baseline?.replicas ?? 0) > 0 ? [{ kind: 'scale', role: 'baseline', replicas: 0 }] : [])

/** The baseline's share beside this weight of the canary: none while it has nobody who answers. Where pods are the weight it has its share by being there. */
export function baselineShare(status: CanaryStatus, seen: Seen, weight: number): number {
  if (seen.provider.weightsByReplicas || !hasBaseline(seen.spec) || !isFresh(status, seen)) return 0
  return (seen.endpoints.baseline ?? 0) > 0 ? baselineShareFor(weight) : 0
}

/** Requests reach fresh pods of the stable revision: the judge compares with them. */
export const isComparedWithBaseline = ({ routes }: Pick<Seen, 'routes'>): boolean => (routes?.baseline ?? 0) > 0

/** Why the first weight waits for them; undefined when they are ready, or will not be: then the run goes on without. */
export function startingBaseline(status: CanaryStatus, seen: Seen): string | undefined {
  if (!hasBaseline(seen.spec) || !status.lastPromotedSpec) return undefined
  const { baseline } = seen
  if (!baseline || !isFresh(status, seen)) return 'it is being made'
  if (!baseline.readiness.ready) return baseline.readiness.retriable ? baseline.readiness.reason : undefined
  return (seen.endpoints.baseline ?? 0) < baseline.readyReplicas ? 'its Service has no address yet' : undefined
}

/** Why there is nobody to compare with but the primary, although the canary's weight leaves room for a baseline. */
export function lostBaseline(status: CanaryStatus, seen: Seen, weight: number): string | undefined {
  if (!hasBaseline(seen.spec) || weight <= 0 || baselineShareFor(weight) === 0) return undefined
  if (isFresh(status, seen) && (seen.endpoints.baseline ?? 0) > 0) return undefined
  return seen.baseline?.readiness.ready === false ? seen.baseline.readiness.reason : 'no ready address'
}
