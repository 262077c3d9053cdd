/** New Relic's Insights queries (NRQL). */

import type { Measurement } from '#api/measurement.ts'
import { ask, dig, noData, parseJson, unavailable, urlOf, value, type MetricProvider } from '#metrics/provider.ts'

const DEFAULT_ADDRESS = 'https://insights-api.newrelic.com'
const DEADLINE_MS = 5_000

export const newrelic: MetricProvider = {
  type: 'newrelic',
  async query(query, address, http, signal) {
    const { newrelic_account_id: account, newrelic_query_key: key } = address.secret ?? {}
    if (!account || !key) return unavailable('the secret has no newrelic_account_id and newrelic_query_key')
    const nrql = `${query} SINCE ${Math.round(address.intervalSeconds)} seconds ago`
    const url = urlOf(address.url || DEFAULT_ADDRESS, `/v1/accounts/${encodeURIComponent(account.trim())}/query`, { nrql })
    if (!url) return unavailable('the address is no http or https URL')
    return ask({ url: url.href, headers: { 'x-query-key': key.trim(), accept: 'application/json' }, deadlineMs: DEADLINE_MS }, address, http, signal, parseNewRelic)
  },
}

/** The one result of a query: `results[0].result`. */
export function parseNewRelic(body: string): Measurement {
  const results = dig(parseJson(body), 'results')
  if (!Array.isArray(results)) return unavailable("the answer is not one of New Relic's query")
  if (results.length === 0) return noData('no values found')
  if (results.length > 1) return unavailable('query returned multiple values')
  const result = dig(results[0], 'result')
  if (result === null) return noData('no values found')
  return typeof result === 'number' ? value(result) : unavailable('the result is no number; the query needs one aggregate, named result')
}
