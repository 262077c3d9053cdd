import type { CanarySpec, CanaryStatus } from '#api/canary.ts'
import type { WorkloadRole } from '#api/names.ts'
import { ALL_TO_PRIMARY, routesTo, type Routes } from '#api/routes.ts'
import type { CommandSeen, Effect, Readiness, Seen, WorkloadSeen } from '#rollout/decision.ts'

/**
 * A cluster with one target, as values: every change makes a new world, so an old one is what a stale cache shows.
 * Its controllers act when time passes: a Deployment keeps its ready pods while new ones start (`maxUnavailable: 0`).
 */
export type Pod = { readonly revision: string; readonly mark: string | undefined; readonly readyAt: number }
export type ModelWorkload = {
  readonly revision: string
  readonly replicas: number
  readonly mark: string | undefined
  readonly generation: number
  readonly observed: number
  readonly pods: readonly Pod[]
  /** Since when nothing progresses. */
  readonly since: number
}
export type ModelTarget = ModelWorkload & {
  readonly exists: boolean
  readonly recorded: number | undefined
  readonly paused: boolean
  readonly stableMark: string | undefined
  readonly gate: string | undefined
  /** Counts changes of the object, as a resource version does. */
  readonly version: number
}
export type ModelCanary = {
  readonly spec: CanarySpec
  readonly status: CanaryStatus
  readonly commands: readonly CommandSeen[]
  readonly deleting: boolean
  readonly finalizer: boolean
  readonly exists: boolean
  readonly version: number
}
export type World = {
  readonly now: number
  readonly target: ModelTarget
  readonly primary: ModelWorkload | undefined
  readonly canary: ModelWorkload | undefined
  readonly baseline: ModelWorkload | undefined
  readonly routes: Routes | undefined
  readonly apex: 'target' | 'primary' | 'canary' | 'both'
  /** Since when no live request can reach the canary; undefined while some can. */
  readonly quietSince: number | undefined
  /** The same of the baseline. */
  readonly baselineQuietSince: number | undefined
  readonly object: ModelCanary
  /** Roles whose pods are not ready, by no fault of the agent. */
  readonly broken: readonly WorkloadRole[]
  readonly metrics: 'good' | 'bad' | 'no-data' | 'unavailable'
  readonly hooks: 'open' | 'closed'
}

/** Pods of this revision never become ready. */
export const CRASHING = 'v4'
export const POD_START_MS = 2_000
export const SETTLE_MS = 1_000
export const DEADLINE_SECONDS = 30

export const isByReplicas = (world: World): boolean => world.object.spec.provider === 'kubernetes'

const workload = (revision: string, replicas: number, pods: readonly Pod[] = []): ModelWorkload =>
  ({ revision, replicas, mark: undefined, generation: 1, observed: 1, pods, since: 0 })
const podsOf = (revision: string, count: number): Pod[] => Array.from({ length: count }, () => ({ revision, mark: undefined, readyAt: 0 }))

export function firstWorld(spec: CanarySpec, isAdopted: boolean): World {
  const replicas = 3
  return {
    now: 1_000_000,
    target: {
      ...workload('v1', isAdopted ? 0 : replicas, isAdopted ? [] : podsOf('v1', replicas)), exists: true, recorded: isAdopted ? replicas : undefined,
      paused: false, stableMark: undefined, gate: undefined, version: 1,
    },
    primary: isAdopted ? workload('v1', replicas, podsOf('v1', replicas)) : undefined,
    canary: undefined,
    baseline: undefined,
    routes: isAdopted && spec.provider !== 'kubernetes' ? ALL_TO_PRIMARY : undefined,
    apex: isAdopted ? 'primary' : 'target',
    quietSince: 0,
    baselineQuietSince: 0,
    object: {
      spec, commands: [], deleting: false, finalizer: isAdopted, exists: true, version: 1,
      status: isAdopted ? { phase: 'Initialized', lastAppliedSpec: 'v1', lastPromotedSpec: 'v1', canaryWeight: 0 } : {},
    },
    broken: [], metrics: 'good', hooks: 'open',
  }
}

export const isReady = (world: World, role: WorkloadRole | 'target', pod: Pod): boolean =>
  world.now >= pod.readyAt && pod.revision !== CRASHING && !(role !== 'target' && world.broken.includes(role))
export const readyPods = (world: World, role: WorkloadRole | 'target'): number =>
  (world[role]?.pods ?? []).filter((pod) => isReady(world, role, pod)).length

