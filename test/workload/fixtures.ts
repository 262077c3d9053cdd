import type { Canary } from '#api/canary.ts'
import { objectKey, type KubeObject, type ObjectReader, type PodTemplate, type Workload } from '#api/objects.ts'

/** Builders for the object model's tests: a row holds what differs. */

const NAMESPACE = 'prod'

export const canaryOf = (spec: Partial<Canary['spec']> = {}): Canary => ({
  apiVersion: 'flagger.app/v1beta1',
  kind: 'Canary',
  metadata: { name: 'shop', namespace: NAMESPACE, uid: 'canary-uid' },
  spec: {
    targetRef: { apiVersion: 'apps/v1', kind: 'Deployment', name: 'shop' },
    service: { port: 80, targetPort: 8080 },
    analysis: { interval: '10s', threshold: 2, stepWeight: 10 },
    ...spec,
  },
})

export const templateOf = (image: string, spec: Readonly<Record<string, unknown>> = {}): PodTemplate => ({
  metadata: { labels: { app: 'shop', tier: 'fe' }, annotations: { note: 'theirs' } },
  spec: { containers: [{ name: 'app', image }], ...spec },
})

export const targetOf = (more: { readonly metadata?: Partial<KubeObject['metadata']>; readonly spec?: Partial<Workload['spec']>; readonly kind?: string } = {}): Workload => ({
  apiVersion: 'apps/v1',
  kind: more.kind ?? 'Deployment',
  metadata: { name: 'shop', namespace: NAMESPACE, uid: 'target-uid', ...more.metadata },
  spec: { replicas: 3, selector: { matchLabels: { app: 'shop', tier: 'fe' } }, template: templateOf('shop:1'), ...more.spec },
})

export const inCluster = (...objects: readonly KubeObject[]): ObjectReader => ({
  get: (ref) => objects.find(({ apiVersion, kind, metadata }) => apiVersion === ref.apiVersion && kind === ref.kind && objectKey(metadata) === objectKey(ref)),
  list: (apiVersion, kind, namespace) => objects.filter((object) => object.apiVersion === apiVersion && object.kind === kind && object.metadata.namespace === namespace),
})

export const objectOf = (apiVersion: string, kind: string, name: string, fields: Readonly<Record<string, unknown>> = {}, metadata: Partial<KubeObject['metadata']> = {}): KubeObject =>
  ({ apiVersion, kind, metadata: { name, namespace: NAMESPACE, ...metadata }, ...fields })
