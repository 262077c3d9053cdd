/** All metric providers. A new one is a file and a line here. */

import { datadog } from '#metrics/datadog.ts'
import { dynatrace } from '#metrics/dynatrace.ts'
import { graphite } from '#metrics/graphite.ts'
import { influxdb } from '#metrics/influxdb.ts'
import { newrelic } from '#metrics/newrelic.ts'
import { prometheus } from '#metrics/prometheus.ts'
import type { MetricProvider } from '#metrics/provider.ts'

export const METRIC_PROVIDERS: readonly MetricProvider[] = [prometheus, datadog, dynatrace, graphite, influxdb, newrelic]

/** Flagger's other types, which are not served yet: known, so that admission can say so instead of "unknown". */
export const UNSERVED_METRIC_PROVIDERS: readonly string[] = ['cloudwatch', 'externalmetrics', 'keptn', 'splunk', 'stackdriver']

/** The provider of a `spec.provider.type`. Undefined when there is none: nothing falls back to another one. */
export const metricProvider = (type: string): MetricProvider | undefined => METRIC_PROVIDERS.find((provider) => provider.type === type)

/** How a provider's queries are read when values are put into them. */
export const queryLanguage = (type: string): 'promql' | 'opaque' => (type === 'prometheus' ? 'promql' : 'opaque')
