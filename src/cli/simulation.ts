import type { CanaryStatus } from '#api/canary.ts'
import type { Measurement } from '#api/measurement.ts'
import { ALL_TO_PRIMARY } from '#api/routes.ts'
import { carryOut, happen, isGone, nextReadiness, see, type Model, type SimulationOptions } from '#cli/simulated-cluster.ts'
import type { Check, HookAnswer, HookCall } from '#rollout/decision.ts'
import { phaseOf } from '#rollout/status.ts'
import { step, wantedHooks, wantsCheck } from '#rollout/step.ts'

/** A cluster of one target on a virtual clock: the real core decides, the model answers as Kubernetes would. Times are ms from the start. */

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
  /** Pods of the target itself, once the Canary is gone and it serves by itself. */
  readonly targetReplicas?: number
}

/** The lease of a crashed agent must expire before another goes on. */
const TAKEOVER_MS = 8_000
/** Turns at one instant: more would mean that the core never settles. */
const MAX_TURNS = 200

export type SimulationResult = { readonly timeline: readonly TimelineEntry[]; readonly end: SimulationEnd }

export function simulate(options: SimulationOptions): SimulationResult {
  const { untilMs } = options
  const model: Model = {
    target: { image: options.image, wanted: options.replicas, adopted: true, replicas: 0, readyAt: 0, restartedAt: undefined, gate: undefined, held: false },
    primary: { revision: options.image, replicas: options.replicas, readyAt: 0, restartedAt: undefined, kept: 0, keptRevision: options.image },
    canary: undefined, baseline: undefined, notReady: new Map(), routes: ALL_TO_PRIMARY, apex: 'primary', commands: [], hasFinalizer: true, deleting: false,
    hooks: new Map(), metrics: { primary: {}, canary: {} },
  }
  let status: CanaryStatus = { phase: 'Initialized', lastAppliedSpec: options.image, lastPromotedSpec: options.image, canaryWeight: 0 }
  const timeline: TimelineEntry[] = []
  const events = options.events.map((event, order) => ({ event, order })).sort((a, b) => a.event.at - b.event.at || a.order - b.order).map(({ event }) => event)
  let now = 0
  let silentUntil = 0
  let wakeAt: number | undefined

  const turn = (): void => {
    for (let turns = 0; turns < MAX_TURNS; turns += 1) {
      const check = wantsCheck(status, { deleting: model.deleting }, now) ? measure(model, options) : undefined
      const hooks: HookAnswer[] = []
      for (let asks = wantedHooks(status, see(model, options, now, check, hooks), now); asks.length > 0;) {
        hooks.push(...asks.map((call) => answer(model, options, call)))
        asks = wantedHooks(status, see(model, options, now, check, hooks), now)
      }
      const decision = step(status, see(model, options, now, check, hooks), now)
      const before = JSON.stringify(model)
      for (const effect of decision.effects) carryOut(model, effect, now, options)
      const changed = decision.status !== status || JSON.stringify(model) !== before
      status = decision.status
      for (const { type, reason, message, status: of = status } of decision.news) {
        timeline.push({ at: now / 1_000, phase: phaseOf(of), weight: of.canaryWeight ?? 0, iterations: of.iterations ?? 0, failedChecks: of.failedChecks ?? 0, type, reason, message })
      }
      wakeAt = decision.wakeAt
      if (isGone(model)) return
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
      else happen(model, event, options)
    }
    if (now >= silentUntil) turn()
    const next = [events[0]?.at, now < silentUntil ? silentUntil : wakeAt, nextReadiness(model, now)].filter((time) => time !== undefined && time > now) as number[]
    if (next.length === 0) break
    const later = Math.min(...next)
    if (later > untilMs) {
      now = untilMs
      break
    }
    now = later
  }
  return {
    timeline,
    end: {
      at: now / 1_000, phase: phaseOf(status), weight: status.canaryWeight ?? 0, requestedImage: model.target.image,
      primaryImage: model.primary?.revision ?? '', primaryReplicas: model.primary?.replicas ?? 0, canaryReplicas: model.canary?.replicas ?? 0,
      ...(isGone(model) ? { targetReplicas: model.target.replicas } : {}),
    },
  }
}

function measure(model: Model, options: SimulationOptions): Check {
  const metrics = (options.spec.analysis.metrics ?? []).map((metric) => {
    const value = model.metrics.canary[metric.name]
    const measurement: Measurement = value === 'error' ? { kind: 'unavailable', reason: 'the source is down' }
      : typeof value === 'number' ? { kind: 'value', value } : { kind: 'no-data', reason: 'no values found' }
    return options.judge(metric, measurement)
  })
  return { metrics }
}

/** A hook that the scenario says nothing about lets the run pass. Error texts are those of Flagger's client. */
function answer(model: Model, options: SimulationOptions, { name, type }: HookCall): HookAnswer {
  const reply = model.hooks.get(name) ?? (type === 'rollback' ? 500 : 200)
  const url = options.spec.analysis.webhooks?.find((hook) => hook.name === name)?.url ?? ''
  const message = reply === 200 ? '' : `POST ${url} giving up after 1 attempt(s)${reply === 'timeout' ? ': context deadline exceeded' : ''}`
  return { name, type, ok: reply === 200, message }
}
