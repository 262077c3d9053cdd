import type { Canary } from '#api/canary.ts'
import { apexName } from '#api/defaults.ts'
import { FIELD_MANAGER, LABEL_REVISION, roleName, snapshotName, type Role } from '#api/names.ts'
import type { ObjectRef, Service } from '#api/objects.ts'
import { revisionOfService } from '#api/revision.ts'
import type { Caches } from '#agent/caches.ts'
import { covers } from '#agent/covers.ts'
import type { KubeClient } from '#kube/client.ts'
import { isConflict } from '#kube/error.ts'
import type { Effect, Seen, WorkloadSeen } from '#rollout/decision.ts'
import { renderServiceCopy, renderServiceSnapshot, serviceIn } from '#workload/service-target.ts'
import { nextOrder, snapshotsOf } from '#workload/snapshot.ts'

/** A core Service as target, put in the words that the core has for workloads: one copy each, always ready, and nothing to be held. */

type SubjectSeen = Pick<Seen, 'target' | 'targetReady' | 'stableRevision' | 'primary' | 'canary' | 'apex'>

const refOf = (canary: Canary, name: string): ObjectRef => ({ apiVersion: 'v1', kind: 'Service', namespace: canary.metadata.namespace ?? '', name })
const serviceOf = (canary: Canary, caches: Caches, name: string): Service | undefined => caches.reader.get(refOf(canary, name)) as Service | undefined
export const targetService = (canary: Canary, caches: Caches): Service | undefined => serviceOf(canary, caches, canary.spec.targetRef.name)

export function observeService(canary: Canary, caches: Caches): SubjectSeen {
  const target = targetService(canary, caches)
  const isLeaving = canary.metadata.deletionTimestamp !== undefined
  const role = (name: Role): WorkloadSeen | undefined => {
    const copy = serviceOf(canary, caches, roleName(apexName(canary), name))
    const revision = copy?.metadata.labels?.[LABEL_REVISION]
    return revision === undefined ? undefined : { revision, replicas: 1, readyReplicas: 1, runningReplicas: 1, readiness: { ready: true }, restartedAt: undefined }
  }
  const requested = target && revisionOfService(target)
  return {
    target: requested === undefined ? undefined : {
      // What routes go back to when the Canary goes is the user's own, as it is.
      revision: (isLeaving ? canary.status?.lastPromotedSpec : undefined) ?? requested,
      image: '', restartedAt: undefined, wantedReplicas: 1, adopted: true, replicas: isLeaving ? 1 : 0, runningReplicas: isLeaving ? 1 : 0,
      paused: false, held: false, gate: undefined, requestedBy: undefined, scaled: false,
    },
    targetReady: true,
    stableRevision: undefined,
    primary: role('primary'),
    canary: isLeaving ? undefined : role('canary'),
    apex: isLeaving ? 'target' : 'primary',
  }
}

/** Stores what was admitted, or carries it into a role's copy. The user's own Service is never written. */
export async function applyToServices(canary: Canary, effect: Extract<Effect, { kind: 'snapshot' | 'deploy' }>, client: KubeClient, caches: Caches): Promise<void> {
  const target = targetService(canary, caches)
  const { namespace = '' } = canary.metadata
  if (!target) throw new Error(`target Service ${namespace}/${canary.spec.targetRef.name} is gone`)
  const ref = { apiVersion: 'apps/v1', kind: 'ControllerRevision', namespace, name: snapshotName(target.metadata.name, effect.revision) }
  const snapshot = caches.reader.get(ref)
  if (effect.kind === 'deploy') {
    if (effect.role === 'baseline') return // Nothing of the Service's own serves: see `baselineObstacle`.
    const spec = serviceIn(snapshot ?? (await client.get(ref)))
    if (!spec) throw new Error(`snapshot ${ref.name} is gone: revision ${effect.revision} cannot be deployed`)
    const copy = renderServiceCopy(canary, target, effect.role, spec, effect.revision)
    if (!covers(serviceOf(canary, caches, copy.metadata.name), copy)) await client.apply(copy, { fieldManager: FIELD_MANAGER, force: true })
    return
  }
  if (snapshot) return
  if (revisionOfService(target) !== effect.revision) throw new Error(`nothing of revision ${effect.revision} is left: the target has moved on`)
  const stored = snapshotsOf(caches.reader.list('apps/v1', 'ControllerRevision', namespace), target.metadata.name)
  try {
    await client.create(renderServiceSnapshot(canary, target, effect.revision, nextOrder(stored)), { fieldManager: FIELD_MANAGER })
  } catch (err) {
    if (!isConflict(err)) throw err // 409: it exists, and a snapshot never changes
  }
}
