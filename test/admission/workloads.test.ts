import fc from 'fast-check'
import { test } from 'tap'
import type { Workload } from '#api/objects.ts'
import { revisionOf } from '#api/revision.ts'
import type { AdmissionRequest } from '#admission/review.ts'
import { mutateWorkload, type WorkloadContext } from '#admission/workloads.ts'
import { AGENT, ALICE, applied, canary, context, finding, request, type Shape, SPEC, workload } from './fixtures/reviews.ts'

const REVISION = 'canarygate.dev/revision'
const REPLICAS = 'canarygate.dev/replicas'
const GATE = 'canarygate.dev/gate'
const REQUESTED_BY = 'canarygate.dev/requested-by'
const STABLE = 'canarygate.dev/stable-revision'

const revision = (shape: Shape): string => revisionOf(workload(shape).spec.template)
const R23 = revision({ image: 'cart:2.3' })
const R24 = revision({ image: 'cart:2.4' })
const R25 = revision({ image: 'cart:2.5' })

/** What the webhook and the agent have left on a target whose primary serves. */
const OWNED = { [REVISION]: R23, [REPLICAS]: '3', [GATE]: 'passed', [REQUESTED_BY]: 'bob' }
const adopted = (shape: Shape = {}): Workload => workload({ replicas: 0, available: 0, ...shape, annotations: { ...OWNED, ...shape.annotations } })
/** In mid-adoption: 2.4 was asked for while 2.3 served. */
const HELD = { [REVISION]: R24, [GATE]: 'pending', [REQUESTED_BY]: 'bob', [STABLE]: R23 }
const held = (shape: Shape = {}): Workload => workload({ image: 'cart:2.4', paused: true, ...shape, annotations: { ...HELD, ...shape.annotations } })

type Row = {
  readonly name: string
  readonly old?: Workload
  readonly next: Workload
  readonly request?: Partial<AdmissionRequest>
  readonly context?: Partial<WorkloadContext>
  /** Our annotations afterwards, all of them. */
  readonly owned?: Readonly<Record<string, string>>
  readonly replicas?: number
  readonly paused?: boolean
  /** One pattern a warning, in order. */
  readonly says?: readonly RegExp[]
  readonly untouched?: true
}

