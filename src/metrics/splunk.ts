/** Splunk Observability Cloud (SignalFx): runs a SignalFlow program over the past and takes what it streamed last. */

import type { Measurement } from '#api/measurement.ts'
import { ask, dig, excerpt, noData, parseJson, secretsOf, unavailable, urlOf, value, windowSeconds, type MetricProvider } from '#metrics/provider.ts'

const DEADLINE_MS = 5_000
const MAX_STREAM_BYTES = 4 * 1024 * 1024

export const splunk: MetricProvider = {
  type: 'splunk',
  async query(query, address, http, signal) {
    const { sf_token_key: token } = address.secret ?? {}
    if (!token) return unavailable('the secret has no sf_token_key')
    const stop = Math.floor(address.at)
    const start = stop - windowSeconds(address) * 1_000
    const url = urlOf(streamAddress(address.url ?? ''), '/v2/signalflow/execute', { start: String(start), stop: String(stop), immediate: 'true' })
    if (!url) return unavailable('the address is no http or https URL')
    const headers = { 'x-sf-token': token.trim(), 'content-type': 'text/plain', accept: 'text/event-stream' }
    const secrets = secretsOf(address)
    return ask({ method: 'POST', repeatable: true, url: url.href, headers, body: query, deadlineMs: DEADLINE_MS, maxBytes: MAX_STREAM_BYTES }, address, http, signal, (body) => parseSignalFlow(body, secrets))
  },
}

/** Programs run on `stream.<realm>`; people know `api.<realm>`, and Flagger also takes the WebSocket's address. The same API speaks HTTP. */
function streamAddress(address: string): string {
  if (!URL.canParse(address)) return address
  return address.replace(/^ws(s?):/i, 'http$1:').replace(/^(https?:\/\/)api\./i, '$1stream.')
}

/** The last value of a stream of server-sent events: one series, or it is not told which one is meant. */
export function parseSignalFlow(stream: string, secrets: readonly string[] = []): Measurement {
  const events = parseEvents(stream)
  if (events.length === 0) return unavailable('the answer is not one of SignalFlow')
  let found: { readonly series: string; readonly value: number } | undefined
  let isComplete = false
  for (const { type, data } of events) {
    if (type === 'error') return unavailable(`error response: ${excerpt(JSON.stringify(dig(data, 'errors') ?? data ?? ''), secrets)}`)
    const control = type === 'control-message' ? dig(data, 'event') : undefined
    if (control === 'CHANNEL_ABORT') return unavailable(`the program was aborted: ${excerpt(JSON.stringify(dig(data, 'abortInfo') ?? ''), secrets)}`)
    if (control === 'END_OF_CHANNEL') isComplete = true
    const points = type === 'data' ? dig(data, 'data') : undefined
    for (const point of Array.isArray(points) ? (points as readonly unknown[]) : []) {
      const [series, number] = [dig(point, 'tsId'), dig(point, 'value')]
      if (typeof series !== 'string' || typeof number !== 'number') continue
      if (found && found.series !== series) return unavailable('query returned multiple values')
      found = { series, value: number }
    }
  }
  if (!isComplete) return unavailable('the stream ended before the program did')
  return found ? value(found.value) : noData('no values found')
}

/** Blocks between empty lines: `event:` names it, `data:` lines are its JSON. */
function parseEvents(stream: string): readonly { readonly type: string; readonly data: unknown }[] {
  return stream.split(/\r?\n\r?\n/).flatMap((block) => {
    const lines = block.split(/\r?\n/)
    const field = (name: string) => lines.filter((line) => line.startsWith(`${name}:`)).map((line) => line.slice(name.length + 1).trim())
    const [type] = field('event')
    return type === undefined ? [] : [{ type, data: parseJson(field('data').join('\n')) }]
  })
}
