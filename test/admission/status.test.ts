import { test } from 'tap'
import type { Workload } from '#api/objects.ts'
import { truthfulStatus } from '#admission/status.ts'
import { applied, request, type Shape, workload } from './fixtures/reviews.ts'

const GATE = 'canarygate.dev/gate'
const HELM = { 'app.kubernetes.io/managed-by': 'Helm' }
const REASON = 'checkout errors rose to 4.2%'

const gated = (gate: string | undefined, shape: Shape = {}): Workload => workload({ ...shape, ...(gate === undefined ? {} : { annotations: { [GATE]: gate } }) })
/** What the deployment controller writes: a condition keeps its times only while its status and reason stay. */
function computed(stored: Workload, at: string): Workload {
  const conditions = (workload().status?.conditions ?? []).map((condition) => {
    const before = stored.status?.conditions?.find(({ type }) => type === condition.type)
    const isSame = before?.status === condition.status && before.reason === condition.reason
    return isSame ? before : { ...condition, lastUpdateTime: at, lastTransitionTime: at }
  })
  return { ...stored, status: { ...stored.status, observedGeneration: stored.metadata.generation ?? 0, conditions } }
}
const written = (stored: Workload, at: string): Workload => {
  const object = computed(stored, at)
  return applied(object, truthfulStatus(request({ subResource: 'status', object, oldObject: stored })))
}

const rows = [
  { name: 'an open gate holds the observed generation one back', stored: gated('pending'), gives: { observedGeneration: 3, conditions: [{}, { status: 'True', reason: 'NewReplicaSetAvailable' }] } },
  { name: 'an open gate never makes it negative', stored: gated('pending', { generation: 0 }), gives: { observedGeneration: 0 } },
  { name: 'a rollback fails Progressing with its reason and the true generation', stored: gated(`failed: ${REASON}`),
    gives: { observedGeneration: 4, conditions: [{ type: 'Available', status: 'True' }, { type: 'Progressing', status: 'False', reason: 'ProgressDeadlineExceeded', message: REASON }] } },
  { name: 'a rollback without a reason still says one', stored: gated('failed'), gives: { conditions: [{}, { message: 'the canary was rolled back' }] } },
  { name: 'a release of Helm, which looks at generations alone, never meets its generation after a rollback', stored: gated(`failed: ${REASON}`, { labels: HELM }),
    gives: { observedGeneration: 5, conditions: [{}, { status: 'False', reason: 'ProgressDeadlineExceeded', message: REASON }] } },
  { name: 'an open gate treats Helm like everybody', stored: gated('pending', { labels: HELM }), gives: { observedGeneration: 3 } },
]

for (const { name, stored, gives } of rows) {
  test(name, async (t) => {
    const first = written(stored, '2026-11-21T10:00:00Z')
    t.match(first.status, gives)
    const second = written(first, '2026-11-21T10:00:07Z')
    t.same(second, first, 'the next write stores the same again, so the controller comes to rest')
  })
}

for (const gate of ['passed', undefined, 'something else']) {
  test(`a gate that is ${gate ?? 'absent'} leaves the status alone`, async (t) => {
    const stored = gated(gate)
    t.same(truthfulStatus(request({ subResource: 'status', object: computed(stored, 'now'), oldObject: stored })), [])
  })
}

test('a new reason after a second rollback replaces the first', async (t) => {
  const first = written(gated('failed: errors'), '2026-11-21T10:00:00Z')
  const again = written({ ...first, metadata: { ...first.metadata, annotations: { [GATE]: 'failed: latency' } } }, '2026-11-21T11:00:00Z')
  t.match(again.status?.conditions, [{}, { message: 'latency', lastUpdateTime: '2026-11-21T11:00:00Z' }])
})

test('the stored object says what the gate is, not the copy of a writer that is behind', async (t) => {
  const stored = gated('pending')
  const object = computed(gated('passed', { generation: 3 }), 'now')
  t.same(truthfulStatus(request({ object: { ...object, status: { ...object.status, observedGeneration: 4 } }, oldObject: stored })), [
    { op: 'add', path: '/status/observedGeneration', value: 3 },
  ])
})

const odd: readonly { readonly name: string; readonly status: unknown; readonly gives: object }[] = [
  { name: 'no conditions at all', status: { observedGeneration: 4 }, gives: { conditions: [{ type: 'Progressing', status: 'False', message: REASON, lastUpdateTime: '2026-11-02T08:00:00Z' }] } },
  { name: 'null conditions', status: { conditions: null }, gives: { conditions: [{ type: 'Progressing' }] } },
  { name: 'no condition of that type', status: { conditions: [{ type: 'Available', status: 'True', lastUpdateTime: 'a', lastTransitionTime: 'b' }] }, gives: { conditions: [{ type: 'Available' }, { type: 'Progressing', lastUpdateTime: 'a' }] } },
  { name: 'rubbish among the conditions', status: { conditions: [null, 7, { type: 'Progressing', status: 'True' }] }, gives: { conditions: [null, 7, { type: 'Progressing', status: 'False' }] } },
]
for (const { name, status, gives } of odd) {
  test(`a rollback is told to a status with ${name}`, async (t) => {
    const stored = gated(`failed: ${REASON}`)
    const object = { ...stored, status } as Workload
    t.match(applied(object, truthfulStatus(request({ object, oldObject: stored }))).status, gives)
  })
}
