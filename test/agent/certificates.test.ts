import { X509Certificate } from 'node:crypto'
import { test } from 'tap'
import { keepCertificates } from '#agent/certificates.ts'
import type { KubeObject } from '#api/objects.ts'
import { EMPTY_BUNDLE, fromSecret, toSecret } from '#certs/bundle.ts'
import { certificatesOf } from '#certs/certificate.ts'
import { createForgeIssuer } from '#certs/issue.ts'
import { performStep } from '#certs/rotation.ts'
import { createFakeKube, type FakeKube } from '../fake-kube.ts'
import { createFakeClock } from '../kube/fake-clock.ts'
import { createLogLines } from '../kube/log-lines.ts'

const NAMESPACE = 'canarygate'
const SERVICE = 'canarygate-webhook'
const DAY = 86_400_000
const ADMISSION = 'admissionregistration.k8s.io/v1'
const KINDS = ['MutatingWebhookConfiguration', 'ValidatingWebhookConfiguration'] as const

const configuration = (kind: string, annotations: Readonly<Record<string, string>> = {}): KubeObject => ({
  apiVersion: ADMISSION, kind, metadata: { name: 'canarygate', labels: { 'app.kubernetes.io/part-of': 'canarygate' }, annotations },
  webhooks: [
    { name: 'a.canarygate.dev', clientConfig: { service: { name: SERVICE, namespace: NAMESPACE, path: '/a' } } },
    { name: 'other.example.com', clientConfig: { caBundle: 'dGhlaXJz', service: { name: 'other', namespace: 'other' } } },
  ],
})
const pod = (ip: string): KubeObject => ({
  apiVersion: 'v1', kind: 'Pod', metadata: { name: `webhook-${ip}`, namespace: NAMESPACE, labels: { 'app.kubernetes.io/name': 'canarygate', 'app.kubernetes.io/component': 'webhook' } },
  status: { podIP: ip, conditions: [{ type: 'Ready', status: 'True' }] },
})

function scene(objects: readonly KubeObject[] = KINDS.map((kind) => configuration(kind)), { isLeader = () => true, start = Date.UTC(2026, 0, 1) }: { readonly isLeader?: () => boolean; readonly start?: number } = {}) {
  const clock = createFakeClock(start)
  const fake = createFakeKube({ now: clock.now })
  fake.seed({ apiVersion: 'v1', kind: 'Namespace', metadata: { name: NAMESPACE } }, ...objects)
  const { log, lines } = createLogLines()
  const served = new Map<string, string | undefined>()
  const certificates = keepCertificates({
    client: fake.client, namespace: NAMESPACE, service: SERVICE, isLeader, log, now: clock.now, random: () => 0.5, after: clock.after,
    servedAt: async (address) => served.get(address),
  })
  const secret = () => fake.object('v1', 'Secret', `${NAMESPACE}/canarygate-webhook-tls`)
  const bundle = () => fromSecret(secret())
  const fingerprint = (): string => new X509Certificate(bundle().leaf?.cert ?? '').fingerprint256
  /** Keys of 2048 bits take real time to make: what waits for them is waited for. */
  const until = async (holds: () => boolean): Promise<void> => {
    for (let tries = 0; !holds() && tries < 400; tries += 1) {
      await clock.advance(1_000)
      await new Promise((resolve) => { setTimeout(resolve, 5) })
    }
    if (!holds()) throw new Error('what was waited for did not come')
  }
  return { clock, fake, lines, certificates, secret, bundle, fingerprint, served, until }
}

type Webhook = { readonly name: string; readonly clientConfig: { readonly caBundle?: string } }
const bundlesOf = (fake: FakeKube) => KINDS.flatMap((kind) => (fake.object(ADMISSION, kind, 'canarygate') as unknown as { webhooks: Webhook[] } | undefined)?.webhooks.map(({ clientConfig }) => clientConfig.caBundle) ?? [])
const isInjected = (fake: FakeKube, expected: string) => (): boolean => bundlesOf(fake).filter((_, at) => at % 2 === 0).every((found) => found === Buffer.from(expected).toString('base64'))
const trusted = (pems: readonly string[]): string => pems.map((pem) => `${pem.trim()}\n`).join('')

