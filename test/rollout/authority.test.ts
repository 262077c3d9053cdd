import t from 'tap'
import type { CanaryStatus } from '#api/canary.ts'
import { COMMANDS, type Command } from '#api/names.ts'
import { phaseOf } from '#rollout/status.ts'
import { editedTarget, firstWorld } from './model.ts'
import { ModelAgent } from './model-agent.ts'
import { SPECS } from './scenarios.ts'

/** Every command at every stage of a run: obeyed or refused with a reason, once, on record with its author, told, and taken away. */

const { test } = t
const calm = [() => 'none' as const, () => 0] as const
const [WEIGHTED, HELD, WAITS, HOOKED] = [0, 11, 10, 12]
const STEP_MS = 250
const LONGEST_MS = 90_000

type Stage = { readonly name: string; readonly spec: number; readonly isAdopted?: boolean; readonly isAsked?: boolean; readonly first?: Command; readonly hooks?: 'closed'; readonly metrics?: 'bad'; readonly until: (status: CanaryStatus) => boolean; readonly obeys: readonly Command[] }
const isIn = (phase: string) => (status: CanaryStatus): boolean => phaseOf(status) === phase
const hasWeight = (status: CanaryStatus): boolean => (status.canaryWeight ?? 0) > 0

const stages: readonly Stage[] = [
  { name: 'before it is initialised', spec: WEIGHTED, isAdopted: false, isAsked: false, until: isIn('Initializing'), obeys: [] },
  { name: 'at rest, nothing requested', spec: WEIGHTED, isAsked: false, until: isIn('Initialized'), obeys: [] },
  { name: 'after a rollback', spec: WEIGHTED, metrics: 'bad', until: isIn('Failed'), obeys: ['promote', 'retry'] },
  { name: 'waiting for its approval', spec: HOOKED, hooks: 'closed', until: isIn('Waiting'), obeys: ['promote', 'abort', 'retry'] },
  { name: 'while its pods start', spec: WEIGHTED, until: isIn('Progressing'), obeys: ['promote', 'abort', 'pause', 'restart'] },
  { name: 'under traffic', spec: WEIGHTED, until: hasWeight, obeys: ['promote', 'abort', 'pause', 'skip-step', 'restart'] },
  { name: 'paused', spec: WEIGHTED, first: 'pause', until: (status) => status.gate?.paused !== undefined && hasWeight(status), obeys: ['promote', 'abort', 'resume', 'skip-step', 'restart'] },
  { name: 'at a hold', spec: HELD, until: (status) => status.gate?.reason?.includes('waiting for canarygate.dev/resume') ?? false, obeys: ['promote', 'abort', 'pause', 'resume', 'skip-step', 'restart'] },
  { name: 'waiting for its promotion', spec: WAITS, until: isIn('WaitingPromotion'), obeys: ['promote', 'abort', 'pause', 'resume', 'skip-step', 'restart'] },
  { name: 'while it is promoted', spec: WEIGHTED, until: isIn('Promoting'), obeys: ['abort'] },
  { name: 'when it is promoted', spec: WEIGHTED, until: isIn('Finalising'), obeys: [] },
]

function reach({ spec: index, isAdopted = true, isAsked = true, first, hooks = 'closed', metrics, until, name }: Stage): ModelAgent {
  const spec = SPECS[index]
  if (!spec) throw new Error('no such spec')
  const agent = new ModelAgent({ ...firstWorld(spec, isAdopted), metrics: metrics ?? 'good', hooks }, { allowed: new Set(['v1', 'v2']), routesTouchedAt: 0, podsTouchedAt: 0, obeyed: new Map() }, new Set())
  if (isAsked) agent.change({ ...agent.world, target: editedTarget(agent.world.target, { revision: 'v2', gate: 'pending' }) })
  let isGiven = first === undefined
  for (const startedAt = agent.world.now; !until(agent.world.object.status);) {
    if (agent.world.now - startedAt > LONGEST_MS) throw new Error(`${name} is never reached: ${phaseOf(agent.world.object.status)}`)
    agent.turn(...calm)
    if (!isGiven && first && hasWeight(agent.world.object.status)) {
      give(agent, first, 'lunch')
      isGiven = true
    }
    if (!until(agent.world.object.status)) agent.pass(STEP_MS)
  }
  return agent
}

function give(agent: ModelAgent, command: Command, reason = 'I say so'): void {
  const { object } = agent.world
  agent.change({ ...agent.world, object: { ...object, version: object.version + 1, commands: [{ command, reason, by: 'alice' }] } })
}

for (const stage of stages) {
  test(stage.name, async (t) => {
    for (const command of COMMANDS) {
      const agent = reach(stage)
      const before = agent.told.length
      give(agent, command)
      for (let turns = 0; turns < 4; turns += 1) {
        agent.turn(...calm)
        agent.pass(10)
      }
      const { status, commands } = agent.world.object
      const entries = (status.gate?.audit ?? []).filter((entry) => entry.command === command && entry.reason === 'I say so')
      t.equal(entries.length, 1, `${command} is on record once`)
      t.equal(entries[0]?.refused === undefined, stage.obeys.includes(command), `${command} is ${stage.obeys.includes(command) ? 'obeyed' : 'refused'}: ${entries[0]?.refused ?? ''}`)
      t.ok(entries[0]?.refused === undefined || entries[0].refused.length > 10, 'with a reason')
      t.ok(agent.told.slice(before).some(({ message }) => message.includes('alice')), `${command} is told with its author: ${agent.told.slice(before).map(({ message }) => message).join('; ')}`)
      t.equal(status.gate?.lastCommand, `${command} by alice: I say so`)
      t.strictSame(commands, [], `${command} is taken away`)
    }
  })
}