const rows: readonly Row[] = [
  // What is none of our business.
  { name: 'the agent may write what it wants', old: adopted(), next: adopted({ image: 'cart:2.4', replicas: 5 }), context: { user: { username: AGENT, groups: [] } }, untouched: true },
  { name: 'a generated primary is left to the guards', old: workload({ labels: { 'canarygate.dev/role': 'primary' } }), next: workload({ image: 'cart:2.4', labels: { 'canarygate.dev/role': 'primary' } }), untouched: true },
  { name: 'a role label that the client takes off does not make a primary a target', old: workload({ labels: { 'canarygate.dev/role': 'primary' } }), next: workload({ image: 'cart:2.4' }), untouched: true },
  { name: 'a role label that the client adds does not free a target', old: adopted(), next: adopted({ image: 'cart:2.4', labels: { 'canarygate.dev/role': 'primary' } }), owned: { ...OWNED, [REVISION]: R24, [GATE]: 'pending', [REQUESTED_BY]: ALICE.username }, says: [/held/] },
  { name: 'kube-system is never gated', old: workload(), next: workload({ image: 'cart:2.4' }), request: { namespace: 'kube-system' }, untouched: true },
  { name: 'an opted-out Deployment rolls out as ever', old: workload(), next: workload({ image: 'cart:2.4', annotations: { 'canarygate.dev/gate-target': 'disabled' } }), untouched: true },
  { name: 'the scale subresource is not touched', old: adopted(), next: adopted({ replicas: 5 }), request: { subResource: 'scale' }, untouched: true },
  { name: 'the status subresource is not touched', old: adopted(), next: adopted({ image: 'cart:2.4' }), request: { subResource: 'status' }, untouched: true },
  { name: 'a Deployment outside gated namespaces, without a Canary, rolls out as ever', old: workload(), next: workload({ image: 'cart:2.4' }), context: { canary: undefined, gatedNamespace: false }, untouched: true },
  { name: 'a DaemonSet of a gated namespace is no target without a Canary', old: workload({ kind: 'DaemonSet' }), next: workload({ kind: 'DaemonSet', image: 'cart:2.4' }), request: { kind: 'DaemonSet' }, context: { canary: undefined }, untouched: true },
  { name: 'a Canary that is going gates nothing new', old: workload(), next: workload({ image: 'cart:2.4' }), context: { canary: { ...canary(), metadata: { name: 'cart', deletionTimestamp: '2026-11-21T00:00:00Z' } } }, untouched: true },
  { name: 'an object that is going is let go', old: adopted(), next: { ...adopted({ image: 'cart:2.4' }), metadata: { ...adopted().metadata, deletionTimestamp: '2026-11-21T00:00:00Z' } }, untouched: true },
  { name: 'an update that changes nothing of ours is not touched', old: adopted(), next: { ...adopted(), metadata: { ...adopted().metadata, labels: { app: 'cart', team: 'shop' } } }, untouched: true },

  // Adopted: annotations.
  { name: 'a replace that drops our annotations loses none', old: adopted(), next: workload({ replicas: 0 }), owned: OWNED, replicas: 0 },
  { name: 'nobody forges a passed gate', old: adopted({ annotations: { [GATE]: 'pending' } }), next: adopted({ annotations: { [GATE]: 'passed', [REVISION]: 'x', [REQUESTED_BY]: 'root' } }), owned: { ...OWNED, [GATE]: 'pending' }, replicas: 0,
    says: [/^CanaryGate: canarygate.dev\/revision, canarygate.dev\/gate, canarygate.dev\/requested-by of deployment\/cart are written by CanaryGate alone; to let a change pass: kubectl -n shop annotate deployment\/cart canarygate.dev\/promote="<why>"$/] },
  { name: 'nobody adds a stable revision to an adopted target', old: adopted(), next: adopted({ annotations: { [STABLE]: R25 } }), owned: OWNED, replicas: 0, says: [/stable-revision of deployment\/cart is written by CanaryGate alone/] },
  { name: 'an adopted target that opts out keeps what its release needs, and its replicas and template are its own again',
    old: adopted(), next: workload({ image: 'cart:2.4', replicas: 5, annotations: { 'canarygate.dev/gate-target': 'disabled' } }), owned: OWNED, replicas: 5 },

  // Adopted: replicas.
  { name: 'replicas asked of an adopted target are recorded and held at 0', old: adopted(), next: adopted({ replicas: 5 }), owned: { ...OWNED, [REPLICAS]: '5' }, replicas: 0 },
  { name: 'the same replicas again change nothing but the 0', old: adopted(), next: adopted({ replicas: 3 }), owned: OWNED, replicas: 0 },
  { name: 'no replicas means one, as for every Deployment', old: adopted(), next: adopted({ replicas: null }), owned: { ...OWNED, [REPLICAS]: '1' }, replicas: 0 },
  { name: 'replicas that went past us through scale are put back with the next update', old: adopted({ replicas: 5 }), next: adopted({ replicas: 5 }), owned: { ...OWNED, [REPLICAS]: '5' }, replicas: 0 },
  { name: 'more replicas than an int32 are left for the API server to refuse', old: adopted(), next: adopted({ replicas: 1e300 }), owned: OWNED, replicas: 1e300 },
  { name: 'the annotation scales an adopted target to zero', old: adopted(), next: adopted({ annotations: { [REPLICAS]: '0' } }), owned: { ...OWNED, [REPLICAS]: '0' }, replicas: 0, untouched: true },
  { name: 'a count that is none is put back', old: adopted(), next: adopted({ annotations: { [REPLICAS]: '-4' } }), owned: OWNED, replicas: 0 },

  // Adopted: revisions.
  { name: 'a new image is held as a revision, with the plan in a warning', old: adopted(), next: adopted({ image: 'cart:2.4' }),
    owned: { ...OWNED, [REVISION]: R24, [GATE]: 'pending', [REQUESTED_BY]: ALICE.username }, replicas: 0,
    says: [new RegExp(`^CanaryGate: cart:2.4 is held as revision ${R24}; canary 10% -> 50% in 5 steps of 1m, then promotion \\(canary "cart"\\)$`)] },
  { name: 'in a gated namespace the policy is named', old: adopted(), next: adopted({ image: 'registry.example.com:5000/shop/cart:2.4@sha256:0123456789abcdef0123456789abcdef' }), context: { canary: canary({}, { gate: { generated: true } }) },
    owned: { ...OWNED, [REVISION]: revision({ image: 'registry.example.com:5000/shop/cart:2.4@sha256:0123456789abcdef0123456789abcdef' }), [GATE]: 'pending', [REQUESTED_BY]: ALICE.username },
    says: [/^CanaryGate: cart:2.4 is held as revision \w+; canary 10% -> 50% in 5 steps of 1m, then promotion \(policy "default"\)$/] },
  { name: 'image and replicas in one update are both held', old: adopted(), next: adopted({ image: 'cart:2.4', replicas: 7 }),
    owned: { [REVISION]: R24, [REPLICAS]: '7', [GATE]: 'pending', [REQUESTED_BY]: ALICE.username }, replicas: 0, says: [/held/] },
  { name: 'a replace with a new image and none of our annotations is held too', old: adopted(), next: workload({ image: 'cart:2.4', replicas: 3 }),
    owned: { [REVISION]: R24, [REPLICAS]: '3', [GATE]: 'pending', [REQUESTED_BY]: ALICE.username }, replicas: 0, says: [/held/] },
  { name: 'a change without a new image is named by the target', old: adopted(), next: adopted({ env: { MODE: 'fast' } }), says: [/^CanaryGate: the change of deployment\/cart is held as revision/] },
  { name: 'the serving revision again aborts the analysis', old: adopted({ image: 'cart:2.4', annotations: { [GATE]: 'pending', [REVISION]: R24 } }), next: adopted({ image: 'cart:2.3', annotations: { [GATE]: 'pending', [REVISION]: R24 } }),
    context: { canary: canary({ phase: 'Progressing', lastPromotedSpec: R23 }) }, owned: { ...OWNED, [GATE]: 'pending', [REQUESTED_BY]: ALICE.username }, says: [/which serves now: the analysis under way is aborted/] },
  { name: 'the serving revision again after a rollback passes at once', old: adopted({ image: 'cart:2.4', annotations: { [GATE]: 'failed: errors', [REVISION]: R24 } }), next: adopted({ image: 'cart:2.3', annotations: { [GATE]: 'failed: errors', [REVISION]: R24 } }),
    context: { canary: canary({ phase: 'Failed', lastPromotedSpec: R23, gate: { rolledBackRevision: R24 } }) }, owned: { ...OWNED, [GATE]: 'passed', [REQUESTED_BY]: ALICE.username }, says: [/nothing to analyse/] },
  { name: 'a revision that was rolled back before fails at once, and says how to retry', old: adopted(), next: adopted({ image: 'cart:2.4' }),
    context: { canary: canary({ phase: 'Failed', lastPromotedSpec: R23, gate: { rolledBackRevision: R24 } }) },
    owned: { ...OWNED, [REVISION]: R24, [GATE]: `failed: revision ${R24} was rolled back before; to try it again: kubectl -n shop annotate canary/cart canarygate.dev/retry=true`, [REQUESTED_BY]: ALICE.username },
    says: [/rolled back before and is not tried again; to try it: kubectl -n shop annotate canary\/cart canarygate.dev\/retry=true$/] },
  { name: 'with retry in the same update it is tried again', old: adopted(), next: adopted({ image: 'cart:2.4', annotations: { 'canarygate.dev/retry': 'true' } }),
    context: { canary: canary({ gate: { rolledBackRevision: R24 } }) }, owned: { ...OWNED, [REVISION]: R24, [GATE]: 'pending', [REQUESTED_BY]: ALICE.username }, says: [/held/] },
  { name: 'a newer revision replaces the one under analysis', old: adopted({ image: 'cart:2.4', annotations: { [GATE]: 'pending', [REVISION]: R24 } }), next: adopted({ image: 'cart:2.5', annotations: { [GATE]: 'pending', [REVISION]: R24 } }),
    owned: { ...OWNED, [REVISION]: R25, [GATE]: 'pending', [REQUESTED_BY]: ALICE.username }, says: [/held/, new RegExp(`analysis of revision ${R24} ends`)] },
  { name: 'a restart restarts the primary, without an analysis', old: adopted(), next: adopted({ restartedAt: '2026-11-21T10:00:00Z' }),
    owned: { ...OWNED, [GATE]: 'pending', [REQUESTED_BY]: ALICE.username }, says: [/restarts the primary of deployment\/cart; no analysis/] },
  { name: 'a restart does not hide that what was asked for last was rolled back', old: adopted({ annotations: { [GATE]: 'failed: errors' } }), next: adopted({ restartedAt: '2026-11-21T10:00:00Z', annotations: { [GATE]: 'failed: errors' } }),
    owned: { ...OWNED, [GATE]: 'failed: errors', [REQUESTED_BY]: ALICE.username }, says: [/restarts the primary/] },
  { name: 'a suspended Canary holds the change and says so', old: adopted(), next: adopted({ image: 'cart:2.4' }), context: { canary: canary({}, { suspend: true }) },
    owned: { ...OWNED, [REVISION]: R24, [GATE]: 'pending', [REQUESTED_BY]: ALICE.username }, says: [/held as revision .*; nothing starts while \(canary "cart"\) is suspended/] },
  { name: 'a pause by the user on an adopted target stays', old: adopted(), next: adopted({ paused: true }), paused: true, untouched: true },
  { name: 'a change of a target that its user paused says when it starts', old: adopted({ paused: true }), next: adopted({ paused: true, image: 'cart:2.4' }), paused: true, says: [/held/, /is paused: its canary starts when it is un-paused/] },
  { name: 'un-pausing by the user on an adopted target is the user\'s', old: adopted({ paused: true }), next: adopted(), untouched: true },
  { name: 'a dry run gets the same answer', old: adopted(), next: adopted({ image: 'cart:2.4' }), request: { dryRun: true },
    owned: { ...OWNED, [REVISION]: R24, [GATE]: 'pending', [REQUESTED_BY]: ALICE.username }, replicas: 0, says: [/held/] },

  // Not adopted yet.
  { name: 'a first change is paused, with what serves on record', old: workload(), next: workload({ image: 'cart:2.4' }), context: { canary: undefined },
    owned: { ...HELD, [REQUESTED_BY]: ALICE.username }, replicas: 3, paused: true, says: [/held as revision .* \(policy "default"\)/, /first change of deployment\/cart: it is adopted first, paused until its primary serves/] },
  { name: 'with a Canary, without a gated namespace, the same', old: workload(), next: workload({ image: 'cart:2.4' }), context: { gatedNamespace: false },
    owned: { ...HELD, [REQUESTED_BY]: ALICE.username }, replicas: 3, paused: true, says: [/held/, /first change/] },
  { name: 'a second change in mid-adoption keeps the stable revision', old: held(), next: held({ image: 'cart:2.5' }),
    owned: { [REVISION]: R25, [GATE]: 'pending', [REQUESTED_BY]: ALICE.username, [STABLE]: R23 }, paused: true, says: [/held as revision/] },
  { name: 'back to the stable template in mid-adoption, nothing is held any more', old: held(), next: held({ image: 'cart:2.3' }),
    owned: { [GATE]: 'passed', [REQUESTED_BY]: ALICE.username }, paused: false, says: [/is back at revision .*, which serves now/] },
  { name: 'un-pausing in mid-adoption is refused with the reason', old: held(), next: held({ paused: false }), owned: HELD, paused: true, says: [/stays paused until its primary serves/] },
  { name: 'a replace without paused in mid-adoption stays paused', old: held(), next: workload({ image: 'cart:2.4' }), owned: HELD, paused: true, says: [/stays paused/] },
  { name: 'when the adoption has failed the user may un-pause', old: held({ annotations: { [GATE]: 'failed: the primary never became ready' } }), next: held({ paused: false, annotations: { [GATE]: 'failed: the primary never became ready' } }), untouched: true },
  { name: 'scaling in mid-adoption is free', old: held(), next: held({ replicas: 6 }), owned: HELD, replicas: 6, paused: true, untouched: true },
  { name: 'a Deployment at 0 replicas has nothing to protect', old: workload({ replicas: 0, available: 0 }), next: workload({ replicas: 0, image: 'cart:2.4' }), replicas: 0, owned: {}, says: [/nothing to protect: this rolls out at once/] },
  { name: 'a broken Deployment may be mended without an analysis', old: workload({ available: 0 }), next: workload({ image: 'cart:2.4' }), owned: {}, says: [/no available pods/] },
  { name: 'a suspended Canary leaves a target that was never adopted alone', old: workload(), next: workload({ image: 'cart:2.4' }), context: { canary: canary({}, { suspend: true }) }, owned: {}, says: [/suspended/] },
  { name: 'a restart before adoption is an ordinary restart', old: workload(), next: workload({ restartedAt: '2026-11-21T10:00:00Z' }), untouched: true },
  { name: 'nobody makes a target look adopted', old: workload(), next: workload({ annotations: { [REPLICAS]: '3', [GATE]: 'passed' } }), owned: {}, says: [/gate of deployment\/cart is written by CanaryGate alone; leave it out$/] },
  { name: 'nor a workload that is no target', old: workload(), next: workload({ annotations: { [REPLICAS]: '3' } }), context: { canary: undefined, gatedNamespace: false }, owned: {} },
  { name: 'leftovers may be taken off a workload that is no target any more', old: workload({ annotations: { [GATE]: 'pending' } }), next: workload(), context: { canary: undefined, gatedNamespace: false }, untouched: true },
  { name: 'a DaemonSet is recorded, and honestly not held', old: workload({ kind: 'DaemonSet' }), next: workload({ kind: 'DaemonSet', image: 'cart:2.4' }), request: { kind: 'DaemonSet' },
    owned: { ...HELD, [REQUESTED_BY]: ALICE.username }, says: [/daemonset\/cart is not adopted yet and a DaemonSet cannot be held: it rolls out now/] },
  { name: 'an adopted DaemonSet gets its annotations and no replicas', old: workload({ kind: 'DaemonSet', annotations: OWNED }), next: workload({ kind: 'DaemonSet', image: 'cart:2.4', annotations: OWNED }), request: { kind: 'DaemonSet' },
    owned: { ...OWNED, [REVISION]: R24, [GATE]: 'pending', [REQUESTED_BY]: ALICE.username }, says: [/held/] },

  // Creation.
  { name: 'an ordinary creation is not touched', next: workload(), request: { operation: 'CREATE' }, untouched: true },
  { name: 'a manifest exported from an adopted target serves again', next: adopted(), request: { operation: 'CREATE' }, owned: {}, replicas: 3 },
  { name: 'a manifest exported in mid-adoption is not paused', next: held(), request: { operation: 'CREATE' }, owned: {}, paused: false },
  { name: 'the user\'s own pause at creation stays', next: workload({ paused: true }), request: { operation: 'CREATE' }, paused: true, untouched: true },
  { name: 'forged annotations are dropped at creation, and replicas that were asked for stay', next: workload({ replicas: 2, annotations: { [REPLICAS]: '9' } }), request: { operation: 'CREATE' }, owned: {}, replicas: 2 },
]

