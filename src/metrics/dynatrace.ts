/** Dynatrace's metrics API, version 2. */

import type { Measurement } from '#api/measurement.ts'
import { ask, dig, noData, parseJson, unavailable, urlOf, value, windowSeconds, type MetricProvider } from '#metrics/provider.ts'

const DEADLINE_MS = 5_000

export const dynatrace: MetricProvider = {
  type: 'dynatrace',
  async query(query, address, http, signal) {
    const { dynatrace_token: token } = address.secret ?? {}
    if (!token) return unavailable('the secret has no dynatrace_token')
    const to = Math.floor(address.at)
    const from = to - windowSeconds(address) * 1_000
    const url = urlOf(address.url ?? '', '/api/v2/metrics/query', { metricSelector: query, resolution: 'Inf', from: String(from), to: String(to) })
    if (!url) return unavailable('the address is no http or https URL')
    return ask({ url: url.href, headers: { authorization: `Api-Token ${token.trim()}` }, deadlineMs: DEADLINE_MS }, address, http, signal, parseDynatrace)
  },
}

/** The first value of the last data element of the first result. */
export function parseDynatrace(body: string): Measurement {
  const results = dig(parseJson(body), 'result')
  if (!Array.isArray(results)) return unavailable("the answer is not one of Dynatrace's metrics API")
  const data = dig(results[0], 'data')
  const values = Array.isArray(data) ? dig(data.at(-1), 'values') : undefined
  const found = Array.isArray(values) ? dig(values, 0) : undefined
  return typeof found === 'number' ? value(found) : noData('no values found')
}
