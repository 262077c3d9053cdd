import fc from 'fast-check'
import { test } from 'tap'
import { allowed, denied, errored, fitWarnings, patched, renderReview } from '#admission/answer.ts'
import { ensureObject, pointer, remove, set, setAnnotations } from '#admission/json-patch.ts'
import { sameJson } from '#admission/json.ts'
import { parseReview } from '#admission/review.ts'
import { applied, finding, patchOf, request, reviewBody, workload } from './fixtures/reviews.ts'

test('a denial names every fault with its field, for terminals and for programs', async (t) => {
  const answer = denied([finding(), finding({ field: 'spec.analysis.metrics', message: 'is empty', fix: 'add request-success-rate', rule: 'no-metrics' }), finding({ severity: 'warn', rule: 'few-checks' })])
  t.equal(answer.allowed, false)
  t.equal(answer.status?.message, [
    '2 faults',
    '  - spec.analysis.stepWeight: 60 is more than maxWeight (50); use at most 50 [step-weight-over-max]',
    '  - spec.analysis.metrics: is empty; add request-success-rate [no-metrics]',
  ].join('\n'))
  t.match(answer.status, { code: 403, reason: 'Forbidden', details: { causes: [{ field: 'spec.analysis.stepWeight', message: '60 is more than maxWeight (50); use at most 50' }, { field: 'spec.analysis.metrics' }] } })
  t.match(answer.warnings, [/few-checks/])
})

test('a single fault needs no list', async (t) => {
  t.equal(denied([finding()]).status?.message, 'spec.analysis.stepWeight: 60 is more than maxWeight (50); use at most 50 [step-weight-over-max]')
})

test('an error follows the failure policy', async (t) => {
  t.match(errored(new Error('boom')), { allowed: false, status: { code: 500, message: /could not judge this request: boom/ } })
  t.match(errored(new Error('boom'), 'Ignore'), { allowed: true, warnings: [/boom; it passes without a canary/] })
  t.match(errored('text'), { status: { message: /text/ } })
})

test('patch and patchType come together or not at all', async (t) => {
  t.same(patched([]), { allowed: true })
  t.same(patched([], ['w']), { allowed: true, warnings: ['w'] })
  const answer = patched([set(0, 'spec', 'replicas')], ['w'])
  t.equal(answer.patchType, 'JSONPatch')
  t.same(patchOf(answer), [{ op: 'add', path: '/spec/replicas', value: 0 }])
})

test('the review echoes its uid, and warnings are not lost on the way', async (t) => {
  t.same(JSON.parse(renderReview('a"b', allowed(['w']))), { apiVersion: 'admission.k8s.io/v1', kind: 'AdmissionReview', response: { uid: 'a"b', allowed: true, warnings: ['w'] } })
})

test('warnings are one line of 256 characters, 4,096 in all, and say how many were left out', async (t) => {
  t.same(fitWarnings(['a\n  b\u0007\tc']), ['a b c'])
  const [long = ''] = fitWarnings(['x'.repeat(300)])
  t.equal(long.length, 256)
  t.ok(long.endsWith('...'))
  const many = fitWarnings(Array.from({ length: 40 }, (_, index) => `${index} ${'y'.repeat(200)}`))
  t.match(many.at(-1), /^CanaryGate: \d+ more warnings$/)
  t.ok(many.join('').length <= 4_096)
  t.ok(fitWarnings([`${'z'.repeat(252)}😀😀😀`])[0]?.isWellFormed(), 'no half characters')
})

test('for any texts, what is left fits and is well formed', async (t) => {
  fc.assert(fc.property(fc.array(fc.string({ unit: 'grapheme', maxLength: 400 }), { maxLength: 60 }), (warnings) => {
    const fitted = fitWarnings(warnings)
    return fitted.every((line) => line.length <= 256 && line.isWellFormed() && !/\p{Cc}/u.test(line)) && fitted.join('').length <= 4_096 + 40
  }))
  t.pass()
})