/** The canary's share of live requests, as the router gives it. */
export function routesInForce(world: World): Routes | undefined {
  if (!isByReplicas(world)) return world.routes
  if (world.apex === 'primary') return ALL_TO_PRIMARY
  if (world.apex === 'canary') return routesTo(100)
  if (world.apex !== 'both') return undefined
  const [primary, canary, baseline] = [readyPods(world, 'primary'), readyPods(world, 'canary'), readyPods(world, 'baseline')]
  const all = primary + baseline + canary
  if (all === 0) return undefined
  const share = Math.round((100 * canary) / all)
  return routesTo(primary + baseline === 0 || canary === 0 ? share : Math.min(99, Math.max(1, share)), Math.round((100 * baseline) / all))
}
export const baselineIsReachable = (world: World): boolean => (isByReplicas(world) ? world.apex === 'both' : (world.routes?.baseline ?? 0) > 0)
export const canaryIsReachable = (world: World): boolean => (isByReplicas(world) ? world.apex === 'both' || world.apex === 'canary' : (world.routes?.canary ?? 0) > 0)

/** Ready pods behind the apex, counted as requests see them: an arm that gets half of them counts double. The baseline's are nobody's capacity. */
export function capacity(world: World): number {
  if (world.apex === 'target') return readyPods(world, 'target')
  const [primary, canary] = [readyPods(world, 'primary'), readyPods(world, 'canary')]
  if (isByReplicas(world)) return world.apex === 'both' ? primary + canary : world.apex === 'canary' ? canary : primary
  const routes = world.routes ?? ALL_TO_PRIMARY
  return Math.min(routes.primary > 0 ? primary / (routes.primary / 100) : Infinity, routes.canary > 0 ? canary / (routes.canary / 100) : Infinity)
}

/** What the controllers make of the specs. */
export function settle(world: World): World {
  const roll = (role: WorkloadRole | 'target', found: ModelWorkload | undefined): ModelWorkload | undefined => {
    if (!found) return undefined
    const target = role === 'target' ? world.target : undefined
    const revision = target?.paused ? (target.stableMark ?? found.revision) : found.revision
    const isNew = (pod: Pod) => pod.revision === revision && pod.mark === found.mark
    const byReadiness = (a: Pod, b: Pod) => Number(isReady(world, role, b)) - Number(isReady(world, role, a))
    const fresh = found.pods.filter(isNew).sort(byReadiness).slice(0, found.replicas)
    while (fresh.length < found.replicas) fresh.push({ revision, mark: found.mark, readyAt: world.now + POD_START_MS })
    const ready = fresh.filter((pod) => isReady(world, role, pod)).length
    const old = found.pods.filter((pod) => !isNew(pod)).sort(byReadiness).slice(0, Math.max(0, found.replicas - ready))
    const pods = [...fresh, ...old]
    const isDone = ready === found.replicas && old.length === 0
    const isSame = found.observed === found.generation && pods.length === found.pods.length && pods.every((pod) => found.pods.includes(pod)) && !isDone
    return { ...found, observed: found.generation, pods, since: isSame ? found.since : world.now }
  }
  const target = roll('target', world.target)
  return { ...world, target: world.target.exists && target ? { ...world.target, ...target } : world.target, primary: roll('primary', world.primary), canary: roll('canary', world.canary), baseline: roll('baseline', world.baseline) }
}

/** A change of a workload's spec: the controller has not seen it yet. */
export const edited = (found: ModelWorkload, change: Partial<ModelWorkload>): ModelWorkload => {
  const isSame = Object.entries(change).every(([key, value]) => found[key as keyof ModelWorkload] === value)
  return isSame ? found : { ...found, ...change, generation: found.generation + 1 }
}
export const editedTarget = (target: ModelTarget, change: Partial<ModelTarget>): ModelTarget => {
  const isSame = Object.entries(change).every(([key, value]) => target[key as keyof ModelTarget] === value)
  return isSame ? target : { ...target, ...change, version: target.version + 1, generation: target.generation + 1 }
}

/** Keeps the record of since when canary and baseline get no live requests. */
export const reRouted = (before: World, after: World): World => ({
  ...after,
  quietSince: canaryIsReachable(after) ? undefined : canaryIsReachable(before) ? after.now : before.quietSince,
  baselineQuietSince: baselineIsReachable(after) ? undefined : baselineIsReachable(before) ? after.now : before.baselineQuietSince,
})

