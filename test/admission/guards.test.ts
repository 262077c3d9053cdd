import { test } from 'tap'
import { type GuardContext, guardScale, guardWorkload } from '#admission/guards.ts'
import type { KubeObject, Workload } from '#api/objects.ts'
import type { AdmissionRequest } from '#admission/review.ts'
import { AGENT, canary, NOW, request, type Shape, workload } from './fixtures/reviews.ts'

const BREAK_GLASS = { 'canarygate.dev/break-glass': 'incident 4711' }
const primary = (shape: Shape = {}): Workload => workload({ name: 'cart-primary', ...shape, labels: { 'canarygate.dev/role': 'primary', 'canarygate.dev/target': 'cart', ...shape.labels } })
const context = (shape: Partial<GuardContext> = {}): GuardContext => ({
  agentUsers: [AGENT], canaryFor: (_namespace, _kind, name) => (name === 'cart' ? canary() : undefined), objects: { get: () => undefined, list: () => [] }, now: () => NOW, ...shape,
})
const as = (username: string, ...groups: string[]) => ({ user: { username, groups } })

/** With the API server's own record of when the annotation was written, and by whom. */
const brokenAt = (...times: readonly number[]): Workload => {
  const edited = primary({ image: 'cart:2.4', annotations: BREAK_GLASS })
  const managedFields = [
    { manager: 'other', time: new Date(NOW).toISOString(), fieldsV1: { 'f:spec': {} } },
    ...times.map((time) => ({ manager: 'kubectl-annotate', time: new Date(time).toISOString(), fieldsV1: { 'f:metadata': { 'f:annotations': { '.': {}, 'f:canarygate.dev/break-glass': {} } } } })),
  ]
  return { ...edited, metadata: { ...edited.metadata, managedFields } as Workload['metadata'] }
}

type Row = { readonly name: string; readonly request: Partial<AdmissionRequest>; readonly context?: Partial<GuardContext>; readonly denies?: readonly RegExp[]; readonly warns?: RegExp }

const rows: readonly Row[] = [
  { name: 'an image that is set on the primary belongs to the target', request: { oldObject: primary(), object: primary({ image: 'cart:2.4' }) },
    denies: [/^spec.template.spec.containers\[0\].image: .*set the image of deployment\/cart instead: kubectl -n shop set image deployment\/cart cart=cart:2.4 .*break-glass/] },
  { name: 'replicas of the primary belong to the target', request: { oldObject: primary(), object: primary({ replicas: 9 }) },
    denies: [/^spec.replicas: .*kubectl -n shop scale deployment\/cart --replicas=9/] },
  { name: 'all that is wrong is said at once', request: { oldObject: primary(), object: primary({ replicas: 9, image: 'cart:2.4' }) }, denies: [/^spec.replicas/, /image/] },
  { name: 'any other edit of the template is sent to the target', request: { oldObject: primary(), object: primary({ env: { A: 'b' } }) }, denies: [/^spec.template: .*kubectl -n shop edit deployment\/cart/] },
  { name: 'any other edit of the spec too', request: { oldObject: primary(), object: primary({ paused: true }) }, denies: [/^spec: /] },
  { name: 'the role label stays', request: { oldObject: primary(), object: workload({ name: 'cart-primary', labels: { 'canarygate.dev/target': 'cart' } }) }, denies: [/^metadata.labels\[canarygate.dev\/role\]/] },
  { name: 'deleting the primary is refused', request: { operation: 'DELETE', oldObject: primary() }, denies: [/deployment\/cart-primary serves deployment\/cart; delete the Canary instead/] },
  { name: 'a primary of an earlier Flagger is found by its name', request: { oldObject: workload({ name: 'cart-primary', labels: { 'canarygate.dev/role': 'primary' } }), object: workload({ name: 'cart-primary', image: 'cart:9', labels: { 'canarygate.dev/role': 'primary' } }), name: 'cart-primary' }, denies: [/deployment\/cart instead/] },
  { name: 'cluster administrators are people too', request: { oldObject: primary(), object: primary({ image: 'cart:2.4' }), ...as('kubernetes-admin', 'system:masters') }, denies: [/image/] },
  { name: 'break-glass with a reason passes and is answered', request: { oldObject: primary(), object: primary({ image: 'cart:2.4', annotations: BREAK_GLASS }) }, warns: /break-glass \("incident 4711"\)/ },
  { name: 'break-glass of half an hour ago still counts', request: { oldObject: primary(), object: brokenAt(NOW - 1_800_000) }, warns: /break-glass/ },
  { name: 'break-glass of yesterday does not', request: { oldObject: primary(), object: brokenAt(NOW - 86_400_000) }, denies: [/image: .*break-glass \("incident 4711"\) was over 1h after 2027-01-14T/] },
  { name: 'broken again, it counts', request: { oldObject: primary(), object: brokenAt(NOW - 86_400_000, NOW - 1_000) }, warns: /break-glass/ },
  { name: 'break-glass without a reason does not', request: { oldObject: primary(), object: primary({ image: 'cart:2.4', annotations: { 'canarygate.dev/break-glass': ' ' } }) }, denies: [/image/] },
  { name: 'break-glass lets a deletion pass', request: { operation: 'DELETE', oldObject: primary({ annotations: BREAK_GLASS }) }, warns: /break-glass/ },
  { name: 'labels and annotations of others are free', request: { oldObject: primary(), object: primary({ labels: { team: 'shop' }, annotations: { note: 'x' } }) } },
  { name: 'the agent passes', request: { oldObject: primary(), object: primary({ image: 'cart:2.4' }), ...as(AGENT) } },
  { name: 'the garbage collector passes', request: { operation: 'DELETE', oldObject: primary(), ...as('system:serviceaccount:kube-system:generic-garbage-collector') } },
  { name: 'the controller manager passes', request: { oldObject: primary(), object: primary({ replicas: 9 }), ...as('system:kube-controller-manager') } },
  { name: 'a node passes', request: { oldObject: primary(), object: primary({ replicas: 9 }), ...as('system:node:a', 'system:nodes') } },
  { name: 'what a deleted Canary left may be cleaned up', request: { operation: 'DELETE', oldObject: primary() }, context: { canaryFor: () => undefined } },
  { name: 'while its Canary goes, too', request: { operation: 'DELETE', oldObject: primary() }, context: { canaryFor: () => ({ ...canary(), metadata: { name: 'cart', deletionTimestamp: 'now' } }) } },
  { name: 'a workload of nobody\'s is none of our business', request: { oldObject: workload(), object: workload({ image: 'cart:2.4' }) } },
]