function mutated(row: Pick<Row, 'old' | 'next' | 'request' | 'context'>, object: Workload = row.next) {
  const review = request({ object, ...(row.old ? { oldObject: row.old } : {}), ...row.request })
  const mutation = mutateWorkload(review, context(row.context))
  if (mutation.kind === 'denial') throw new Error('was denied')
  return { stored: applied(object, mutation.patch), ...mutation }
}

const ownedOf = (object: Workload): Record<string, string> =>
  Object.fromEntries(Object.entries(object.metadata.annotations ?? {}).filter(([key]) => [REVISION, REPLICAS, GATE, REQUESTED_BY, STABLE].includes(key)))

for (const row of rows) {
  test(row.name, async (t) => {
    const before = JSON.stringify([row.old, row.next])
    const { stored, patch, warnings } = mutated(row)
    if (row.untouched) t.same(patch, [])
    if (row.owned) t.same(ownedOf(stored), row.owned)
    if (row.replicas !== undefined) t.equal(stored.spec.replicas, row.replicas)
    if (row.paused !== undefined) t.equal(stored.spec.paused === true, row.paused)
    t.equal(warnings.length, row.says?.length ?? 0, `as many warnings as expected: ${warnings.join(' | ')}`)
    for (const [index, pattern] of (row.says ?? []).entries()) t.match(warnings[index], pattern)
    for (const warning of warnings) t.ok(warning.length <= 256, `fits a terminal: ${warning.length} characters`)
    t.same(mutated(row, stored).patch, [], 'a second pass has nothing left to do')
    t.same({ ...stored, metadata: { ...stored.metadata, annotations: 0 }, spec: { ...stored.spec, replicas: 0, paused: 0 } },
      { ...row.next, metadata: { ...row.next.metadata, annotations: 0 }, spec: { ...row.next.spec, replicas: 0, paused: 0 } }, 'nothing else is touched')
    t.equal(JSON.stringify([row.old, row.next]), before, 'arguments are left alone')
  })
}

