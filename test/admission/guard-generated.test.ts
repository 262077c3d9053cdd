import { test } from 'tap'
import { guardGenerated } from '#admission/guard-generated.ts'
import { warnLeaving } from '#admission/leaving.ts'
import type { AdmissionRequest } from '#admission/review.ts'
import type { Canary } from '#api/canary.ts'
import type { KubeObject, ObjectReader } from '#api/objects.ts'
import { AGENT, canary, NOW, request } from './fixtures/reviews.ts'

const OWNER = { apiVersion: 'flagger.app/v1beta1', kind: 'Canary', name: 'cart', uid: 'u', controller: true }
const made = (kind: string, content: object, { labels = {}, annotations = {}, owner = OWNER }: { readonly labels?: object; readonly annotations?: object; readonly owner?: object } = {}): KubeObject => ({
  apiVersion: 'v1', kind, ...content,
  metadata: { name: 'cart-canary', namespace: 'shop', labels: { 'app.kubernetes.io/managed-by': 'canarygate', 'canarygate.dev/target': 'cart', ...labels }, annotations, ownerReferences: [owner] },
} as unknown as KubeObject)
const readerOf = (...canaries: readonly Canary[]): ObjectReader => ({
  get: ({ kind, name }) => canaries.find(({ metadata }) => kind === 'Canary' && metadata.name === name),
  list: (_, kind, namespace) => (kind === 'Canary' ? canaries.filter(({ metadata }) => namespace === '' || metadata.namespace === namespace) : kind === 'ClusterCanaryPolicy' ? [canary()] : []),
})

const service = (selector: object, more: Parameters<typeof made>[2] = {}): KubeObject => made('Service', { spec: { selector, ports: [{ port: 80 }] } }, more)
const route = (weight: number): KubeObject => made('TraefikService', { spec: { weighted: { services: [{ name: 'cart-canary', weight }] } } })
const snapshot = (image: string): KubeObject => made('ControllerRevision', { data: { template: { image } }, revision: 3 })
const scaler = (maxReplicas: number): KubeObject => made('HorizontalPodAutoscaler', { spec: { maxReplicas } })
const copy = (mode: string): KubeObject => made('ConfigMap', { data: { mode } }, { annotations: { 'canarygate.dev/config': 'settings' } })
const [CANARY, PRIMARY] = [{ app: 'cart', role: 'canary' }, { app: 'cart', role: 'primary' }]
const as = (username: string, ...groups: string[]) => ({ user: { username, groups } })

type Row = { readonly name: string; readonly request: Partial<AdmissionRequest>; readonly canaries?: readonly Canary[]; readonly denies?: readonly RegExp[]; readonly warns?: RegExp }
const going: Canary = { ...canary(), metadata: { name: 'cart', namespace: 'shop', deletionTimestamp: '2026-11-21T00:00:00Z' } }
const rows: readonly Row[] = [
  { name: 'a Service that is to select other pods', request: { kind: 'Service', oldObject: service(CANARY), object: service(PRIMARY) },
    denies: [/^spec: service\/cart-canary is made from canary "cart"; .*kubectl -n shop edit canary cart .*break-glass/] },
  { name: 'a weight set by hand', request: { kind: 'TraefikService', oldObject: route(10), object: route(100) }, denies: [/^spec: traefikservice\/cart-canary/] },
  { name: 'a snapshot never changes', request: { kind: 'ControllerRevision', oldObject: snapshot('a'), object: snapshot('b') }, denies: [/^data: .*change the target, which makes another revision/] },
  { name: 'a snapshot is not deleted', request: { kind: 'ControllerRevision', operation: 'DELETE', oldObject: snapshot('a') }, denies: [/^metadata.name: .*revisionHistoryLimit of canary\/cart/] },
  { name: 'an autoscaler follows the one that it is made from', request: { kind: 'HorizontalPodAutoscaler', oldObject: scaler(5), object: scaler(9) }, canaries: [canary({}, { autoscalerRef: { apiVersion: 'autoscaling/v2', kind: 'HorizontalPodAutoscaler', name: 'web' } })],
    denies: [/^spec: .*change the one that it is made from, which is carried over at once: kubectl -n shop edit horizontalpodautoscaler\/web /] },
  { name: 'a ScaledObject is not deleted', request: { kind: 'ScaledObject', operation: 'DELETE', oldObject: made('ScaledObject', { spec: {} }) }, denies: [/^metadata.name: .*take spec.autoscalerRef out of canary\/cart/] },
  { name: 'a copy of a ConfigMap is what its revision runs with', request: { kind: 'ConfigMap', operation: 'DELETE', oldObject: copy('a') }, denies: [/^metadata.name: .*copies go by themselves/] },
  { name: 'and never changes', request: { kind: 'ConfigMap', oldObject: copy('a'), object: copy('b') }, denies: [/^data: .*change settings, which makes another revision/] },
  { name: 'a route is not deleted', request: { kind: 'TraefikService', operation: 'DELETE', oldObject: route(10) }, denies: [/delete the Canary instead/] },
  { name: 'the label by which it is known stays', request: { kind: 'Service', oldObject: service(CANARY), object: service(CANARY, { labels: { 'app.kubernetes.io/managed-by': 'me' } }) }, denies: [/^metadata.labels\[app.kubernetes.io\/managed-by\]/] },
  { name: 'break-glass with a reason passes and is answered', request: { kind: 'Service', oldObject: service(CANARY), object: service(PRIMARY, { annotations: { 'canarygate.dev/break-glass': 'INC-7' } }) }, warns: /break-glass \("INC-7"\)/ },
  { name: 'labels and annotations of others are free', request: { kind: 'Service', oldObject: service(CANARY), object: service(CANARY, { labels: { team: 'shop' }, annotations: { note: 'x' } }) } },
  { name: 'a status is its router\'s', request: { kind: 'HTTPRoute', oldObject: route(10), object: { ...route(10), status: { parents: [] } } } },
  { name: 'the agent passes', request: { kind: 'TraefikService', oldObject: route(10), object: route(20), ...as(AGENT) } },
  { name: 'the garbage collector passes', request: { kind: 'Service', operation: 'DELETE', oldObject: service(CANARY), ...as('system:serviceaccount:kube-system:generic-garbage-collector') } },
  { name: 'what a deleted Canary left may be cleaned up', request: { kind: 'Service', operation: 'DELETE', oldObject: service(CANARY) }, canaries: [] },
  { name: 'while its Canary goes, too', request: { kind: 'Service', operation: 'DELETE', oldObject: service(CANARY) }, canaries: [going] },
  { name: 'what is not ours is not guarded', request: { kind: 'Service', oldObject: service(CANARY, { labels: { 'app.kubernetes.io/managed-by': 'Helm' } }), object: service(PRIMARY) } },
  { name: 'what has no Canary for an owner is not guarded', request: { kind: 'Service', oldObject: service(CANARY, { owner: { ...OWNER, kind: 'Other' } }), object: service(PRIMARY) } },
]
for (const { name, request: shape, canaries = [canary()], denies = [], warns } of rows) {
  test(name, async (t) => {
    const { findings, warnings } = guardGenerated(request({ name: 'cart-canary', ...shape }), { agentUsers: [AGENT], objects: readerOf(...canaries), now: () => NOW })
    t.equal(findings.length, denies.length)
    for (const [index, pattern] of denies.entries()) t.match(`${findings[index]?.field}: ${findings[index]?.message}; ${findings[index]?.fix}`, pattern)
    t.equal(warnings.length, warns ? 1 : 0)
    if (warns) t.match(warnings[0], warns)
  })
}

