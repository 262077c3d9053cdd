import { test } from 'tap'
import { createSharing } from '#kube/sharing.ts'

const podSpec = (image: string) => ({ containers: [{ name: 'app', image, ports: [{ containerPort: 8080 }] }], restartPolicy: 'Always' })
const workload = (name: string, image = 'cart:1', labels: Readonly<Record<string, string>> = {}) => ({
  apiVersion: 'apps/v1', kind: 'Deployment',
  metadata: { name, namespace: 'shop', labels: { app: 'cart', ...labels }, ownerReferences: [{ kind: 'Canary', uid: '5f0c1a52-0000-4000-8000-000000000008' }] },
  spec: { replicas: 2, template: { metadata: { labels: { app: 'cart', ...labels } }, spec: podSpec(image) } },
  status: { conditions: [{ type: 'Available', status: 'True', message: 'Deployment has minimum availability.' }] },
})

test('an object reads as it did, whatever was met before', async (t) => {
  const share = createSharing()
  for (const object of [workload('cart'), workload('cart-primary', 'cart:1', { role: 'primary' }), workload('till', 'till:2'), { kind: 'Odd', list: [null, 1, [], {}, ['a long enough text']], empty: {} }]) {
    const before = structuredClone(object)
    t.strictSame(share(object), before)
    t.strictSame(object, before, 'what came in is left as it was')
  }
})

test('what is equal is kept once', async (t) => {
  const share = createSharing()
  const [one, other] = [share(workload('cart')), share(workload('cart-primary', 'cart:1', { role: 'primary' }))]
  t.equal(other.spec.template.spec, one.spec.template.spec, 'the pod spec')
  t.equal(other.status.conditions, one.status.conditions)
  t.equal(other.metadata.ownerReferences, one.metadata.ownerReferences)
  t.not(other.metadata, one.metadata)
  t.not(other.spec.template, one.spec.template)
})

test('what differs is not, however little', async (t) => {
  const share = createSharing()
  const [one, other] = [share(workload('cart')), share(workload('cart', 'cart:2'))]
  t.equal(one.spec.template.spec.containers[0]?.image, 'cart:1')
  t.equal(other.spec.template.spec.containers[0]?.image, 'cart:2')
})

test('a text is no part that is written like it', async (t) => {
  const share = createSharing()
  const written = JSON.stringify({ app: 'a label of some length' })
  t.strictSame(share({ kind: 'A', metadata: { annotations: written } }).metadata.annotations, written)
  t.strictSame(share({ kind: 'A', metadata: { annotations: JSON.parse(written) as object } }).metadata.annotations, { app: 'a label of some length' })
})

test('what was not met for long is forgotten: ever new parts take no more memory', async (t) => {
  const share = createSharing()
  const first = share(workload('first', 'first:1'))
  for (let i = 0; i < 2_000; i += 1) share(workload(`app-${i}`, `app:${i}`))
  t.not(share(workload('first', 'first:1')).spec.template.spec, first.spec.template.spec)
  const last = share(workload('last', 'last:1'))
  t.equal(share(workload('last-primary', 'last:1')).spec.template.spec, last.spec.template.spec)
})
