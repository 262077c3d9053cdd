import type { Role } from '#api/names.ts'
import type { Routes } from '#api/routes.ts'
import type { HookReply, MetricValues, SimulationEvent, SimulationOptions } from '#cli/simulation.ts'
import type { Check, CommandSeen, Effect, HookAnswer, Readiness, Seen, WorkloadSeen } from '#rollout/decision.ts'

/** The cluster of a simulation: one target, its two copies, a router; it answers as Kubernetes would. */

/** `kept`: pods that were ready before the last change and serve until it is done, `keptRevision` theirs. */
type ModelWorkload = { revision: string; replicas: number; readyAt: number; restartedAt: string | undefined; kept: number; keptRevision: string }
export type Model = {
  target: { image: string; wanted: number; adopted: boolean; replicas: number; gate: string | undefined; held: boolean }
  primary: ModelWorkload | undefined
  canary: ModelWorkload | undefined
  notReady: Set<Role>
  routes: Routes | undefined
  apex: Seen['apex']
  commands: CommandSeen[]
  hasFinalizer: boolean
  deleting: boolean
  hooks: Map<string, HookReply>
  metrics: Map<'canary' | 'primary' | 'both', MetricValues>
}


export function happen(model: Model, event: SimulationEvent): void {
  switch (event.do) {
    case 'setImage':
      model.target.image = event.image
      model.target.gate = 'pending'
      return
    case 'metrics':
      model.metrics.set(event.arm ?? 'both', { ...model.metrics.get(event.arm ?? 'both'), ...event.values })
      return
    case 'annotate':
      model.commands.push({ command: event.command, reason: event.reason, by: 'scenario' })
      return
    case 'hook':
      model.hooks.set(event.name, event.answer)
      return
    case 'notReady':
      model.notReady.add(event.workload)
      return
    case 'ready':
      model.notReady.delete(event.workload)
      return
    case 'scale':
      model.target.wanted = event.replicas
      return
    case 'routerLost':
      model.routes = undefined
      return
    case 'deleteCanary':
      model.deleting = true
      return
    case 'agentCrash':
    case 'apiDown':
      return
    default:
      event satisfies never
  }
}

export function carryOut(model: Model, effect: Effect, now: number, podStartMs: number): void {
  switch (effect.kind) {
    case 'deploy':
      model[effect.role] = changed(model[effect.role], effect.revision, effect.replicas, effect.restartedAt ?? model[effect.role]?.restartedAt, now, podStartMs)
      return
    case 'scale': {
      const old = model[effect.role]
      if (old) model[effect.role] = changed(old, old.revision, effect.replicas, old.restartedAt, now, podStartMs)
      return
    }
    case 'setRoutes':
      model.routes = effect.routes
      return
    case 'apex':
      model.apex = effect.serving
      return
    case 'holdTarget':
      model.target = { ...model.target, adopted: true, replicas: 0, wanted: effect.replicas }
      return
    case 'unpauseTarget':
      model.target.held = false
      return
    case 'markGate':
      model.target.gate = effect.gate
      return
    case 'consume':
      model.commands = model.commands.filter(({ command }) => !effect.commands.includes(command))
      return
    case 'releaseTarget':
      model.target = { ...model.target, image: effect.revision, replicas: effect.replicas }
      return
    case 'addFinalizer':
      model.hasFinalizer = true
      return
    case 'removeFinalizer':
      model.hasFinalizer = false
      return
    case 'snapshot':
    case 'services':
    case 'releaseRoutes':
    case 'forgetTarget':
    case 'prune':
      return
    default:
      effect satisfies never
  }
}

/** A rolling update, or more or fewer pods: what is ready goes on serving until the new pods are. */
function changed(old: ModelWorkload | undefined, revision: string, replicas: number, restartedAt: string | undefined, now: number, podStartMs: number): ModelWorkload {
  const isDone = old !== undefined && now >= old.readyAt
  const kept = isDone ? old.replicas : (old?.kept ?? 0)
  const keptRevision = isDone ? old.revision : (old?.keptRevision ?? revision)
  const isSame = old?.revision === revision && old.restartedAt === restartedAt
  const starts = !isSame || replicas > old.replicas
  return { revision, replicas, restartedAt, kept: Math.min(kept, replicas), keptRevision, readyAt: starts && replicas > 0 ? now + podStartMs : (old?.readyAt ?? now) }
}

export function see(model: Model, options: SimulationOptions, now: number, check: Check | undefined, hooks: readonly HookAnswer[] = []): Seen {
  const { spec } = options
  const serving = (role: Role): number => {
    const found = model[role]
    return !found || model.notReady.has(role) ? 0 : now >= found.readyAt ? found.replicas : found.kept
  }
  const workload = (role: Role): WorkloadSeen | undefined => {
    const found = model[role]
    if (!found) return undefined
    const isReady = found.replicas === 0 || (now >= found.readyAt && !model.notReady.has(role))
    const deadlineAt = found.readyAt - options.podStartMs + (spec.progressDeadlineSeconds ?? 600) * 1_000
    const readiness: Readiness = isReady ? { ready: true } : {
      ready: false, retriable: now < deadlineAt,
      reason: now < deadlineAt
        ? `waiting for rollout to finish: 0 of ${found.replicas} (readyThreshold 100%) updated replicas are available`
        : `deployment "${options.spec.targetRef.name}-${role}" exceeded its progress deadline`,
    }
    return {
      revision: found.revision, replicas: found.replicas, readyReplicas: isReady ? found.replicas : found.keptRevision === found.revision ? serving(role) : 0, runningReplicas: found.replicas,
      readiness, restartedAt: found.restartedAt,
    }
  }
  const primary = workload('primary')
  const canary = workload('canary')
  return {
    name: options.name, namespace: options.namespace, spec, deleting: model.deleting, hasFinalizer: model.hasFinalizer, commands: model.commands,
    target: {
      revision: model.target.image, image: model.target.image, restartedAt: undefined, wantedReplicas: model.target.wanted, adopted: model.target.adopted,
      replicas: model.target.replicas, runningReplicas: model.target.replicas, paused: model.target.held, held: model.target.held,
      gate: model.target.gate, requestedBy: 'scenario', scaled: false,
    },
    targetReady: true, stableRevision: undefined, primary, canary, routes: model.routes,
    endpoints: { primary: serving('primary'), canary: serving('canary') },
    apex: model.apex,
    provider: { name: spec.provider ?? 'kubernetes', settleMs: options.settleMs ?? 1_000, weightsByReplicas: false },
    check,
    hooks,
    judgement: undefined,
  }
}

/** The next moment at which a workload changes its readiness by itself. */
export function nextReadiness(model: Model, now: number): number | undefined {
  const times = [model.primary?.readyAt, model.canary?.readyAt].filter((time): time is number => time !== undefined && time > now)
  return times.length > 0 ? Math.min(...times) : undefined
}
