import type { KubeObject } from '#api/objects.ts'
import { pemsIn } from '#certs/bundle.ts'

export type PatchOperation = { readonly op: 'test' | 'add' | 'replace'; readonly path: string; readonly value: unknown }

/** cert-manager's injector fills in caBundle of whatever carries one of these. */
const FOREIGN_INJECTORS = ['cert-manager.io/inject-ca-from', 'cert-manager.io/inject-ca-from-secret', 'cert-manager.io/inject-apiserver-ca'] as const

/** The annotation by which somebody else looks after this object's caBundle, or undefined. */
export const foreignInjector = ({ metadata }: KubeObject): string | undefined =>
  FOREIGN_INJECTORS.find((annotation) => metadata.annotations?.[annotation] !== undefined)

/** The CAs (PEM) that such an object trusts for our Service now. */
export const injectedPems = (object: KubeObject, service: ServiceRef): readonly string[] =>
  [...new Set(placesFor(object, service).flatMap(({ config }) => pemsIn(Buffer.from(config.caBundle ?? '', 'base64').toString('utf8'))))]

type ServiceRef = { readonly name: string; readonly namespace: string }
type ClientConfig = { readonly caBundle?: string; readonly url?: string; readonly service?: { readonly name: string; readonly namespace: string } }
type Place = { readonly pointer: string; readonly config: ClientConfig; readonly guard: readonly PatchOperation[] }

/**
 * JSON patch that puts a bundle (PEM) into a Mutating- or ValidatingWebhookConfiguration, or into a CRD's conversion, wherever they
 * call our Service. Empty when all is right, and when somebody else injects. Each place is tested first: when a webhook was moved
 * or its bundle changed meanwhile, the patch fails instead of hitting another. Pure.
 */
export function caBundlePatch(object: KubeObject, bundlePem: string, service: ServiceRef): readonly PatchOperation[] {
  if (foreignInjector(object)) return []
  const caBundle = Buffer.from(bundlePem).toString('base64')
  return placesFor(object, service)
    .filter(({ config }) => config.caBundle !== caBundle)
    .flatMap(({ pointer, config, guard }): PatchOperation[] => {
      const path = `${pointer}/caBundle`
      if (!config.caBundle) return [...guard, { op: 'add', path, value: caBundle }]
      return [...guard, { op: 'test', path, value: config.caBundle }, { op: 'replace', path, value: caBundle }]
    })
}

/** Where our Service is called. */
const placesFor = (object: KubeObject, service: ServiceRef): readonly Place[] =>
  places(object).filter(({ config }) => config.service?.name === service.name && config.service.namespace === service.namespace)

function places(object: KubeObject): readonly Place[] {
  if (object.kind === 'CustomResourceDefinition') {
    const { conversion } = (object['spec'] ?? {}) as { readonly conversion?: { readonly webhook?: { readonly clientConfig?: ClientConfig } } }
    const config = conversion?.webhook?.clientConfig
    return config ? [{ pointer: '/spec/conversion/webhook/clientConfig', config, guard: [] }] : []
  }
  const webhooks = Array.isArray(object['webhooks']) ? (object['webhooks'] as readonly { readonly name: string; readonly clientConfig?: ClientConfig }[]) : []
  return webhooks.flatMap(({ name, clientConfig }, index) =>
    clientConfig ? [{ pointer: `/webhooks/${index}/clientConfig`, config: clientConfig, guard: [{ op: 'test' as const, path: `/webhooks/${index}/name`, value: name }] }] : [])
}
