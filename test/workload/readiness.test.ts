import { test } from 'tap'
import type { Condition, Workload } from '#api/objects.ts'
import { podFailure, readinessOf } from '#workload/readiness.ts'
import { objectOf, targetOf } from './fixtures.ts'

const NOW = Date.UTC(2026, 0, 1)
const ago = (seconds: number): string => new Date(NOW - seconds * 1_000).toISOString()
const at = (status: Workload['status'], kind = 'Deployment', spec: Partial<Workload['spec']> = {}): Workload =>
  ({ ...targetOf({ kind, metadata: { generation: 2 }, spec }), status: { observedGeneration: 2, ...status } })
const progressing = (reason: string, seconds: number): Condition => ({ type: 'Progressing', status: 'True', reason, lastUpdateTime: ago(seconds) })
const unavailable = (seconds: number): Condition => ({ type: 'Available', status: 'False', reason: 'MinimumReplicasUnavailable', lastUpdateTime: ago(seconds) })
const waiting = (retriable: boolean, reason: string) => ({ ready: false, retriable, reason: `waiting for rollout to finish: ${reason}` })

const full = { replicas: 3, updatedReplicas: 3, availableReplicas: 3 }
const cases: readonly { name: string; workload: Workload; percent?: number; sinceMs?: number; wants: unknown }[] = [
  { name: 'all pods updated and available', workload: at(full), wants: { ready: true } },
  { name: 'no pods are wanted', workload: at({}, 'Deployment', { replicas: 0 }), wants: { ready: true } },
  { name: 'not looked at yet', workload: at({ ...full, observedGeneration: 1 }), wants: waiting(true, 'observed deployment generation less than desired generation') },
  {
    name: 'past the Deployment\'s own deadline', workload: at({ ...full, conditions: [progressing('ProgressDeadlineExceeded', 1)] }),
    wants: { ready: false, retriable: false, reason: 'deployment "shop" exceeded its progress deadline' },
  },
  { name: 'pods still to be made', workload: at({ updatedReplicas: 1 }), wants: waiting(true, '1 out of 3 new replicas have been updated') },
  { name: 'old pods still there', workload: at({ ...full, replicas: 5 }), wants: waiting(true, '2 old replicas are pending termination') },
  { name: 'pods not available yet', workload: at({ ...full, availableReplicas: 1 }), wants: waiting(true, '1 of 3 (readyThreshold 100%) updated replicas are available') },
  { name: 'enough for the threshold', workload: at({ ...full, availableReplicas: 2 }), percent: 67, wants: { ready: true } },
  {
    name: 'unavailable for longer than the deadline', workload: at({ ...full, availableReplicas: 0, conditions: [progressing('ReplicaSetUpdated', 50), unavailable(61)] }),
    wants: waiting(false, '0 of 3 (readyThreshold 100%) updated replicas are available'),
  },
  {
    name: 'unavailable, within the deadline', workload: at({ ...full, availableReplicas: 0, conditions: [progressing('ReplicaSetUpdated', 50), unavailable(59)] }),
    wants: waiting(true, '0 of 3 (readyThreshold 100%) updated replicas are available'),
  },
  {
    name: 'held by a quota while old pods keep it available', workload: at({ replicas: 3, updatedReplicas: 1, conditions: [progressing('ReplicaSetUpdated', 61)] }),
    wants: waiting(false, '1 out of 3 new replicas have been updated'),
  },
  {
    name: 'scaled up long after its last rollout', workload: at({ replicas: 1, updatedReplicas: 1, conditions: [progressing('NewReplicaSetAvailable', 9_999)] }),
    wants: waiting(true, '1 out of 3 new replicas have been updated'),
  },
  {
    name: 'a DaemonSet not looked at yet', workload: at({ observedGeneration: 1 }, 'DaemonSet'),
    wants: waiting(true, 'observed daemonset generation less than desired generation'),
  },
  { name: 'a DaemonSet on all nodes', workload: at({ desiredNumberScheduled: 2, updatedNumberScheduled: 2, numberAvailable: 2 }, 'DaemonSet'), wants: { ready: true } },
  {
    name: 'a DaemonSet on one of two nodes', workload: at({ desiredNumberScheduled: 2, updatedNumberScheduled: 2, numberAvailable: 1 }, 'DaemonSet'),
    wants: waiting(true, '1 of 2 updated pods are available'),
  },
  {
    name: 'a DaemonSet past the deadline', workload: at({ desiredNumberScheduled: 2, updatedNumberScheduled: 1 }, 'DaemonSet'), sinceMs: NOW - 61_000,
    wants: { ready: false, retriable: false, reason: 'exceeded its progressDeadlineSeconds: 60' },
  },
]
for (const { name, workload, percent = 100, sinceMs, wants } of cases) {
  test(`readiness: ${name}`, async (t) => t.same(readinessOf(workload, { deadlineSeconds: 60, thresholdPercent: percent, nowMs: NOW, sinceMs }), wants))
}

const pod = (status: unknown, name = 'shop-canary-x') => objectOf('v1', 'Pod', name, { status })
const container = (state: unknown, more = {}) => ({ containerStatuses: [{ name: 'app', state, ...more }] })
const failures: readonly { name: string; pods: Parameters<typeof podFailure>[0]; text: string | undefined }[] = [
  { name: 'starting', pods: [pod(container({ waiting: { reason: 'ContainerCreating' } }))], text: undefined },
  { name: 'running', pods: [pod(container({ running: {} }))], text: undefined },
  {
    name: 'an image that cannot be pulled', pods: [pod(container({ waiting: { reason: 'ImagePullBackOff', message: 'Back-off pulling image "shop:9"' } }))],
    text: 'pod shop-canary-x: container app is in ImagePullBackOff (Back-off pulling image "shop:9")',
  },
  {
    name: 'a crash loop, with the last exit',
    pods: [pod(container({ waiting: { reason: 'CrashLoopBackOff', message: 'back-off' } }, { lastState: { terminated: { exitCode: 137, reason: 'OOMKilled' } } }))],
    text: 'pod shop-canary-x: container app is in CrashLoopBackOff (last exit 137 OOMKilled)',
  },
  {
    name: 'an init container that failed', pods: [pod({ initContainerStatuses: [{ name: 'migrate', state: { terminated: { exitCode: 1, reason: 'Error' } } }] })],
    text: 'pod shop-canary-x: container migrate ended with exit code 1 (Error)',
  },
  {
    name: 'no node for it, twice',
    pods: ['a', 'b'].map((name) => pod({ conditions: [{ type: 'PodScheduled', status: 'False', reason: 'Unschedulable', message: '0/1 nodes' }] }, name)),
    text: 'pod a: Unschedulable (0/1 nodes); and 1 more',
  },
]
for (const { name, pods, text } of failures) test(`pod failure: ${name}`, async (t) => t.equal(podFailure(pods), text))
