import { test } from 'tap'
import { withLastLook, withTraffic } from '#agent/last-look.ts'
import type { CheckedMetric } from '#api/measurement.ts'

const NOW = Date.parse('2026-11-21T12:00:00Z')
const AT = '2026-11-21T12:00:00.000Z'
const value: CheckedMetric = { name: 'a', measurement: { kind: 'value', value: 99 } }
const silent: CheckedMetric = { name: 'a', measurement: { kind: 'no-data', reason: 'no values found' }, failure: 'no values found' }
const away: CheckedMetric = { name: 'a', measurement: { kind: 'unavailable', reason: 'refused' }, halt: 'refused' }
const shared: CheckedMetric = { name: 'b', measurement: { kind: 'value', value: 90 }, inBothArms: 'the primary fails it, too' }
const EARLIER = '2026-11-20T00:00:00.000Z'
const noted = (...metrics: readonly { readonly name: string; readonly trouble: 'no-data' | 'primary-fails' }[]) => ({ gate: { look: { at: EARLIER, metrics } } })

const rows = [
  { name: 'a metric without data is noted', status: {}, metrics: [silent, value], then: { at: AT, metrics: [{ name: 'a', trouble: 'no-data' }] } },
  { name: 'one that the primary fails, too', status: {}, metrics: [shared], then: { at: AT, metrics: [{ name: 'b', trouble: 'primary-fails' }] } },
  { name: 'the same trouble again is not written again', status: noted({ name: 'a', trouble: 'no-data' }), metrics: [silent], then: { at: EARLIER, metrics: [{ name: 'a', trouble: 'no-data' }] } },
  { name: 'trouble that is over is forgotten', status: noted({ name: 'a', trouble: 'no-data' }), metrics: [value], then: undefined },
  { name: 'a source that cannot be asked is no trouble of the metric', status: {}, metrics: [away], then: undefined },
] as const
for (const { name, status, metrics, then } of rows) {
  test(name, async (t) => { t.strictSame(withLastLook(status, { metrics }, NOW).gate?.look, then) })
}

test('where nothing changed, or nothing was asked, the status is the very same', async (t) => {
  for (const status of [{}, noted({ name: 'a', trouble: 'no-data' } as const)]) t.equal(withLastLook(status, undefined, NOW), status)
  const status = {}
  t.equal(withLastLook(status, { metrics: [value] }, NOW), status)
})

test('the requests that were seen are noted with two digits, and stay when nobody looks', async (t) => {
  const status = withTraffic({ gate: { step: 1 } }, { requestsPerSecond: 12.345, primaryRate: 0.001_234, phi: 1 }, NOW)
  t.strictSame(status, { gate: { step: 1, traffic: { at: AT, requestsPerSecond: 12, failureRate: 0.0012, clumping: 1 } } })
  t.equal(withTraffic(status, undefined, NOW + 1_000), status)
})
