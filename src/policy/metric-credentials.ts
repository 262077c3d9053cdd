import type { MetricProviderType } from '#api/metric-template.ts'

/** Keys that a provider reads from its Secret: each list is one complete set, and any of the sets will do. */
const KEY_SETS: Readonly<Record<MetricProviderType, readonly (readonly string[])[]>> = {
  prometheus: [['token'], ['username', 'password']],
  influxdb: [['token', 'org']],
  datadog: [['datadog_api_key', 'datadog_application_key']],
  externalmetrics: [[]],
  stackdriver: [['project']],
  cloudwatch: [[]],
  newrelic: [['newrelic_account_id', 'newrelic_query_key']],
  graphite: [['username', 'password']],
  dynatrace: [['dynatrace_token']],
  keptn: [[]],
  splunk: [['sf_token_key']],
}

/** What is missing to the nearest complete set; empty when one is complete. */
export function missingSecretKeys(type: MetricProviderType, present: readonly string[]): readonly string[] {
  const missing = KEY_SETS[type].map((keys) => keys.filter((key) => !present.includes(key)))
  return missing.reduce((best, one) => (one.length < best.length ? one : best), missing[0] ?? [])
}