test('a fresh installation gets a certificate for its Service, and both configurations trust it', async (t) => {
  const { fake, certificates, bundle, until } = scene()
  certificates.lead()
  await until(() => bundle().leaf !== undefined)
  await until(isInjected(fake, trusted(bundle().trusted)))
  const leaf = new X509Certificate(bundle().leaf?.cert ?? '')
  t.match(leaf.subjectAltName, `${SERVICE}.${NAMESPACE}.svc`)
  t.same(bundlesOf(fake).filter((_, at) => at % 2 === 1), ['dGhlaXJz', 'dGhlaXJz'], 'webhooks of others are left alone')
  certificates.stop()
})

test('an emptied caBundle is put back as soon as the watch tells, with the same certificate', async (t) => {
  const { fake, certificates, bundle, secret, until, clock } = scene()
  certificates.lead()
  await until(() => bundle().leaf !== undefined)
  await until(isInjected(fake, trusted(bundle().trusted)))
  const version = secret()?.metadata.resourceVersion
  const [kind] = KINDS
  fake.edit({ apiVersion: ADMISSION, kind, name: 'canarygate' }, () => configuration(kind))
  t.equal(bundlesOf(fake)[0], undefined)
  await clock.advance(0)
  await until(isInjected(fake, trusted(bundle().trusted)))
  t.equal(secret()?.metadata.resourceVersion, version)
  certificates.stop()
})

test('a deleted Secret is made anew at once, and what pods still serve of it stays trusted until they serve the new one', async (t) => {
  const { fake, certificates, bundle, secret, served, fingerprint, until, clock } = scene()
  fake.seed(pod('10.0.0.1'))
  certificates.lead()
  await until(() => bundle().leaf !== undefined)
  await until(isInjected(fake, trusted(bundle().trusted)))
  served.set('10.0.0.1', fingerprint())
  const [before = ''] = bundle().trusted
  const lost = secret()?.metadata.uid
  await fake.client.delete({ apiVersion: 'v1', kind: 'Secret', namespace: NAMESPACE, name: 'canarygate-webhook-tls' })
  await until(() => secret() !== undefined && secret()?.metadata.uid !== lost && bundle().leaf !== undefined)
  t.same(bundle().trusted.slice(1).map((pem) => pem.trim()), [before.trim()], 'the old CA stands beside the new one')
  await until(isInjected(fake, trusted(bundle().trusted)))
  await clock.advance(600_000)
  t.equal(bundle().trusted.length, 2, 'as long as a pod serves its certificate')
  served.set('10.0.0.1', fingerprint())
  await until(() => bundle().trusted.length === 1)
  await until(isInjected(fake, trusted(bundle().trusted)))
  t.not(bundle().trusted[0]?.trim(), before.trim())
  certificates.stop()
})

test('where cert-manager injects, its Secret and its bundles are never written', async (t) => {
  const theirs: KubeObject = { apiVersion: 'v1', kind: 'Secret', metadata: { name: 'canarygate-webhook-tls', namespace: NAMESPACE }, type: 'kubernetes.io/tls', data: { 'tls.crt': 'eA==', 'tls.key': 'eQ==' } }
  const { fake, certificates, clock } = scene([...KINDS.map((kind) => configuration(kind, { 'cert-manager.io/inject-ca-from': `${NAMESPACE}/canarygate` })), theirs])
  // The configurations come late: until they are known, a Secret without our marks must not be taken for one of ours.
  fake.faults.on(({ verb, kind, count }) => (verb === 'list' && kind !== 'Secret' && count <= 3 ? '503' : undefined))
  certificates.lead()
  await clock.advance(60_000)
  await clock.advance(DAY)
  t.same(fake.writes(), [])
  t.match(fake.object('v1', 'Secret', `${NAMESPACE}/canarygate-webhook-tls`), { data: theirs['data'] })
  certificates.stop()
})

test('who does not lead writes nothing', async (t) => {
  const { fake, certificates, clock } = scene(undefined, { isLeader: () => false })
  certificates.lead()
  await clock.advance(60_000)
  t.same(fake.writes(), [])
  certificates.stop()
})

