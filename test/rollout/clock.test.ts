import t from 'tap'
import type { CanaryStatus } from '#api/canary.ts'
import { notAhead, phaseOf } from '#rollout/status.ts'
import { editedTarget, firstWorld } from './model.ts'
import { ModelAgent } from './model-agent.ts'
import { SPECS } from './scenarios.ts'

/** Clocks that jump, of agents that take over from each other. */

const { test } = t
const HOUR_MS = 3_600_000
const calm = [() => 'none' as const, () => 0] as const

/** Half a second at a time, until it holds; at most a minute. */
function until(agent: ModelAgent, holds: (status: CanaryStatus) => boolean): number {
  const startedAt = agent.world.now
  while (!holds(agent.world.object.status) && agent.world.now - startedAt < 60_000) {
    agent.pass(500)
    for (let turns = 0; turns < 3; turns += 1) agent.turn(...calm)
  }
  return agent.world.now - startedAt
}

const shifted = (status: CanaryStatus, byMs: number): CanaryStatus => {
  const moved = Object.entries(status.gate ?? {}).map(([key, value]) => [key, key.endsWith('At') ? new Date(Date.parse(String(value)) + byMs).toISOString() : value])
  return { ...status, gate: Object.fromEntries(moved) }
}

for (const { name, byMs } of [{ name: 'ahead', byMs: HOUR_MS }, { name: 'behind', byMs: -HOUR_MS }]) {
  for (const from of ['before traffic', 'at the first weight', 'while the primary rolls']) {
    test(`${from}: the agent before had a clock an hour ${name}, and the run goes on in its time`, async (t) => {
      const [spec] = SPECS
      if (!spec) throw new Error('no spec')
      const agent = new ModelAgent(firstWorld(spec, true), { allowed: new Set(['v1']), routesTouchedAt: 0, podsTouchedAt: 0, obeyed: new Map() }, new Set())
      agent.change({ ...agent.world, target: editedTarget(agent.world.target, { revision: 'v2', gate: 'pending' }) })
      until(agent, (status) => (from === 'before traffic' ? phaseOf(status) === 'Progressing' : from === 'at the first weight' ? (status.canaryWeight ?? 0) > 0 : phaseOf(status) === 'Promoting'))
      const { object } = agent.world
      agent.change({ ...agent.world, object: { ...object, version: object.version + 1, status: shifted(object.status, byMs) } })
      const took = until(agent, (status) => phaseOf(status) === 'Succeeded')
      t.ok(took < 25_000, `${took} ms`)
      t.equal(agent.world.primary?.revision, 'v2')
    })
  }
}

test('times as they can be are left alone', async (t) => {
  const now = Date.UTC(2026, 0, 1)
  const at = (ms: number): string => new Date(now + ms).toISOString()
  const status: CanaryStatus = { phase: 'Progressing', gate: { changedAt: at(0), routesAt: at(-1), nextCheckAt: at(60_000) } }
  t.equal(notAhead(status, now, 60_000), status)
  t.strictSame(notAhead({ gate: { nextCheckAt: at(60_001), readyAt: at(1) } }, now, 60_000), { gate: { nextCheckAt: at(60_000), readyAt: at(0) } })
})
