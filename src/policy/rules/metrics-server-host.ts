import { hostFindings } from '#policy/reach.ts'
import type { Rule } from '#policy/rule.ts'

export const metricsServerHost: Rule = {
  id: 'metrics-server-host',
  default: 'deny',
  why: 'What a policy does not let metrics be asked at is never asked: the run is held for good.',
  check: ({ spec: { metricsServer } }, context) => (metricsServer ? hostFindings(context, 'spec.metricsServer', metricsServer) : []),
}
