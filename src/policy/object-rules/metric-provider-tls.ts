import type { MetricTemplate } from '#api/metric-template.ts'
import type { ObjectRule } from '#policy/rule.ts'

export const metricProviderTls: ObjectRule<MetricTemplate> = {
  id: 'metric-provider-tls',
  default: 'warn',
  why: 'Whoever answers in the place of an unverified metrics server decides what is promoted, and reads the credentials.',
  check({ spec: { provider } }) {
    if (provider.insecureSkipVerify !== true) return []
    return [{ field: 'spec.provider.insecureSkipVerify', message: 'the server\'s certificate is not verified', fix: 'remove it, and let the server have a certificate of a known CA' }]
  },
}
