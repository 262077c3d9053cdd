import { test } from 'tap'
import { writingsOf, writtenAt } from '#api/managed-fields.ts'
import type { KubeObject } from '#api/objects.ts'

const GLASS = 'canarygate.dev/break-glass'
const owning = (...annotations: readonly string[]) => ({ 'f:metadata': { 'f:annotations': Object.fromEntries(annotations.map((name) => [`f:${name}`, {}])) } })
const entry = (manager: string, time: string | undefined, fieldsV1: object) => ({ manager, operation: 'Update', ...(time === undefined ? {} : { time }), fieldsV1 })
const object = (annotations: Readonly<Record<string, string>>, managedFields: unknown): KubeObject =>
  ({ apiVersion: 'apps/v1', kind: 'Deployment', metadata: { name: 'cart', annotations, managedFields } as KubeObject['metadata'] })
const [EARLY, LATE] = ['2026-01-01T00:00:00Z', '2026-01-02T00:00:00Z']

const rows = [
  { name: 'the last of several writers counts', fields: [entry('a', LATE, owning(GLASS)), entry('b', EARLY, owning(GLASS))], then: Date.parse(LATE) },
  { name: 'writers of other fields do not', fields: [entry('a', EARLY, owning(GLASS)), entry('b', LATE, owning('other'))], then: Date.parse(EARLY) },
  { name: 'without a record nothing is known', fields: undefined, then: undefined },
  { name: 'a record of another shape is none', fields: ['x', null, { time: 'soon', fieldsV1: owning(GLASS) }, { time: LATE, fieldsV1: 'x' }], then: undefined },
]
for (const { name, fields, then } of rows) {
  test(name, async (t) => { t.equal(writtenAt(object({ [GLASS]: 'INC-7' }, fields), GLASS), then) })
}

test('what is kept of the record tells the same time, and little else', async (t) => {
  const fields = [entry('kubectl', EARLY, { ...owning(GLASS, 'other'), 'f:spec': { 'f:replicas': {} } }), entry('other', LATE, { 'f:spec': {} })]
  const kept = writingsOf(object({ [GLASS]: 'INC-7' }, fields), [GLASS])
  t.strictSame(kept, [{ manager: 'kubectl', operation: 'Update', time: EARLY, fieldsV1: owning(GLASS) }])
  t.equal(writtenAt(object({ [GLASS]: 'INC-7' }, kept), GLASS), Date.parse(EARLY))
  t.strictSame(writingsOf(object({}, fields), [GLASS]), [], 'nothing of an annotation that is not there')
})
