import { roleName, type WorkloadRole } from '#api/names.ts'
import type { CounterNames } from '#metrics/exposition.ts'

/** A number or a name; not the rest of another Canary's Service whose name begins alike. */
const PORT = '(?!.*-(?:canary|primary|baseline)-)[0-9a-zA-Z-]+'

/** Traefik names a Service after its namespace, its port and its provider, which is one of its own or Gateway API. */
export function traefikCounters(namespace: string, apex: string, arm: WorkloadRole): readonly CounterNames[] {
  const prefix = `${namespace}-${roleName(apex, arm)}-`
  return [{
    requests: { name: 'traefik_service_requests_total', statusLabel: 'code' },
    duration: { name: 'traefik_service_request_duration_seconds' },
    where: { label: 'service', containing: `"${prefix}`, pattern: new RegExp(`^${prefix}${PORT}@kubernetes(?:crd|gateway)$`) },
  }]
}
