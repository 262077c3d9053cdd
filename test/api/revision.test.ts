import fc from 'fast-check'
import t from 'tap'
import type { PodTemplate } from '#api/objects.ts'
import { canonicalJson } from '#api/canonical-json.ts'
import { revisionOf } from '#api/revision.ts'

const { test } = t
const template = (more: object = {}): PodTemplate => ({
  metadata: { labels: { app: 'cart' }, annotations: { 'prometheus.io/scrape': 'true' } },
  spec: { containers: [{ name: 'cart', image: 'cart:2.4' }], ...more },
})
const shuffled = (value: unknown): unknown => {
  if (Array.isArray(value)) return value.map(shuffled)
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(Object.entries(value).toReversed().map(([key, child]) => [key, shuffled(child)]))
}

test('a revision is a version digit and ten hex digits', async (t) => t.match(revisionOf(template()), /^1[0-9a-f]{10}$/))

const same = [
  { name: 'an empty security context', more: { securityContext: {} } },
  { name: 'an empty list', more: { volumes: [] } },
  { name: 'a null', more: { affinity: null } },
  { name: 'the node selector that holds a DaemonSet at no pods', more: { nodeSelector: { 'flagger.app/scale-to-zero': 'true' } } },
]
for (const { name, more } of same) test(`${name} makes no other revision`, async (t) => t.equal(revisionOf(template(more)), revisionOf(template())))

test('a restart mark and the hash label of a ReplicaSet make no other revision', async (t) => {
  const marked: PodTemplate = {
    ...template(),
    metadata: { labels: { app: 'cart', 'pod-template-hash': 'abc' }, annotations: { 'prometheus.io/scrape': 'true', 'kubectl.kubernetes.io/restartedAt': '2026-01-01T00:00:00Z' } },
  }
  t.equal(revisionOf(marked), revisionOf(template()))
})

test('another image, another label and another annotation make another revision', async (t) => {
  const others: PodTemplate[] = [
    { ...template(), spec: { containers: [{ name: 'cart', image: 'cart:2.5' }] } },
    { ...template(), metadata: { ...template().metadata, labels: { app: 'cart', tier: 'fe' } } },
    { ...template(), metadata: { labels: { app: 'cart' }, annotations: { 'prometheus.io/scrape': 'false' } } },
  ]
  t.equal(new Set([template(), ...others].map(revisionOf)).size, 4)
})

test('the order of keys says nothing, that of lists does', async (t) => {
  fc.assert(fc.property(fc.jsonValue(), (value) => canonicalJson(value) === canonicalJson(shuffled(value))))
  t.not(canonicalJson([1, 2]), canonicalJson([2, 1]))
})

test('a map of any size is written in the order of its keys, by code unit', async (t) => {
  for (const size of [2, 32, 33, 200]) {
    const keys = Array.from({ length: size }, (_, index) => `${'Zaé'[index % 3]}${index * 7919 % size}`)
    const sorted = keys.toSorted((a, b) => (a < b ? -1 : 1))
    t.equal(canonicalJson(Object.fromEntries(keys.map((key) => [key, 1]))), `{${sorted.map((key) => `"${key}":1`).join(',')}}`, `${size} keys`)
  }
})

test('canonical text is JSON that means the same, without what is empty', async (t) => {
  fc.assert(fc.property(fc.jsonValue(), (value) => canonicalJson(JSON.parse(canonicalJson(value))) === canonicalJson(value)))
  t.equal(canonicalJson({ b: 1, a: { c: null, d: [] }, e: [{}, [], null], f: 'ü"\\\n' }), '{"b":1,"e":[{},[],null],"f":"ü\\"\\\\\\n"}')
  t.equal(canonicalJson(JSON.parse('{"__proto__": {"a": 1}}')), '{"__proto__":{"a":1}}')
  t.equal(canonicalJson([[{ a: null }], [{ b: 1, a: 2 }], {}]), '[[{}],[{"a":2,"b":1}],{}]')
})