test('a change that policy forbids is denied with its findings', async (t) => {
  const judgeChange = () => [finding({ rule: 'freeze-window', field: 'spec.template' }), finding({ severity: 'warn' })]
  const mutation = mutateWorkload(request({ object: adopted({ image: 'cart:2.4' }), oldObject: adopted() }), context({ judgeChange }))
  t.match(mutation, { kind: 'denial', findings: [{ rule: 'freeze-window' }, { severity: 'warn' }] })
})

test('policy never forbids to go back to what serves', async (t) => {
  const judgeChange = () => [finding()]
  const old = adopted({ image: 'cart:2.4', annotations: { [GATE]: 'pending', [REVISION]: R24 } })
  t.match(mutateWorkload(request({ object: adopted({ image: 'cart:2.3' }), oldObject: old }), context({ judgeChange, canary: canary({ lastPromotedSpec: R23, phase: 'Progressing' }) })), { kind: 'patch' })
  t.match(mutateWorkload(request({ object: held({ image: 'cart:2.3' }), oldObject: held() }), context({ judgeChange })), { kind: 'patch' })
})

test('policy is asked about revisions alone', async (t) => {
  let asked = 0
  const judgeChange = () => { asked += 1; return [] }
  mutateWorkload(request({ object: adopted({ replicas: 5 }), oldObject: adopted() }), context({ judgeChange }))
  mutateWorkload(request({ object: adopted({ restartedAt: 'now' }), oldObject: adopted() }), context({ judgeChange }))
  t.equal(asked, 0)
  mutateWorkload(request({ object: adopted({ image: 'cart:2.4' }), oldObject: adopted() }), context({ judgeChange }))
  t.equal(asked, 1)
})

