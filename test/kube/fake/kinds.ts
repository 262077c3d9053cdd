/** What a fake API server knows of a kind. */
export type ServedKind = {
  readonly apiVersion: string
  readonly kind: string
  readonly plural: string
  readonly namespaced: boolean
  /** Status is a subresource: ordinary writes leave it alone. */
  readonly hasStatus: boolean
  /** Changes outside of metadata and status are counted in `metadata.generation`. */
  readonly hasGeneration: boolean
  /** Built in: strategic patches work, and lists are merged by their keys. */
  readonly isBuiltIn: boolean
}

export const kindKey = (apiVersion: string, kind: string): string => `${apiVersion}/${kind}`

export function customKind(apiVersion: string, kind: string, options: Partial<ServedKind> = {}): ServedKind {
  return { apiVersion, kind, plural: pluralOf(kind), namespaced: true, hasStatus: true, hasGeneration: true, isBuiltIn: false, ...options }
}

function pluralOf(kind: string): string {
  const lower = kind.toLowerCase()
  if (/[^aeiou]y$/.test(lower)) return `${lower.slice(0, -1)}ies`
  return /(?:s|x|ch|sh)$/.test(lower) ? `${lower}es` : `${lower}s`
}

const builtIn = (apiVersion: string, kind: string, options: Partial<ServedKind> = {}): ServedKind =>
  customKind(apiVersion, kind, { isBuiltIn: true, hasStatus: false, hasGeneration: false, ...options })
const withStatus = { hasStatus: true, hasGeneration: true }
const clusterWide = { namespaced: false }

export const DEFAULT_KINDS: readonly ServedKind[] = [
  builtIn('v1', 'ConfigMap'),
  builtIn('v1', 'Event'),
  builtIn('v1', 'Namespace', clusterWide),
  builtIn('v1', 'Node', clusterWide),
  builtIn('v1', 'Pod', { hasStatus: true }),
  builtIn('v1', 'Secret'),
  builtIn('v1', 'Service', { hasStatus: true }),
  builtIn('v1', 'ServiceAccount'),
  builtIn('apps/v1', 'ControllerRevision'),
  builtIn('apps/v1', 'DaemonSet', withStatus),
  builtIn('apps/v1', 'Deployment', withStatus),
  builtIn('apps/v1', 'ReplicaSet', withStatus),
  builtIn('apps/v1', 'StatefulSet', withStatus),
  builtIn('admissionregistration.k8s.io/v1', 'MutatingWebhookConfiguration', { namespaced: false, hasGeneration: true }),
  builtIn('admissionregistration.k8s.io/v1', 'ValidatingWebhookConfiguration', { namespaced: false, hasGeneration: true }),
  builtIn('autoscaling/v2', 'HorizontalPodAutoscaler', { hasStatus: true }),
  builtIn('coordination.k8s.io/v1', 'Lease'),
  builtIn('discovery.k8s.io/v1', 'EndpointSlice', { hasGeneration: true }),
  builtIn('networking.k8s.io/v1', 'Ingress', withStatus),
  builtIn('policy/v1', 'PodDisruptionBudget', withStatus),
  builtIn('apiextensions.k8s.io/v1', 'CustomResourceDefinition', { namespaced: false, ...withStatus }),
  customKind('canarygate.dev/v1alpha1', 'ClusterCanaryPolicy', { plural: 'clustercanarypolicies', namespaced: false }),
  customKind('canarygate.dev/v1alpha1', 'CanaryPolicy', { plural: 'canarypolicies' }),
  customKind('flagger.app/v1beta1', 'Canary', { plural: 'canaries' }),
  customKind('flagger.app/v1beta1', 'MetricTemplate'),
  customKind('flagger.app/v1beta1', 'AlertProvider'),
]
