import type { CanarySpec, CanaryStatus } from '#api/canary.ts'
import type { CheckedMetric, Measurement } from '#api/measurement.ts'
import type { Command, Role } from '#api/names.ts'
import { ALL_TO_PRIMARY, type Routes } from '#api/routes.ts'
import type { Check, CommandSeen, Effect, Readiness, Seen, WorkloadSeen } from '#rollout/decision.ts'
import { phaseOf } from '#rollout/status.ts'
import { step, wantsCheck } from '#rollout/step.ts'

/** A cluster of one target on a virtual clock: the real core decides, the model answers as Kubernetes would. Times are ms from the start. */

export type MetricValues = Readonly<Record<string, number | null | 'error'>>

export type SimulationEvent = { readonly at: number } & (
  | { readonly do: 'setImage'; readonly image: string }
  | { readonly do: 'metrics'; readonly values: MetricValues; readonly arm?: 'canary' | 'primary' }
  | { readonly do: 'annotate'; readonly command: Command; readonly reason: string }
  | { readonly do: 'notReady' | 'ready'; readonly workload: Role }
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

export type TimelineEntry = {
  /** Seconds from the start. */
  readonly at: number
  readonly phase: string
  readonly weight: number
  readonly iterations: number
  readonly failedChecks: number
  readonly type: 'Normal' | 'Warning'
  readonly reason: string
  readonly message: string
}

export type SimulationEnd = {
  readonly at: number
  readonly phase: string
  readonly weight: number
  readonly requestedImage: string
  readonly primaryImage: string
  readonly primaryReplicas: number
  readonly canaryReplicas: number
}

type ModelWorkload = { revision: string; replicas: number; readyAt: number; restartedAt: string | undefined }
type Model = {
  target: { image: string; wanted: number; adopted: boolean; replicas: number; gate: string | undefined; held: boolean }
  primary: ModelWorkload | undefined
  canary: ModelWorkload | undefined
  notReady: Set<Role>
  routes: Routes | undefined
  apex: Seen['apex']
  commands: CommandSeen[]
  hasFinalizer: boolean
  deleting: boolean
  metrics: Map<'canary' | 'primary' | 'both', MetricValues>
}

/** The lease of a crashed agent must expire before another goes on. */
const TAKEOVER_MS = 8_000
/** Turns at one instant: more would mean that the core never settles. */
const MAX_TURNS = 200

export function simulate(options: SimulationOptions): { timeline: readonly TimelineEntry[]; end: SimulationEnd } {
  const { podStartMs, untilMs } = options
  const model: Model = {
    target: { image: options.image, wanted: options.replicas, adopted: true, replicas: 0, gate: undefined, held: false },
    primary: { revision: options.image, replicas: options.replicas, readyAt: 0, restartedAt: undefined },
    canary: undefined, notReady: new Set(), routes: ALL_TO_PRIMARY, apex: 'primary', commands: [], hasFinalizer: true, deleting: false,
    metrics: new Map(),
  }
  let status: CanaryStatus = { phase: 'Initialized', lastAppliedSpec: options.image, lastPromotedSpec: options.image, canaryWeight: 0 }
  const timeline: TimelineEntry[] = []
  const events = options.events.map((event, order) => ({ event, order })).sort((a, b) => a.event.at - b.event.at || a.order - b.order).map(({ event }) => event)
  let now = 0
  let silentUntil = 0
  let wakeAt: number | undefined

  const turn = (): void => {
    for (let turns = 0; turns < MAX_TURNS; turns += 1) {
      const seen0 = see(model, options, now, undefined)
      const check = wantsCheck(status, seen0, now) ? measure(model, options) : undefined
      const decision = step(status, check ? see(model, options, now, check) : seen0, now)
      const before = JSON.stringify(model)
      for (const effect of decision.effects) carryOut(model, effect, now, podStartMs)
      const changed = decision.status !== status || JSON.stringify(model) !== before
      status = decision.status
      for (const item of decision.news) {
        timeline.push({
          at: now / 1_000, phase: phaseOf(status), weight: status.canaryWeight ?? 0, iterations: status.iterations ?? 0,
          failedChecks: status.failedChecks ?? 0, type: item.type, reason: item.reason, message: item.message,
        })
      }
      wakeAt = decision.wakeAt
      if (!model.hasFinalizer && model.deleting) return
      if (!changed && (wakeAt === undefined || wakeAt > now)) return
    }
    throw new Error(`the core does not settle at ${now} ms (phase ${phaseOf(status)})`)
  }

  for (;;) {
    while (events[0] && events[0].at <= now) {
      const event = events.shift()
      if (!event) break
      if (event.do === 'agentCrash') silentUntil = Math.max(silentUntil, now + TAKEOVER_MS)
      else if (event.do === 'apiDown') silentUntil = Math.max(silentUntil, now + event.for)
      else happen(model, event)
    }
    if (now >= silentUntil) turn()
    const next = [events[0]?.at, now < silentUntil ? silentUntil : wakeAt, nextReadiness(model, now)].filter((time) => time !== undefined && time > now) as number[]
    if (next.length === 0) break
    const later = Math.min(...next)
    if (later > untilMs) break
    now = later
  }
  return {
    timeline,
    end: {
      at: now / 1_000, phase: phaseOf(status), weight: model.routes?.canary ?? 0, requestedImage: model.target.image,
      primaryImage: model.primary?.revision ?? '', primaryReplicas: model.primary?.replicas ?? 0, canaryReplicas: model.canary?.replicas ?? 0,
    },
  }
}

function happen(model: Model, event: SimulationEvent): void {
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

function carryOut(model: Model, effect: Effect, now: number, podStartMs: number): void {
  switch (effect.kind) {
    case 'deploy': {
      const old = model[effect.role]
      const isSame = old?.revision === effect.revision && old.restartedAt === effect.restartedAt
      const grows = effect.replicas > (isSame ? (old?.replicas ?? 0) : 0)
      model[effect.role] = {
        revision: effect.revision, replicas: effect.replicas, restartedAt: effect.restartedAt,
        readyAt: grows || !isSame ? now + podStartMs : (old?.readyAt ?? now),
      }
      return
    }
    case 'scale': {
      const old = model[effect.role]
      if (old) model[effect.role] = { ...old, replicas: effect.replicas, readyAt: effect.replicas > old.replicas ? now + podStartMs : old.readyAt }
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

function see(model: Model, options: SimulationOptions, now: number, check: Check | undefined): Seen {
  const { spec } = options
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
      revision: found.revision, replicas: found.replicas, readyReplicas: isReady ? found.replicas : 0, runningReplicas: found.replicas,
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
    endpoints: { primary: primary?.readyReplicas ?? 0, canary: canary?.readyReplicas ?? 0 },
    apex: model.apex,
    provider: { name: spec.provider ?? 'kubernetes', settleMs: options.settleMs ?? 1_000, weightsByReplicas: false },
    check,
    judgement: undefined,
  }
}

function measure(model: Model, options: SimulationOptions): Check {
  const values = { ...model.metrics.get('both'), ...model.metrics.get('canary') }
  const metrics = (options.spec.analysis.metrics ?? []).map((metric) => {
    const value = values[metric.name]
    const measurement: Measurement = value === 'error' ? { kind: 'unavailable', reason: 'the source is down' }
      : typeof value === 'number' ? { kind: 'value', value } : { kind: 'no-data', reason: 'no values found' }
    return options.judge(metric, measurement)
  })
  return { metrics }
}

/** The next moment at which a workload changes its readiness by itself. */
function nextReadiness(model: Model, now: number): number | undefined {
  const times = [model.primary?.readyAt, model.canary?.readyAt].filter((time): time is number => time !== undefined && time > now)
  return times.length > 0 ? Math.min(...times) : undefined
}
