import type { Canary } from '#api/canary.ts'
import type { Caches } from '#agent/caches.ts'
import type { RequestRecord } from '#kube/client.ts'
import type { Queue } from '#kube/queue.ts'
import { phaseOf } from '#rollout/status.ts'

/** The agent's own metrics, as Prometheus text. Flagger's names where Flagger has them, so that its dashboards and alerts go on working. */

export type Telemetry = {
  onRequest(record: RequestRecord): void
  render(): string
}

export type TelemetrySources = {
  readonly caches: () => Caches | undefined
  readonly queue: () => Queue | undefined
  readonly isLeader: () => boolean
  /** Of this process. */
  readonly usage: () => { readonly residentBytes: number; readonly cpuSeconds: number }
}

export function createTelemetry(sources: TelemetrySources): Telemetry {
  const requests = new Map<string, number>()
  return {
    onRequest({ verb, resource, status }) {
      const labels = `verb="${verb}",resource="${resource}",status="${status}"`
      requests.set(labels, (requests.get(labels) ?? 0) + 1)
    },
    render() {
      const lines: string[] = []
      const family = (name: string, type: string, help: string, rows: readonly (readonly [string, number])[]): void => {
        lines.push(`# HELP ${name} ${help}`, `# TYPE ${name} ${type}`)
        for (const [labels, value] of rows) lines.push(labels === '' ? `${name} ${value}` : `${name}{${labels}} ${value}`)
      }
      const canaries = sources.caches()?.canaries() ?? []
      family('flagger_canary_total', 'gauge', 'Canaries by namespace.', countByNamespace(canaries))
      family('flagger_canary_status', 'gauge', 'Last known status of a Canary: 0 running, 1 succeeded, 2 failed.', canaries.map((canary) => [namesOf(canary), statusNumber(canary)]))
      family('flagger_canary_weight', 'gauge', 'Percent of live requests by workload.', canaries.flatMap(weightRows))
      const stats = sources.queue()?.stats()
      family('canarygate_leader', 'gauge', '1 on the agent that leads.', [['', sources.isLeader() ? 1 : 0]])
      family('canarygate_queue_depth', 'gauge', 'Canaries that are due and wait for a turn.', [['', stats?.depth ?? 0]])
      family('canarygate_queue_adds_total', 'counter', 'Turns asked for.', [['', stats?.adds ?? 0]])
      family('canarygate_queue_retries_total', 'counter', 'Turns repeated after a fault.', [['', stats?.retries ?? 0]])
      const { residentBytes, cpuSeconds } = sources.usage()
      family('process_resident_memory_bytes', 'gauge', 'Memory in use.', [['', residentBytes]])
      family('process_cpu_seconds_total', 'counter', 'Processor time used.', [['', cpuSeconds]])
      family('canarygate_api_requests_total', 'counter', 'Requests to the API server.', [...requests])
      return `${lines.join('\n')}\n`
    },
  }
}

const namesOf = (canary: Canary): string => `name="${canary.spec.targetRef.name}",namespace="${canary.metadata.namespace ?? ''}"`

function countByNamespace(canaries: readonly Canary[]): (readonly [string, number])[] {
  const counts = new Map<string, number>()
  for (const { metadata } of canaries) counts.set(metadata.namespace ?? '', (counts.get(metadata.namespace ?? '') ?? 0) + 1)
  return [...counts].map(([namespace, count]) => [`namespace="${namespace}"`, count])
}

function statusNumber(canary: Canary): number {
  const phase = phaseOf(canary.status ?? {})
  return phase === 'Failed' ? 2 : phase === 'Succeeded' || phase === 'Initialized' ? 1 : 0
}

function weightRows(canary: Canary): (readonly [string, number])[] {
  const { name } = canary.spec.targetRef
  const weight = canary.status?.canaryWeight ?? 0
  const row = (workload: string, percent: number) => [`workload="${workload}",namespace="${canary.metadata.namespace ?? ''}"`, percent] as const
  return [row(`${name}-primary`, 100 - weight), row(`${name}-canary`, weight)]
}
