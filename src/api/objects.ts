import { SCALE_TO_ZERO } from '#api/names.ts'

/** Raw Kubernetes objects as they travel: JSON in, JSON out. Only the fields that are read here are typed. */

export type Json = null | boolean | number | string | readonly Json[] | { readonly [key: string]: Json }

export type OwnerReference = {
  readonly apiVersion: string
  readonly kind: string
  readonly name: string
  readonly uid: string
  readonly controller?: boolean
  readonly blockOwnerDeletion?: boolean
}

export type ObjectMeta = {
  readonly name: string
  readonly namespace?: string
  readonly uid?: string
  readonly resourceVersion?: string
  readonly generation?: number
  readonly creationTimestamp?: string
  readonly deletionTimestamp?: string
  readonly labels?: Readonly<Record<string, string>>
  readonly annotations?: Readonly<Record<string, string>>
  readonly ownerReferences?: readonly OwnerReference[]
  readonly finalizers?: readonly string[]
}

/** Any object; unknown fields survive because nothing is re-serialised field by field. */
export type KubeObject = {
  readonly apiVersion: string
  readonly kind: string
  readonly metadata: ObjectMeta
  readonly [field: string]: unknown
}

export type ObjectRef = {
  readonly apiVersion: string
  readonly kind: string
  readonly name: string
  readonly namespace?: string
}

export type LabelSelector = { readonly matchLabels?: Readonly<Record<string, string>>; readonly matchExpressions?: readonly unknown[] }

export type Container = {
  readonly name: string
  readonly image?: string
  readonly ports?: readonly { readonly containerPort: number; readonly name?: string; readonly protocol?: string }[]
  readonly [field: string]: unknown
}

export type PodTemplate = {
  readonly metadata?: { readonly labels?: Readonly<Record<string, string>>; readonly annotations?: Readonly<Record<string, string>> }
  readonly spec: {
    readonly containers: readonly Container[]
    readonly initContainers?: readonly Container[]
    readonly [field: string]: unknown
  }
}

export type Condition = {
  readonly type: string
  readonly status: string
  readonly reason?: string
  readonly message?: string
  readonly lastUpdateTime?: string
  readonly lastTransitionTime?: string
  readonly observedGeneration?: number
}

/** A Deployment or DaemonSet. */
export type Workload = KubeObject & {
  readonly spec: {
    readonly replicas?: number
    readonly paused?: boolean
    readonly selector: LabelSelector
    readonly template: PodTemplate
    readonly minReadySeconds?: number
    readonly progressDeadlineSeconds?: number
    readonly [field: string]: unknown
  }
  readonly status?: {
    readonly observedGeneration?: number
    readonly replicas?: number
    readonly updatedReplicas?: number
    readonly readyReplicas?: number
    readonly availableReplicas?: number
    readonly unavailableReplicas?: number
    readonly conditions?: readonly Condition[]
    readonly [field: string]: unknown
  }
}

/** Pods asked for, ready, and there. A DaemonSet has as many as nodes, or none: its count is 1 or 0, and what its status says of pods. */
export function countsOf({ kind, spec, status }: Workload): { readonly replicas: number; readonly readyReplicas: number; readonly runningReplicas: number } {
  if (kind !== 'DaemonSet') return { replicas: spec.replicas ?? 1, readyReplicas: status?.readyReplicas ?? 0, runningReplicas: status?.replicas ?? 0 }
  const number = (name: string): number => (typeof status?.[name] === 'number' ? status[name] : 0)
  const selector = spec.template.spec['nodeSelector'] as Readonly<Record<string, string>> | undefined
  return { replicas: selector?.[SCALE_TO_ZERO] === undefined ? 1 : 0, readyReplicas: number('numberReady'), runningReplicas: number('currentNumberScheduled') }
}

export type ServicePort = {
  readonly name?: string
  readonly port: number
  readonly targetPort?: number | string
  readonly protocol?: string
  readonly appProtocol?: string
  readonly nodePort?: number
}

export type Service = KubeObject & {
  readonly spec: {
    readonly selector?: Readonly<Record<string, string>>
    readonly ports?: readonly ServicePort[]
    readonly clusterIP?: string
    readonly type?: string
    readonly [field: string]: unknown
  }
}

/** Read-only look at what the cluster holds now, from caches: never an API call. */
export type ObjectReader = {
  get(ref: ObjectRef): KubeObject | undefined
  /** Of one namespace; of all with the empty one. */
  list(apiVersion: string, kind: string, namespace: string): readonly KubeObject[]
}

export const objectKey = (ref: { readonly namespace?: string; readonly name: string }): string =>
  ref.namespace ? `${ref.namespace}/${ref.name}` : ref.name

export const splitKey = (key: string): { namespace: string; name: string } => {
  const slash = key.indexOf('/')
  return slash < 0 ? { namespace: '', name: key } : { namespace: key.slice(0, slash), name: key.slice(slash + 1) }
}

/** Where an object is found. */
export const refOf = ({ apiVersion, kind, metadata: { name, namespace } }: KubeObject): ObjectRef => ({ apiVersion, kind, name, ...(namespace ? { namespace } : {}) })
