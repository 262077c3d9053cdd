import { hash } from 'node:crypto'
import { canonicalDigest } from '#api/canonical-json.ts'
import type { Canary } from '#api/canary.ts'
import { ANNOTATION_CHECKSUM, ANNOTATION_CONFIG, LABEL_MANAGED_BY, LABEL_TARGET, MANAGED_BY } from '#api/names.ts'
import type { Container, KubeObject, PodTemplate } from '#api/objects.ts'
import { CONFIGS_SEPARATOR } from '#api/revision.ts'
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

/** What is known of a ConfigMap or Secret: its content is not kept. */
export type ConfigFacts = { readonly checksum: string; readonly isTracked: boolean }
/** `unreadable`: the agent may not look there. Undefined: there is none. */
export type ConfigLook = (ref: ConfigRef) => ConfigFacts | 'unreadable' | undefined
/** By `configmap/<name>` or `secret/<name>`: the checksum of its content, or why that does not count. */
export type ConfigRecord = Readonly<Record<string, string>>

/** Its owner opted out, it is of a kind that is not copied, or it may not be read: pods refer to the original. */
const UNTRACKED = 'untracked'
const ABSENT = 'absent'
const CHECKSUM_HEX_DIGITS = 16

export const factsOf = (config: KubeObject): ConfigFacts => ({ checksum: checksumOf(config), isTracked: isTracked(config) })

/** Content of a ConfigMap or Secret: `data` and `binaryData`. */
const checksumOf = (config: KubeObject): string =>
  canonicalDigest({ data: config['data'], binaryData: config['binaryData'] }).slice(0, CHECKSUM_HEX_DIGITS)

const isTracked = (config: KubeObject): boolean =>
  !(config.metadata.annotations?.[ANNOTATION_CONFIG_TRACKING] ?? '').startsWith('disable') &&
  (config.kind !== 'Secret' || TRACKED_SECRET_TYPES.includes(config['type']))

/** As Flagger writes the keys of `status.trackedConfigs`. */
const keyOf = ({ kind, name }: Pick<ConfigRef, 'kind' | 'name'>): string => `${kind.toLowerCase()}/${name}`
const refOf = (key: string): Pick<ConfigRef, 'kind' | 'name'> =>
  ({ kind: key.startsWith('secret/') ? 'Secret' : 'ConfigMap', name: key.slice(key.indexOf('/') + 1) })

export type ConfigsSeen = {
  readonly record: ConfigRecord
  /** Referred to without `optional`, and not there: pods cannot start until they are. */
  readonly missing: readonly string[]
}

export function configsSeen(refs: readonly ConfigRef[], look: ConfigLook): ConfigsSeen {
  const found = refs.map((ref) => ({ ref, facts: look(ref) }))
  return {
    record: Object.fromEntries(found.map(({ ref, facts }) => [
      keyOf(ref), facts === undefined ? ABSENT : facts === 'unreadable' || !facts.isTracked ? UNTRACKED : facts.checksum,
    ])),
    missing: found.flatMap(({ ref, facts }) => (facts === undefined && !ref.isOptional ? [keyOf(ref)] : [])),
  }
}

/** The checksums of a record alone, for `status.trackedConfigs`. */
export const checksumsOf = (record: ConfigRecord): Readonly<Record<string, string>> =>
  Object.fromEntries(Object.entries(record).filter(([, value]) => value !== UNTRACKED && value !== ABSENT))

/** A template with what it refers to: `<template's revision>-<digest>`, or the template's revision alone where nothing is tracked. */
export function revisionWith(templateRevision: string, record: ConfigRecord): string {
  const counted = Object.fromEntries(Object.entries(record).filter(([, value]) => value !== UNTRACKED))
  return Object.keys(counted).length === 0 ? templateRevision
    : `${templateRevision}${CONFIGS_SEPARATOR}${canonicalDigest(counted).slice(0, DIGEST_HEX_DIGITS)}`
}
const DIGEST_HEX_DIGITS = 8

/**
 * Whether what is there now is what was recorded. What was not tracked then or is not now makes no difference: it is taken up with the next
 * release. A mandatory one that is missing is not a release either: somebody replaces it, or pods could not start anyway.
 */
export const agreesWith = (recorded: ConfigRecord, { record, missing }: ConfigsSeen): boolean =>
  Object.entries(record).every(([key, value]) => {
    const before = recorded[key]
    return before === undefined || before === UNTRACKED || value === UNTRACKED || missing.includes(key) || before === value
  })

/** A copy that pods refer to: which config, with which content, under which name. */
export type ConfigCopy = { readonly kind: ConfigKind; readonly source: string; readonly checksum: string; readonly name: string }

/** The copies that pods of a target's revision run with. Named by target and content: nobody else shares them, and they never change. */
export const copiesOf = (target: string, record: ConfigRecord): readonly ConfigCopy[] =>
  Object.entries(checksumsOf(record)).map(([key, checksum]) => {
    const { kind, name } = refOf(key)
    return { kind, source: name, checksum, name: `${name}-${hash('sha256', `${target}/${checksum}`, 'hex').slice(0, COPY_HEX_DIGITS)}` }
  })
const COPY_HEX_DIGITS = 10

/** Original to copy, for `rewriteConfigs`; or copy to original. */
export function configNames(copies: readonly ConfigCopy[], towards: 'copy' | 'source' = 'copy'): ConfigNames {
  const names = (kind: ConfigKind) => Object.fromEntries(
    copies.filter((copy) => copy.kind === kind).map(({ source, name }) => (towards === 'copy' ? [source, name] : [name, source])))
  return { ConfigMap: names('ConfigMap'), Secret: names('Secret') }
}

/** The copy itself, immutable: what was admitted is what runs, whatever happens to the user's own. */
export function renderCopy(canary: Canary, config: KubeObject, { name, source, checksum }: ConfigCopy): KubeObject {
  return {
    apiVersion: 'v1',
    kind: config.kind,
    metadata: {
      name,
      ...inNamespace(canary.metadata.namespace),
      labels: { ...withoutOwnershipMarks(config.metadata.labels), ...MANAGED_LABELS, [LABEL_TARGET]: canary.spec.targetRef.name },
      annotations: { [ANNOTATION_CONFIG]: source, [ANNOTATION_CHECKSUM]: checksum },
      ownerReferences: [ownedBy(canary)],
    },
    immutable: true,
    ...Object.fromEntries(['type', 'data', 'binaryData'].filter((field) => config[field] !== undefined).map((field) => [field, config[field]])),
  }
}

/** Read back from a copy; undefined for anything else. */
export function copyIn({ kind, metadata }: KubeObject): ConfigCopy | undefined {
  const { [ANNOTATION_CONFIG]: source, [ANNOTATION_CHECKSUM]: checksum } = metadata.annotations ?? {}
  if (metadata.labels?.[LABEL_MANAGED_BY] !== MANAGED_BY || source === undefined || checksum === undefined) return undefined
  return { kind: kind as ConfigKind, source, checksum, name: metadata.name }
}

export const recordOf = (copies: readonly ConfigCopy[]): ConfigRecord => Object.fromEntries(copies.map((copy) => [keyOf({ kind: copy.kind, name: copy.source }), copy.checksum]))
