/** What a process costs, as Prometheus text under the names that client libraries use: agent and webhook tell it alike. */

export type ProcessUsage = {
  readonly residentBytes: number
  readonly cpuSeconds: number
  /** Seconds in which the event loop was not idle, since the start: one a second is a loop that nobody else gets a turn of. */
  readonly eventLoopSeconds: number
  /** Unix seconds. */
  readonly startedAt: number
}

export const renderUsage = ({ residentBytes, cpuSeconds, eventLoopSeconds, startedAt }: ProcessUsage): string => [
  ['process_resident_memory_bytes', 'gauge', 'Memory in use.', residentBytes],
  ['process_cpu_seconds_total', 'counter', 'Processor time used.', cpuSeconds],
  ['process_start_time_seconds', 'gauge', 'When the process started, in Unix time.', startedAt],
  ['canarygate_event_loop_active_seconds_total', 'counter', 'Time in which the event loop was busy.', eventLoopSeconds],
].map(([name, type, help, value]) => `# HELP ${name} ${help}\n# TYPE ${name} ${type}\n${name} ${value}\n`).join('')
