import type { MetricProviderType, MetricTemplate } from '#api/metric-template.ts'
import { webAddressFault } from '#policy/web-address.ts'
import type { Finding, ObjectRule } from '#policy/rule.ts'

type Field = 'address' | 'region' | 'secretRef'
const NEEDED: Readonly<Record<MetricProviderType, readonly Field[]>> = {
  prometheus: ['address'], graphite: ['address'], influxdb: ['address'],
  dynatrace: ['address', 'secretRef'], splunk: ['address', 'secretRef'],
  datadog: ['secretRef'], newrelic: ['secretRef'],
  // Without a Secret the agent asks as itself, about its own project.
  stackdriver: [], cloudwatch: ['region'], keptn: [], externalmetrics: [],
}
const EXAMPLES: Readonly<Record<Field, string>> = {
  address: 'give its base URL, such as http://prometheus.monitoring:9090',
  region: 'give the region, such as eu-central-1',
  secretRef: 'name a Secret with its credentials: secretRef: {name: ...}',
}

export const metricProviderFields: ObjectRule<MetricTemplate> = {
  id: 'metric-provider-fields',
  default: 'deny',
  why: 'A provider without its address or credentials fails every check.',
  covers: ['10.22'],
  check({ spec: { provider } }) {
    const findings: Finding[] = NEEDED[provider.type]
      .filter((name) => !provider[name])
      .map((name) => ({ field: `spec.provider.${name}`, message: `is missing, and ${provider.type} needs it`, fix: EXAMPLES[name] }))
    // Flagger asks Splunk by WebSocket, and takes the address of that, too.
    const address = provider.type === 'splunk' ? provider.address?.replace(/^ws(s?):/i, 'http$1:') : provider.address
    const fault = address ? webAddressFault(address) : undefined
    if (fault !== undefined) {
      findings.push({ field: 'spec.provider.address', message: `"${provider.address}" ${fault}`, fix: 'use one like http://prometheus.monitoring:9090' })
    }
    return findings
  },
}
