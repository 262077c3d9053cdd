/** Prometheus and everything that speaks its query API (Thanos, Mimir, VictoriaMetrics). */

import type { Measurement } from '#api/measurement.ts'
import { ask, basicAuth, dig, excerpt, noData, parseJson, secretsOf, unavailable, urlOf, value, type MetricAddress, type MetricProvider } from '#metrics/provider.ts'

/** As Flagger's. */
const DEADLINE_MS = 5_000

export const prometheus: MetricProvider = {
  type: 'prometheus',
  async query(query, address, http, signal) {
    const url = urlOf(address.url ?? '', '/api/v1/query', { query: collapseWhitespace(query) })
    if (!url) return unavailable('the address is no http or https URL')
    const headers = headersOf(address)
    if (!headers) return unavailable('the secret has neither a token nor username and password')
    const secrets = secretsOf(address)
    return ask({ url: url.href, headers, deadlineMs: DEADLINE_MS }, address, http, signal, (body) => parsePrometheus(body, secrets))
  },
}

const STRING = /"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'|`[^`]*`/
const STRING_OR_SPACE = new RegExp(`(${STRING.source})|(?:\\s|#[^\\n]*)+`, 'gs')

/** Queries are written over several lines; the server gets one. Strings stay as they are, and a comment must not take the next lines along. */
export const collapseWhitespace = (query: string): string => query.replaceAll(STRING_OR_SPACE, (_, text: string | undefined) => text ?? ' ').trim()

function headersOf({ headers = {}, secret }: MetricAddress): Record<string, string> | undefined {
  const own = Object.fromEntries(Object.entries(headers).map(([name, values]) => [name.toLowerCase(), values.join(', ')]))
  if (!secret) return own
  const { token, username, password } = secret
  if (token) return { ...own, authorization: `Bearer ${token.trim()}` }
  return username !== undefined && password !== undefined ? { ...own, authorization: basicAuth(username, password) } : undefined
}

/**
 * The value in an answer of `/api/v1/query`: of several series the last one. NaN and an empty vector are no data, infinity is a value,
 * everything else but a vector (scalar, string, range) is an answer to another question: wrap scalars in `vector()`.
 */
export function parsePrometheus(body: string, secrets: readonly string[] = []): Measurement {
  const answer = parseJson(body)
  const status = dig(answer, 'status')
  if (status === 'error') return unavailable(`error response: ${excerpt(String(dig(answer, 'error')), secrets)}`)
  const resultType = dig(answer, 'data', 'resultType')
  const result = dig(answer, 'data', 'result')
  if (status !== 'success' || typeof resultType !== 'string' || !Array.isArray(result)) return unavailable('the answer is not one of a Prometheus query')
  if (resultType === 'scalar' || resultType === 'string') return unavailable(`the query gives a ${resultType}; wrap it in vector()`)
  if (resultType === 'matrix' || result.some((series) => dig(series, 'values') !== undefined)) return unavailable('query returned multiple values')
  if (resultType !== 'vector') return unavailable(`the query gives a ${excerpt(resultType, secrets)}`)
  if (result.length === 0) return noData('no values found')
  const sample = dig(result.at(-1), 'value', 1)
  const number = typeof sample === 'string' ? parseSample(sample) : undefined
  return number === undefined ? unavailable('the answer has a series without a number') : value(number)
}

const SPECIAL: Readonly<Record<string, number>> = { NaN: Number.NaN, '+Inf': Infinity, Inf: Infinity, '-Inf': -Infinity }
const DECIMAL = /^[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?$/

/** A number as Prometheus writes it, or undefined. */
export function parseSample(text: string): number | undefined {
  if (DECIMAL.test(text)) return Number(text)
  return Object.hasOwn(SPECIAL, text) ? SPECIAL[text] : undefined
}
