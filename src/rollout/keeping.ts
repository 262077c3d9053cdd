import { ALL_TO_PRIMARY } from '#api/routes.ts'
import type { Decision, Effect, Seen, TargetSeen } from '#rollout/decision.ts'
import { mayGoHome } from '#rollout/routing.ts'

/**
 * What holds at any time after adoption: the Services, the owner's replicas on the primary and none on the target, and on the primary the
 * revision that belongs there, whatever others made of it.
 */
export function keep(seen: Seen, target: TargetSeen, revision: string | undefined, canary: 'running' | 'resting' = 'running'): readonly Effect[] {
  const effects: Effect[] = [{ kind: 'services' }, ...scalers(seen, 'held', canary)]
  // Through `scale`, whose review carries no annotations, or while the webhook was away: the count is recorded and the pods go.
  const asked = target.adopted && target.replicas > 0 ? target.replicas : target.wantedReplicas
  if (!target.adopted || target.replicas > 0) effects.push({ kind: 'holdTarget', replicas: asked })
  if (revision && seen.primary?.revision !== revision) {
    effects.push({ kind: 'deploy', role: 'primary', revision, replicas: asked })
  } else if (seen.primary && !target.scaled && seen.primary.replicas !== asked) {
    effects.push({ kind: 'scale', role: 'primary', replicas: asked })
  }
  return effects
}

/** The roles' autoscalers, where there are any. */
export const scalers = (seen: Seen, target: 'held' | 'free', canary: 'running' | 'resting'): readonly Effect[] =>
  (seen.spec.autoscalerRef || seen.hasScalers ? [{ kind: 'scalers', target, canary }] : [])

/** All weight to the primary, at once. */
export const goHome = (seen: Seen): readonly Effect[] => (mayGoHome(seen) ? [{ kind: 'setRoutes', routes: ALL_TO_PRIMARY }] : [])

export const plus = (decision: Decision, first: readonly Effect[], last: readonly Effect[] = []): Decision =>
  ({ ...decision, effects: [...first, ...decision.effects, ...last] })
