import { test } from 'tap'
import { formatDuration, formatInterval, parseDuration } from '#api/duration.ts'

test('an interval is written in minutes and seconds, as the schema takes it, and means the same', async (t) => {
  for (const [milliseconds, text] of [[10_000, '10s'], [90_000, '1m30s'], [3_599_000, '59m59s'], [3_600_000, '60m'], [7_530_000, '125m30s'], [10_800_000, '180m']] as const) {
    t.equal(formatInterval(milliseconds), text)
    t.match(formatInterval(milliseconds), /^[0-9]+(m|s)/)
    t.equal(parseDuration(formatInterval(milliseconds)), milliseconds)
  }
  t.equal(formatDuration(10_800_000), '3h', 'elsewhere hours are hours')
})

test('what is no duration stays none when it is asked for again', async (t) => {
  for (const text of ['', '10', 'ten', '10x', '-5s', '1h-1m']) t.same([parseDuration(text), parseDuration(text)], [undefined, undefined], text)
  t.equal(parseDuration('0'), 0)
})
