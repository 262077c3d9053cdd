import { createHash } from 'node:crypto'
import type { Canary } from '#api/canary.ts'
import { LABEL_TARGET, primaryName } from '#api/names.ts'
import type { Container, KubeObject, ObjectReader, PodTemplate } from '#api/objects.ts'
import { canonicalJson } from '#api/revision.ts'
import { ownedBy } from '#api/selectors.ts'
import { inNamespace, MANAGED_LABELS, withoutOwnershipMarks } from '#workload/metadata.ts'

export type ConfigKind = 'ConfigMap' | 'Secret'
/** Where a template names a ConfigMap or Secret. Optional: the pods start without it. */
export type ConfigRef = { readonly kind: ConfigKind; readonly name: string; readonly isOptional: boolean }
/** Old name to new name. */
export type ConfigNames = { readonly ConfigMap?: Readonly<Record<string, string>>; readonly Secret?: Readonly<Record<string, string>> }

/** Flagger's opt-out: any value that begins with `disable`. */
export const ANNOTATION_CONFIG_TRACKING = 'flagger.app/config-tracking'
/** Other kinds (registry credentials, tokens) are not copied: the pods refer to the one that there is. */
const TRACKED_SECRET_TYPES: readonly unknown[] = [undefined, 'Opaque', 'kubernetes.io/basic-auth', 'kubernetes.io/ssh-auth', 'kubernetes.io/tls']

type Source = { readonly name?: string; readonly optional?: boolean }
type Env = { readonly valueFrom?: { readonly configMapKeyRef?: Source; readonly secretKeyRef?: Source; readonly [field: string]: unknown } }
type EnvFrom = { readonly configMapRef?: Source; readonly secretRef?: Source }
type SecretVolume = { readonly secretName?: string; readonly optional?: boolean }
type Projected = { readonly configMap?: Source; readonly secret?: Source }
type Volume = {
  readonly configMap?: Source
  readonly secret?: SecretVolume
  readonly projected?: { readonly sources?: readonly Projected[]; readonly [field: string]: unknown }
}

/** Every place of a template which names a ConfigMap or Secret, given to `rename`; one walk for finding and for rewriting. */
function mapRefs(template: PodTemplate, rename: (kind: ConfigKind, name: string, isOptional: boolean) => string): PodTemplate {
  const source = <T extends Source>(kind: ConfigKind, ref: T | undefined): T | undefined =>
    ref?.name ? { ...ref, name: rename(kind, ref.name, ref.optional ?? false) } : ref
  const set = <T extends object>(object: T, changes: Readonly<Record<string, unknown>>): T =>
    ({ ...object, ...Object.fromEntries(Object.entries(changes).filter(([, value]) => value !== undefined)) })

  const env = (entry: Env): Env => (entry.valueFrom
    ? { ...entry, valueFrom: set(entry.valueFrom, {
      configMapKeyRef: source('ConfigMap', entry.valueFrom.configMapKeyRef), secretKeyRef: source('Secret', entry.valueFrom.secretKeyRef),
    }) }
    : entry)
  const envFrom = (entry: EnvFrom): EnvFrom =>
    set(entry, { configMapRef: source('ConfigMap', entry.configMapRef), secretRef: source('Secret', entry.secretRef) })
  const container = (entry: Container): Container => set(entry, {
    env: (entry['env'] as readonly Env[] | undefined)?.map(env),
    envFrom: (entry['envFrom'] as readonly EnvFrom[] | undefined)?.map(envFrom),
  })
  const volume = (entry: Volume): Volume => set(entry, {
    configMap: source('ConfigMap', entry.configMap),
    secret: entry.secret?.secretName
      ? { ...entry.secret, secretName: rename('Secret', entry.secret.secretName, entry.secret.optional ?? false) }
      : undefined,
    projected: entry.projected && set(entry.projected, {
      sources: entry.projected.sources?.map((part) => set(part, { configMap: source('ConfigMap', part.configMap), secret: source('Secret', part.secret) })),
    }),
  })
  const { spec } = template
  return {
    ...template,
    spec: set(spec, {
      containers: spec.containers.map(container),
      initContainers: spec.initContainers?.map(container),
      volumes: (spec['volumes'] as readonly Volume[] | undefined)?.map(volume),
    }),
  }
}

