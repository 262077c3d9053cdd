import type { Canary, CanarySpec, ProviderName } from '#api/canary.ts'
import { FLAGGER_API_VERSION, LABEL_MANAGED_BY, LABEL_ROLE, MANAGED_BY } from '#api/names.ts'
import type { KubeObject, ObjectReader, Service, ServicePort, Workload } from '#api/objects.ts'
import { SCALER_API_VERSIONS, scaledBy } from '#api/scalers.ts'
import { inNamespace, MANAGED_LABELS } from '#workload/metadata.ts'

/** How requests reach a workload, found in the cluster; or why it cannot be told, in words for whoever asked for the gate. */
export type Discovered =
  | {
    readonly found: true
    readonly provider: ProviderName
    /** The apex: the Service that selects the workload's pods. */
    readonly service: string
    readonly port: number
    readonly targetPort: number | string
    /** Why this provider: `IngressRoute shop routes to Service cart`. */
    readonly reason: string
  }
  | { readonly found: false; readonly reason: string }

const TRAEFIK_API_VERSIONS = ['traefik.io/v1alpha1', 'traefik.containo.us/v1alpha1'] as const
const GATEWAY_API_VERSIONS = ['gateway.networking.k8s.io/v1', 'gateway.networking.k8s.io/v1beta1'] as const

/** The Service and the router of a workload that is to be gated without anybody having written a Canary. */
export function discover(target: Workload, objects: ObjectReader): Discovered {
  const namespace = target.metadata.namespace ?? ''
  const selecting = (objects.list('v1', 'Service', namespace) as readonly Service[]).filter((service) => !isGenerated(service) && selects(service, target))
  // A headless Service is mostly for peers that know each pod; beside an ordinary one it is not where requests come in.
  const ordinary = selecting.filter(({ spec }) => spec.clusterIP !== 'None')
  const services = ordinary.length > 0 ? ordinary : selecting
  const name = target.metadata.name
  if (services.length === 0) return { found: false, reason: `no Service in namespace ${namespace} selects the pods of ${target.kind} ${name}` }

  const routed = services.flatMap((service) => {
    const route = routeTo(service, namespace, objects)
    return route ? [{ service, route }] : []
  })
  const service = only(routed.map((found) => found.service)) ?? services.find(({ metadata }) => metadata.name === name) ?? only(services)
  if (!service) {
    return { found: false, reason: `Services ${services.map(({ metadata }) => metadata.name).join(', ')} all select the pods of ${target.kind} ${name}: write a Canary that names one` }
  }
  const others = workloadsOf(service, namespace, objects).filter((workload) => workload.metadata.name !== name)
  if (others.length > 0) {
    return { found: false, reason: `Service ${service.metadata.name} also selects the pods of ${others.map(({ kind, metadata }) => `${kind} ${metadata.name}`).join(', ')}: their requests would move to ${name}-primary` }
  }
  const port = mainPort(service)
  if (!port) return { found: false, reason: `Service ${service.metadata.name} has no TCP port` }
  const route = routed.find((found) => found.service === service)?.route
  return {
    found: true,
    provider: route?.provider ?? 'kubernetes',
    service: service.metadata.name,
    port: port.port,
    targetPort: port.targetPort ?? port.port,
    reason: route?.reason ?? `${ingressOf(service, namespace, objects)}: weights are pod counts`,
  }
}

const only = <T>(list: readonly T[]): T | undefined => (list.length === 1 ? list[0] : undefined)

const isGenerated = ({ metadata }: KubeObject): boolean =>
  metadata.labels?.[LABEL_MANAGED_BY] === MANAGED_BY || metadata.labels?.[LABEL_ROLE] !== undefined

function selects(service: Service, { spec }: Workload): boolean {
  const selector = Object.entries(service.spec.selector ?? {}).filter(([key]) => key !== LABEL_ROLE)
  const labels = spec.template.metadata?.labels ?? {}
  return selector.length > 0 && service.spec.type !== 'ExternalName' && selector.every(([key, value]) => labels[key] === value)
}

const workloadsOf = (service: Service, namespace: string, objects: ObjectReader): readonly Workload[] =>
  ['Deployment', 'DaemonSet', 'StatefulSet'].flatMap((kind) => [...objects.list('apps/v1', kind, namespace)] as readonly KubeObject[])
    .map((object) => object as Workload)
    .filter((workload) => !isGenerated(workload) && selects(service, workload))

/** `http` in the name, else the first: metrics and admin ports stand beside it. */
function mainPort(service: Service): ServicePort | undefined {
  const ports = (service.spec.ports ?? []).filter(({ protocol = 'TCP' }) => protocol === 'TCP')
  return ports.find(({ name }) => name === 'http' || name === 'web') ?? ports.find(({ port }) => port === 80) ?? ports[0]
}

