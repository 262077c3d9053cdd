import { parseDuration } from '#api/duration.ts'
import { parseHeader, type Header } from '#loadtest/request.ts'
import { parsed, refused, type Parsed } from '#loadtest/words.ts'

/** The command line of `grpc_health_probe`. Pure. */

export type HealthPlan = {
  readonly kind: 'health'
  /** The address with a scheme: `https` where TLS is asked for. */
  readonly url: string
  /** Empty: the server as a whole. */
  readonly service: string
  readonly headers: readonly Header[]
  readonly connectTimeoutMs: number
  readonly rpcTimeoutMs: number
  readonly insecure: boolean
  readonly serverName: string | undefined
}

const DEFAULT_TIMEOUT_MS = 1_000

type Draft = {
  readonly texts: Record<string, string>
  readonly headers: Header[]
  readonly switches: Set<string>
}

const TEXTS = ['addr', 'service', 'user-agent', 'connect-timeout', 'rpc-timeout', 'tls-server-name', 'rpc-header']
const SWITCHES = ['tls', 'tls-no-verify', 'v']

/** `words` without the program's name. */
export function parseHealthProbe(words: readonly string[]): Parsed<HealthPlan> {
  const draft: Draft = { texts: {}, headers: [], switches: new Set() }
  const left = [...words]
  for (let word = left.shift(); word !== undefined; word = left.shift()) {
    const [, name = '', inline] = /^--?([a-z-]+)(?:=([\s\S]*))?$/.exec(word) ?? []
    if (SWITCHES.includes(name)) {
      if (inline !== 'false') draft.switches.add(name)
      continue
    }
    if (!TEXTS.includes(name)) return refused(`grpc_health_probe ${word.slice(0, 40)} is not supported here`)
    const value = inline ?? left.shift()
    if (value === undefined) return refused(`grpc_health_probe -${name} has no value`)
    draft.texts[name] = value
    if (name !== 'rpc-header') continue
    const header = parseHeader(value)
    if (!header.ok) return header
    draft.headers.push(header.value)
  }
  return settle(draft)
}

function settle({ texts, headers, switches }: Draft): Parsed<HealthPlan> {
  const { addr = '' } = texts
  const url = `${switches.has('tls') ? 'https' : 'http'}://${addr}`
  if (!/^[^/?#@]+:\d+$/.test(addr) || !URL.canParse(url)) return refused('grpc_health_probe needs -addr=host:port')
  const [connectTimeoutMs, rpcTimeoutMs] = [texts['connect-timeout'], texts['rpc-timeout']].map((text) => (text === undefined ? DEFAULT_TIMEOUT_MS : parseDuration(text)))
  if (!connectTimeoutMs || !rpcTimeoutMs) return refused('-connect-timeout and -rpc-timeout are durations; write them like 5s')
  return parsed({
    kind: 'health', url, connectTimeoutMs, rpcTimeoutMs,
    service: texts['service'] ?? '',
    headers: [...headers, ['user-agent', texts['user-agent'] ?? 'grpc_health_probe']],
    insecure: switches.has('tls-no-verify'),
    serverName: texts['tls-server-name'],
  })
}