/** What a template refers to, each once; optional only if every place says so. */
export function configRefs(template: PodTemplate): readonly ConfigRef[] {
  const found = new Map<string, ConfigRef>()
  mapRefs(template, (kind, name, isOptional) => {
    const key = `${kind}/${name}`
    found.set(key, { kind, name, isOptional: isOptional && (found.get(key)?.isOptional ?? true) })
    return name
  })
  return [...found.values()]
}

export const rewriteConfigs = (template: PodTemplate, names: ConfigNames): PodTemplate =>
  mapRefs(template, (kind, name) => names[kind]?.[name] ?? name)

const isTracked = (config: KubeObject): boolean =>
  !(config.metadata.annotations?.[ANNOTATION_CONFIG_TRACKING] ?? '').startsWith('disable') &&
  (config.kind !== 'Secret' || TRACKED_SECRET_TYPES.includes(config['type']))

export type TrackedConfigs = {
  readonly configs: readonly KubeObject[]
  /** Referred to without `optional`, and not there: pods of this template cannot start. */
  readonly missing: readonly ConfigRef[]
}

export function trackedConfigs(template: PodTemplate, namespace: string, objects: ObjectReader): TrackedConfigs {
  const found = configRefs(template).map((ref) => ({ ref, config: objects.get({ apiVersion: 'v1', kind: ref.kind, namespace, name: ref.name }) }))
  return {
    configs: found.flatMap(({ config }) => (config && isTracked(config) ? [config] : [])),
    missing: found.flatMap(({ ref, config }) => (config || ref.isOptional ? [] : [ref])),
  }
}

const CHECKSUM_HEX_DIGITS = 16
/** Content of a ConfigMap or Secret: `data` and `binaryData`. */
export const configChecksum = (config: KubeObject): string =>
  createHash('sha256').update(canonicalJson({ data: config['data'], binaryData: config['binaryData'] })).digest('hex').slice(0, CHECKSUM_HEX_DIGITS)

/** For `status.trackedConfigs`: `configmap/shop-cfg` to checksum, as Flagger writes the keys. */
export const checksumsOf = (configs: readonly KubeObject[]): Readonly<Record<string, string>> =>
  Object.fromEntries(configs.map((config) => [`${config.kind.toLowerCase()}/${config.metadata.name}`, configChecksum(config)]))

/** `shop-cfg` to `shop-cfg-primary`, for `rewriteConfigs`. */
export function primaryConfigNames(configs: readonly KubeObject[]): ConfigNames {
  const names = (kind: ConfigKind) =>
    Object.fromEntries(configs.filter((config) => config.kind === kind).map(({ metadata }) => [metadata.name, primaryName(metadata.name)]))
  return { ConfigMap: names('ConfigMap'), Secret: names('Secret') }
}

/** The primary's copy of a config: what was promoted stays, whatever happens to the user's own. `immutable` is not copied, the copy changes. */
export function renderConfig(canary: Canary, config: KubeObject): KubeObject {
  const { metadata } = config
  return {
    apiVersion: 'v1',
    kind: config.kind,
    metadata: {
      name: primaryName(metadata.name),
      ...inNamespace(canary.metadata.namespace),
      labels: { ...withoutOwnershipMarks(metadata.labels), ...MANAGED_LABELS, [LABEL_TARGET]: canary.spec.targetRef.name },
      // Shared by several Canaries it has several owners, and only one of them may be the controller.
      ownerReferences: [{ ...ownedBy(canary), controller: false }],
    },
    ...Object.fromEntries(['type', 'data', 'binaryData'].filter((field) => config[field] !== undefined).map((field) => [field, config[field]])),
  }
}
