import { KubeError } from '#kube/error.ts'

/** Where the API server keeps a kind. */
export type Resource = { readonly plural: string; readonly namespaced: boolean }

const namespaced = (plural: string): Resource => ({ plural, namespaced: true })
const clusterWide = (plural: string): Resource => ({ plural, namespaced: false })

/** Kinds whose place never changes: no discovery for them. Everything else is looked up. */
const KNOWN: Readonly<Record<string, Resource>> = {
  'v1/ConfigMap': namespaced('configmaps'),
  'v1/Event': namespaced('events'),
  'v1/Namespace': clusterWide('namespaces'),
  'v1/Node': clusterWide('nodes'),
  'v1/Pod': namespaced('pods'),
  'v1/Secret': namespaced('secrets'),
  'v1/Service': namespaced('services'),
  'v1/ServiceAccount': namespaced('serviceaccounts'),
  'apps/v1/ControllerRevision': namespaced('controllerrevisions'),
  'apps/v1/DaemonSet': namespaced('daemonsets'),
  'apps/v1/Deployment': namespaced('deployments'),
  'apps/v1/ReplicaSet': namespaced('replicasets'),
  'apps/v1/StatefulSet': namespaced('statefulsets'),
  'admissionregistration.k8s.io/v1/MutatingWebhookConfiguration': clusterWide('mutatingwebhookconfigurations'),
  'admissionregistration.k8s.io/v1/ValidatingWebhookConfiguration': clusterWide('validatingwebhookconfigurations'),
  'apiextensions.k8s.io/v1/CustomResourceDefinition': clusterWide('customresourcedefinitions'),
  'autoscaling/v2/HorizontalPodAutoscaler': namespaced('horizontalpodautoscalers'),
  'coordination.k8s.io/v1/Lease': namespaced('leases'),
  'discovery.k8s.io/v1/EndpointSlice': namespaced('endpointslices'),
  'flagger.app/v1beta1/AlertProvider': namespaced('alertproviders'),
  'flagger.app/v1beta1/Canary': namespaced('canaries'),
  'flagger.app/v1beta1/MetricTemplate': namespaced('metrictemplates'),
  'networking.k8s.io/v1/Ingress': namespaced('ingresses'),
  'policy/v1/PodDisruptionBudget': namespaced('poddisruptionbudgets'),
}

/** Every name in a path is escaped: RBAC objects have `:` in theirs, and a name from outside may hold `/`. */
export function resourcePath(apiVersion: string, resource: Resource, namespace: string | undefined, name?: string, subresource?: string): string {
  const inNamespace = resource.namespaced && namespace ? ['namespaces', namespace] : []
  const parts = [...inNamespace, resource.plural, ...(name === undefined ? [] : [name]), ...(subresource ? [subresource] : [])]
  return `${groupPath(apiVersion)}/${parts.map(encodeURIComponent).join('/')}`
}

export const groupPath = (apiVersion: string): string => (apiVersion.includes('/') ? `/apis/${apiVersion}` : `/api/${apiVersion}`)

export type Discovery = {
  /** Throws a 404 when the kind is not served. */
  find(apiVersion: string, kind: string): Promise<Resource>
  /** The next look at a kind of this group and version asks again. */
  forget(apiVersion: string): void
}

/** How long a kind is believed to be missing (ms): somebody is probably installing it. */
const MISSING_TTL_MS = 5_000

/**
 * Looks kinds up by group and version. One that was found is not asked for again until it is forgotten: its place cannot change while it is
 * served, and a watch that goes on must not cost a request more. `ask` answers the parsed APIResourceList, or undefined for a group that
 * is not there.
 */
export function createDiscovery(ask: (path: string) => Promise<unknown>, now: () => number): Discovery {
  type Group = { readonly at: number; readonly kinds: ReadonlyMap<string, Resource> }
  const groups = new Map<string, Group>()

  async function lookUp(apiVersion: string, kind: string): Promise<Resource | undefined> {
    const kept = groups.get(apiVersion)
    const found = kept?.kinds.get(kind)
    if (found || (kept && now() - kept.at < MISSING_TTL_MS)) return found
    const group = { at: now(), kinds: kindsOf(await ask(groupPath(apiVersion))) }
    groups.set(apiVersion, group)
    return group.kinds.get(kind)
  }
  return {
    find: async (apiVersion, kind) => {
      const resource = KNOWN[`${apiVersion}/${kind}`] ?? (await lookUp(apiVersion, kind))
      if (!resource) throw new KubeError({ status: 404, reason: 'NotFound', message: `${apiVersion} ${kind} is not served by this API server` })
      return resource
    },
    forget: (apiVersion) => { groups.delete(apiVersion) },
  }
}

function kindsOf(answer: unknown): ReadonlyMap<string, Resource> {
  const kinds = new Map<string, Resource>()
  const resources = (answer as { readonly resources?: unknown } | undefined)?.resources
  for (const entry of Array.isArray(resources) ? resources : []) {
    const { name, kind, namespaced: inNamespaces } = entry as { name?: unknown; kind?: unknown; namespaced?: unknown }
    // Subresources (`deployments/scale`) have kinds of their own.
    if (typeof name !== 'string' || typeof kind !== 'string' || name.includes('/')) continue
    kinds.set(kind, { plural: name, namespaced: inNamespaces === true })
  }
  return kinds
}
