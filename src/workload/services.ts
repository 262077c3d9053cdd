import { hasBaseline } from '#api/baseline.ts'
import type { Canary, CanaryService } from '#api/canary.ts'
import { apexName } from '#api/defaults.ts'
import { baselineName, LABEL_ROLE, LABEL_TARGET, primaryName, roleName, UNRECONCILED, type WorkloadRole } from '#api/names.ts'
import type { ObjectReader, Service, ServicePort, Workload } from '#api/objects.ts'
import { isOwn, ownedBy, roleSelector, selectorFor, withSelector, type Labels, type Serving } from '#api/selectors.ts'
import { inNamespace, MANAGED_LABELS } from '#workload/metadata.ts'

/** Flagger's list: the first of these that the target selects by becomes a label of the generated Services. */
const SELECTOR_LABELS = ['app', 'name', 'app.kubernetes.io/name'] as const
/** Containers that a mesh injects: their ports are not the application's. */
const SIDECARS: readonly string[] = ['istio-proxy', 'envoy']
const DEFAULT_PORT_NAME = 'http'

/** `<s>-primary` and `<s>-canary`, and `<s>-baseline` where there is one. */
export function renderServices(canary: Canary, target: Workload, existing: ObjectReader): readonly Service[] {
  const apex = serviceIn(canary, apexName(canary), existing)
  const primary = primaryIn(canary, existing)
  const found = serviceIn(canary, baselineName(apexName(canary)), existing)
  const isFree = !found || found.metadata.labels?.[LABEL_ROLE] === 'baseline'
  const roles: readonly WorkloadRole[] = hasBaseline(canary.spec) && isFree ? ['primary', 'canary', 'baseline'] : ['primary', 'canary']
  return roles.map((role) =>
    renderRoleService(canary, target, role, roleSelector(role, { target, primary }), apex && !isOwn(apex, canary) ? apex : undefined))
}

function renderRoleService(canary: Canary, target: Workload, role: WorkloadRole, selector: Labels, apex: Service | undefined): Service {
  const service = canary.spec.service
  const name = roleName(apexName(canary), role)
  const { labels, annotations } = (role === 'baseline' ? undefined : service?.[role]) ?? {}
  return {
    apiVersion: 'v1',
    kind: 'Service',
    metadata: {
      name,
      ...inNamespace(canary.metadata.namespace),
      // The role travels on to the EndpointSlices, by which they are watched.
      labels: { ...nameLabel(target, name), ...labels, ...MANAGED_LABELS, [LABEL_ROLE]: role, [LABEL_TARGET]: target.metadata.name },
      annotations: { ...annotations, ...UNRECONCILED },
      ownerReferences: [ownedBy(canary)],
    },
    spec: specOf(service, selector, portsOf(canary, target, apex)),
  }
}

const specOf = (service: CanaryService | undefined, selector: Labels, ports: readonly ServicePort[]): Service['spec'] => ({
  type: 'ClusterIP',
  selector,
  ports,
  ...(service?.headless ? { clusterIP: 'None' } : {}),
  ...(service?.trafficDistribution ? { trafficDistribution: service.trafficDistribution } : {}),
})

/** The Service that callers know. The user's own changes in its selector alone; a missing one is made. */
export function renderApex(canary: Canary, target: Workload, existing: ObjectReader, apex: Service | undefined, serving: Serving): Service {
  const selector = selectorFor(serving, { apex, target, primary: primaryIn(canary, existing) })
  if (apex && !isOwn(apex, canary)) return withSelector(apex, selector, serving, canary)
  const name = apexName(canary)
  const service = canary.spec.service
  const rendered: Service = {
    apiVersion: 'v1',
    kind: 'Service',
    metadata: {
      name,
      ...inNamespace(canary.metadata.namespace),
      labels: { ...nameLabel(target, name), ...service?.apex?.labels, ...MANAGED_LABELS, [LABEL_TARGET]: target.metadata.name },
      annotations: { ...service?.apex?.annotations, ...UNRECONCILED },
    },
    spec: specOf(service, selector, portsOf(canary, target, undefined)),
  }
  return withSelector(rendered, selector, serving, canary)
}

const nameLabel = (target: Workload, name: string): Labels => {
  const key = SELECTOR_LABELS.find((label) => target.spec.selector.matchLabels?.[label] !== undefined)
  return key === undefined ? {} : { [key]: name }
}

/**
 * The Canary's port, then what port discovery finds, then the other ports of the user's apex: routes may name any of them.
 * Where the Canary leaves name or target port out, the same port of the user's apex says it.
 */
function portsOf(canary: Canary, target: Workload, apex: Service | undefined): readonly ServicePort[] {
  const service = canary.spec.service
  const theirs = apex?.spec.ports ?? []
  if (!service) return theirs.map(withoutNodePort)
  const same = theirs.find(({ port }) => port === service.port)
  const appProtocol = service.appProtocol ?? same?.appProtocol
  const main: ServicePort = {
    name: service.portName ?? same?.name ?? DEFAULT_PORT_NAME,
    port: service.port,
    targetPort: service.targetPort ?? same?.targetPort ?? service.port,
    protocol: 'TCP',
    ...(appProtocol === undefined ? {} : { appProtocol }),
  }
  const ports = [main]
  const add = (port: ServicePort): void => {
    const isTaken = ports.some((other) => other.name === port.name || (other.port === port.port && other.protocol === (port.protocol ?? 'TCP')))
    if (!isTaken) ports.push(port)
  }
  if (service.portDiscovery) for (const port of discoveredPorts(target, service)) add(port)
  for (const port of theirs) if (port.name !== undefined) add(withoutNodePort(port))
  return ports
}

const withoutNodePort = ({ nodePort: _, ...port }: ServicePort): ServicePort => port

/** Every container port but the Canary's own, as in Flagger. */
function discoveredPorts(target: Workload, service: CanaryService): readonly ServicePort[] {
  const own = service.targetPort ?? service.port
  return target.spec.template.spec.containers.filter(({ name }) => !SIDECARS.includes(name)).flatMap((container) =>
    (container.ports ?? []).flatMap(({ containerPort, name }, index): ServicePort[] =>
      (own === containerPort || own === name ? [] : [{ name: name ?? `tcp-${container.name}-${index}`, port: containerPort, targetPort: containerPort, protocol: 'TCP' }])))
}

function primaryIn(canary: Canary, existing: ObjectReader): Workload | undefined {
  const { kind, name } = canary.spec.targetRef
  return existing.get({ apiVersion: 'apps/v1', kind, ...inNamespace(canary.metadata.namespace), name: primaryName(name) }) as Workload | undefined
}

const serviceIn = (canary: Canary, name: string, existing: ObjectReader): Service | undefined =>
  existing.get({ apiVersion: 'v1', kind: 'Service', ...inNamespace(canary.metadata.namespace), name }) as Service | undefined
