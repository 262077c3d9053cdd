import { createHash } from 'node:crypto'
import type { PodTemplate } from '#api/objects.ts'
import { ANNOTATION_RESTARTED_AT, SCALE_TO_ZERO } from '#api/names.ts'

/** Changes when the hash's input or form changes, so that an upgrade re-baselines instead of starting runs. */
export const REVISION_HASH_VERSION = '1'
/** 40 bits: enough for the few revisions of one target, short enough for names and terminals. */
const REVISION_HEX_DIGITS = 10

/** JSON with sorted keys and without `undefined`, null, and empty maps and lists: equal meaning gives equal text. */
export function canonicalJson(value: unknown): string {
  return JSON.stringify(canonical(value)) ?? 'null'
}

function canonical(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(canonical)
  if (typeof value !== 'object' || value === null) return value
  const entries = Object.entries(value)
    .map(([key, child]): [string, unknown] => [key, canonical(child)])
    .filter(([, child]) => !isEmpty(child))
    .sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0))
  // Pairs, not an object: a key such as `__proto__` must stay an ordinary key.
  return Object.fromEntries(entries)
}

const isEmpty = (value: unknown): boolean =>
  value === undefined || value === null || (typeof value === 'object' && Object.keys(value).length === 0)

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
  return REVISION_HASH_VERSION + createHash('sha256').update(canonicalJson(hashed)).digest('hex').slice(0, REVISION_HEX_DIGITS)
}

export const restartedAt = (template: PodTemplate): string | undefined => template.metadata?.annotations?.[ANNOTATION_RESTARTED_AT]

/** First container's image: what a person means by "the version". */
export const imageOf = (template: PodTemplate): string => template.spec.containers[0]?.image ?? ''
