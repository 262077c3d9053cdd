/** Datadog's metric queries. */

import type { Measurement } from '#api/measurement.ts'
import { ask, dig, excerpt, noData, parseJson, secretsOf, unavailable, urlOf, value, windowSeconds, type MetricProvider } from '#metrics/provider.ts'

const DEFAULT_ADDRESS = 'https://api.datadoghq.com'
const DEADLINE_MS = 5_000

export const datadog: MetricProvider = {
  type: 'datadog',
  async query(query, address, http, signal) {
    const { datadog_api_key: apiKey, datadog_application_key: applicationKey } = address.secret ?? {}
    if (!apiKey || !applicationKey) return unavailable('the secret has no datadog_api_key and datadog_application_key')
    const to = Math.floor(address.at / 1_000)
    const from = to - windowSeconds(address)
    const url = urlOf(address.url || DEFAULT_ADDRESS, '/api/v1/query', { query, from: String(from), to: String(to) })
    if (!url) return unavailable('the address is no http or https URL')
    const headers = { 'dd-api-key': apiKey.trim(), 'dd-application-key': applicationKey.trim() }
    const secrets = secretsOf(address)
    return ask({ url: url.href, headers, deadlineMs: DEADLINE_MS }, address, http, signal, (body) => parseDatadog(body, secrets))
  },
}

/** The newest point with a value of the first series. Flagger takes the oldest one, which is from before the canary. */
export function parseDatadog(body: string, secrets: readonly string[] = []): Measurement {
  const answer = parseJson(body)
  // A query with a fault is answered with 200, and with no series.
  if (dig(answer, 'status') === 'error') return unavailable(`error response: ${excerpt(String(dig(answer, 'error')), secrets)}`)
  const series = dig(answer, 'series')
  if (!Array.isArray(series)) return unavailable("the answer is not one of Datadog's query")
  const points = dig(series[0], 'pointlist')
  const found = Array.isArray(points) ? points.map((point) => dig(point, 1)).findLast((point) => typeof point === 'number') : undefined
  return typeof found === 'number' ? value(found) : noData('no values found')
}
