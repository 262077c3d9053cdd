import fc from 'fast-check'
import { test } from 'tap'
import { addGains, lnE, lnMeanExp, lnV, logAddExp, NO_EVIDENCE } from '#judge/evidence.ts'

const RUNS = 300
const near = (a: number, b: number): boolean => Math.abs(a - b) <= 1e-9 * Math.max(1, Math.abs(a), Math.abs(b))
const gains = fc.array(fc.double({ min: -30, max: 30, noNaN: true }), { minLength: 1, maxLength: 12 })

/** By definition: for every poll at which trouble may have begun, its prior mass times all gains from there on. */
function byDefinition(all: readonly number[]): number {
  let total = -Infinity
  for (let s = 1; s <= all.length; s += 1) total = logAddExp(total, -Math.log(s * (s + 1)) + all.slice(s - 1).reduce((sum, gain) => sum + gain, 0))
  return total
}

test('the recursion is the mixture over starting polls', async (t) => {
  fc.assert(fc.property(gains, (all) => near(lnE(all.reduce((evidence, gain) => addGains(evidence, [gain]), NO_EVIDENCE)), byDefinition(all))), { numRuns: RUNS })
  t.pass()
})

test('V is the worst that leaving out any one poll can do', async (t) => {
  fc.assert(fc.property(gains, (all) => {
    const evidence = all.reduce((each, gain) => addGains(each, [gain]), NO_EVIDENCE)
    const without = all.map((_, r) => byDefinition(all.with(r, 0)))
    return near(lnV(evidence), Math.min(byDefinition(all), ...without))
  }), { numRuns: RUNS })
  t.pass()
})

test('an hour of health does not delay a regression for long', async (t) => {
  let evidence = NO_EVIDENCE
  for (let i = 0; i < 720; i += 1) evidence = addGains(evidence, [-2])
  let polls = 0
  while (lnE(evidence) < Math.log(100)) {
    evidence = addGains(evidence, [2])
    polls += 1
  }
  t.ok(polls <= 10, `${polls} polls, where a plain product would need more than 700`)
})

test('means of exponentials at the edges', async (t) => {
  t.equal(lnMeanExp([]), -Infinity)
  t.equal(lnMeanExp([-Infinity, -Infinity]), -Infinity)
  t.equal(lnMeanExp([-Infinity, 0]), -Math.LN2)
  t.equal(lnMeanExp([1000, 1000]), 1000)
  t.equal(logAddExp(-Infinity, 3), 3)
  t.equal(lnE(NO_EVIDENCE), -Infinity)
})
