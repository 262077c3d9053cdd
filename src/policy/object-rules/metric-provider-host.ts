import type { MetricTemplate } from '#api/metric-template.ts'
import { hostFindings } from '#policy/reach.ts'
import type { ObjectRule } from '#policy/rule.ts'

/** Where the types that need no address ask. */
const VENDORS: Readonly<Record<string, string>> = { datadog: 'https://api.datadoghq.com', newrelic: 'https://insights-api.newrelic.com' }

export const metricProviderHost: ObjectRule<MetricTemplate> = {
  id: 'metric-provider-host',
  default: 'deny',
  why: 'What a policy does not let metrics be asked at is never asked: every run that uses the template is held.',
  check({ spec: { provider } }, context) {
    const address = provider.address || VENDORS[provider.type]
    return address ? hostFindings(context, 'spec.provider.address', address) : []
  },
}
