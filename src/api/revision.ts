import { hash } from 'node:crypto'
import type { PodTemplate, Service } from '#api/objects.ts'
import { ANNOTATION_RESTARTED_AT, SCALE_TO_ZERO } from '#api/names.ts'

/** Changes when the hash's input or form changes, so that an upgrade re-baselines instead of starting runs. */
export const REVISION_HASH_VERSION = '1'
/** 40 bits: enough for the few revisions of one target, short enough for names and terminals. */
const REVISION_HEX_DIGITS = 10

/** JSON with sorted keys and without `undefined`, null, and empty maps and lists: equal meaning gives equal text. */
export const canonicalJson = (value: unknown): string => canonicalText(value) || 'null'

/** Empty text for what counts as absent. Written in one pass, since every admitted change of a template waits for it. */
function canonicalText(value: unknown): string {
  if (value === null || value === undefined) return ''
  if (typeof value === 'string') return quoted(value)
  if (typeof value !== 'object') return JSON.stringify(value) ?? ''
  let text = ''
  if (Array.isArray(value)) {
    for (const item of value) text += (text === '' ? '[' : ',') + (canonicalText(item) || (isMap(item) ? '{}' : Array.isArray(item) ? '[]' : 'null'))
    return text === '' ? '' : `${text}]`
  }
  for (const key of sorted(Object.keys(value))) {
    const field = canonicalText((value as Readonly<Record<string, unknown>>)[key])
    if (field !== '') text += (text === '' ? '{' : ',') + keyText(key) + field
  }
  return text === '' ? '' : `${text}}`
}

/** By code unit. Most maps of a template are short, or come in order: those need no call of the general sort, which costs more than the rest. */
function sorted(keys: string[]): readonly string[] {
  for (let index = 1; index < keys.length; index += 1) {
    if ((keys[index - 1] ?? '') > (keys[index] ?? '')) return keys.sort()
  }
  return keys
}

const isMap = (value: unknown): boolean => typeof value === 'object' && value !== null && !Array.isArray(value)

/** Printable ASCII without quote and backslash needs no escaping, and most text is just that. */
const PLAIN = /^[ !#-[\]-~]*$/
const quoted = (text: string): string => (PLAIN.test(text) ? `"${text}"` : JSON.stringify(text))

/** A template's keys are few, and the same in all: those met first are kept as they are written. */
const keyTexts = new Map<string, string>()
const MAX_KEY_TEXTS = 1_000

function keyText(key: string): string {
  const known = keyTexts.get(key)
  if (known !== undefined) return known
  const text = `${quoted(key)}:`
  if (keyTexts.size < MAX_KEY_TEXTS) keyTexts.set(key, text)
  return text
}

/**
 * Revision of an admitted (so: defaulted) pod template: `1` + ten hex digits of SHA-256 over its canonical JSON.
 * Left out: a restart mark, which asks for new pods and not for another revision, and the label that holds a DaemonSet at no pods.
 */
export function revisionOf(template: PodTemplate): string {
  const { [ANNOTATION_RESTARTED_AT]: _, ...annotations } = template.metadata?.annotations ?? {}
  const { 'pod-template-hash': __, ...labels } = template.metadata?.labels ?? {}
  const { nodeSelector, ...spec } = template.spec as PodTemplate['spec'] & { readonly nodeSelector?: Readonly<Record<string, string>> }
  const { [SCALE_TO_ZERO]: ___, ...nodes } = nodeSelector ?? {}
  const hashed = { metadata: { labels, annotations }, spec: { ...spec, nodeSelector: nodes } }
  return REVISION_HASH_VERSION + hash('sha256', canonicalJson(hashed), 'hex').slice(0, REVISION_HEX_DIGITS)
}

/** What the API server fills in, and what says nothing of where requests go. */
const ASSIGNED_FIELDS: readonly string[] = ['clusterIP', 'clusterIPs', 'ipFamilies', 'ipFamilyPolicy', 'healthCheckNodePort', 'type']

/** The spec of a Service as a copy of it can have it: without addresses and node ports, which are its own. */
export function portableSpec({ spec }: Service): Service['spec'] {
  const kept = Object.fromEntries(Object.entries(spec).filter(([field]) => !ASSIGNED_FIELDS.includes(field)))
  return { ...kept, ...(spec.ports ? { ports: spec.ports.map(({ nodePort: _, ...port }) => port) } : {}) }
}

/** Revision of a Service that is itself what is released. */
export const revisionOfService = (service: Service): string => REVISION_HASH_VERSION + hash('sha256', canonicalJson(portableSpec(service)), 'hex').slice(0, REVISION_HEX_DIGITS)

/** Between a template's revision and the digest of the ConfigMaps and Secrets that it refers to. */
export const CONFIGS_SEPARATOR = '-'

/** The template's part of a revision: all that can be told from a workload alone. */
export const templateRevisionOf = (revision: string): string => revision.split(CONFIGS_SEPARATOR, 1)[0] ?? revision

export const restartedAt = (template: PodTemplate): string | undefined => template.metadata?.annotations?.[ANNOTATION_RESTARTED_AT]

/** First container's image: what a person means by "the version". */
export const imageOf = (template: PodTemplate): string => template.spec.containers[0]?.image ?? ''
