import fc from 'fast-check'
import { test } from 'tap'
import type { CanaryStatus } from '#api/canary.ts'
import { readEvidence, readMemory, writeEvidence, writeMemory } from '#agent/evidence.ts'
import { createConfig, type JudgeConfig } from '#judge/config.ts'
import type { PodCounters } from '#judge/increase.ts'
import { createState, judge, memoryOf } from '#judge/judge.ts'
import type { Poll } from '#judge/poll.ts'
import type { JudgeState } from '#judge/state.ts'
import { EMPTY_EMBEDDED, type EmbeddedState } from '#metrics/embedded.ts'

const BOUNDS = [50, 100, 250]
const configFor = (bounds: readonly number[]): JudgeConfig => createConfig({
  metrics: [{ name: 'errors', kind: 'rate', limit: 0.01 }, ...(bounds.length > 0 ? [{ name: 'latency', kind: 'histogram' as const, bounds, slo: 100, limit: 0.05 }] : [])],
})
const CONFIG = configFor(BOUNDS)
const of = (state: string): CanaryStatus => ({ gate: { judge: { state } } })

const part = (n: number) => fc.integer({ min: 0, max: n })
const slower = (n: number) => fc.array(part(n), { minLength: BOUNDS.length, maxLength: BOUNDS.length }).map((counts) => counts.sort((a, b) => b - a))
const requests = fc.oneof(fc.integer({ min: 0, max: 40 }), fc.integer({ min: 0, max: 1_000_000 }))
const arms = requests.chain((nc) => requests.map((np) => ({ nc, np })))
const anyPoll: fc.Arbitrary<Poll> = fc.record({
  seconds: fc.constantFrom(1, 5), weight: fc.constantFrom(0, 10, 50, 95), mixed: fc.boolean(),
  metrics: fc.record({
    errors: arms.chain(({ nc, np }) => fc.record({ nc: fc.constant(nc), np: fc.constant(np), kc: part(nc), kp: part(np) })),
    latency: arms.chain(({ nc, np }) => fc.record({ nc: fc.constant(nc), np: fc.constant(np), kc: slower(nc), kp: slower(np) })),
  }, { requiredKeys: [] }),
})
const polls = fc.array(anyPoll, { minLength: 1, maxLength: 12 })
const after = (all: readonly Poll[], state: JudgeState = createState(CONFIG)): JudgeState => all.reduce((known, poll) => judge(known, poll, CONFIG).state, state)

test('an agent that goes on from the status answers as the one that wrote it would have', async (t) => {
  fc.assert(fc.property(polls, polls, (before, later) => {
    const state = after(before)
    const found = readEvidence(of(writeEvidence(state, { ...EMPTY_EMBEDDED, bounds: BOUNDS })), configFor)
    if (!found) throw new Error('nothing was read')
    let [kept, taken] = [state, found.state]
    for (const poll of later) {
      const [a, b] = [judge(kept, poll, CONFIG), judge(taken, poll, found.config)]
      if (JSON.stringify(a) !== JSON.stringify(b)) throw new Error('answers differ')
      ;[kept, taken] = [a.state, b.state]
    }
  }), { numRuns: 150 })
  t.pass()
})

test('what is known about clumps goes to the next run', async (t) => {
  const memory = memoryOf(after([{ seconds: 5, weight: 10, metrics: { errors: { nc: 50, kc: 0, np: 450, kp: 9, pods: [[150, 9], [150, 0], [150, 0]] } } }]))
  t.same(readMemory({ gate: { judge: { memory: writeMemory(memory) } } }), memory)
  t.same(readMemory({}), {})
})

const whole = writeEvidence(after([{ seconds: 5, weight: 10, metrics: { errors: { nc: 50, kc: 1, np: 450, kp: 2 } } }]), { ...EMPTY_EMBEDDED, bounds: BOUNDS })
const unusable = [
  { name: 'nothing', status: undefined },
  { name: 'text that a person wrote', status: of('please forget it') },
  { name: 'a text cut off', status: of(whole.slice(0, -20)) },
  { name: 'one letter changed', status: of(`${whole.slice(0, 60)}${whole[60] === 'A' ? 'B' : 'A'}${whole.slice(61)}`) },
]
for (const { name, status } of unusable) test(`${name} is no evidence`, async (t) => t.equal(readEvidence(status, configFor), undefined))

test('evidence of other metrics is not taken over', async (t) => {
  t.ok(readEvidence(of(whole), configFor))
  t.equal(readEvidence(of(whole), () => createConfig({ metrics: [{ name: 'other', kind: 'rate' }] })), undefined)
  t.equal(readEvidence(of(whole), () => configFor([])), undefined)
})

/** Counters of that many pods, each unlike any other. */
function withPods(count: number, bounds: readonly number[]): EmbeddedState {
  const pods = (bad: (i: number) => PodCounters['bad']) => Object.fromEntries(Array.from({ length: count }, (_, i) =>
    [`cart-primary-6f7d8b9c4-${(i * 7_919).toString(36)}`, { started: 1_700_000_000 + i, requests: 1e9 + i * 104_729, bad: bad(i) }]))
  const arm = { since: 1_700_000_100, pods: pods((i) => i * 31) }
  const slow = { since: 1_700_000_100, pods: pods((i) => bounds.map((_, b) => i * 1_299_709 + b * 15_485_863)) }
  return { ...EMPTY_EMBEDDED, bounds, baseline: { errors: { canary: arm, primary: arm }, latency: { canary: slow, primary: slow }, sources: {}, weight: 10 } }
}

test('its size is bounded: with too many pods the counters stay out, not the evidence', async (t) => {
  const bounds = Array.from({ length: 24 }, (_, i) => 5 * 1.4 ** i)
  const config = configFor(bounds)
  const random = (i: number) => Math.abs(Math.sin(i * 12.9898) * 43_758.5453) % 1
  const state = Array.from({ length: 40 }, (_, i): Poll => {
    const slow = (n: number) => bounds.map((_, b) => Math.round(n * random(i + 1) ** (b + 1)))
    return { seconds: 5, weight: 10, metrics: { errors: { nc: 500, kc: i % 7, np: 4_500, kp: i % 11 }, latency: { nc: 500, kc: slow(500), np: 4_500, kp: slow(4_500) } } }
  }).reduce((known, poll) => judge(known, poll, config).state, createState(config))
  const few = writeEvidence(state, withPods(10, bounds))
  const many = writeEvidence(state, withPods(400, bounds))
  t.ok(few.length < 32_000 && many.length < 32_000, `${few.length}, ${many.length}`)
  t.ok(readEvidence(of(few), configFor)?.counters.baseline)
  t.same(readEvidence(of(many), configFor)?.state, state)
  t.equal(readEvidence(of(many), configFor)?.counters.baseline, undefined)
})