test('pointers escape what keys may contain', async (t) => {
  t.equal(pointer('metadata', 'annotations', 'canarygate.dev/a~b'), '/metadata/annotations/canarygate.dev~1a~0b')
  t.equal(pointer('a', 0), '/a/0')
  t.equal(pointer('~1'), '/~01')
})

test('a missing parent is made before something is added below it', async (t) => {
  t.same(ensureObject({}, 'metadata', 'annotations'), [set({}, 'metadata'), set({}, 'metadata', 'annotations')])
  t.same(ensureObject({ metadata: { annotations: null } }, 'metadata', 'annotations'), [set({}, 'metadata', 'annotations')])
  t.same(ensureObject({ metadata: { annotations: {} } }, 'metadata', 'annotations'), [])
})

test('what is not there is never removed', async (t) => {
  const object = workload({ annotations: { keep: '1', go: '2' } })
  const patch = setAnnotations(object, { go: undefined, never: undefined, keep: '1', 'new/key~': '3' })
  t.same(applied(object, patch).metadata.annotations, { keep: '1', 'new/key~': '3' })
  t.same(setAnnotations(workload(), { never: undefined }), [])
  t.same(remove('a'), { op: 'remove', path: '/a' })
})

test('a key named __proto__ is an ordinary key', async (t) => {
  const body = reviewBody(request({ object: workload() })).replace('"app":"cart"', '"app":"cart","__proto__":"x"')
  const parsed = parseReview(JSON.parse(body))
  t.ok(parsed.ok && Object.keys(parsed.request.object?.metadata.labels ?? {}).includes('__proto__'))
  t.equal(sameJson(JSON.parse('{"__proto__":1}'), {}), false)
  t.equal(sameJson(JSON.parse('{"__proto__":1}'), JSON.parse('{"__proto__":1}')), true)
  t.equal(sameJson({}, JSON.parse('{"toString":1}')), false)
})

test('equality of JSON knows no order of keys, but of items', async (t) => {
  t.ok(sameJson({ a: 1, b: [1, { c: null }] }, { b: [1, { c: null }], a: 1 }))
  for (const [a, b] of [[{ a: 1 }, { a: 2 }], [[1, 2], [2, 1]], [[], {}], [{}, []], [null, {}], [{ a: undefined }, { b: 1 }], [1, '1']]) t.notOk(sameJson(a, b))
})

test('a review without a name is named by its object, as one object of a deleted collection is', async (t) => {
  t.match(parseReview(JSON.parse(reviewBody(request({ name: '', operation: 'DELETE', oldObject: workload({ name: 'cart-primary' }) })))), { request: { name: 'cart-primary' } })
})

const malformed: readonly [string, unknown, RegExp, string][] = [
  ['a list', [], /not a JSON object/, ''],
  ['another kind', { kind: 'Pod', apiVersion: 'v1', request: { uid: 'u' } }, /kind is "Pod"/, 'u'],
  ['an older version', { kind: 'AdmissionReview', apiVersion: 'admission.k8s.io/v1beta1', request: { uid: 'u' } }, /v1beta1/, 'u'],
  ['no request', { kind: 'AdmissionReview', apiVersion: 'admission.k8s.io/v1' }, /request is missing/, ''],
  ['no uid', { kind: 'AdmissionReview', apiVersion: 'admission.k8s.io/v1', request: {} }, /uid is missing/, ''],
  ['an unknown operation', { kind: 'AdmissionReview', apiVersion: 'admission.k8s.io/v1', request: { uid: 'u', operation: 'PATCH' } }, /operation is "PATCH"/, 'u'],
  ['no resource', { kind: 'AdmissionReview', apiVersion: 'admission.k8s.io/v1', request: { uid: 'u', operation: 'CREATE' } }, /resource is missing/, 'u'],
  ['an object that is a number', { kind: 'AdmissionReview', apiVersion: 'admission.k8s.io/v1', request: { uid: 'u', operation: 'CREATE', resource: {}, object: 7 } }, /object has no metadata/, 'u'],
]
for (const [name, body, message, uid] of malformed) {
  test(`a review with ${name} says so, with the uid if there is one`, async (t) => {
    t.match(parseReview(body), { ok: false, uid, message })
  })
}
