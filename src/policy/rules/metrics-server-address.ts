import { isWebAddress } from '#policy/web-address.ts'
import type { Rule } from '#policy/rule.ts'

export const metricsServerAddress: Rule = {
  id: 'metrics-server-address',
  default: 'deny',
  why: 'Every check fails when the metrics server cannot be addressed.',
  check({ spec: { metricsServer } }) {
    if (metricsServer === undefined || metricsServer === '' || isWebAddress(metricsServer)) return []
    return [{ field: 'spec.metricsServer', message: `"${metricsServer}" is no absolute http(s) URL`, fix: 'use one like http://prometheus.monitoring:9090' }]
  },
}
