import fc from 'fast-check'
import { test } from 'tap'
import { learnClumping, NO_CLUMPING, phiOf, type Clumping, type PodCounts } from '#judge/clumping.ts'
import { createConfig } from '#judge/config.ts'

const { clumping: CONFIG } = createConfig({ metrics: [{ name: 'errors', kind: 'rate' }] })

function learn(polls: readonly (readonly PodCounts[])[], from: Clumping = NO_CLUMPING): Clumping {
  return polls.reduce((known, pods) => learnClumping(known, [pods.reduce((sum, [n]) => sum + n, 0), pods.reduce((sum, [, k]) => sum + k, 0)], pods, CONFIG), from)
}
const times = <T>(n: number, value: T): T[] => Array.from({ length: n }, () => value)

type Pods = readonly PodCounts[]
const cases: readonly { name: string; polls: readonly Pods[]; from: number; to: number }[] = [
  { name: 'pods that fail evenly have no clumps', polls: times<Pods>(20, [[100, 5], [100, 5], [100, 5]]), from: 1, to: 1 },
  { name: 'pods of different traffic that fail in proportion have none either', polls: times<Pods>(20, [[100, 5], [200, 10], [300, 15]]), from: 1, to: 1 },
  { name: 'a pod that takes all failures makes clumps', polls: times<Pods>(20, [[100, 9], [100, 0], [100, 0]]), from: 8, to: 9 },
  { name: 'an outage common to all pods is no clump', polls: times<Pods>(20, [[100, 100], [100, 100], [100, 100]]), from: 1, to: 1 },
  { name: 'clumps are believed up to the cap', polls: times<Pods>(50, [[1000, 1000], [1000, 0]]), from: 49, to: 50 },
  { name: 'one pod is compared with its last poll', polls: times<readonly Pods[]>(20, [[[100, 10]], [[100, 0]]]).flat(), from: 9, to: 10 },
  { name: 'pods without traffic are no pods', polls: times<Pods>(20, [[100, 5], [0, 0], [100, 5]]), from: 1, to: 1 },
]
for (const { name, polls, from, to } of cases) {
  test(name, async (t) => {
    const phi = phiOf(learn(polls), CONFIG)
    t.ok(phi >= from && phi <= to, `${phi}`)
  })
}

test('one pod of several is compared with its own last poll, not with that of all', async (t) => {
  const known = times(20, [[100, 5]] as Pods).reduce((clumping, pods) => learnClumping(clumping, [200, 105], pods, CONFIG), NO_CLUMPING)
  t.equal(phiOf(known, CONFIG), 1)
})

test('silence teaches nothing, and only time goes by', async (t) => {
  const known = learn(times<Pods>(3, [[100, 9], [100, 0]]))
  const later = learn(times<Pods>(720, [[0, 0], [0, 0]]), known)
  t.ok(Math.abs(later.num / known.num - 0.5) < 1e-9 && Math.abs(later.den / known.den - 0.5) < 1e-9)
  t.same(later.last, [0, 0])
})

test('half of what is known is forgotten in an hour of polling', async (t) => {
  const known = learn([[[100, 9], [100, 0]]])
  const later = learn(times<Pods>(720, [[100, 0], [100, 0]]), known)
  t.ok(Math.abs(later.num / known.num - 0.5) < 1e-9)
})

test('phi is always between 1 and the cap', async (t) => {
  const count = fc.nat(100_000)
  const pod = fc.tuple(count, count).map(([a, b]): PodCounts => [Math.max(a, b), Math.min(a, b)])
  fc.assert(fc.property(fc.array(fc.array(pod, { maxLength: 5 }), { maxLength: 20 }), (polls) => {
    const phi = phiOf(learn(polls), CONFIG)
    return phi >= 1 && phi <= 50
  }), { numRuns: 300 })
  t.pass()
})
