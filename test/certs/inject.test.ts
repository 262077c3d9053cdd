import jsonPatch from 'fast-json-patch'
import { test } from 'tap'
import type { KubeObject } from '#api/objects.ts'
import { caBundlePatch, type PatchOperation } from '#certs/inject.ts'

const service = { name: 'canarygate', namespace: 'gate' }
const BUNDLE = 'pem text\n'
const RIGHT = Buffer.from(BUNDLE).toString('base64')
const ours = (caBundle?: string) => ({ service, ...(caBundle === undefined ? {} : { caBundle }) })
const configuration = (clientConfigs: object[], annotations: Record<string, string> = {}): KubeObject => ({
  apiVersion: 'admissionregistration.k8s.io/v1', kind: 'MutatingWebhookConfiguration', metadata: { name: 'canarygate', annotations },
  webhooks: clientConfigs.map((clientConfig, at) => ({ name: `w${at}.canarygate.dev`, clientConfig })),
})
const patched = (object: KubeObject, patch: readonly PatchOperation[]): KubeObject =>
  jsonPatch.applyPatch(structuredClone(object), structuredClone(patch) as jsonPatch.Operation[], true).newDocument

const rows = [
  { name: 'a missing bundle is added', object: configuration([ours()]), wants: configuration([ours(RIGHT)]) },
  { name: 'an empty bundle is filled', object: configuration([ours('')]), wants: configuration([ours(RIGHT)]) },
  { name: 'an old bundle is replaced, in every webhook', object: configuration([ours('b2xk'), ours(RIGHT), ours('b2xk')]), wants: configuration([ours(RIGHT), ours(RIGHT), ours(RIGHT)]) },
  { name: 'the right bundle is left alone', object: configuration([ours(RIGHT)]), wants: undefined },
  { name: 'webhooks of other Services are left alone', object: configuration([{ service: { name: 'other', namespace: 'gate' } }, { url: 'https://x' }]), wants: undefined },
  { name: 'no webhooks at all', object: configuration([]), wants: undefined },
  ...['inject-ca-from', 'inject-ca-from-secret', 'inject-apiserver-ca'].map((kind) => (
    { name: `cert-manager looks after it (${kind})`, object: configuration([ours('b2xk')], { [`cert-manager.io/${kind}`]: 'gate/canarygate' }), wants: undefined })),
  {
    name: "a CRD's conversion",
    object: { apiVersion: 'apiextensions.k8s.io/v1', kind: 'CustomResourceDefinition', metadata: { name: 'x' }, spec: { conversion: { webhook: { clientConfig: ours('b2xk') } } } },
    wants: { apiVersion: 'apiextensions.k8s.io/v1', kind: 'CustomResourceDefinition', metadata: { name: 'x' }, spec: { conversion: { webhook: { clientConfig: ours(RIGHT) } } } },
  },
  { name: 'a CRD without conversion', object: { apiVersion: 'apiextensions.k8s.io/v1', kind: 'CustomResourceDefinition', metadata: { name: 'x' }, spec: {} }, wants: undefined },
]
for (const { name, object, wants } of rows) test(name, async (t) => {
  const patch = caBundlePatch(object, BUNDLE, service)
  if (wants === undefined) return t.same(patch, [])
  t.same(patched(object, patch), wants)
  t.same(caBundlePatch(wants, BUNDLE, service), [], 'a second time there is nothing to do')
})

test('a patch fails, and hits no other webhook, when one was put before ours or changed its bundle meanwhile', async (t) => {
  const patch = caBundlePatch(configuration([ours('b2xk')]), BUNDLE, service)
  t.throws(() => patched({ ...configuration([]), webhooks: [{ name: 'another', clientConfig: { caBundle: 'b2xk' } }] }, patch))
  t.throws(() => patched(configuration([ours('bmV3')]), patch))
})
