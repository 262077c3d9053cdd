import fc from 'fast-check'
import { test } from 'tap'
import { canaryReplicasFor } from '#api/replica-weights.ts'
import type { Seen } from '#rollout/decision.ts'
import { canaryReplicas } from '#rollout/routing.ts'

const cases = [
  { weight: 0, primary: 3, replicas: 0, effectiveWeight: 0 },
  { weight: 1, primary: 3, replicas: 1, effectiveWeight: 25 },
  { weight: 10, primary: 9, replicas: 1, effectiveWeight: 10 },
  { weight: 20, primary: 10, replicas: 3, effectiveWeight: 300 / 13 },
  { weight: 50, primary: 4, replicas: 4, effectiveWeight: 50 },
  { weight: 80, primary: 4, replicas: 4, effectiveWeight: 50 },
  { weight: 100, primary: 4, replicas: 4, effectiveWeight: 100 },
  { weight: 30, primary: 0, replicas: 1, effectiveWeight: 50 },
] as const
for (const { weight, primary, ...wants } of cases) {
  test(`${weight} % beside ${primary} pods takes ${wants.replicas}`, async (t) => t.same(canaryReplicasFor(weight, primary), wants))
}

test('no other count of pods is nearer, and the primary is never outnumbered', async (t) => {
  fc.assert(fc.property(fc.integer({ min: 1, max: 99 }), fc.integer({ min: 1, max: 60 }), (weight, primary) => {
    const { replicas, effectiveWeight } = canaryReplicasFor(weight, primary)
    const error = Math.abs(effectiveWeight - weight)
    const others = Array.from({ length: primary }, (_, index) => Math.abs((100 * (index + 1)) / (primary + index + 1) - weight))
    return replicas >= 1 && replicas <= primary && others.every((other) => other >= error - 1e-9)
  }))
  t.pass()
})

test('a heavier step never takes fewer pods, and more primaries never take fewer', async (t) => {
  const replicas = (weight: number, primary: number): number => canaryReplicasFor(weight, primary).replicas
  fc.assert(fc.property(fc.integer({ min: 0, max: 99 }), fc.integer({ min: 1, max: 200 }), (weight, primary) =>
    replicas(weight, primary) <= replicas(weight + 1, primary) && replicas(weight, primary) <= replicas(weight, primary + 1)))
  t.pass()
})

test('a rollout asks for just these pods, and for all of them where a router splits or none has weight yet', async (t) => {
  const seen = (wantedReplicas: number, weightsByReplicas: boolean): Seen => ({ spec: {}, target: { wantedReplicas }, provider: { weightsByReplicas } }) as Seen
  fc.assert(fc.property(fc.integer({ min: 0, max: 100 }), fc.integer({ min: 1, max: 60 }), (weight, wanted) =>
    canaryReplicas(seen(wanted, true), weight) === (weight === 0 ? wanted : canaryReplicasFor(weight, wanted).replicas) && canaryReplicas(seen(wanted, false), weight) === wanted))
  t.pass()
})
