import type { Canary } from '#api/canary.ts'
import { LABEL_REVISION, LABEL_TARGET, snapshotName } from '#api/names.ts'
import type { KubeObject, PodTemplate } from '#api/objects.ts'
import { ownedBy } from '#api/selectors.ts'
import type { ConfigRecord } from '#workload/configs.ts'
import { inNamespace, MANAGED_LABELS } from '#workload/metadata.ts'

/** A ControllerRevision: the API server refuses any change of its `data`. */
export type Snapshot = KubeObject & { readonly data: { readonly template: PodTemplate; readonly configs: ConfigRecord }; readonly revision: number }

/**
 * What was admitted as `revision`: the template, and the checksums of the ConfigMaps and Secrets that it refers to.
 * `order` rises with every new snapshot of the target: the greatest is the youngest.
 */
export function renderSnapshot(canary: Canary, template: PodTemplate, revision: string, order: number, configs: ConfigRecord = {}): Snapshot {
  const target = canary.spec.targetRef.name
  return {
    apiVersion: 'apps/v1',
    kind: 'ControllerRevision',
    metadata: {
      name: snapshotName(target, revision),
      ...inNamespace(canary.metadata.namespace),
      labels: { ...MANAGED_LABELS, [LABEL_TARGET]: target, [LABEL_REVISION]: revision },
      ownerReferences: [ownedBy(canary)],
    },
    data: { template, configs },
    revision: order,
  }
}

/** The admitted template, or undefined when this is no snapshot of ours. */
export function templateOf(snapshot: KubeObject | undefined): PodTemplate | undefined {
  const data = snapshot?.['data'] as { readonly template?: PodTemplate } | undefined
  return data?.template?.spec ? data.template : undefined
}

/** What the template's ConfigMaps and Secrets were. */
export const configsOf = (snapshot: KubeObject | undefined): ConfigRecord =>
  (snapshot?.['data'] as { readonly configs?: ConfigRecord } | undefined)?.configs ?? {}

export const revisionOfSnapshot = (snapshot: KubeObject): string | undefined => snapshot.metadata.labels?.[LABEL_REVISION]

const orderOf = (snapshot: KubeObject): number => (typeof snapshot['revision'] === 'number' ? snapshot['revision'] : 0)

/** This target's snapshots out of all that a namespace has. */
export const snapshotsOf = (snapshots: readonly KubeObject[], target: string): readonly KubeObject[] =>
  snapshots.filter(({ metadata }) => metadata.labels?.[LABEL_TARGET] === target && metadata.labels[LABEL_REVISION] !== undefined)

/** The `order` of the next snapshot. */
export const nextOrder = (snapshots: readonly KubeObject[]): number => Math.max(0, ...snapshots.map(orderOf)) + 1

/** The snapshots to delete: all but the `limit` youngest and those of the revisions in `keep`. */
export function prune(snapshots: readonly KubeObject[], keep: readonly string[], limit: number): readonly KubeObject[] {
  const oldest = snapshots.toSorted((a, b) => orderOf(b) - orderOf(a)).slice(Math.max(0, limit))
  return oldest.filter((snapshot) => !keep.includes(revisionOfSnapshot(snapshot) ?? ''))
}
