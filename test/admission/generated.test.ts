import { test } from 'tap'
import { takeOver } from '#admission/generated.ts'
import { AGENT, canary, request } from './fixtures/reviews.ts'

const LAST_APPLIED = 'kubectl.kubernetes.io/last-applied-configuration'
const generated = (spec: object = {}, annotations: Readonly<Record<string, string>> = {}) => {
  const object = canary({}, { gate: { generated: true, atMaxWeight: 'wait' }, ...spec }, annotations)
  return { ...object, metadata: { ...object.metadata, labels: { team: 'a', 'app.kubernetes.io/managed-by': 'canarygate' } } }
}
const patchOf = (shape: Parameters<typeof request>[0]) => takeOver(request({ group: 'flagger.app', resource: 'canaries', kind: 'Canary', operation: 'UPDATE', ...shape }), [AGENT])
const TAKEN = [{ op: 'remove', path: '/spec/gate/generated' }, { op: 'remove', path: '/metadata/labels/app.kubernetes.io~1managed-by' }]

for (const { name, shape, patch } of [
  { name: 'settings of a person\'s make the Canary theirs', shape: { object: generated({ skipAnalysis: true }), oldObject: generated() }, patch: TAKEN },
  { name: 'so does kubectl apply of the same settings', shape: { object: generated({}, { [LAST_APPLIED]: '{}' }), oldObject: generated() }, patch: TAKEN },
  { name: 'an annotation does not', shape: { object: generated({}, { note: 'x' }), oldObject: generated() }, patch: [] },
  { name: 'nor does the agent', shape: { object: generated({ skipAnalysis: true }), oldObject: generated(), user: { username: AGENT, groups: [] } }, patch: [] },
  { name: 'a Canary that is a person\'s stays as it is', shape: { object: canary({}, { skipAnalysis: true }), oldObject: canary() }, patch: [] },
]) test(name, async (t) => t.same(patchOf(shape), patch))
