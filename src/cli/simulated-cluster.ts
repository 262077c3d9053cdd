import type { CanarySpec } from '#api/canary.ts'
import type { CheckedMetric, Measurement } from '#api/measurement.ts'
import type { Command, Role, WorkloadRole } from '#api/names.ts'
import { ALL_TO_PRIMARY, routesTo, type Routes } from '#api/routes.ts'
import type { Check, CommandSeen, Effect, HookAnswer, Readiness, Seen, WorkloadSeen } from '#rollout/decision.ts'

/** The cluster of a simulation: one target, its copies, a router; it answers as Kubernetes would. */

export type MetricValues = Readonly<Record<string, number | null | 'error'>>

/** What a hook's receiver answers: a status code, or nothing in time. */
export type HookReply = 200 | 500 | 'timeout'

export type SimulationEvent = { readonly at: number } & (
  | { readonly do: 'setImage'; readonly image: string }
  /** `kubectl rollout restart` */
  | { readonly do: 'restart' }
  | { readonly do: 'metrics'; readonly values: MetricValues; readonly arm?: 'canary' | 'primary' }
  | { readonly do: 'hook'; readonly name: string; readonly answer: HookReply }
  | { readonly do: 'annotate'; readonly command: Command; readonly reason: string }
  | { readonly do: 'notReady' | 'ready'; readonly workload: WorkloadRole }
  | { readonly do: 'scale'; readonly replicas: number }
  | { readonly do: 'agentCrash' }
  | { readonly do: 'apiDown'; readonly for: number }
  | { readonly do: 'routerLost' }
  | { readonly do: 'deleteCanary' }
)

export type SimulationOptions = {
  readonly name: string
  readonly namespace: string
  readonly spec: CanarySpec
  readonly image: string
  readonly replicas: number
  readonly podStartMs: number
  readonly untilMs: number
  readonly events: readonly SimulationEvent[]
  /** Judges one metric against its threshold: `checkMetric` of the metrics folder. */
  readonly judge: (metric: NonNullable<CanarySpec['analysis']['metrics']>[number], measurement: Measurement) => CheckedMetric
  readonly settleMs?: number
}

/** `restartedAt`: of a baseline the revision that it stands beside; either way another one means new pods. `kept`: pods that were ready before the last change and serve until it is done, `keptRevision` theirs. */
type ModelWorkload = { revision: string; replicas: number; readyAt: number; restartedAt: string | undefined; kept: number; keptRevision: string }
export type Model = {
  target: { image: string; wanted: number; adopted: boolean; replicas: number; readyAt: number; restartedAt: string | undefined; gate: string | undefined; held: boolean }
  primary: ModelWorkload | undefined
  canary: ModelWorkload | undefined
  baseline: ModelWorkload | undefined
  /** Which of a role's pods are not ready: those of one revision, or all. */
  notReady: Map<WorkloadRole, string | typeof ALL>
  /** Of a router. Without one (see `isByReplicas`) the apex and the pods behind it are the routes. */
  routes: Routes | undefined
  apex: Seen['apex']
  commands: CommandSeen[]
  hasFinalizer: boolean
  deleting: boolean
  hooks: Map<string, HookReply>
  metrics: Record<Role, MetricValues>
}

const ALL = Symbol('all')
/** Without a router the Service's pods are the weights. */
const isByReplicas = ({ provider = 'kubernetes' }: SimulationOptions['spec']): boolean => provider === 'kubernetes'