test('nothing is left to do: nothing is written for a day', async (t) => {
  const { fake, certificates, bundle, until, clock } = scene()
  certificates.lead()
  await until(() => bundle().leaf !== undefined)
  await until(isInjected(fake, trusted(bundle().trusted)))
  fake.clearCalls()
  await clock.advance(DAY)
  t.same(fake.writes(), [])
  certificates.stop()
})

test('a new CA is trusted before it serves, and the old one until no pod serves its certificate', async (t) => {
  const name = { service: SERVICE, namespace: NAMESPACE }
  const issuer = createForgeIssuer()
  const begin = Date.UTC(2026, 0, 1)
  const withCa = await performStep({ kind: 'introduce new CA', reason: '' }, EMPTY_BUNDLE, name, issuer, begin)
  const at = begin + 1_217 * DAY
  const old = await performStep({ kind: 'issue leaf', reason: '' }, withCa, name, issuer, at - 10 * DAY)
  const { fake, certificates, bundle, fingerprint, served, until, clock } = scene(
    [...KINDS.map((kind) => configuration(kind)), toSecret(old, { metadata: { name: 'canarygate-webhook-tls', namespace: NAMESPACE } }), pod('10.0.0.1')], { start: at })
  const oldFingerprint = fingerprint()
  served.set('10.0.0.1', oldFingerprint)
  certificates.lead()
  await until(() => bundle().trusted.length === 2)
  t.equal(fingerprint(), oldFingerprint, 'the old certificate serves until the new CA is trusted')
  await until(isInjected(fake, trusted(bundle().trusted)))
  t.equal(certificatesOf(trusted(bundle().trusted)).length, 2)
  await until(() => fingerprint() !== oldFingerprint)
  for (let minute = 0; minute < 10; minute += 1) await clock.advance(60_000)
  t.equal(bundle().trusted.length, 2, 'a pod still serves the old one')
  served.set('10.0.0.1', fingerprint())
  await until(() => bundle().trusted.length === 1)
  await until(isInjected(fake, trusted(bundle().trusted)))
  certificates.stop()
})

test('asked for by an annotation, a rotation begins at once, and the asking is taken away', async (t) => {
  const { fake, certificates, bundle, fingerprint, served, until, lines } = scene([...KINDS.map((kind) => configuration(kind)), pod('10.0.0.1')])
  certificates.lead()
  await until(() => bundle().leaf !== undefined)
  await until(isInjected(fake, trusted(bundle().trusted)))
  const [before, [oldCa]] = [fingerprint(), bundle().trusted]
  served.set('10.0.0.1', before)
  const [, kind] = KINDS
  const asking = (): unknown => fake.object(ADMISSION, kind, 'canarygate')?.metadata.annotations?.['canarygate.dev/rotate-certificates']
  fake.edit({ apiVersion: ADMISSION, kind, name: 'canarygate' }, (stored) => ({ ...stored, metadata: { ...stored.metadata, annotations: { 'canarygate.dev/rotate-certificates': 'the key leaked' } } }))
  await until(() => bundle().trusted.length === 2)
  t.ok(lines.some(({ reason }) => reason === 'asked for: the key leaked'))
  await until(() => asking() === undefined)
  await until(() => fingerprint() !== before)
  served.set('10.0.0.1', fingerprint())
  await until(() => bundle().trusted.length === 1)
  t.not(bundle().trusted[0], oldCa)
  const after = fingerprint()
  await until(isInjected(fake, trusted(bundle().trusted)))
  t.equal(fingerprint(), after, 'once')
  certificates.stop()
})

test('two leaders at once cannot both win: the loser looks again', async (t) => {
  const { fake, certificates, bundle, until, lines } = scene()
  let isFirst = true
  fake.faults.on(({ verb, kind }) => {
    if (verb !== 'create' || kind !== 'Secret' || !isFirst) return undefined
    isFirst = false
    return 'conflict'
  })
  certificates.lead()
  await until(() => bundle().leaf !== undefined)
  await until(isInjected(fake, trusted(bundle().trusted)))
  t.equal(lines.filter(({ msg }) => msg === 'turn failed').length, 1)
  certificates.stop()
})