type Route = { readonly provider: ProviderName; readonly reason: string }

/** The router that sends to a Service. */
function routeTo(service: Service, namespace: string, objects: ObjectReader): Route | undefined {
  const name = service.metadata.name
  const find = (apiVersion: string, kind: string, field: string): KubeObject | undefined =>
    objects.list(apiVersion, kind, namespace).find((object) => namesIn(object, field, name, namespace))
  const route = (provider: ProviderName, object: KubeObject): Route =>
    ({ provider, reason: `${object.kind} ${object.metadata.name} routes to Service ${name}` })
  for (const apiVersion of TRAEFIK_API_VERSIONS) {
    const found = find(apiVersion, 'IngressRoute', 'services') ?? find(apiVersion, 'TraefikService', 'services')
    if (found) return route('traefik', found)
  }
  for (const apiVersion of GATEWAY_API_VERSIONS) {
    const found = find(apiVersion, 'HTTPRoute', 'backendRefs')
    if (found) return route(apiVersion.endsWith('/v1') ? 'gatewayapi:v1' : 'gatewayapi:v1beta1', found)
  }
  return undefined
}

type Backend = { readonly name?: string; readonly kind?: string; readonly namespace?: string }

/** Whether a list of backends, by its field's name and at any depth, has an entry for a Service. */
function namesIn(value: unknown, field: string, name: string, namespace: string): boolean {
  if (Array.isArray(value)) return value.some((entry) => namesIn(entry, field, name, namespace))
  if (typeof value !== 'object' || value === null) return false
  return Object.entries(value).some(([key, child]) => {
    if (key !== field || !Array.isArray(child)) return namesIn(child, field, name, namespace)
    return (child as readonly Backend[]).some((entry) =>
      entry.name === name && (entry.kind ?? 'Service') === 'Service' && (!entry.namespace || entry.namespace === namespace))
  })
}

/** An Ingress goes on naming the apex, so its controller follows the pods behind it. */
function ingressOf(service: Service, namespace: string, objects: ObjectReader): string {
  const { name } = service.metadata
  const ingress = objects.list('networking.k8s.io/v1', 'Ingress', namespace).find(({ spec }) => hasBackend(spec, name))
  return ingress ? `Ingress ${ingress.metadata.name} routes to Service ${name}` : `no IngressRoute, HTTPRoute or Ingress names Service ${name}`
}

function hasBackend(value: unknown, name: string): boolean {
  if (typeof value !== 'object' || value === null) return false
  if ((value as { readonly service?: { readonly name?: string } }).service?.name === name) return true
  return Object.values(value).some((child) => hasBackend(child, name))
}

/** The autoscaler of a workload, as `spec.autoscalerRef` names it. KEDA's own HPA is KEDA's business. */
export function discoverScaler(target: Workload, objects: ObjectReader): CanarySpec['autoscalerRef'] {
  for (const kind of ['ScaledObject', 'HorizontalPodAutoscaler'] as const) {
    const apiVersion = SCALER_API_VERSIONS[kind]
    const found = objects.list(apiVersion, kind, target.metadata.namespace ?? '')
      .find((scaler) => !isGenerated(scaler) && scaledBy(scaler).kind === target.kind && scaledBy(scaler).name === target.metadata.name)
    if (found) return { apiVersion, kind, name: found.metadata.name }
  }
  return undefined
}

/** Settings of a Canary that the policy of a gated namespace gives. */
export type CanaryDefaults = Pick<CanarySpec, 'analysis'> & Partial<Omit<CanarySpec, 'targetRef' | 'service' | 'analysis'>>

/** The Canary that a gated namespace stands for. It belongs to its target and goes with it. */
export function defaultCanary(
  target: Workload, discovered: Extract<Discovered, { readonly found: true }>, defaults: CanaryDefaults, autoscalerRef?: CanarySpec['autoscalerRef'],
): Canary {
  const { name, namespace } = target.metadata
  return {
    apiVersion: FLAGGER_API_VERSION,
    kind: 'Canary',
    metadata: { name, ...inNamespace(namespace), labels: { ...MANAGED_LABELS } },
    spec: {
      ...defaults,
      provider: defaults.provider ?? discovered.provider,
      targetRef: { apiVersion: target.apiVersion, kind: target.kind === 'DaemonSet' ? 'DaemonSet' : 'Deployment', name },
      ...(autoscalerRef ? { autoscalerRef } : {}),
      service: { name: discovered.service, port: discovered.port, targetPort: discovered.targetPort },
      gate: { ...defaults.gate, generated: true },
    },
  }
}
