import fc from 'fast-check'
import type { CanarySpec } from '#api/canary.ts'
import type { Command, WorkloadRole } from '#api/names.ts'
import { COMMANDS, WORKLOAD_ROLES } from '#api/names.ts'
import { ALL_TO_PRIMARY, routesTo } from '#api/routes.ts'
import { phaseOf } from '#rollout/status.ts'
import { checkEnd, Violation, type Ledger } from './invariants.ts'
import { cycle, FAULTS, ModelAgent, type Fault } from './model-agent.ts'
import { CRASHING, edited, editedTarget, firstWorld, reRouted, type World } from './model.ts'

/** What people and mishaps do to a rollout, drawn at random. */

const spec = (analysis: Partial<CanarySpec['analysis']>, more: Partial<CanarySpec> = {}): CanarySpec => ({
  targetRef: { apiVersion: 'apps/v1', kind: 'Deployment', name: 'shop' }, service: { port: 80 }, provider: 'traefik', progressDeadlineSeconds: 30, ...more,
  analysis: { interval: '5s', threshold: 2, metrics: [{ name: 'request-success-rate', thresholdRange: { min: 99 } }], ...analysis },
})
const hook = (name: string, type: 'confirm-rollout' | 'pre-rollout' | 'rollout' | 'confirm-traffic-increase' | 'confirm-promotion' | 'post-rollout' | 'rollback') => ({ name, type, url: 'http://hooks/' })
const HOOKS = (['confirm-rollout', 'pre-rollout', 'rollout', 'confirm-traffic-increase', 'confirm-promotion', 'post-rollout', 'rollback'] as const).map((type) => hook(type, type))

export const SPECS: readonly CanarySpec[] = [
  spec({ stepWeight: 20, maxWeight: 40 }),
  spec({ stepWeights: [5, 10, 50, 90] }),
  spec({ stepWeight: 50, maxWeight: 50 }, { provider: 'kubernetes' }),
  spec({ stepWeight: 20, maxWeight: 40, stepWeightPromotion: 15 }),
  spec({ iterations: 2 }),
  spec({ iterations: 2, mirror: true }),
  spec({ iterations: 2 }, { provider: 'kubernetes' }),
  spec({ iterations: 2, match: [{ headers: { 'x-canary': { exact: 'yes' } } }] }),
  spec({ stepWeight: 25, maxWeight: 50, mirror: true }),
  spec({ stepWeight: 20, maxWeight: 40 }, { skipAnalysis: true }),
  spec({ stepWeight: 20, maxWeight: 40 }, { gate: { atMaxWeight: 'wait', failures: 'consecutive' } }),
  spec({}, { gate: { steps: [{ weight: 10 }, { weight: 30, hold: true }, { weight: 100, interval: '3s' }] } }),
  spec({ stepWeight: 20, maxWeight: 40, webhooks: HOOKS }),
  spec({ iterations: 2, webhooks: HOOKS }),
  spec({ stepWeights: [10, 40, 60, 100] }, { gate: { baseline: {} } }),
  spec({ stepWeight: 20, maxWeight: 40 }, { provider: 'kubernetes', gate: { baseline: {} } }),
  spec({ stepWeight: 20, maxWeight: 40 }, { provider: 'gatewayapi:v1' }),
  spec({ iterations: 2, mirror: true }, { provider: 'gatewayapi:v1' }),
]

export type Action =
  | { readonly do: 'image'; readonly revision: string }
  | { readonly do: 'scale'; readonly replicas: number; readonly how: 'apply' | 'scale' }
  | { readonly do: 'command'; readonly command: Command }
  | { readonly do: 'metrics'; readonly metrics: World['metrics'] }
  | { readonly do: 'hooks'; readonly hooks: World['hooks'] }
  | { readonly do: 'broken'; readonly role: WorkloadRole; readonly is: boolean }
  | { readonly do: 'spec'; readonly index: number }
  | { readonly do: 'restart' | 'suspend' | 'pauseTarget' | 'delete' | 'deleteTarget' | 'routerLost' | 'crash' }
  | { readonly do: 'editRoutes'; readonly weight: number }
  | { readonly do: 'editWorkload'; readonly role: WorkloadRole; readonly how: 'revision' | 'zero' | 'delete' }

