/** The external metrics API (KEDA, Datadog's and other adapters): of this cluster, or of another server that speaks it. */

import type { Measurement } from '#api/measurement.ts'
import { isNamespaceName } from '#metrics/kube-names.ts'
import { ask, dig, noData, parseJson, unavailable, urlOf, value, type ClusterApi, type MetricProvider } from '#metrics/provider.ts'

const DEADLINE_MS = 5_000
const API = '/apis/external.metrics.k8s.io/v1beta1'
const DEFAULT_NAMESPACE = 'default'
const FORM = '[<namespace>/]<metric>[?labelSelector=<urlencoded>]'

/** Without an address this cluster is asked, with the agent's rights. These never go to an address that a template names. */
export function createExternalMetrics({ cluster }: { readonly cluster: ClusterApi }): MetricProvider {
  return {
    type: 'externalmetrics',
    async query(query, address, http, signal) {
      const asked = parseQuery(query)
      if (!asked) return unavailable(`the query is not of the form ${FORM}`)
      const path = `${API}/namespaces/${asked.namespace}/${encodeURIComponent(asked.metric)}`
      const parameters: Readonly<Record<string, string>> = asked.labelSelector === '' ? {} : { labelSelector: asked.labelSelector }
      const token = address.secret?.['token']?.trim()
      if (!address.url) {
        if (token) return unavailable('the secret has a token, which needs spec.provider.address; without both the agent asks its own cluster')
        return await cluster.raw('GET', path, { query: parameters, signal, timeoutMs: DEADLINE_MS }).then(pickExternal, (err: unknown) =>
          unavailable(`error querying external metrics API: ${err instanceof Error ? err.message : 'failed'}`))
      }
      const url = urlOf(address.url, path, parameters)
      if (!url) return unavailable('the address is no http or https URL')
      const headers = { accept: 'application/json', ...(token ? { authorization: `Bearer ${token}` } : {}) }
      return ask({ url: url.href, headers, deadlineMs: DEADLINE_MS }, address, http, signal, (body) => pickExternal(parseJson(body)))
    },
  }
}

function parseQuery(query: string): { readonly namespace: string; readonly metric: string; readonly labelSelector: string } | undefined {
  const [, path = '', search = ''] = /^([^?]*)\??(.*)$/s.exec(query.trim()) ?? []
  const parts = path.replace(/^\//, '').split('/')
  const [namespace, metric] = parts.length === 1 ? [DEFAULT_NAMESPACE, parts[0]] : parts
  if (parts.length > 2 || !isNamespaceName(namespace) || !metric || metric === '.' || metric === '..') return undefined
  return { namespace, metric, labelSelector: new URLSearchParams(search).get('labelSelector') ?? '' }
}

/** The first item's value. */
export function pickExternal(answer: unknown): Measurement {
  const items = dig(answer, 'items')
  if (!Array.isArray(items)) return unavailable('the answer is no ExternalMetricValueList')
  if (items.length === 0) return noData('no values found')
  const quantity = dig(items[0], 'value')
  const number = typeof quantity === 'string' || typeof quantity === 'number' ? parseQuantity(String(quantity)) : undefined
  return number === undefined ? unavailable('the value is no quantity') : value(number)
}

const SUFFIXES: Readonly<Record<string, number>> = {
  '': 1, n: 1e-9, u: 1e-6, m: 1e-3, k: 1e3, M: 1e6, G: 1e9, T: 1e12, P: 1e15, E: 1e18,
  Ki: 2 ** 10, Mi: 2 ** 20, Gi: 2 ** 30, Ti: 2 ** 40, Pi: 2 ** 50, Ei: 2 ** 60,
}

/** A Kubernetes quantity: `1500m`, `2Ki`, `1e3`. */
function parseQuantity(text: string): number | undefined {
  const [, number, suffix = ''] = /^([+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)([numkMGTPE]?i?)$/.exec(text) ?? []
  const factor = Object.hasOwn(SUFFIXES, suffix) ? SUFFIXES[suffix] : undefined
  return number === undefined || factor === undefined ? undefined : Number(number) * factor
}
