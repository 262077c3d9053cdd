import type { PodTemplate } from '#api/objects.ts'
import { createHash } from 'node:crypto'
import type { Db } from './db.ts'
import { selects } from './selectors.ts'
import { copy, isEqual, type Dict, type Stored } from './values.ts'

export type SimulationOptions = {
  /** From a pod's creation until it may be ready. */
  readonly podStartMs: number
  readonly clock: { readonly now: () => number }
  /** Whether pods of this template can become ready (and stay it). Default: always. */
  readonly readiness?: (template: PodTemplate, owner: string) => boolean
  /** How many pods a DaemonSet has. Default 2. */
  readonly nodes?: number
}

export type Simulation = {
  /** One turn of every controller: pods, ReplicaSets, status, EndpointSlices. */
  tick(): void
}

type Workload = Stored & {
  spec: { replicas?: number; paused?: boolean; minReadySeconds?: number; progressDeadlineSeconds?: number; selector?: Dict; template: PodTemplate & { metadata?: { labels?: Record<string, string> } } }
  status?: Dict & { conditions?: { type: string; status: string; reason?: string; lastUpdateTime?: string }[] }
}
type Pod = Stored & { status: { podIP: string; phase: string; startTime: string; conditions: { type: string; status: string; lastTransitionTime: string }[] } }

const CONTROLLER = { manager: 'kube-controller-manager', operation: 'Update' } as const
const PROGRESS_DEADLINE_SECONDS = 600

