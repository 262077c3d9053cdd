/** Keptn: the value of a KeptnMetric, or the verdict of an Analysis made for the occasion. Both are objects of this cluster. */

import { isDnsName, isNamespaceName } from '#metrics/kube-names.ts'
import type { Measurement } from '#api/measurement.ts'
import { dig, noData, unavailable, value, type ClusterApi, type MetricProvider, type Wait } from '#metrics/provider.ts'

const DEADLINE_MS = 5_000
/** Keptn gets as long as with Flagger to reconcile an Analysis. */
const ANALYSIS_DEADLINE_MS = 10_000
const POLL_MS = 1_000
const API = '/apis/metrics.keptn.sh/v1beta1'
const FORM = '<keptnmetric|analysis>/<namespace>/<name>[/<duration>[/<key=value;key=value>]]'
const DEFAULT_DURATION = '1m'
const DURATION = /^(?:\d+(?:\.\d+)?(?:ns|us|µs|ms|[smh]))+$/

export type KeptnPorts = { readonly cluster: ClusterApi; readonly wait: Wait }

export function createKeptn({ cluster, wait }: KeptnPorts): MetricProvider {
  return {
    type: 'keptn',
    async query(query, { namespaces = [] }, _http, signal) {
      const [kind, namespace, name, duration = DEFAULT_DURATION, args = ''] = query.trim().toLowerCase().split('/')
      if (!isNamespaceName(namespace) || !isDnsName(name)) return unavailable(`the query is not of the form ${FORM}`)
      if (kind === 'keptnmetric' || kind === 'keptnmetrics') return await readMetric(cluster, namespace, name, signal)
      if (kind !== 'analysis' && kind !== 'analyses') return unavailable(`the query is not of the form ${FORM}`)
      if (!DURATION.test(duration)) return unavailable(`the query's duration is none like 1m: ${FORM}`)
      // The agent makes objects for those alone who could have made them: not for a template that names somebody else's namespace.
      if (!namespaces.includes(namespace)) return unavailable(`an Analysis is only made in ${namespaces.join(' or ')}, not in ${namespace}`)
      return await runAnalysis(namespace, name, duration, argsOf(args), { cluster, wait }, signal)
    },
  }
}

async function readMetric(cluster: ClusterApi, namespace: string, name: string, signal: AbortSignal): Promise<Measurement> {
  try {
    const metric = await cluster.raw('GET', `${API}/namespaces/${namespace}/keptnmetrics/${name}`, { signal, timeoutMs: DEADLINE_MS })
    const [text, fault] = [dig(metric, 'status', 'value'), dig(metric, 'status', 'errMsg')]
    if (typeof text === 'string' && text !== '') return parseFloatText(text)
    return typeof fault === 'string' && fault !== '' ? unavailable(`KeptnMetric ${namespace}/${name}: ${fault}`) : noData(`KeptnMetric ${namespace}/${name} has no value yet`)
  } catch (err) {
    return unavailable(`could not retrieve KeptnMetric ${namespace}/${name}: ${messageOf(err)}`)
  }
}

const parseFloatText = (text: string): Measurement => {
  const number = Number(text.replace(/^([+-]?)Inf$/i, '$1Infinity'))
  return Number.isNaN(number) && !/^nan$/i.test(text) ? unavailable('the value is no number') : value(number)
}

async function runAnalysis(
  namespace: string, definition: string, duration: string, args: Readonly<Record<string, string>>, { cluster, wait }: KeptnPorts, signal: AbortSignal,
): Promise<Measurement> {
  const path = `${API}/namespaces/${namespace}/analyses`
  const within = AbortSignal.any([signal, AbortSignal.timeout(ANALYSIS_DEADLINE_MS)])
  const options = { signal: within, timeoutMs: DEADLINE_MS }
  let name: unknown
  try {
    name = dig(await cluster.raw('POST', path, { ...options, body: {
      apiVersion: 'metrics.keptn.sh/v1beta1', kind: 'Analysis',
      metadata: { generateName: `${definition}-`, namespace, labels: { 'app.kubernetes.io/managed-by': 'canarygate' } },
      spec: { analysisDefinition: { name: definition }, timeframe: { recent: duration }, args },
    } }), 'metadata', 'name')
    if (typeof name !== 'string') return unavailable('the cluster gave the Analysis no name')
    for (;;) {
      await wait(POLL_MS, within)
      if (within.aborted) return unavailable(`Keptn did not finish Analysis ${namespace}/${name} within ${ANALYSIS_DEADLINE_MS} ms`)
      const analysis = await cluster.raw('GET', `${path}/${name}`, options)
      const pass = dig(analysis, 'status', 'pass')
      // Keptn leaves a `false` out of the status.
      if (dig(analysis, 'status', 'state') === 'Completed') return value(pass === true ? 1 : 0)
    }
  } catch (err) {
    return unavailable(`could not run Keptn Analysis ${namespace}/${definition}: ${messageOf(err)}`)
  } finally {
    // Past the deadline, too: what was made is taken away. The result stands whether or not that works.
    if (typeof name === 'string') await cluster.raw('DELETE', `${path}/${name}`, { timeoutMs: DEADLINE_MS }).catch(() => undefined)
  }
}

/** `key=value;key=value`; what has no value is left out, as Flagger does. */
const argsOf = (text: string): Readonly<Record<string, string>> =>
  Object.fromEntries(text.split(';').map((pair) => pair.split('=')).filter((pair): pair is [string, string] => pair.length === 2))

const messageOf = (err: unknown): string => (err instanceof Error ? err.message : 'failed')
