/** InfluxDB 2, asked in Flux; answers are annotated CSV. */

import type { Measurement } from '#api/measurement.ts'
import { ask, excerpt, noData, secretsOf, unavailable, urlOf, value, type MetricProvider } from '#metrics/provider.ts'

/** As Flagger's: Flux is slow. */
const DEADLINE_MS = 15_000

export const influxdb: MetricProvider = {
  type: 'influxdb',
  async query(query, address, http, signal) {
    const { token, org } = address.secret ?? {}
    if (address.secret && (!token || !org)) return unavailable('the secret has no token and org')
    const url = urlOf(address.url ?? '', '/api/v2/query', org ? { org: org.trim() } : {})
    if (!url) return unavailable('the address is no http or https URL')
    const body = JSON.stringify({ query, type: 'flux', dialect: { header: true, delimiter: ',', annotations: ['datatype', 'group', 'default'] } })
    const headers = { accept: 'application/csv', 'content-type': 'application/json', ...(token ? { authorization: `Token ${token.trim()}` } : {}) }
    const secrets = secretsOf(address)
    return ask({ method: 'POST', repeatable: true, url: url.href, headers, body, deadlineMs: DEADLINE_MS }, address, http, signal, (text) => parseInflux(text, secrets))
  },
}

/** `_value` of the first record. No rows are no data; Flagger reads them as 0. */
export function parseInflux(csv: string, secrets: readonly string[] = []): Measurement {
  const rows = csv.split(/\r?\n/).filter((line) => line !== '').map(parseCsvLine)
  const headerAt = rows.findIndex(([first]) => !first?.startsWith('#'))
  const header = rows[headerAt]
  if (!header) return noData('no values found')
  const record = rows[headerAt + 1]
  const errorAt = header.indexOf('error')
  if (errorAt >= 0 && header.includes('reference')) return unavailable(`error response: ${excerpt(record?.[errorAt] ?? '', secrets)}`)
  const valueAt = header.indexOf('_value')
  if (valueAt < 0) return unavailable('the answer has no column _value')
  if (!record || record[0]?.startsWith('#')) return noData('no values found')
  const types = rows.slice(0, headerAt).find(([first]) => first === '#datatype')
  if (types && types[valueAt] !== 'double') return unavailable(`_value is a ${excerpt(types[valueAt] ?? '', secrets)}, not a float; use toFloat()`)
  const text = record[valueAt] ?? ''
  if (text === '') return noData('no values found')
  const number = Number(text.replace(/^([+-]?)Inf$/, '$1Infinity'))
  return Number.isNaN(number) && text !== 'NaN' ? unavailable('_value is no number') : value(number)
}

const CELL = /(?:"((?:[^"]|"")*)"|([^,]*))(,|$)/y

function parseCsvLine(line: string): readonly string[] {
  const cells: string[] = []
  CELL.lastIndex = 0
  for (;;) {
    const [, quoted, plain, separator] = CELL.exec(line) ?? []
    cells.push(quoted?.replaceAll('""', '"') ?? plain ?? '')
    if (separator !== ',') return cells
  }
}
