/** All metric providers. A new one is a file and a line here. */

import { createCloudwatch } from '#metrics/cloudwatch.ts'
import { datadog } from '#metrics/datadog.ts'
import { dynatrace } from '#metrics/dynatrace.ts'
import { createExternalMetrics } from '#metrics/externalmetrics.ts'
import { graphite } from '#metrics/graphite.ts'
import { influxdb } from '#metrics/influxdb.ts'
import { createKeptn } from '#metrics/keptn.ts'
import { newrelic } from '#metrics/newrelic.ts'
import { prometheus } from '#metrics/prometheus.ts'
import type { ClusterApi, MetricProvider, Wait } from '#metrics/provider.ts'
import { splunk } from '#metrics/splunk.ts'
import { createStackdriver } from '#metrics/stackdriver.ts'

/** What the sources need beside HTTP. */
export type MetricPorts = { readonly cluster: ClusterApi; readonly wait: Wait }

export const createMetricProviders = (ports: MetricPorts): readonly MetricProvider[] => [
  prometheus, createCloudwatch(), datadog, dynatrace, createExternalMetrics(ports), graphite, influxdb, createKeptn(ports), newrelic, splunk, createStackdriver(),
]
