import { test } from 'tap'
import type { KubeObject, ObjectReader } from '#api/objects.ts'
import type { AdmissionRequest } from '#admission/review.ts'
import { keepServing } from '#admission/services.ts'

const AGENT = 'system:serviceaccount:canarygate:canarygate-agent'
const ROLE = 'canarygate.dev/role'
const TARGET = 'canarygate.dev/target'
const PATH = '/spec/selector/canarygate.dev~1'

const service = (selector: Readonly<Record<string, string>> | undefined, labels: Readonly<Record<string, string>> = {}): KubeObject =>
  ({ apiVersion: 'v1', kind: 'Service', metadata: { name: 'cart', namespace: 'shop', labels }, spec: selector ? { selector } : {} })
const canary = (metadata: object = {}, spec: object = {}): KubeObject =>
  ({ apiVersion: 'flagger.app/v1beta1', kind: 'Canary', metadata: { name: 'cart', namespace: 'shop', ...metadata }, spec: { targetRef: { kind: 'Deployment', name: 'cart' }, ...spec } })
const reader = (...canaries: readonly KubeObject[]): ObjectReader => ({ get: () => undefined, list: (_, kind) => (kind === 'Canary' ? canaries : []) })

const APPLIED = { app: 'cart' }
const PRIMARY = { app: 'cart', [ROLE]: 'primary' }
type Row = {
  readonly name: string; readonly before: KubeObject; readonly after: KubeObject; readonly gives: readonly object[]; readonly says?: RegExp
  readonly canaries?: readonly KubeObject[]; readonly more?: object
}
const rows: readonly Row[] = [
  { name: 'an apex applied as it stands in Git goes on selecting the primary', before: service(PRIMARY), after: service(APPLIED), gives: [{ op: 'add', path: `${PATH}role`, value: 'primary' }] },
  { name: 'an apex in front of both roles goes on selecting both', before: service({ app: 'cart', [TARGET]: 'cart' }), after: service(APPLIED), gives: [{ op: 'add', path: `${PATH}target`, value: 'cart' }] },
  { name: 'a selector that is taken away altogether comes back', before: service(PRIMARY), after: service(undefined), gives: [{ op: 'add', path: '/spec/selector', value: {} }, { op: 'add', path: `${PATH}role`, value: 'primary' }] },
  { name: 'its owner may select by other labels of his own', before: service(PRIMARY), after: service({ app: 'cart', tier: 'web', [ROLE]: 'primary' }), gives: [] },
  { name: 'a role of somebody else\'s choice is not taken', before: service(PRIMARY), after: service({ app: 'cart', [ROLE]: 'canary' }), gives: [{ op: 'add', path: `${PATH}role`, value: 'primary' }],
    says: /^CanaryGate: service\/cart keeps canarygate.dev\/role: primary, which says who serves; to send requests to the canary: kubectl -n shop annotate canary\/cart canarygate.dev\/promote="<why>"$/ },
  { name: 'a selector that the API server will refuse is left to it', before: service(PRIMARY), after: { ...service(APPLIED), spec: { selector: 'cart' } }, gives: [] },
  { name: 'a Service before its adoption is left alone', before: service(APPLIED), after: service({ app: 'shop' }), gives: [] },
  { name: 'a Service of no Canary is left alone', before: service(PRIMARY), after: service(APPLIED), canaries: [canary({}, { service: { name: 'other' } })], gives: [] },
  { name: 'a Service whose Canary is being deleted is left alone', before: service(PRIMARY), after: service(APPLIED), canaries: [canary({ deletionTimestamp: '2026-11-21T10:00:00Z' })], gives: [] },
  { name: 'a Service that the agent made is its own business', before: service(PRIMARY, { 'app.kubernetes.io/managed-by': 'canarygate' }), after: service(APPLIED), gives: [] },
  { name: 'the agent moves the apex as it likes', before: service(PRIMARY), after: service(APPLIED), more: { user: { username: AGENT, groups: [] } }, gives: [] },
]

for (const { name, before, after, gives, says, canaries = [canary()], more = {} } of rows) {
  test(name, async (t) => {
    const request = {
      uid: 'u', kind: 'Service', group: '', resource: 'services', subResource: '', operation: 'UPDATE', name: 'cart', namespace: 'shop',
      user: { username: 'alice', groups: [] }, object: after, oldObject: before, dryRun: false, ...more,
    } as unknown as AdmissionRequest
    const { patch, warnings } = keepServing(request, { agentUsers: [AGENT], objects: reader(...canaries) })
    t.same(patch, gives)
    t.equal(warnings.length, says ? 1 : 0)
    if (says) t.match(warnings[0], says)
  })
}
