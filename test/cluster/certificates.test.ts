import { X509Certificate } from 'node:crypto'
import { setTimeout as wait } from 'node:timers/promises'
import { t, test, type Test } from 'tap'
import type { KubeObject } from '#api/objects.ts'
import { fromSecret } from '#certs/bundle.ts'
import { beginMeasuring, client, kubectl, skip, waitFor } from '../scene.ts'
import { underAdmissions, webhookPods } from './admissions.ts'

/** The webhook's certificates change while people work, and whatever somebody does to them. */
await beginMeasuring(t)

const OURS = 'canarygate'
const ADMISSION = 'admissionregistration.k8s.io/v1'
const KINDS = ['MutatingWebhookConfiguration', 'ValidatingWebhookConfiguration'] as const
const ASKING = 'canarygate.dev/rotate-certificates'
/** As many as are wanted; a busy machine gets no further than it gets (s), but far enough to meet every step of a rotation. */
const WANTED_ADMISSIONS = 10_000
const LONGEST_SENDING = 100
const LEAST_ADMISSIONS = 1_000

type Configuration = KubeObject & { readonly webhooks: readonly { readonly clientConfig: { readonly caBundle?: string } }[] }
const configurations = async (): Promise<readonly Configuration[]> =>
  (await Promise.all(KINDS.map(async (kind) => (await client()).get<Configuration>({ apiVersion: ADMISSION, kind, name: OURS })))).flatMap((found) => found ?? [])
const bundles = async (): Promise<readonly string[]> => (await configurations()).flatMap(({ webhooks }) => webhooks.map(({ clientConfig }) => clientConfig.caBundle ?? ''))
const stored = async () => fromSecret(await (await client()).get({ apiVersion: 'v1', kind: 'Secret', namespace: OURS, name: 'canarygate-webhook-tls' }))
const fingerprint = (pem: string | undefined): string => new X509Certificate(pem ?? '').fingerprint256

/** A whole rotation, as an operator begins one. */
async function rotate(t: Test, round: number): Promise<void> {
  const before = await stored()
  await kubectl('annotate', 'mutatingwebhookconfiguration/canarygate', `${ASKING}=round ${round}`)
  await waitFor('the new CA to stand beside the old one', async () => (await stored()).trusted.length === 2, 20)
  await waitFor('a certificate of the new CA', async () => fingerprint((await stored()).leaf?.cert) !== fingerprint(before.leaf?.cert), 40)
  // A kubelet looks at a pod's volumes when the pod changes, else each minute or so.
  await kubectl('-n', OURS, 'annotate', 'pods', '-l', 'app.kubernetes.io/component=webhook', `canarygate.dev/scene=${round}`, '--overwrite')
  await waitFor('the old CA to be dropped', async () => (await stored()).trusted.length === 1, 150)
  const after = await stored()
  t.not(fingerprint(after.trusted[0]), fingerprint(before.trusted[0]), `rotation ${round}: another CA`)
  await waitFor('every webhook to trust the new one alone', async () => {
    const trusted = Buffer.from(`${after.trusted[0]?.trim()}\n`).toString('base64')
    return (await bundles()).every((bundle) => bundle === trusted)
  }, 20)
}

test('two rotations of CA and certificate under admissions: none fails, none passes ungated', { skip }, async (t) => {
  const pods = await webhookPods()
  const startedAt = performance.now()
  const seen = await underAdmissions(t, async (sofar) => {
    await rotate(t, 1)
    await rotate(t, 2)
    t.comment(`two rotations in ${((performance.now() - startedAt) / 1_000).toFixed(0)} s`)
    const endAt = performance.now() + LONGEST_SENDING * 1_000
    while (sofar() < WANTED_ADMISSIONS && performance.now() < endAt) await wait(500)
  })
  t.ok(seen.sent >= LEAST_ADMISSIONS, `${seen.sent} admissions`)
  t.strictSame({ failed: seen.failed, ungated: seen.ungated, errors: seen.errors }, { failed: 0, ungated: 0, errors: {} })
  t.strictSame(await webhookPods(), pods, 'no pod was restarted for it')
  t.strictSame((await configurations()).flatMap(({ metadata }) => metadata.annotations?.[ASKING] ?? []), [], 'the asking was taken away')
})

test('an emptied caBundle is put back at once', { skip }, async (t) => {
  const [before = ''] = await bundles()
  for (const kind of KINDS) {
    await (await client()).patch({ apiVersion: ADMISSION, kind, name: OURS }, [{ op: 'replace', path: '/webhooks/0/clientConfig/caBundle', value: '' }], 'json')
    const startedAt = performance.now()
    await waitFor('the bundle to be back', async () => (await bundles()).every((bundle) => bundle === before), 10, 20)
    t.comment(`${kind}: back after ${((performance.now() - startedAt) / 1_000).toFixed(2)} s`)
  }
  t.pass('in both configurations')
})

test('a deleted Secret is back at once, and no admission fails for it', { skip }, async (t) => {
  const before = await stored()
  const seen = await underAdmissions(t, async () => {
    await kubectl('-n', OURS, 'delete', 'secret', 'canarygate-webhook-tls')
    const startedAt = performance.now()
    await waitFor('a new one', async () => (await stored()).leaf !== undefined, 20)
    t.comment(`back after ${((performance.now() - startedAt) / 1_000).toFixed(2)} s`)
    await waitFor('its CA to be trusted', async () => { const pem = await stored(); return (await bundles()).every((bundle) => bundle === Buffer.from(pem.trusted.map((one) => `${one.trim()}\n`).join('')).toString('base64')) }, 20)
    await wait(5_000)
  })
  t.ok((await stored()).trusted.some((pem) => fingerprint(pem) === fingerprint(before.trusted[0])), 'pods still serve the old certificate, and it is still trusted')
  t.strictSame({ failed: seen.failed, ungated: seen.ungated, errors: seen.errors }, { failed: 0, ungated: 0, errors: {} }, `${seen.sent} admissions`)
})