test('a softer finding of policy is a further warning', async (t) => {
  const { warnings } = mutated({ old: adopted(), next: adopted({ image: 'cart:2.4' }), context: { judgeChange: () => [finding({ severity: 'warn', field: 'spec.template', message: 'it is Friday', fix: 'wait', rule: 'friday' })] } })
  t.match(warnings, [/held/, /^CanaryGate: spec.template: it is Friday; wait \[friday\]$/])
})

const shapes = fc.record({
  image: fc.constantFrom('cart:2.3', 'cart:2.4', 'cart:2.5', 'a/very/long/path/of/a/registry/' + 'x'.repeat(200)),
  replicas: fc.constantFrom(null, 0, 1, 3, 5),
  paused: fc.constantFrom(undefined, true, false),
  restartedAt: fc.constantFrom('', '2026-11-21T10:00:00Z'),
  available: fc.constantFrom(0, 3),
  labels: fc.constantFrom({}, { 'app.kubernetes.io/managed-by': 'Helm' }),
  annotations: fc.option(fc.dictionary(
    fc.constantFrom(REVISION, REPLICAS, GATE, REQUESTED_BY, STABLE, 'canarygate.dev/retry', 'canarygate.dev/gate-target', 'a~b/c'),
    fc.constantFrom('', '0', '3', 'pending', 'passed', 'failed: errors', 'disabled', R23, R24, R25)), { nil: undefined }),
}).map(({ annotations, paused, ...shape }): Shape => ({ ...shape, ...(annotations ? { annotations } : {}), ...(paused === undefined ? {} : { paused }) }))

