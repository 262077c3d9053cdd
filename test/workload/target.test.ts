import fc from 'fast-check'
import { test } from 'tap'
import { canonicalJson } from '#api/canonical-json.ts'
import { revisionOf } from '#api/revision.ts'
import type { Workload } from '#api/objects.ts'
import { forgetPatch, gatePatch, holdPatch, mergePatch, releasePatch, scalePatch, unpausePatch, type MergePatch } from '#workload/target.ts'
import { targetOf, templateOf } from './fixtures.ts'

/** RFC 7386, as the API server applies it. */
function patched(value: unknown, patch: unknown): unknown {
  if (typeof patch !== 'object' || patch === null || Array.isArray(patch)) return patch
  const base = typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Record<string, unknown>) : {}
  const merged = { ...base, ...Object.fromEntries(Object.entries(patch).map(([key, child]) => [key, patched(base[key], child)])) }
  return Object.fromEntries(Object.entries(merged).filter(([, child]) => child !== null && child !== undefined))
}
const after = (target: Workload, ...patches: readonly MergePatch[]) => patches.reduce<unknown>(patched, target) as Workload

test('held, released and forgotten, a target is what it was', async (t) => {
  const target = targetOf({ metadata: { annotations: { theirs: 'yes' } } })
  const held = after(target, holdPatch(target, 3), gatePatch('pending', '1abc'))
  t.match(held, { spec: { replicas: 0 }, metadata: { annotations: { theirs: 'yes', 'canarygate.dev/replicas': '3', 'canarygate.dev/gate': 'pending' } } })
  const released = after(held, releasePatch(held, target.spec.template, 3))
  t.equal(released.metadata.annotations?.['canarygate.dev/replicas'], '3', 'adopted until it is forgotten')
  t.equal(released.metadata.annotations?.['canarygate.dev/gate'], undefined, 'and free to tell when it is ready')
  t.same(after(released, forgetPatch()), target)
})

test('a released target has the stable template whole: nothing of a failed revision stays in it', async (t) => {
  const failed = templateOf('shop:9', { nodeSelector: { disk: 'ssd' }, initContainers: [{ name: 'new' }] })
  const target = targetOf({ spec: { template: failed, paused: true, replicas: 0 } })
  const released = after(target, releasePatch(target, templateOf('shop:1'), 3))
  t.equal(revisionOf(released.spec.template), revisionOf(templateOf('shop:1')))
  t.same(released.spec.template, templateOf('shop:1'))
  t.notOk('paused' in released.spec)
  t.equal(released.spec.replicas, 3)
})

test('un-pausing forgets what was held for adoption', async (t) => {
  const target = targetOf({ metadata: { annotations: { 'canarygate.dev/stable-revision': '1abc' } }, spec: { paused: true } })
  t.same(after(target, unpausePatch()).metadata.annotations, {})
  t.notOk('paused' in after(target, unpausePatch()).spec)
})

test('a DaemonSet is held on no node', async (t) => {
  const target = targetOf({ kind: 'DaemonSet', spec: { template: templateOf('shop:1', { nodeSelector: { disk: 'ssd' } }) } })
  const held = after(target, holdPatch(target, 0))
  t.same(held.spec.template.spec['nodeSelector'], { disk: 'ssd', 'flagger.app/scale-to-zero': 'true' })
  t.same(after(held, releasePatch(held, held.spec.template, 0)).spec.template, target.spec.template)
})

test('a merge patch makes any template into any other', async (t) => {
  const value = fc.letrec((tie) => ({
    any: fc.oneof({ maxDepth: 3 }, fc.integer(), fc.string(), fc.boolean(), fc.array(fc.integer(), { maxLength: 3 }), tie('map')),
    map: fc.dictionary(fc.constantFrom('a', 'b', 'c', 'd'), tie('any'), { maxKeys: 4 }),
  })).map
  fc.assert(fc.property(value, value, (from, to) => {
    const patch = mergePatch(from, to)
    return canonicalJson(patch === undefined ? from : patched(from, patch)) === canonicalJson(to)
  }), { numRuns: 500 })
  t.pass()
})

test('scaling a DaemonSet to nothing selects nodes that there are not, and back takes the selector off', async (t) => {
  t.same(scalePatch('Deployment', 3), { spec: { replicas: 3 } })
  t.same(scalePatch('DaemonSet', 0), { spec: { template: { spec: { nodeSelector: { 'flagger.app/scale-to-zero': 'true' } } } } })
  t.same(scalePatch('DaemonSet', 1), { spec: { template: { spec: { nodeSelector: { 'flagger.app/scale-to-zero': null } } } } })
})
