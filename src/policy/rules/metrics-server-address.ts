import { webAddressFault } from '#policy/web-address.ts'
import type { Rule } from '#policy/rule.ts'

export const metricsServerAddress: Rule = {
  id: 'metrics-server-address',
  default: 'deny',
  why: 'Every check fails when the metrics server cannot be addressed.',
  check({ spec: { metricsServer } }) {
    const fault = metricsServer === undefined || metricsServer === '' ? undefined : webAddressFault(metricsServer)
    return fault === undefined ? [] : [{ field: 'spec.metricsServer', message: `"${metricsServer}" ${fault}`, fix: 'use one like http://prometheus.monitoring:9090' }]
  },
}