export const actions: fc.Arbitrary<Action> = fc.oneof(
  { weight: 8, arbitrary: fc.record({ do: fc.constant('image' as const), revision: fc.constantFrom('v1', 'v2', 'v3', 'v4') }) },
  { weight: 3, arbitrary: fc.record({ do: fc.constant('scale' as const), replicas: fc.constantFrom(0, 1, 2, 5), how: fc.constantFrom('apply' as const, 'scale' as const) }) },
  { weight: 6, arbitrary: fc.record({ do: fc.constant('command' as const), command: fc.constantFrom(...COMMANDS) }) },
  { weight: 4, arbitrary: fc.record({ do: fc.constant('metrics' as const), metrics: fc.constantFrom('good' as const, 'bad' as const, 'no-data' as const, 'unavailable' as const) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('hooks' as const), hooks: fc.constantFrom('open' as const, 'closed' as const) }) },
  { weight: 3, arbitrary: fc.record({ do: fc.constant('broken' as const), role: fc.constantFrom(...WORKLOAD_ROLES), is: fc.boolean() }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('spec' as const), index: fc.nat(SPECS.length - 1) }) },
  { weight: 3, arbitrary: fc.record({ do: fc.constantFrom('restart' as const, 'suspend' as const, 'pauseTarget' as const, 'routerLost' as const, 'crash' as const) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constantFrom('delete' as const, 'deleteTarget' as const) }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('editRoutes' as const), weight: fc.constantFrom(0, 37, 100) }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('editWorkload' as const), role: fc.constantFrom(...WORKLOAD_ROLES), how: fc.constantFrom('revision' as const, 'zero' as const, 'delete' as const) }) },
)

export type Scenario = {
  readonly spec: number
  readonly isAdopted: boolean
  readonly steps: readonly { readonly action: Action; readonly pauses: readonly number[] }[]
  readonly faults: readonly Fault[]
  readonly lags: readonly number[]
  readonly ends: 'promote' | 'abort'
  readonly metrics: 'good' | 'bad'
}

export const scenarios: fc.Arbitrary<Scenario> = fc.record({
  spec: fc.nat(SPECS.length - 1),
  isAdopted: fc.boolean(),
  steps: fc.array(fc.record({ action: actions, pauses: fc.array(fc.constantFrom(0, 50, 400, 1_100, 3_000, 6_000), { maxLength: 6 }) }), { maxLength: 8 }),
  faults: fc.array(fc.oneof({ weight: 6, arbitrary: fc.constant('none' as Fault) }, { weight: 2, arbitrary: fc.constantFrom(...FAULTS) }), { maxLength: 40 }),
  lags: fc.array(fc.constantFrom(0, 0, 1, 2, 5), { maxLength: 20 }),
  ends: fc.constantFrom('promote' as const, 'abort' as const),
  metrics: fc.constantFrom('good' as const, 'bad' as const),
})

let commandNumber = 0

export function happen(world: World, action: Action, ledger: Ledger): World {
  const { object, target } = world
  const withObject = (change: Partial<World['object']>): World => ({ ...world, object: { ...object, ...change, version: object.version + 1 } })
  switch (action.do) {
    case 'image': {
      if (!target.exists || target.revision === action.revision) return world
      // A release of the owner's own that never gets ready keeps a Canary that is being deleted from going, rightly so.
      if (target.recorded === undefined && object.deleting && action.revision === CRASHING) return world
      // The webhook gates nothing for a Canary that goes.
      if (object.deleting) ledger.allowed.add(action.revision)
      if (target.recorded !== undefined || !object.exists || object.deleting) return { ...world, target: editedTarget(target, { revision: action.revision, ...(target.recorded === undefined ? {} : { gate: 'pending' }) }) }
      // The webhook: a target that is not adopted yet is paused, so that it goes on running what it runs.
      if (action.revision === target.stableMark) return { ...world, target: editedTarget(target, { revision: action.revision, paused: false, stableMark: undefined, gate: 'passed' }) }
      return { ...world, target: editedTarget(target, { revision: action.revision, paused: true, stableMark: target.stableMark ?? target.revision, gate: 'pending' }) }
    }
    case 'scale':
      if (action.how === 'apply' && target.recorded !== undefined) return { ...world, target: editedTarget(target, { recorded: action.replicas }) }
      return { ...world, target: editedTarget(target, { replicas: action.replicas }) }
    case 'command':
      return withObject({ commands: [...object.commands.filter(({ command }) => command !== action.command), { command: action.command, reason: `because ${commandNumber += 1}`, by: 'user' }] })
    case 'metrics': return { ...world, metrics: action.metrics }
    case 'hooks': return { ...world, hooks: action.hooks }
    case 'broken':
      ledger.podsTouchedAt = world.now + 1
      return { ...world, broken: action.is ? [...new Set([...world.broken, action.role])] : world.broken.filter((role) => role !== action.role) }
    case 'spec': {
      const next = SPECS[action.index] as CanarySpec
      // Another provider is another cluster.
      return next.provider === object.spec.provider ? withObject({ spec: next }) : world
    }
    case 'restart': return { ...world, target: editedTarget(target, { mark: new Date(world.now).toISOString() }) }
    case 'suspend': return withObject({ spec: { ...object.spec, suspend: !object.spec.suspend } })
    case 'pauseTarget': return target.stableMark === undefined && target.recorded !== undefined ? { ...world, target: editedTarget(target, { paused: !target.paused }) } : world
    case 'delete': return withObject({ deleting: true, exists: object.finalizer })
    case 'deleteTarget': return { ...world, target: { ...editedTarget(target, { replicas: 0 }), exists: false, pods: [] } }
    case 'routerLost':
      ledger.routesTouchedAt = world.now + 1
      return object.spec.provider === 'kubernetes' || world.routes === undefined ? world : reRouted(world, { ...world, routes: undefined })
    case 'editRoutes':
      if (object.spec.provider === 'kubernetes' || world.routes === undefined) return world
      ledger.routesTouchedAt = world.now + 1
      return reRouted(world, { ...world, routes: action.weight === 0 ? ALL_TO_PRIMARY : routesTo(action.weight) })
    case 'editWorkload': {
      ledger.podsTouchedAt = world.now + 1
      const found = world[action.role]
      if (!found) return world
      const next = action.how === 'delete' ? undefined : edited(found, action.how === 'zero' ? { replicas: 0 } : { revision: 'foreign' })
      return { ...world, [action.role]: next }
    }
    case 'crash': return world
    default: return action satisfies never
  }
}

