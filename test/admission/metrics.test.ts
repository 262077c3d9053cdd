import { test } from 'tap'
import { createCounter, createHistogram } from '#admission/metrics.ts'

const linesOf = (page: string): readonly string[] => page.trimEnd().split('\n').filter((line) => !line.startsWith('#'))

test('beyond the bound what is counted is counted together', async (t) => {
  const counter = createCounter('x_total', 'Things.')
  for (let i = 0; i < 2_500; i += 1) counter.add({ namespace: `n${i}`, rule: 'r' })
  counter.add({ namespace: 'n7', rule: 'r' }, 4)
  const lines = linesOf(counter.render())
  t.equal(lines.length, 2_001)
  t.ok(lines.includes('x_total{namespace="n7",rule="r"} 5'))
  t.equal(lines.at(-1), 'x_total{namespace="others",rule="others"} 500')
})

test('labels are escaped, and buckets add up', async (t) => {
  const counter = createCounter('x_total', 'Things.')
  counter.add({ rule: 'a"b\\c\n' })
  t.same(linesOf(counter.render()), ['x_total{rule="a\\"b\\\\c\\n"} 1'])
  const histogram = createHistogram('y_seconds', 'Times.', 'hook')
  for (const seconds of [0.0001, 0.3, 99]) histogram.observe('w', seconds)
  const lines = linesOf(histogram.render())
  t.match(lines.slice(-4), ['y_seconds_bucket{hook="w",le="5"} 2', 'y_seconds_bucket{hook="w",le="+Inf"} 3', /^y_seconds_sum/, 'y_seconds_count{hook="w"} 3'])
})