export function createWorkloadSimulation(db: Db, { podStartMs, clock, readiness = () => true, nodes = 2 }: SimulationOptions): Simulation {
  const of = <T extends Stored>(apiVersion: string, kind: string): T[] => db.all(db.kindOf(apiVersion, kind)) as T[]
  const time = (ms: number): string => new Date(ms).toISOString()
  let addresses = 0

  function put(object: Dict & { metadata: Dict }, apiVersion: string, kind: string): void {
    db.create(db.kindOf(apiVersion, kind), { apiVersion, kind, ...object }, { ...CONTROLLER, subresource: undefined })
  }

  function edit(object: Stored, change: (current: Stored) => Dict, subresource?: 'status'): void {
    const kind = db.kindOf(object.apiVersion, object.kind)
    const current = db.find(kind, object.metadata.namespace, object.metadata.name)
    // Most turns change nothing: then nothing is copied either.
    if (isEqual(change(current), current)) return
    db.modify(kind, object.metadata.namespace, object.metadata.name, { ...CONTROLLER, subresource }, change)
  }

  const podsOf = (owner: Stored): Pod[] =>
    of<Pod>('v1', 'Pod').filter(({ metadata }) => metadata.ownerReferences?.some(({ uid }) => uid === owner.metadata.uid))

  const isReady = (pod: Pod, forMs = 0): boolean => pod.status.conditions.some(({ type, status, lastTransitionTime }) =>
    type === 'Ready' && status === 'True' && clock.now() - Date.parse(lastTransitionTime) >= forMs)

  function scalePods(owner: Stored, template: Workload['spec']['template'], labels: Dict, wanted: number): void {
    const pods = podsOf(owner)
    // The ones that are not ready go first, as in a real ReplicaSet.
    const surplus = [...pods].sort((a, b) => Number(isReady(a)) - Number(isReady(b))).slice(0, Math.max(0, pods.length - wanted))
    for (const pod of surplus) db.remove(db.kindOf('v1', 'Pod'), pod.metadata.namespace, pod.metadata.name)
    for (let missing = wanted - pods.length; missing > 0; missing -= 1) startPod(owner, template, labels)
  }

  function startPod(owner: Stored, template: Workload['spec']['template'], labels: Dict): void {
    addresses += 1
    const podIP = `10.1.${Math.floor(addresses / 250)}.${(addresses % 250) + 1}`
    const name = `${owner.metadata.name}-${addresses.toString(36).padStart(5, '0')}`
    put({
      metadata: {
        name, namespace: owner.metadata.namespace, labels: { ...template.metadata?.labels, ...labels }, annotations: { ...template.metadata?.annotations },
        ownerReferences: [{ apiVersion: owner.apiVersion, kind: owner.kind, name: owner.metadata.name, uid: owner.metadata.uid, controller: true }],
      },
      spec: copy(template.spec),
    }, 'v1', 'Pod')
    const pod = db.find(db.kindOf('v1', 'Pod'), owner.metadata.namespace, name)
    setPodStatus(pod, podIP, clock.now(), false)
  }

  function setPodStatus(pod: Stored, podIP: string, startedAt: number, ready: boolean): void {
    const containers = ((pod['spec'] as PodTemplate['spec']).containers ?? []).map(({ name, image }) => ({ name, image, ready, restartCount: 0, state: { running: { startedAt: time(startedAt) } } }))
    const condition = (type: string) => ({ type, status: ready ? 'True' : 'False', lastTransitionTime: time(clock.now()) })
    edit(pod, (current) => ({
      ...current,
      status: { phase: ready ? 'Running' : 'Pending', podIP, startTime: time(startedAt), conditions: [condition('Ready'), condition('ContainersReady')], containerStatuses: containers },
    }), 'status')
  }

  /** Pods become ready after their time, if their template can, and stop being it when it cannot any more. */
  function agePods(): void {
    for (const pod of of<Pod>('v1', 'Pod')) {
      const owner = pod.metadata.ownerReferences?.[0]?.name ?? ''
      const template = { metadata: { labels: pod.metadata.labels ?? {}, annotations: pod.metadata.annotations ?? {} }, spec: pod['spec'] as PodTemplate['spec'] }
      const startedAt = Date.parse(pod.status?.startTime ?? '')
      if (Number.isNaN(startedAt)) continue
      const ready = clock.now() - startedAt >= podStartMs && readiness(template, owner)
      if (ready !== isReady(pod)) setPodStatus(pod, pod.status.podIP, startedAt, ready)
    }
  }

  const hashOf = (template: PodTemplate): string => createHash('sha256').update(JSON.stringify(template)).digest('hex').slice(0, 10)

  function runDeployment(deployment: Workload): void {
    const { namespace, name, uid } = deployment.metadata
    const { replicas = 1, template, minReadySeconds = 0, paused } = deployment.spec
    const sets = of<Workload>('apps/v1', 'ReplicaSet').filter(({ metadata }) => metadata.ownerReferences?.some((owner) => owner.uid === uid))
    const hash = hashOf(template)
    let newest = sets.find(({ metadata }) => metadata.labels?.['pod-template-hash'] === hash)
    if (!newest && !paused) {
      const setName = `${name}-${hash}`
      put({
        metadata: {
          name: setName, namespace, labels: { ...template.metadata?.labels, 'pod-template-hash': hash },
          ownerReferences: [{ apiVersion: 'apps/v1', kind: 'Deployment', name, uid, controller: true }],
        },
        spec: { replicas: 0, selector: deployment.spec.selector, template: copy(template) },
      }, 'apps/v1', 'ReplicaSet')
      newest = db.find(db.kindOf('apps/v1', 'ReplicaSet'), namespace, setName) as Workload
    }
    const oldSets = sets.filter(({ metadata }) => metadata.uid !== newest?.metadata.uid)
    if (newest) scalePods(newest, newest.spec.template, { 'pod-template-hash': hash }, replicas)
    const updated = newest ? podsOf(newest) : []
    const updatedReady = updated.filter((pod) => isReady(pod, minReadySeconds * 1_000))
    // Never fewer ready pods than wanted: old ones go as new ones come.
    let oldWanted = Math.max(0, replicas - (newest ? updatedReady.length : 0))
    for (const set of oldSets) {
      const keep = Math.min(podsOf(set).length, oldWanted)
      oldWanted -= keep
      scalePods(set, set.spec.template, { 'pod-template-hash': set.metadata.labels?.['pod-template-hash'] }, keep)
    }
    for (const set of [...oldSets, ...(newest ? [newest] : [])]) {
      const pods = podsOf(set)
      edit(set, (current) => ({ ...current, spec: { ...(current['spec'] as Dict), replicas: pods.length } }))
      edit(set, (current) => ({ ...current, status: { observedGeneration: current.metadata.generation, replicas: pods.length, readyReplicas: pods.filter((pod) => isReady(pod)).length } }), 'status')
    }
    const pods = [...updated, ...oldSets.flatMap(podsOf)]
    saveDeploymentStatus(deployment, pods, updated, minReadySeconds)
  }

  function saveDeploymentStatus(deployment: Workload, pods: readonly Pod[], updated: readonly Pod[], minReadySeconds: number): void {
    const { replicas = 1, progressDeadlineSeconds = PROGRESS_DEADLINE_SECONDS } = deployment.spec
    const available = pods.filter((pod) => isReady(pod, minReadySeconds * 1_000)).length
    const counts = {
      replicas: pods.length, updatedReplicas: updated.length, readyReplicas: pods.filter((pod) => isReady(pod)).length, availableReplicas: available,
      unavailableReplicas: Math.max(0, replicas - available),
    }
    const isComplete = updated.length === replicas && pods.length === replicas && available === replicas
    const last = deployment.status?.conditions?.find(({ type }) => type === 'Progressing')
    const isMoving = deployment.status?.['observedGeneration'] !== deployment.metadata.generation
      || !isEqual(counts, Object.fromEntries(Object.keys(counts).map((key) => [key, deployment.status?.[key]])))
    const movedAt = isMoving ? time(clock.now()) : (last?.lastUpdateTime ?? time(clock.now()))
    const isLate = !isComplete && clock.now() - Date.parse(movedAt) > progressDeadlineSeconds * 1_000
    const reason = isComplete ? 'NewReplicaSetAvailable' : isLate ? 'ProgressDeadlineExceeded' : 'ReplicaSetUpdated'
    edit(deployment, (current) => ({
      ...current,
      status: {
        observedGeneration: current.metadata.generation, ...counts,
        conditions: [
          { type: 'Available', status: available >= replicas ? 'True' : 'False', reason: available >= replicas ? 'MinimumReplicasAvailable' : 'MinimumReplicasUnavailable' },
          { type: 'Progressing', status: isLate ? 'False' : 'True', reason, lastUpdateTime: movedAt },
        ],
      },
    }), 'status')
  }

  function runDaemonSet(set: Workload): void {
    const selector = Object.keys((set.spec.template.spec['nodeSelector'] as Dict | undefined) ?? {})
    // No simulated node has labels.
    const desired = selector.length > 0 ? 0 : nodes
    const hash = hashOf(set.spec.template)
    const pods = podsOf(set)
    for (const pod of pods) if (pod.metadata.labels?.['controller-revision-hash'] !== hash) db.remove(db.kindOf('v1', 'Pod'), pod.metadata.namespace, pod.metadata.name)
    scalePods(set, set.spec.template, { 'controller-revision-hash': hash }, desired)
    const now = podsOf(set)
    const ready = now.filter((pod) => isReady(pod)).length
    edit(set, (current) => ({
      ...current,
      status: {
        observedGeneration: current.metadata.generation, desiredNumberScheduled: desired, currentNumberScheduled: now.length, updatedNumberScheduled: now.length,
        numberReady: ready, numberAvailable: ready, numberUnavailable: desired - ready, numberMisscheduled: 0,
      },
    }), 'status')
  }

  function runService(service: Stored): void {
    const { selector, ports } = service['spec'] as { selector?: Record<string, string>; ports?: { name?: string; port: number; targetPort?: number | string }[] }
    if (!selector) return
    const pods = of<Pod>('v1', 'Pod').filter(({ metadata }) => metadata.namespace === service.metadata.namespace && selects(selector, metadata.labels))
    const endpoints = pods.map((pod) => ({
      addresses: [pod.status.podIP],
      conditions: { ready: isReady(pod), serving: isReady(pod), terminating: false },
      targetRef: { kind: 'Pod', name: pod.metadata.name, namespace: pod.metadata.namespace, uid: pod.metadata.uid },
    }))
    const slice = { addressType: 'IPv4', ports: (ports ?? []).map(({ name = '', port, targetPort }) => ({ name, port: typeof targetPort === 'number' ? targetPort : port, protocol: 'TCP' })), endpoints }
    const name = `${service.metadata.name}-sim`
    const kind = db.kindOf('discovery.k8s.io/v1', 'EndpointSlice')
    const found = db.all(kind).find(({ metadata }) => metadata.name === name && metadata.namespace === service.metadata.namespace)
    // As the real controller does: a Service's labels travel on to its slices.
    const labels = { ...service.metadata.labels, 'kubernetes.io/service-name': service.metadata.name }
    if (found) return edit(found, (current) => ({ ...current, ...copy(slice), metadata: { ...current.metadata, labels } }))
    put({
      metadata: {
        name, namespace: service.metadata.namespace, labels,
        ownerReferences: [{ apiVersion: 'v1', kind: 'Service', name: service.metadata.name, uid: service.metadata.uid, controller: true }],
      },
      ...slice,
    }, 'discovery.k8s.io/v1', 'EndpointSlice')
  }

  return {
    tick: () => {
      agePods()
      for (const deployment of of<Workload>('apps/v1', 'Deployment')) runDeployment(deployment)
      for (const set of of<Workload>('apps/v1', 'DaemonSet')) runDaemonSet(set)
      for (const service of of('v1', 'Service')) runService(service)
    },
  }
}