export function happen(model: Model, event: SimulationEvent, options: SimulationOptions): void {
  switch (event.do) {
    case 'setImage':
      model.target.image = event.image
      model.target.gate = 'pending'
      return
    case 'restart':
      model.target.restartedAt = new Date(event.at).toISOString()
      return
    case 'metrics':
      for (const arm of event.arm === undefined ? ['primary', 'canary'] as const : [event.arm]) model.metrics[arm] = { ...model.metrics[arm], ...event.values }
      return
    case 'annotate':
      model.commands.push({ command: event.command, reason: event.reason, by: 'scenario' })
      return
    case 'hook':
      model.hooks.set(event.name, event.answer)
      return
    case 'notReady':
      model.notReady.set(event.workload, startingIn(model, event.workload, event.at))
      return
    case 'ready':
      model.notReady.delete(event.workload)
      return
    case 'scale':
      model.target.wanted = event.replicas
      return
    case 'routerLost':
      if (isByReplicas(options.spec)) model.apex = 'missing'
      else model.routes = undefined
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

export function carryOut(model: Model, effect: Effect, now: number, { podStartMs, spec }: SimulationOptions): void {
  switch (effect.kind) {
    case 'deploy':
      model[effect.role] = changed(model, effect.role, { revision: effect.revision, replicas: effect.replicas, restartedAt: effect.restartedAt ?? effect.beside ?? model[effect.role]?.restartedAt }, now, podStartMs)
      return
    case 'scale': {
      const old = model[effect.role]
      if (old) model[effect.role] = changed(model, effect.role, { ...old, replicas: effect.replicas }, now, podStartMs)
      return
    }
    case 'setRoutes':
      if (isByReplicas(spec)) model.apex = effect.routes.canary <= 0 ? 'primary' : effect.routes.canary >= 100 ? 'canary' : 'both'
      else model.routes = effect.routes
      return
    case 'releaseRoutes':
      if (isByReplicas(spec)) model.apex = 'target'
      model.routes = undefined
      return
    case 'services':
      if (model.apex === 'missing') model.apex = 'primary'
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
      model.target = { ...model.target, image: effect.revision, replicas: effect.replicas, readyAt: model.target.replicas < effect.replicas ? now + podStartMs : model.target.readyAt }
      return
    case 'addFinalizer':
      model.hasFinalizer = true
      return
    case 'removeFinalizer':
      model.hasFinalizer = false
      // Kubernetes deletes what the Canary owned.
      if (isGone(model)) model.primary = model.canary = undefined
      return
    case 'snapshot':
    case 'scalers':
    case 'forgetTarget':
    case 'prune':
      return
    default:
      effect satisfies never
  }
}

/** The Canary is deleted, and nothing holds it any more. */
export const isGone = ({ deleting, hasFinalizer }: Model): boolean => deleting && !hasFinalizer

/** A rolling update, or more or fewer pods: what is ready goes on serving until the new pods are. */
function changed(model: Model, role: WorkloadRole, { revision, replicas, restartedAt }: Pick<ModelWorkload, 'revision' | 'replicas' | 'restartedAt'>, now: number, podStartMs: number): ModelWorkload {
  const old = model[role]
  const isDone = old !== undefined && isUp(model, role, old, now)
  const kept = isDone ? old.replicas : (old?.kept ?? 0)
  const keptRevision = isDone ? old.revision : (old?.keptRevision ?? revision)
  const isSame = old?.revision === revision && old.restartedAt === restartedAt
  const starts = !isSame || replicas > old.replicas
  return { revision, replicas, restartedAt, kept: Math.min(kept, replicas), keptRevision, readyAt: starts && replicas > 0 ? now + podStartMs : (old?.readyAt ?? now) }
}

/** The workload's own pods are all there: those that it kept from before are gone. */
const isUp = (model: Model, role: WorkloadRole, found: ModelWorkload, now: number): boolean => now >= found.readyAt && !isBroken(model, role, found.revision)
const isBroken = (model: Model, role: WorkloadRole, revision: string): boolean => model.notReady.get(role) === ALL || model.notReady.get(role) === revision

/** Pods that are being replaced stay as they are: it is the new ones that do not get ready. */
function startingIn(model: Model, role: WorkloadRole, now: number): string | typeof ALL {
  const found = model[role]
  return found && now < found.readyAt && found.kept > 0 && found.keptRevision !== found.revision ? found.revision : ALL
}

export function see(model: Model, options: SimulationOptions, now: number, check: Check | undefined, hooks: readonly HookAnswer[] = []): Seen {
  const { spec } = options
  const serving = (role: WorkloadRole): number => {
    const found = model[role]
    if (!found) return 0
    return isUp(model, role, found, now) ? found.replicas : isBroken(model, role, found.keptRevision) ? 0 : found.kept
  }
  const workload = (role: WorkloadRole): WorkloadSeen | undefined => {
    const found = model[role]
    if (!found) return undefined
    const isReady = found.replicas === 0 || isUp(model, role, found, now)
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
  const baseline = workload('baseline')
  const endpoints = { primary: serving('primary'), canary: serving('canary'), ...(baseline ? { baseline: serving('baseline') } : {}) }
  return {
    name: options.name, namespace: options.namespace, spec, deleting: model.deleting, hasFinalizer: model.hasFinalizer, commands: model.commands,
    target: {
      revision: model.target.image, image: model.target.image, restartedAt: model.target.restartedAt, wantedReplicas: model.target.wanted, adopted: model.target.adopted,
      replicas: model.target.replicas, runningReplicas: model.target.replicas, paused: model.target.held, held: model.target.held,
      gate: model.target.gate, requestedBy: 'scenario', scaled: false,
    },
    targetReady: now >= model.target.readyAt, stableRevision: undefined, primary, canary, baseline: baseline && { ...baseline, beside: baseline.restartedAt }, endpoints,
    routes: isByReplicas(spec) ? routesOfApex(model.apex, endpoints) : model.routes,
    apex: model.apex,
    provider: { name: spec.provider ?? 'kubernetes', settleMs: options.settleMs ?? 1_000, weightsByReplicas: isByReplicas(spec) },
    check,
    hooks,
    judgement: undefined,
  }
}

/** What the pods that the apex selects make of requests. */
function routesOfApex(apex: Seen['apex'], { primary, canary, baseline = 0 }: Seen['endpoints']): Routes | undefined {
  if (apex === 'primary') return ALL_TO_PRIMARY
  if (apex === 'canary') return routesTo(100)
  const all = primary + baseline + canary
  return apex === 'both' && all > 0 ? routesTo(Math.round((100 * canary) / all), Math.round((100 * baseline) / all)) : undefined
}

/** The next moment at which a workload changes its readiness by itself. */
export function nextReadiness(model: Model, now: number): number | undefined {
  const times = [model.primary?.readyAt, model.canary?.readyAt, model.baseline?.readyAt, model.target.readyAt].filter((time): time is number => time !== undefined && time > now)
  return times.length > 0 ? Math.min(...times) : undefined
}
