import { readFile } from 'node:fs/promises'
import { t, test } from 'tap'
import { toSecret } from '#certs/bundle.ts'
import { caBundlePatch } from '#certs/inject.ts'
import { createKubeClient } from '#kube/client.ts'
import { loadClusterConfig } from '#kube/config.ts'
import { createEventRecorder } from '#kube/events.ts'
import { createLeader } from '#kube/lease.ts'
import { createReflector } from '#kube/reflector.ts'
import { createLogLines } from '../kube/log-lines.ts'

const CLUSTER_FILE = new URL('../../.cluster/cluster.json', import.meta.url)
const kubeconfig = await readFile(CLUSTER_FILE, 'utf8').then((text) => (JSON.parse(text) as { kubeconfig?: string }).kubeconfig, () => undefined)
const skip = kubeconfig === undefined ? 'no cluster is up: make cluster-up' : false

const config = kubeconfig === undefined ? undefined : await loadClusterConfig({ kubeconfig, now: Date.now })
const namespace = `parts-${process.pid}-${Date.now().toString(36)}`
const client = config && createKubeClient(config, { userAgent: 'canarygate/contract', qps: 200, burst: 200, now: Date.now, random: Math.random })
await client?.create({ apiVersion: 'v1', kind: 'Namespace', metadata: { name: namespace } })

async function until(isSo: () => boolean): Promise<void> {
  for (const end = performance.now() + 5_000; !isSo() && performance.now() < end;) await new Promise((resolve) => setTimeout(resolve, 5))
}

test('a real API server: a stopped leader is followed within a second', { skip }, async (t) => {
  if (!client) return
  const { log } = createLogLines()
  const candidate = (identity: string) => createLeader({
    client, namespace, name: 'agent', identity, log, now: Date.now, monotonic: () => performance.now(), random: Math.random,
    onStartedLeading: () => {}, onStoppedLeading: () => {},
  })
  const [a, b] = [candidate('a'), candidate('b')]
  a.start()
  await until(a.isLeader)
  b.start()
  await until(() => b.holder() === 'a')
  t.equal(b.isLeader(), false)
  await a.stop()
  const stoppedAt = performance.now()
  await until(b.isLeader)
  t.ok(b.isLeader() && performance.now() - stoppedAt < 1_000, `${Math.round(performance.now() - stoppedAt)} ms`)
  t.equal(b.epoch(), 1)
  await b.stop()
})

test('a real API server: events are accepted and counted', { skip }, async (t) => {
  if (!client) return
  const { log, lines } = createLogLines()
  const recorder = createEventRecorder({ client, component: 'canarygate', instance: 'test', log, now: Date.now, random: Math.random })
  const about = await client.create({ apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'told', namespace } })
  for (let turn = 0; turn < 3; turn += 1) await recorder.record(about, { type: 'Warning', reason: 'CanaryRolledBack', message: 'é'.repeat(1_000) })
  t.same(lines, [])
  const { items } = await client.list('v1', 'Event', { namespace, fieldSelector: 'involvedObject.name=told' })
  t.match(items, [{ reason: 'CanaryRolledBack', count: 3, type: 'Warning' }])
  const namespaceItself = await client.get({ apiVersion: 'v1', kind: 'Namespace', name: namespace })
  if (namespaceItself) await recorder.record(namespaceItself, { type: 'Normal', reason: 'Tested', message: 'about an object without namespace' })
  t.same(lines, [])
})

test('a real API server: a reflector follows, and a missing kind is no fault', { skip }, async (t) => {
  if (!client) return
  const { log, lines } = createLogLines()
  const seen: string[] = []
  const options = { client, namespace, log, now: Date.now, random: Math.random }
  const secrets = createReflector({ ...options, apiVersion: 'v1', kind: 'Secret', onChange: (kind, { metadata }) => void seen.push(`${kind} ${metadata.name}`) })
  const missing = createReflector({ ...options, apiVersion: 'example.invalid/v1', kind: 'Nothing' })
  secrets.start()
  missing.start()
  await until(() => secrets.hasSynced() && missing.hasSynced())
  const bundle = { leaf: undefined, trusted: [], caKey: undefined, introducedAt: 1, leafIssuedAt: 2 }
  const secret = await client.create(toSecret(bundle, { metadata: { name: 'certs', namespace } }))
  await client.delete({ apiVersion: 'v1', kind: 'Secret', namespace, name: secret.metadata.name })
  await until(() => seen.length === 2)
  t.same(seen, ['add certs', 'delete certs'])
  t.equal(missing.isServed(), false)
  await Promise.all([secrets.stop(), missing.stop()])
  t.same(lines.filter(({ level }) => level >= 40), [])
})

test('a real API server: the caBundle patch is accepted, and refused when another was quicker', { skip }, async (t) => {
  if (!client) return
  const name = `${namespace}.example.com`
  const ref = { apiVersion: 'admissionregistration.k8s.io/v1', kind: 'ValidatingWebhookConfiguration', name }
  const made = await client.create({
    ...ref, metadata: { name },
    webhooks: [{
      name: 'w.example.com', sideEffects: 'None', admissionReviewVersions: ['v1'], failurePolicy: 'Ignore',
      clientConfig: { service: { name: 'canarygate', namespace } }, namespaceSelector: { matchLabels: { never: 'matches' } }, rules: [],
    }],
  })
  t.teardown(async () => await client.delete(ref))
  const service = { name: 'canarygate', namespace }
  const stored = await client.patch(ref, caBundlePatch(made, 'first\n', service), 'json')
  t.same(caBundlePatch(stored, 'first\n', service), [])
  const changed = await client.patch(ref, caBundlePatch(stored, 'second\n', service), 'json')
  const refused = await client.patch(ref, caBundlePatch(stored, 'third\n', service), 'json').then(() => 'accepted', (err: unknown) => err)
  t.match(refused, { status: 422 }, 'the bundle it was made for is gone')
  t.same((await client.get(ref))?.['webhooks'], changed['webhooks'])
})

t.teardown(async () => {
  await client?.delete({ apiVersion: 'v1', kind: 'Namespace', name: namespace })
  await client?.close()
})
