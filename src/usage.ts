import { performance } from 'node:perf_hooks'
import type { ProcessUsage } from '#api/process-usage.ts'

/** Of this process, since it started. */
export function usageNow(): ProcessUsage {
  const { user, system } = process.cpuUsage()
  return {
    residentBytes: process.memoryUsage.rss(), cpuSeconds: (user + system) / 1e6,
    eventLoopSeconds: performance.eventLoopUtilization().active / 1_000, startedAt: performance.timeOrigin / 1_000,
  }
}
