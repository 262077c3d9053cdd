import { LABEL_ROLE, LABEL_TARGET, primaryName } from '#api/names.ts'
import type { KubeObject, PodTemplate, Workload } from '#api/objects.ts'
import { configRefs, rewriteConfigs } from '#workload/configs.ts'

/** Flagger forces a rolling update with it at each promotion. */
const ANNOTATION_FLAGGER_ID = 'flagger-id'

/** Made by an earlier Flagger: its selector has no role. It is kept, with its selector, and its pods get our labels. */
export const isFlaggers = (primary: Workload | undefined): primary is Workload =>
  primary !== undefined && primary.spec.selector.matchLabels?.[LABEL_ROLE] === undefined

/** The template that a primary of Flagger's was made from: names and labels without the suffix that it gave them. */
export function originalTemplate({ spec: { template } }: Workload, target: Workload): PodTemplate {
  const suffixed = primaryName(target.metadata.name)
  const restore = (value: unknown): unknown => {
    if (Array.isArray(value)) return value.map(restore)
    if (typeof value === 'object' && value !== null) return Object.fromEntries(Object.entries(value).map(([key, child]) => [key, restore(child)]))
    return value === suffixed ? target.metadata.name : value
  }
  const theirs = target.spec.template.metadata?.labels ?? {}
  const { [LABEL_ROLE]: _, [LABEL_TARGET]: __, ...labels } = template.metadata?.labels ?? {}
  const { [ANNOTATION_FLAGGER_ID]: ___, ...annotations } = template.metadata?.annotations ?? {}
  const names = (kind: string) => Object.fromEntries(configRefs(target.spec.template).filter((ref) => ref.kind === kind).map(({ name }) => [primaryName(name), name]))
  const { affinity, topologySpreadConstraints, ...rest } = template.spec as PodTemplate['spec'] & { readonly affinity?: KubeObject; readonly topologySpreadConstraints?: readonly unknown[] }
  return rewriteConfigs({
    ...template,
    metadata: {
      ...template.metadata,
      labels: Object.fromEntries(Object.entries(labels).map(([key, value]) => [key, theirs[key] !== undefined && value === primaryName(theirs[key]) ? theirs[key] : value])),
      annotations,
    },
    spec: {
      ...rest,
      ...(affinity === undefined ? {} : { affinity: restore(affinity) }),
      ...(topologySpreadConstraints === undefined ? {} : { topologySpreadConstraints: restore(topologySpreadConstraints) }),
    },
  }, { ConfigMap: names('ConfigMap'), Secret: names('Secret') })
}