for (const row of rows) {
  test(row.name, async (t) => {
    const { findings, warnings } = guardWorkload(request({ name: 'cart-primary', ...row.request }), context(row.context))
    t.equal(findings.length, row.denies?.length ?? 0)
    for (const [index, pattern] of (row.denies ?? []).entries()) {
      t.match(`${findings[index]?.field}: ${findings[index]?.message}; ${findings[index]?.fix}`, pattern)
    }
    t.equal(warnings.length, row.warns ? 1 : 0)
    if (row.warns) t.match(warnings[0], row.warns)
  })
}

const scale = (name: string, replicas: number): KubeObject => ({ apiVersion: 'autoscaling/v1', kind: 'Scale', metadata: { name, namespace: 'shop' }, spec: replicas === 0 ? {} : { replicas } })
const stored = (object: Workload) => ({ objects: { get: () => object, list: () => [] } })
const adopted = (replicas: string) => workload({ replicas: 0, annotations: { 'canarygate.dev/replicas': replicas } })

const scales: readonly (Row & { readonly from: number; readonly to: number; readonly stored: Workload })[] = [
  { name: 'scaling the primary by hand is refused', from: 3, to: 5, stored: primary(), request: { name: 'cart-primary' }, denies: [/kubectl -n shop scale deployment\/cart --replicas=5/] },
  { name: 'under break-glass it passes, with a word', from: 3, to: 5, stored: brokenAt(NOW - 60_000), request: { name: 'cart-primary' }, warns: /break-glass \("incident 4711"\)/ },
  { name: 'not under that of yesterday', from: 3, to: 5, stored: brokenAt(NOW - 86_400_000), request: { name: 'cart-primary' }, denies: [/kubectl -n shop scale deployment\/cart --replicas=5/] },
  { name: 'an autoscaler scales the primary', from: 3, to: 5, stored: primary(), request: { name: 'cart-primary', ...as('system:serviceaccount:kube-system:horizontal-pod-autoscaler') } },
  { name: 'KEDA scales the primary', from: 0, to: 1, stored: primary(), request: { name: 'cart-primary', ...as('system:serviceaccount:keda:keda-operator') } },
  { name: 'scaling an adopted target up passes: the agent carries it over', from: 0, to: 5, stored: adopted('3'), request: {} },
  { name: 'scaling an adopted target to zero would stop nothing, so it is refused with the way', from: 0, to: 0, stored: adopted('3'), request: {}, denies: [/kubectl -n shop annotate deployment\/cart canarygate.dev\/replicas=0 --overwrite/] },
  { name: 'an adopted target that is at zero may be scaled to zero', from: 0, to: 0, stored: adopted('0'), request: {} },
  { name: 'any other Deployment may be scaled to zero', from: 0, to: 0, stored: workload({ replicas: 0 }), request: {} },
]
for (const row of scales) {
  test(row.name, async (t) => {
    const name = row.stored.metadata.name
    const review = request({ subResource: 'scale', kind: 'Scale', name, object: scale(name, row.to), oldObject: scale(name, row.from), ...row.request })
    const { findings, warnings } = guardScale(review, context(stored(row.stored)))
    t.equal(findings.length, row.denies?.length ?? 0)
    for (const [index, pattern] of (row.denies ?? []).entries()) t.match(findings[index]?.fix, pattern)
    t.equal(warnings.length, row.warns ? 1 : 0)
    if (row.warns) t.match(warnings[0], row.warns)
  })
}