const named = (name: string, namespace: string, phase: 'Progressing' | 'Succeeded'): Canary => ({ ...canary({ phase }), metadata: { name, namespace } })
const space = (gate?: string): KubeObject => ({ apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'shop', labels: gate === undefined ? {} : { 'canarygate.dev/gate': gate } } })
const all = [named('cart', 'shop', 'Progressing'), named('web', 'shop', 'Succeeded'), named('pay', 'bank', 'Progressing')]
const leaving: readonly (Omit<Row, 'denies'>)[] = [
  { name: 'a namespace taken out while a canary runs', request: { resource: 'namespaces', kind: 'Namespace', name: 'shop', oldObject: space('enabled'), object: space() }, warns: /canary shop\/cart runs on to a verdict; changes without a Canary roll out at once.*annotate canary NAME canarygate\.dev\/abort=/ },
  { name: 'a namespace taken out at rest', request: { resource: 'namespaces', kind: 'Namespace', name: 'quiet', oldObject: space('enabled'), object: space() } },
  { name: 'a namespace that stays', request: { resource: 'namespaces', kind: 'Namespace', name: 'shop', oldObject: space('enabled'), object: space('enabled') } },
  { name: 'the definition of Canaries', request: { resource: 'customresourcedefinitions', operation: 'DELETE', name: 'canaries.flagger.app' }, warns: /canaries shop\/cart, shop\/web, bank\/pay are there.*kubectl delete canaries --all -A first/ },
  { name: 'the definition of policies', request: { resource: 'customresourcedefinitions', operation: 'DELETE', name: 'clustercanarypolicies.canarygate.dev' }, warns: /1 ClusterCanaryPolicy object goes with it: what they gate, .* is open.*kubectl get clustercanarypolicies\.canarygate\.dev -A -o yaml > / },
  { name: 'the definition of something else', request: { resource: 'customresourcedefinitions', operation: 'DELETE', name: 'alertproviders.flagger.app' } },
  { name: 'a definition without Canaries', request: { resource: 'customresourcedefinitions', operation: 'DELETE', name: 'canaries.flagger.app' }, canaries: [] },
]
for (const { name, request: shape, canaries = all, warns } of leaving) {
  test(`leaving: ${name}`, async (t) => {
    const { findings, warnings } = warnLeaving(request(shape), readerOf(...canaries))
    t.same(findings, [])
    t.equal(warnings.length, warns ? 1 : 0)
    if (warns) t.match(warnings[0], warns)
    for (const warning of warnings) t.ok(warning.length <= 256, `${warning.length} characters`)
  })
}
