import { test } from 'tap'
import { covers, isMerged } from '#agent/covers.ts'

const covered = [
  { name: 'the same', existing: { a: 1, b: ['x'] }, wanted: { a: 1, b: ['x'] } },
  { name: 'defaults and foreign fields beside it', existing: { a: 1, clusterIP: '10.0.0.1', b: { c: 1, d: 2 } }, wanted: { a: 1, b: { c: 1 } } },
  { name: 'a field that is left out', existing: { a: 1 }, wanted: { a: 1, b: undefined } },
  { name: 'an empty map or list that is not there', existing: {}, wanted: { a: {}, b: [] } },
  { name: 'items with defaults filled in', existing: { ports: [{ port: 80, protocol: 'TCP' }] }, wanted: { ports: [{ port: 80 }] } },
  { name: 'a selector in another order', existing: { selector: { b: '2', a: '1' } }, wanted: { selector: { a: '1', b: '2' } } },
]
const uncovered = [
  { name: 'nothing there', existing: undefined, wanted: { a: 1 } },
  { name: 'another value', existing: { a: 1 }, wanted: { a: 2 } },
  { name: 'an item too many', existing: { a: [1, 2] }, wanted: { a: [1] } },
  { name: 'an item too few', existing: { a: [1] }, wanted: { a: [1, 2] } },
  { name: 'a list that is to be empty', existing: { a: [1] }, wanted: { a: [] } },
  { name: 'a selector with a key too many, which would select nothing', existing: { selector: { a: '1', b: '2' } }, wanted: { selector: { a: '1' } } },
  { name: 'a map where a list is wanted', existing: { a: {} }, wanted: { a: [1] } },
  { name: 'null where a map is wanted', existing: { a: null }, wanted: { a: { b: 1 } } },
]
for (const { name, existing, wanted } of covered) test(`no write for: ${name}`, async (t) => { t.ok(covers(existing, wanted)) })
for (const { name, existing, wanted } of uncovered) test(`a write for: ${name}`, async (t) => { t.notOk(covers(existing, wanted)) })

const merged = [
  { name: 'null for what is absent', existing: { metadata: {} }, patch: { metadata: { annotations: { a: null } } }, then: true },
  { name: 'null for what is there', existing: { metadata: { annotations: { a: '1' } } }, patch: { metadata: { annotations: { a: null } } }, then: false },
  { name: 'the same list', existing: { a: [1, 2] }, patch: { a: [1, 2] }, then: true },
  { name: 'a list with one item less', existing: { a: [1, 2] }, patch: { a: [1] }, then: false },
  { name: 'a field of a map that is not there', existing: {}, patch: { spec: { replicas: 0 } }, then: false },
  { name: 'an empty patch', existing: { a: 1 }, patch: {}, then: true },
]
for (const { name, existing, patch, then } of merged) test(`${then ? 'no patch' : 'a patch'} for: ${name}`, async (t) => { t.equal(isMerged(existing, patch), then) })