/** Turns and instants until a healed cluster must be at rest. */
const MAX_ROUNDS = 3_000
const LONG_MS = 40_000

const HEALED = (world: World, metrics: World['metrics']): World => ({
  ...world, broken: [], metrics, hooks: 'open',
  target: world.target.paused && world.target.stableMark === undefined ? editedTarget(world.target, { paused: false }) : world.target,
  object: { ...world.object, spec: { ...world.object.spec, suspend: false }, version: world.object.version + 1 },
})

/** Runs a scenario, lets everything heal, and checks the end. */
export function run(scenario: Scenario, crashPoints: Set<string>): World {
  const ledger: Ledger = { allowed: new Set(['v1']), routesTouchedAt: 0, podsTouchedAt: 0, obeyed: new Map() }
  const agent = new ModelAgent(firstWorld(SPECS[scenario.spec] as CanarySpec, scenario.isAdopted), ledger, crashPoints)
  const [fault, lag] = [cycle(scenario.faults, 'none'), cycle(scenario.lags, 0)]
  for (const { action, pauses } of scenario.steps) {
    if (action.do === 'crash') agent.crash()
    else agent.change(happen(agent.world, action, ledger))
    // A target without a Canary is an ordinary workload: whatever its owner wants runs.
    if (!agent.world.object.exists) ledger.allowed.add(agent.world.target.revision)
    agent.turn(fault, lag)
    for (const pause of pauses) {
      agent.pass(pause)
      agent.turn(fault, lag)
    }
  }
  agent.change(HEALED(agent.world, scenario.metrics))
  agent.pass(1_000)
  rest(agent, scenario.ends)
  checkEnd(agent.world, agent.lastEffects, ledger)
  return agent.world
}

/** From here on it only acts when it is woken: by a change, or by its own wish. */
function rest(agent: ModelAgent, ends: 'promote' | 'abort'): void {
  let nudges = 0
  let quietSince = agent.world.now
  for (let round = 0; round < MAX_ROUNDS; round += 1) {
    const phase = phaseOf(agent.world.object.status)
    const before = `${phase} ${agent.world.object.status.canaryWeight} ${agent.world.object.status.gate?.step}`
    const isIdle = !agent.isDue() || !agent.turn(() => 'none', () => 0)
    const { status } = agent.world.object
    if (before !== `${phaseOf(status)} ${status.canaryWeight} ${status.gate?.step}`) quietSince = agent.world.now
    const { wakeAt, world } = agent
    if (!world.object.exists) break
    if (isIdle || agent.world.now - quietSince > LONG_MS) {
      const events = [...(world.primary?.pods ?? []), ...(world.canary?.pods ?? []), ...(world.baseline?.pods ?? []), ...(world.target.pods)].map(({ readyAt }) => readyAt).filter((at) => at > world.now)
      const isUnseen = [world.target.exists ? world.target : undefined, world.primary, world.canary, world.baseline].some((found) => found && (found.observed < found.generation || found.pods.length !== found.replicas))
      const next = Math.min(...events, wakeAt !== undefined && wakeAt > world.now ? wakeAt : Infinity, isUnseen ? world.now + 100 : Infinity)
      const isHeld = ['Progressing', 'WaitingPromotion', 'Waiting'].includes(phaseOf(status))
      if (isHeld && world.object.commands.length === 0 && world.now - quietSince > LONG_MS && nudges < 3) {
        nudges += 1
        quietSince = world.now
        agent.change({ ...world, object: { ...world.object, version: world.object.version + 1, commands: [{ command: ends, reason: `nudge ${nudges}`, by: 'user' }] } })
      } else if (next === Infinity) {
        if (!isHeld || nudges >= 3) break
        agent.pass(LONG_MS + 1)
      } else agent.pass(next - world.now)
    } else agent.pass(1)
    if (round === MAX_ROUNDS - 1) throw new Violation(`does not come to rest: ${phaseOf(status)} ${JSON.stringify(status.gate)} ${agent.lastEffects.map(({ kind }) => kind).join()}`)
  }
  if (!agent.world.object.exists) agent.pass(10_000)
  // A turn that nobody asked for: nothing may come of it.
  agent.turn(() => 'none', () => 0)
}
