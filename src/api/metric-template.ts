import { Type, type Static } from 'typebox'
import type { KubeObject } from '#api/objects.ts'

/** MetricTemplate: a query with a provider, shared by Canaries. Flagger's resource field by field. */

export const METRIC_PROVIDER_TYPES = [
  'prometheus', 'influxdb', 'datadog', 'externalmetrics', 'stackdriver', 'cloudwatch', 'newrelic', 'graphite', 'dynatrace', 'keptn', 'splunk',
] as const
export type MetricProviderType = (typeof METRIC_PROVIDER_TYPES)[number]

export const MetricTemplateSpec = Type.Object({
  provider: Type.Object({
    type: Type.Enum([...METRIC_PROVIDER_TYPES]),
    address: Type.Optional(Type.String({ description: 'Base URL of the provider\'s API.' })),
    headers: Type.Optional(Type.Record(Type.String(), Type.Array(Type.String()), { description: 'Sent with each request (prometheus).' })),
    secretRef: Type.Optional(Type.Object({ name: Type.String() }, { description: 'Credentials; a Secret beside the template.' })),
    region: Type.Optional(Type.String({ description: 'cloudwatch only.' })),
    insecureSkipVerify: Type.Optional(Type.Boolean({ description: 'Does not verify the server\'s certificate.' })),
  }),
  query: Type.String({ description: 'Go template; functions: name, namespace, target, service, ingress, route, interval, variables.' }),
})

export type MetricTemplateSpec = Static<typeof MetricTemplateSpec>
export type MetricTemplate = KubeObject & { readonly spec: MetricTemplateSpec }
