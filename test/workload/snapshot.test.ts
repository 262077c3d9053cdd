import { test } from 'tap'
import { nextOrder, prune, renderSnapshot, revisionOfSnapshot, snapshotsOf, templateOf } from '#workload/snapshot.ts'
import { canaryOf, objectOf, templateOf as template } from './fixtures.ts'

const all = ['1a', '1b', '1c', '1d', '1e'].map((revision, index) => renderSnapshot(canaryOf(), template(`shop:${index}`), revision, index + 1))

test('a snapshot holds the template as it was admitted', async (t) => {
  const [first] = all
  t.same(templateOf(first), template('shop:0'))
  t.match(first, { apiVersion: 'apps/v1', kind: 'ControllerRevision', metadata: { name: 'shop-1a', namespace: 'prod', labels: { 'app.kubernetes.io/managed-by': 'canarygate' } }, revision: 1 })
  t.equal(templateOf(undefined), undefined)
  t.equal(templateOf(objectOf('apps/v1', 'ControllerRevision', 'web-1', { data: { spec: {} } })), undefined)
})

test('order rises, other targets do not count', async (t) => {
  const other = { ...objectOf('apps/v1', 'ControllerRevision', 'cart-1', { revision: 9 }, { labels: { 'canarygate.dev/target': 'cart', 'canarygate.dev/revision': '1' } }) }
  t.equal(nextOrder(snapshotsOf([...all, other], 'shop')), 6)
  t.equal(nextOrder([]), 1)
})

const cases = [
  { name: 'within the limit nothing goes', keep: [], limit: 5, gone: [] },
  { name: 'the oldest go', keep: [], limit: 3, gone: ['1b', '1a'] },
  { name: 'what is still needed stays, however old', keep: ['1a'], limit: 1, gone: ['1d', '1c', '1b'] },
] as const
for (const { name, keep, limit, gone } of cases) {
  test(`prune: ${name}`, async (t) => t.same(prune(all, keep, limit).map(revisionOfSnapshot), gone))
}
