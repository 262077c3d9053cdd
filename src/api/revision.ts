import { canonicalDigest } from '#api/canonical-json.ts'
import type { PodTemplate, Service } from '#api/objects.ts'
import { ANNOTATION_RESTARTED_AT, SCALE_TO_ZERO } from '#api/names.ts'

/** Changes when the hash's input or form changes, so that an upgrade re-baselines instead of starting runs. */
export const REVISION_HASH_VERSION = '1'
/** 40 bits: enough for the few revisions of one target, short enough for names and terminals. */
const REVISION_HEX_DIGITS = 10
/** Set by controllers on the templates of their ReplicaSets. */
const LABEL_TEMPLATE_HASH = 'pod-template-hash'

/**
 * Revision of an admitted (so: defaulted) pod template: `1` + ten hex digits of SHA-256 over its canonical JSON.
 * Left out: a restart mark, which asks for new pods and not for another revision, and the label that holds a DaemonSet at no pods.
 */
export function revisionOf({ metadata, spec }: PodTemplate): string {
  const { nodeSelector } = spec as PodTemplate['spec'] & { readonly nodeSelector?: Readonly<Record<string, string>> }
  const hashed = {
    metadata: { labels: withoutTemplateHash(metadata?.labels), annotations: without(metadata?.annotations, ANNOTATION_RESTARTED_AT) },
    spec: nodeSelector?.[SCALE_TO_ZERO] === undefined ? spec : { ...spec, nodeSelector: without(nodeSelector, SCALE_TO_ZERO) },
  }
  return REVISION_HASH_VERSION + canonicalDigest(hashed).slice(0, REVISION_HEX_DIGITS)
}

type Marks = Readonly<Record<string, string>> | undefined

/** Labels of a template as its owner wrote them. */
export const withoutTemplateHash = (labels: Marks): Marks => without(labels, LABEL_TEMPLATE_HASH)

/** Copied only where there is something to leave out, which is rare: every admitted change of a template waits for this. */
function without(map: Marks, key: string): Marks {
  if (map?.[key] === undefined) return map
  const { [key]: _, ...rest } = map
  return rest
}

/** What the API server fills in, and what says nothing of where requests go. */
const ASSIGNED_FIELDS: readonly string[] = ['clusterIP', 'clusterIPs', 'ipFamilies', 'ipFamilyPolicy', 'healthCheckNodePort', 'type']

/** The spec of a Service as a copy of it can have it: without addresses and node ports, which are its own. */
export function portableSpec({ spec }: Service): Service['spec'] {
  const kept = Object.fromEntries(Object.entries(spec).filter(([field]) => !ASSIGNED_FIELDS.includes(field)))
  return { ...kept, ...(spec.ports ? { ports: spec.ports.map(({ nodePort: _, ...port }) => port) } : {}) }
}

/** Revision of a Service that is itself what is released. */
export const revisionOfService = (service: Service): string => REVISION_HASH_VERSION + canonicalDigest(portableSpec(service)).slice(0, REVISION_HEX_DIGITS)

/** Between a template's revision and the digest of the ConfigMaps and Secrets that it refers to. */
export const CONFIGS_SEPARATOR = '-'

/** The template's part of a revision: all that can be told from a workload alone. */
export const templateRevisionOf = (revision: string): string => revision.split(CONFIGS_SEPARATOR, 1)[0] ?? revision

export const restartedAt = (template: PodTemplate): string | undefined => template.metadata?.annotations?.[ANNOTATION_RESTARTED_AT]

/** First container's image: what a person means by "the version". */
export const imageOf = (template: PodTemplate): string => template.spec.containers[0]?.image ?? ''