/** One effect, as the API server takes it. `seen`: the target's version that the agent knew; an order for another one is refused. */
export function carryOut(world: World, effect: Effect, seenVersion: number): World {
  const { target, object } = world
  switch (effect.kind) {
    case 'addFinalizer':
      return object.finalizer ? world : { ...world, object: { ...object, finalizer: true, version: object.version + 1 } }
    case 'removeFinalizer':
      return { ...world, object: { ...object, finalizer: false, exists: !object.deleting, version: object.version + 1 }, ...(object.deleting ? { primary: undefined, canary: undefined, baseline: undefined } : {}) }
    case 'deploy': {
      const old = world[effect.role]
      const mark = effect.restartedAt ?? effect.beside ?? (old?.revision === effect.revision ? old.mark : undefined)
      const next = old ? edited(old, { revision: effect.revision, replicas: effect.replicas, mark }) : { ...workload(effect.revision, effect.replicas), mark, observed: 0, since: world.now }
      return next === old ? world : { ...world, [effect.role]: next }
    }
    case 'scale': {
      const old = world[effect.role]
      if (!old) throw new Error(`no ${effect.role} to scale`)
      return { ...world, [effect.role]: edited(old, { replicas: effect.replicas }) }
    }
    case 'setRoutes': {
      const { canary } = effect.routes
      return reRouted(world, isByReplicas(world) ? { ...world, apex: canary <= 0 ? 'primary' : canary >= 100 ? 'canary' : 'both' } : { ...world, routes: effect.routes })
    }
    case 'apex':
      return reRouted(world, { ...world, apex: effect.serving })
    case 'releaseRoutes':
      return reRouted(world, isByReplicas(world) ? { ...world, apex: 'target' } : { ...world, routes: undefined })
    case 'holdTarget':
      if (seenVersion !== target.version) throw new Error('conflict')
      return { ...world, target: editedTarget(target, { recorded: effect.replicas, replicas: 0 }) }
    case 'unpauseTarget':
      return { ...world, target: editedTarget(target, { paused: false, stableMark: undefined }) }
    case 'markGate':
      return { ...world, target: editedTarget(target, { gate: effect.gate }) }
    case 'releaseTarget':
      if (seenVersion !== target.version) throw new Error('conflict')
      return { ...world, target: editedTarget(target, { revision: effect.revision, replicas: effect.replicas, paused: false }) }
    case 'forgetTarget':
      return { ...world, target: editedTarget(target, { recorded: undefined, gate: undefined, stableMark: undefined }) }
    case 'consume': {
      const commands = object.commands.filter(({ command }) => !effect.commands.includes(command))
      return commands.length === object.commands.length ? world : { ...world, object: { ...object, commands, version: object.version + 1 } }
    }
    case 'snapshot':
    case 'services':
    case 'scalers':
    case 'prune':
      return world
    default:
      return effect satisfies never
  }
}

/** How old each cache is: the world that it shows. */
export type Views = { readonly target: World; readonly primary: World; readonly canary: World; readonly baseline: World; readonly router: World; readonly endpoints: World; readonly object: World }

export function see(views: Views, now: number): Seen {
  const { object, target: { target } } = views
  const { spec } = object.object
  const at = (world: World): World => ({ ...world, now })
  const seenWorkload = (role: WorkloadRole): WorkloadSeen | undefined => {
    const world = at(views[role])
    const found = world[role]
    if (!found) return undefined
    const ready = readyPods(world, role)
    return {
      revision: found.revision, replicas: found.replicas, readyReplicas: ready, runningReplicas: found.pods.length,
      readiness: readinessOf(world, role, found, spec.progressDeadlineSeconds ?? DEADLINE_SECONDS), restartedAt: found.mark,
    }
  }
  const primary = seenWorkload('primary')
  const baseline = seenWorkload('baseline')
  const adopted = target.recorded !== undefined
  const router = at(views.router)
  return {
    name: 'shop', namespace: 'prod', spec, deleting: object.object.deleting, hasFinalizer: object.object.finalizer, commands: object.object.commands,
    target: target.exists ? {
      revision: target.revision, image: target.revision, restartedAt: target.mark, wantedReplicas: target.recorded ?? (target.replicas === 0 && primary ? primary.replicas : target.replicas),
      adopted, replicas: target.replicas, runningReplicas: target.pods.length, paused: target.paused, held: target.paused && target.stableMark !== undefined,
      gate: target.gate, requestedBy: 'user', scaled: false,
    } : undefined,
    targetReady: target.exists && readinessOf(at(views.target), 'target', target, DEADLINE_SECONDS).ready,
    stableRevision: target.stableMark, primary, canary: seenWorkload('canary'), baseline: baseline && { ...baseline, beside: baseline.restartedAt }, routes: routesInForce(router),
    endpoints: { primary: readyPods(at(views.endpoints), 'primary'), canary: readyPods(at(views.endpoints), 'canary'), baseline: readyPods(at(views.endpoints), 'baseline') },
    apex: router.apex,
    provider: { name: spec.provider ?? 'traefik', settleMs: SETTLE_MS, weightsByReplicas: spec.provider === 'kubernetes' },
    check: undefined, judgement: undefined,
  }
}

function readinessOf(world: World, role: WorkloadRole | 'target', found: ModelWorkload, deadlineSeconds: number): Readiness {
  if (found.observed < found.generation) return { ready: false, retriable: true, reason: 'observed deployment generation less than desired generation' }
  const updated = found.pods.filter(({ revision, mark }) => revision === found.revision && mark === found.mark)
  const available = updated.filter((pod) => isReady(world, role, pod)).length
  if (updated.length === found.replicas && found.pods.length === updated.length && available === updated.length) return { ready: true }
  return { ready: false, retriable: world.now - found.since < deadlineSeconds * 1_000, reason: `waiting for rollout to finish: ${available} of ${found.replicas}` }
}
