import { canonicalJson } from '#api/canonical-json.ts'
import { ANNOTATION_GATE, ANNOTATION_REPLICAS, ANNOTATION_REVISION, ANNOTATION_STABLE, OWNED_TARGET_ANNOTATIONS, SCALE_TO_ZERO } from '#api/names.ts'
import type { PodTemplate, Workload } from '#api/objects.ts'
import { templateRevisionOf } from '#api/revision.ts'

/** JSON merge patches (RFC 7386) for the user's own workload. Each names its wanted end, so applying it twice changes nothing more. */
export type MergePatch = { readonly [field: string]: unknown }

const annotate = (annotations: Readonly<Record<string, string | null>>): MergePatch => ({ metadata: { annotations } })

/** No pods of its own; the count that its owner asks for is recorded beside it. */
export function holdPatch(target: Workload, replicas: number): MergePatch {
  const record = annotate({ [ANNOTATION_REPLICAS]: String(replicas) })
  if (target.kind !== 'DaemonSet') return { ...record, spec: { replicas: 0 } }
  return { ...record, spec: { template: { spec: { nodeSelector: { [SCALE_TO_ZERO]: 'true' } } } } }
}

/** A generated workload at so many pods. A DaemonSet knows only "on every node" and, by a selector that no node meets, "nowhere". */
export function scalePatch(kind: string, replicas: number): MergePatch {
  if (kind !== 'DaemonSet') return { spec: { replicas } }
  return { spec: { template: { spec: { nodeSelector: { [SCALE_TO_ZERO]: replicas === 0 ? 'true' : null } } } } }
}

/** `pending`, `passed`, or `failed: <reason>`, and for which revision: as the webhook names it, which knows the template alone. */
export const gatePatch = (gate: string, revision: string): MergePatch =>
  annotate({ [ANNOTATION_GATE]: gate, [ANNOTATION_REVISION]: templateRevisionOf(revision) })

/** The change that was held for adoption may roll now (to no pods, since the target is at 0). */
export const unpausePatch = (): MergePatch => ({ ...annotate({ [ANNOTATION_STABLE]: null }), spec: { paused: null } })

/**
 * The target serves by itself again, from `template`. It stays marked as adopted until `forgetPatch`: until then the apex is elsewhere. Its
 * gate goes at once: with an open or failed one its status would never tell that it is ready.
 */
export function releasePatch(target: Workload, template: PodTemplate, replicas: number): MergePatch {
  const isDaemonSet = target.kind === 'DaemonSet'
  const difference = mergePatch(target.spec.template, isDaemonSet ? onAnyNode(template) : template)
  return {
    ...annotate({ [ANNOTATION_GATE]: null }),
    spec: {
      ...(isDaemonSet ? {} : { replicas, paused: null }),
      ...(difference === undefined ? {} : { template: difference }),
    },
  }
}

/** An ordinary workload again: nothing of ours is left on it. */
export const forgetPatch = (): MergePatch => annotate(Object.fromEntries(OWNED_TARGET_ANNOTATIONS.map((key) => [key, null])))

function onAnyNode(template: PodTemplate): PodTemplate {
  const { nodeSelector, ...spec } = template.spec as PodTemplate['spec'] & { readonly nodeSelector?: Readonly<Record<string, string>> }
  const { [SCALE_TO_ZERO]: _, ...nodes } = nodeSelector ?? {}
  return { ...template, spec: { ...spec, ...(Object.keys(nodes).length > 0 ? { nodeSelector: nodes } : {}) } }
}

const isMap = (value: unknown): value is Readonly<Record<string, unknown>> => typeof value === 'object' && value !== null && !Array.isArray(value)

/** The merge patch that makes `from` into `to`; undefined when they mean the same. */
export function mergePatch(from: unknown, to: unknown): unknown {
  if (canonicalJson(from) === canonicalJson(to)) return undefined
  if (!isMap(from) || !isMap(to)) return to
  const keys = [...new Set([...Object.keys(from), ...Object.keys(to)])]
  const changes = keys.flatMap((key): [string, unknown][] => {
    if (to[key] === undefined || to[key] === null) return from[key] === undefined || from[key] === null ? [] : [[key, null]]
    const change = mergePatch(from[key], to[key])
    return change === undefined ? [] : [[key, change]]
  })
  return Object.fromEntries(changes)
}
