/** Graphite's render API. */

import type { Measurement } from '#api/measurement.ts'
import { parseSample } from '#metrics/prometheus.ts'
import { ask, basicAuth, dig, noData, parseJson, unavailable, urlOf, value, type MetricProvider } from '#metrics/provider.ts'

const DEADLINE_MS = 5_000

export const graphite: MetricProvider = {
  type: 'graphite',
  async query(query, address, http, signal) {
    const url = urlOf(address.url ?? '', '/render', {})
    if (!url) return unavailable('the address is no http or https URL')
    const { username, password } = address.secret ?? {}
    if (address.secret && (username === undefined || password === undefined)) return unavailable('the secret has no username and password')
    // The query is a query string as a browser would have it: target=...&from=...
    for (const [name, text] of new URLSearchParams(query.trim())) url.searchParams.append(name.trim(), text.trim())
    url.searchParams.set('format', 'json')
    const headers = username === undefined || password === undefined ? {} : { authorization: basicAuth(username, password) }
    return ask({ url: url.href, headers, deadlineMs: DEADLINE_MS }, address, http, signal, parseGraphite)
  },
}

/** The last point with a value, over all series. */
export function parseGraphite(body: string): Measurement {
  const series = parseJson(body)
  if (!Array.isArray(series)) return unavailable("the answer is not one of Graphite's render API")
  const points = series.flatMap((one: unknown): unknown[] => {
    const own = dig(one, 'datapoints')
    return Array.isArray(own) ? own.map((point) => dig(point, 0)) : []
  })
  const found = points.findLast((point) => point !== null)
  if (found === undefined) return noData('no values found')
  // Some servers that speak this API write numbers as text.
  const number = typeof found === 'number' ? found : typeof found === 'string' ? parseSample(found) : undefined
  return number === undefined ? unavailable('the answer has a point without a number') : value(number)
}
