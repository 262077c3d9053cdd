import fastJsonPatch from 'fast-json-patch'
import type { Canary, CanarySpec } from '#api/canary.ts'
import type { KubeObject, Workload } from '#api/objects.ts'
import { type Answer } from '#admission/answer.ts'
import type { Patch } from '#admission/json-patch.ts'
import type { AdmissionRequest } from '#admission/review.ts'
import type { AdmissionRules, AdmissionState } from '#admission/state.ts'
import type { WorkloadContext } from '#admission/workloads.ts'
import type { ReportedFinding } from '#policy/rule.ts'

/** Builders of what the API server sends. A test row says what differs. */

export const AGENT = 'system:serviceaccount:canarygate:canarygate-agent'
export const ALICE = { username: 'alice@example.com', groups: ['system:authenticated'] }
export const NOW = 1_800_000_000_000

export type Shape = {
  readonly image?: string
  readonly replicas?: number | null
  readonly paused?: boolean
  readonly annotations?: Readonly<Record<string, string>>
  readonly labels?: Readonly<Record<string, string>>
  readonly restartedAt?: string
  readonly available?: number
  readonly env?: Readonly<Record<string, string>>
  readonly name?: string
  readonly kind?: 'Deployment' | 'DaemonSet'
  readonly generation?: number
}

/** As the API server stores it, so with its defaults: 3 KB as real ones have. */
export function workload({ image = 'cart:2.3', replicas = 3, paused, annotations, labels = {}, restartedAt, available = 3, env = {}, name = 'cart', kind = 'Deployment', generation = 4 }: Shape = {}): Workload {
  return {
    apiVersion: 'apps/v1',
    kind,
    metadata: {
      name, namespace: 'shop', uid: '5f1c4a52-0f6b-4be6-a9a2-6a0d20ff4bb1', resourceVersion: '48211', generation,
      creationTimestamp: '2026-11-02T08:00:00Z', labels: { app: name, ...labels }, ...(annotations ? { annotations } : {}),
    },
    spec: {
      ...(kind === 'Deployment' && replicas !== null ? { replicas } : {}),
      ...(paused === undefined ? {} : { paused }),
      selector: { matchLabels: { app: name } },
      template: {
        metadata: { labels: { app: name }, ...(restartedAt ? { annotations: { 'kubectl.kubernetes.io/restartedAt': restartedAt } } : {}) },
        spec: {
          containers: [{
            name: 'cart', image, imagePullPolicy: 'IfNotPresent', ports: [{ containerPort: 8080, protocol: 'TCP' }],
            env: Object.entries(env).map(([key, value]) => ({ name: key, value })),
            readinessProbe: { httpGet: { path: '/healthz', port: 8080, scheme: 'HTTP' }, periodSeconds: 1, failureThreshold: 3, successThreshold: 1, timeoutSeconds: 1 },
            resources: { requests: { cpu: '50m', memory: '64Mi' } }, terminationMessagePath: '/dev/termination-log', terminationMessagePolicy: 'File',
          }],
          restartPolicy: 'Always', terminationGracePeriodSeconds: 30, dnsPolicy: 'ClusterFirst', securityContext: {}, schedulerName: 'default-scheduler',
        },
      },
      ...(kind === 'Deployment' ? { strategy: { type: 'RollingUpdate', rollingUpdate: { maxUnavailable: '25%', maxSurge: '25%' } }, revisionHistoryLimit: 10 } : {}),
      progressDeadlineSeconds: 600,
    },
    status: {
      observedGeneration: generation, replicas: available, updatedReplicas: available, readyReplicas: available,
      ...(kind === 'Deployment' ? { availableReplicas: available } : { numberAvailable: available }),
      conditions: [
        { type: 'Available', status: 'True', reason: 'MinimumReplicasAvailable', message: 'Deployment has minimum availability.', lastUpdateTime: '2026-11-02T08:00:05Z', lastTransitionTime: '2026-11-02T08:00:05Z' },
        { type: 'Progressing', status: 'True', reason: 'NewReplicaSetAvailable', message: 'ReplicaSet "cart-7d9f" has successfully progressed.', lastUpdateTime: '2026-11-02T08:00:06Z', lastTransitionTime: '2026-11-02T08:00:00Z' },
      ],
    },
  }
}

export const SPEC: CanarySpec = {
  targetRef: { apiVersion: 'apps/v1', kind: 'Deployment', name: 'cart' },
  service: { port: 80 },
  analysis: { interval: '1m', threshold: 5, maxWeight: 50, stepWeight: 10 },
}

export const canary = (status: Canary['status'] = {}, spec: Partial<CanarySpec> = {}, annotations: Readonly<Record<string, string>> = {}): Canary => ({
  apiVersion: 'flagger.app/v1beta1', kind: 'Canary', metadata: { name: 'cart', namespace: 'shop', annotations }, spec: { ...SPEC, ...spec }, status,
})

export const request = (shape: Partial<AdmissionRequest>): AdmissionRequest => ({
  uid: 'b1946ac9-2492-4d23-a1c5-7f7a7b4d1c11', operation: 'UPDATE', group: 'apps', resource: 'deployments', subResource: '', kind: 'Deployment',
  namespace: 'shop', name: 'cart', user: ALICE, dryRun: false, ...shape,
})

export const context = (shape: Partial<WorkloadContext> = {}): WorkloadContext => ({
  canary: canary(), gatedNamespace: true, defaults: SPEC, policyName: 'default', agentUsers: [AGENT], user: ALICE, ...shape,
})

/** The envelope as it comes over the wire. */
export function reviewBody({ group, resource, subResource, kind, user, ...rest }: AdmissionRequest): string {
  return JSON.stringify({
    apiVersion: 'admission.k8s.io/v1',
    kind: 'AdmissionReview',
    request: {
      ...rest, subResource, userInfo: user,
      kind: { group, version: 'v1', kind }, resource: { group, version: 'v1', resource },
      requestKind: { group, version: 'v1', kind }, requestResource: { group, version: 'v1', resource },
      object: rest.object ?? null, oldObject: rest.oldObject ?? null,
      options: { apiVersion: 'meta.k8s.io/v1', kind: 'UpdateOptions', fieldManager: 'kubectl-set' },
    },
  })
}

/** What is stored after a patch, by another implementation of RFC 6902 than the one that made it. Throws when it does not apply. */
export function applied<T extends KubeObject>(object: T, patch: Patch): T {
  const copy = JSON.parse(JSON.stringify(object))
  return fastJsonPatch.applyPatch(copy, JSON.parse(JSON.stringify(patch)), true, true, false).newDocument
}

export const patchOf = (answer: Pick<Answer, 'patch'>): Patch =>
  answer.patch === undefined ? [] : JSON.parse(Buffer.from(answer.patch, 'base64').toString('utf8'))

export const finding = (shape: Partial<ReportedFinding> = {}): ReportedFinding => ({
  rule: 'step-weight-over-max', severity: 'deny', field: 'spec.analysis.stepWeight', message: '60 is more than maxWeight (50)', fix: 'use at most 50', ...shape,
})

export const stateOf = (shape: Partial<AdmissionState> = {}): AdmissionState => ({
  synced: () => true,
  canaryFor: () => canary(),
  isGated: () => true,
  defaultsFor: () => ({ spec: SPEC, policyName: 'default' }),
  objects: { get: () => undefined, list: () => [] },
  ruleContext: () => ({ defaultProvider: 'kubernetes', providers: {} }),
  ...shape,
})

export const NO_RULES: AdmissionRules = { canary: () => [], object: () => [], change: () => [] }
