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

/** `_value` of the first record of all tables. No rows are no data; Flagger reads them as 0. */
export function parseInflux(csv: string, secrets: readonly string[] = []): Measurement {
  const tables = tablesOf(csv)
  // A query may fail in the middle of its answer, which then ends in a table of its own.
  const failed = tables.find(({ header }) => header.includes('error') && header.includes('reference'))
  if (failed) return unavailable(`error response: ${excerpt(failed.records[0]?.[failed.header.indexOf('error')] ?? '', secrets)}`)
  if (tables.some(({ header }) => !header.includes('_value'))) return unavailable('the answer has no column _value')
  const table = tables.find(({ records }) => records.length > 0)
  if (!table) return noData('no values found')
  const valueAt = table.header.indexOf('_value')
  const annotation = (name: string): string | undefined => table.annotations.find(([first]) => first === name)?.[valueAt]
  const type = annotation('#datatype')
  if (type !== undefined && type !== 'double') return unavailable(`_value is a ${excerpt(type, secrets)}, not a float; use toFloat()`)
  const text = table.records[0]?.[valueAt] || (annotation('#default') ?? '')
  if (text === '') return noData('no values found')
  const number = Number(text.replace(/^([+-]?)Inf$/, '$1Infinity'))
  return Number.isNaN(number) && text !== 'NaN' ? unavailable('_value is no number') : value(number)
}

type Row = readonly string[]
type Table = { readonly annotations: readonly Row[]; readonly header: Row; readonly records: readonly Row[] }

/** Tables follow each other: annotations if there are any, one header, records. An empty line or the next annotations end one. */
function tablesOf(csv: string): readonly Table[] {
  const tables: { annotations: Row[]; header?: Row; records: Row[] }[] = []
  let isNew = true
  for (const row of rowsOf(csv)) {
    const isAnnotation = row[0]?.startsWith('#') ?? false
    const isEmpty = row.length === 1 && row[0] === ''
    const last = tables.at(-1)
    if (!isEmpty && (isNew || !last || (isAnnotation && last.header))) tables.push(isAnnotation ? { annotations: [row], records: [] } : { annotations: [], header: row, records: [] })
    else if (!isEmpty && isAnnotation) last?.annotations.push(row)
    else if (!isEmpty && last?.header) last.records.push(row)
    else if (!isEmpty && last) last.header = row
    isNew = isEmpty
  }
  return tables.map(({ header = [], ...table }) => ({ ...table, header }))
}

/** A cell, and what ends it; quoted ones may hold commas, line feeds and doubled quotes. */
const CELL = /(?:"([^"]*(?:""[^"]*)*)"(,|\r?\n|$)|([^,\n]*)(,|\n|$))/y

function rowsOf(csv: string): readonly Row[] {
  const rows: string[][] = []
  let row: string[] = []
  // Of empty lines one is enough: a megabyte of them would be a million rows.
  const text = csv.replaceAll(/(?:\r?\n){3,}/g, '\n\n')
  CELL.lastIndex = 0
  while (CELL.lastIndex < text.length || row.length > 0) {
    const [, quoted, quotedEnd, plain = '', plainEnd = ''] = CELL.exec(text) ?? []
    row.push(quoted?.replaceAll('""', '"') ?? plain.replace(/\r$/, ''))
    if ((quotedEnd ?? plainEnd) === ',') continue
    rows.push(row)
    row = []
  }
  return rows
}
