import type { PhaseStep } from '#rollout/decision.ts'
import { enter, normal, timestamp, withGate } from '#rollout/status.ts'

/**
 * The Canary is being deleted: the target takes over what the primary serves, and only when it does are the primary and the routes let go.
 * Flagger leaves an outage here unless `revertOnDeletion` is set; we never do.
 */
export const terminating: PhaseStep = (before, seen, now) => {
  if (!seen.hasFinalizer) return { status: before, effects: [], news: [], wakeAt: undefined }
  const { target } = seen
  // Nothing was adopted, or nobody is left to serve: there is nothing to give back.
  if (!target || !target.adopted || !seen.primary) {
    return { status: before, effects: [...(target?.held ? [{ kind: 'unpauseTarget' } as const] : []), { kind: 'removeFinalizer' }], news: [], wakeAt: undefined }
  }
  const isFirst = before.phase !== 'Terminating'
  const status = isFirst ? enter(before, 'Terminating', now, { canaryWeight: 0 }) : before
  const news = isFirst ? [normal('CanaryTerminating', `Terminating canary ${seen.name}.${seen.namespace}`)] : []
  const stable = before.lastPromotedSpec ?? seen.primary.revision ?? target.revision
  const wanted = Math.max(target.wantedReplicas, target.replicas)
  if (target.revision !== stable || target.replicas !== wanted || target.paused) {
    return { status, effects: [{ kind: 'releaseTarget', revision: stable, replicas: wanted }], news, wakeAt: undefined }
  }
  if (!seen.targetReady) return { status, effects: [], news, wakeAt: undefined }
  if (seen.apex !== 'target') {
    return { status: withGate(status, { routesAt: timestamp(now) }), effects: [{ kind: 'apex', serving: 'target' }, { kind: 'releaseRoutes' }], news, wakeAt: undefined }
  }
  const settledAt = Date.parse(before.gate?.routesAt ?? timestamp(now)) + seen.provider.settleMs
  if (now < settledAt) return { status, effects: [], news, wakeAt: settledAt }
  return {
    status,
    effects: [{ kind: 'forgetTarget' }, { kind: 'removeFinalizer' }],
    news: [...news, normal('CanaryTerminated', `Terminated canary ${seen.name}.${seen.namespace}`)],
    wakeAt: undefined,
  }
}
