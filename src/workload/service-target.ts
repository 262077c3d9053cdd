import type { Canary } from '#api/canary.ts'
import { apexName } from '#api/defaults.ts'
import { LABEL_REVISION, LABEL_ROLE, LABEL_TARGET, roleName, snapshotName, UNRECONCILED, type Role } from '#api/names.ts'
import type { KubeObject, Service } from '#api/objects.ts'
import { portableSpec } from '#api/revision.ts'
import { ownedBy } from '#api/selectors.ts'
import { inNamespace, MANAGED_LABELS, withoutOwnershipMarks } from '#workload/metadata.ts'

/**
 * A core Service as target: the user's own is never written, and holds what was requested last. `<s>-primary` and `<s>-canary` are copies of it, and
 * routes go to the primary's, at rest, too.
 */

/** What was admitted as `revision`; immutable, as of templates. */
export function renderServiceSnapshot(canary: Canary, target: Service, revision: string, order: number): KubeObject {
  return {
    apiVersion: 'apps/v1',
    kind: 'ControllerRevision',
    metadata: {
      name: snapshotName(target.metadata.name, revision),
      ...inNamespace(canary.metadata.namespace),
      labels: { ...MANAGED_LABELS, [LABEL_TARGET]: target.metadata.name, [LABEL_REVISION]: revision },
      ownerReferences: [ownedBy(canary)],
    },
    data: { service: portableSpec(target) },
    revision: order,
  }
}

export const serviceIn = (snapshot: KubeObject | undefined): Service['spec'] | undefined =>
  (snapshot?.['data'] as { readonly service?: Service['spec'] } | undefined)?.service

/** The role's copy, whole, so that server-side apply also removes what a new revision no longer has. */
export function renderServiceCopy(canary: Canary, target: Service, role: Role, spec: Service['spec'], revision: string): Service {
  const { labels, annotations } = canary.spec.service?.[role] ?? {}
  return {
    apiVersion: 'v1',
    kind: 'Service',
    metadata: {
      name: roleName(apexName(canary), role),
      ...inNamespace(canary.metadata.namespace),
      labels: {
        ...withoutOwnershipMarks(target.metadata.labels), ...labels, ...MANAGED_LABELS, [LABEL_ROLE]: role, [LABEL_TARGET]: target.metadata.name, [LABEL_REVISION]: revision,
      },
      annotations: { ...annotations, ...UNRECONCILED },
      ownerReferences: [ownedBy(canary)],
    },
    spec: { type: 'ClusterIP', ...spec },
  }
}
