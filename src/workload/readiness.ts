import type { Condition, KubeObject, Workload } from '#api/objects.ts'

export type Readiness = { readonly ready: true } | { readonly ready: false; readonly retriable: boolean; readonly reason: string }

export type ReadinessOptions = {
  /** The Canary's deadline; the Deployment has one of its own besides. */
  readonly deadlineSeconds: number
  /** Percent of the updated pods that must be available. */
  readonly thresholdPercent: number
  /** Unix ms. */
  readonly nowMs: number
  /** When a DaemonSet's change began (Unix ms): it has no conditions that tell. Left out: it is waited for without limit. */
  readonly sinceMs?: number | undefined
}

/** Whether a rollout of pods is done, in Flagger's words. Not retriable: waiting longer will not help. */
export function readinessOf(workload: Workload, options: ReadinessOptions): Readiness {
  return workload.kind === 'DaemonSet' ? daemonSetReadiness(workload, options) : deploymentReadiness(workload, options)
}

const waiting = (retriable: boolean, reason: string): Readiness => ({ ready: false, retriable, reason: `waiting for rollout to finish: ${reason}` })

function deploymentReadiness({ metadata, spec, status = {} }: Workload, options: ReadinessOptions): Readiness {
  if ((status.observedGeneration ?? 0) < (metadata.generation ?? 0)) {
    return waiting(true, 'observed deployment generation less than desired generation')
  }
  const condition = (type: string): Condition | undefined => status.conditions?.find((entry) => entry.type === type)
  if (condition('Progressing')?.reason === 'ProgressDeadlineExceeded') {
    return { ready: false, retriable: false, reason: `deployment "${metadata.name}" exceeded its progress deadline` }
  }
  const { thresholdPercent } = options
  const { replicas = 0, updatedReplicas: updated = 0, availableReplicas: available = 0 } = status
  const needed = Math.floor((updated * thresholdPercent) / 100)
  const unfinished =
    spec.replicas !== undefined && updated < spec.replicas ? `${updated} out of ${spec.replicas} new replicas have been updated`
    : replicas > updated ? `${replicas - updated} old replicas are pending termination`
    : available < needed ? `${available} of ${needed} (readyThreshold ${thresholdPercent}%) updated replicas are available`
    : undefined
  if (unfinished === undefined) return { ready: true }
  return waiting(!isStuck(condition('Available'), condition('Progressing'), options), unfinished)
}

/**
 * Stuck: too few pods are available, or nothing progressed, for longer than the deadline. The second also ends the wait of a rollout that a quota
 * holds while its old pods keep the Deployment available. A finished rollout's Progressing is as old as that rollout and says nothing.
 */
function isStuck(available: Condition | undefined, progressing: Condition | undefined, { deadlineSeconds, nowMs }: ReadinessOptions): boolean {
  const isOverdue = (condition: Condition): boolean => Date.parse(condition.lastUpdateTime ?? '') + deadlineSeconds * 1_000 < nowMs
  if (!progressing) return false
  if (available?.status === 'False' && available.reason === 'MinimumReplicasUnavailable' && isOverdue(available)) return true
  return progressing.reason !== 'NewReplicaSetAvailable' && isOverdue(progressing)
}

type DaemonSetStatus = {
  readonly observedGeneration?: number
  readonly desiredNumberScheduled?: number
  readonly updatedNumberScheduled?: number
  readonly numberAvailable?: number
}

function daemonSetReadiness({ metadata, status }: Workload, { thresholdPercent, deadlineSeconds, nowMs, sinceMs }: ReadinessOptions): Readiness {
  const { observedGeneration = 0, desiredNumberScheduled: desired = 0, updatedNumberScheduled: updated = 0, numberAvailable: available = 0 } = (status ?? {}) as DaemonSetStatus
  if (observedGeneration < (metadata.generation ?? 0)) return waiting(true, 'observed daemonset generation less than desired generation')
  const needed = Math.floor((desired * thresholdPercent) / 100)
  const unfinished =
    updated < desired ? `${updated} out of ${desired} new pods have been updated`
    : available < needed ? `${available} of ${needed} updated pods are available`
    : undefined
  if (unfinished === undefined) return { ready: true }
  if (sinceMs !== undefined && sinceMs + deadlineSeconds * 1_000 < nowMs) {
    return { ready: false, retriable: false, reason: `exceeded its progressDeadlineSeconds: ${deadlineSeconds}` }
  }
  return waiting(true, unfinished)
}

type ContainerStatus = {
  readonly name: string
  readonly restartCount?: number
  readonly state?: {
    readonly waiting?: { readonly reason?: string; readonly message?: string }
    readonly terminated?: { readonly reason?: string; readonly exitCode?: number }
  }
  readonly lastState?: { readonly terminated?: { readonly reason?: string; readonly exitCode?: number } }
}
type PodStatus = {
  readonly phase?: string
  readonly conditions?: readonly Condition[]
  readonly initContainerStatuses?: readonly ContainerStatus[]
  readonly containerStatuses?: readonly ContainerStatus[]
}

/** Reasons for waiting that are part of any start; every other one is a fault. */
const ORDINARY_WAITS: readonly string[] = ['ContainerCreating', 'PodInitializing']

/** Why pods do not become ready, in words; undefined while they are merely starting. The first fault found stands for its fellows. */
export function podFailure(pods: readonly KubeObject[]): string | undefined {
  const faults = pods.flatMap((pod) => {
    if (pod.metadata.deletionTimestamp) return []
    const fault = faultOf((pod['status'] ?? {}) as PodStatus)
    return fault === undefined ? [] : [`pod ${pod.metadata.name}: ${fault}`]
  })
  const [first, ...others] = faults
  return first === undefined || others.length === 0 ? first : `${first}; and ${others.length} more`
}

function faultOf(status: PodStatus): string | undefined {
  for (const container of [...(status.initContainerStatuses ?? []), ...(status.containerStatuses ?? [])]) {
    const { name, state, lastState } = container
    const { reason, message } = state?.waiting ?? {}
    if (reason !== undefined && !ORDINARY_WAITS.includes(reason)) {
      const last = lastState?.terminated
      const cause = last ? `last exit ${last.exitCode ?? 0}${last.reason ? ` ${last.reason}` : ''}` : message
      return `container ${name} is in ${reason}${cause ? ` (${cause})` : ''}`
    }
    const ended = state?.terminated
    if (ended && ended.exitCode !== undefined && ended.exitCode !== 0) {
      return `container ${name} ended with exit code ${ended.exitCode}${ended.reason ? ` (${ended.reason})` : ''}`
    }
  }
  const scheduled = status.conditions?.find(({ type }) => type === 'PodScheduled')
  if (scheduled?.status === 'False') return `${scheduled.reason ?? 'Unschedulable'}${scheduled.message ? ` (${scheduled.message})` : ''}`
  return undefined
}