const contexts = fc.record({
  canary: fc.constantFrom(undefined, canary(), canary({ phase: 'Progressing', lastPromotedSpec: R23 }), canary({ phase: 'Failed', lastPromotedSpec: R23, gate: { rolledBackRevision: R24 } }), canary({}, { suspend: true })),
  gatedNamespace: fc.boolean(),
})

test('for any two objects: the patch applies, a second pass does nothing, and what is adopted holds no replicas', async (t) => {
  const runs = Number(process.env['PROPERTY_RUNS'] ?? 3_000)
  fc.assert(fc.property(shapes, shapes, contexts, fc.constantFrom('CREATE' as const, 'UPDATE' as const), fc.constantFrom('Deployment' as const, 'DaemonSet' as const), (before, after, ctx, operation, kind) => {
    const row = { old: workload({ ...before, kind }), next: workload({ ...after, kind }), request: { operation, kind }, context: ctx }
    const { stored, warnings } = mutated(row)
    const again = mutated(row, stored)
    if (again.patch.length > 0) throw new Error(`second pass: ${JSON.stringify(again.patch)}`)
    for (const warning of warnings) if (warning.length > 512) throw new Error(`too long: ${warning}`)
    const optedOut = stored.metadata.annotations?.['canarygate.dev/gate-target'] === 'disabled'
    if (operation === 'UPDATE' && kind === 'Deployment' && !optedOut && row.old.metadata.annotations?.[REPLICAS] !== undefined && (stored.spec.replicas ?? 1) !== 0) {
      throw new Error('an adopted target holds replicas')
    }
    if (operation === 'CREATE' && Object.keys(ownedOf(stored)).length > 0) throw new Error('a new object carries our annotations')
  }), { numRuns: runs })
  t.pass(`${runs} runs`)
  t.equal(SPEC.targetRef.name, 'cart', 'the shared spec is left alone')
})
