import type { LookupAddress } from 'node:dns'
import { lookup as systemLookup } from 'node:dns/promises'
import { isIP, type LookupFunction } from 'node:net'
import { Agent, buildConnector, interceptors, type Dispatcher } from 'undici'

/** Connections of one command. The command's author is anybody who can reach the server, so every address is checked when it is connected to. */

export type TargetGuard = {
  /** Why an address must not be connected to, or undefined. */
  readonly denialOf: (address: string, options: { readonly allowLoopback: boolean }) => string | undefined
  /** Off in a cluster: the pod's own ports are nobody's target. */
  readonly allowLoopback: boolean
  /** All addresses of a name; the system's resolver unless given. */
  readonly resolve?: (hostname: string) => Promise<readonly LookupAddress[]>
}

export type ClientOptions = TargetGuard & {
  /** Of the Canary: a one-word name that is not known here is looked for there. */
  readonly namespace: string
  readonly connections: number
  readonly keepAlive: boolean
  readonly followRedirects: boolean
  readonly insecure: boolean
  /** Where TLS and the server allow it. */
  readonly http2: boolean
}

export type Client = {
  readonly dispatcher: Dispatcher
  /** Gives up what is under way. */
  readonly close: () => Promise<void>
  /** Lets what is under way end; nothing new may be sent. */
  readonly retire: () => Promise<void>
}

/** Every request says where it comes from, so that the tester knows its own. */
export const OWN_MARK = 'x-canarygate-loadtest'

const CONNECT_TIMEOUT_MS = 10_000
const MAX_REDIRECTS = 10

export class DeniedTargetError extends Error {
  override readonly name = 'DeniedTargetError'
}

export function createClient(options: ClientOptions): Client {
  const connect = buildConnector({ lookup: guardedLookup(options), timeout: CONNECT_TIMEOUT_MS, rejectUnauthorized: !options.insecure, allowH2: options.http2 })
  const agent = new Agent({
    connections: options.connections, allowH2: options.http2,
    // 0 closes a connection after each request.
    pipelining: options.keepAlive ? 1 : 0,
    // Whoever asks has a deadline of its own for the whole of a request.
    headersTimeout: 0, bodyTimeout: 0,
    connect: (target, callback) => {
      // A literal address is never looked up; a redirect may lead to one.
      const denial = literalDenial(target.hostname, options)
      if (denial === undefined) connect(target, callback)
      else callback(new DeniedTargetError(`${target.hostname} is ${denial}`), null)
    },
  })
  return {
    dispatcher: options.followRedirects ? agent.compose(interceptors.redirect({ maxRedirections: MAX_REDIRECTS })) : agent,
    close: () => agent.destroy(),
    retire: () => agent.close(),
  }
}

/** Why a literal address in a URL must not be called; undefined for names, which are judged when they are looked up. */
export function literalDenial(hostname: string, { denialOf, allowLoopback }: TargetGuard): string | undefined {
  const literal = hostname.replace(/^\[(.*)\]$/, '$1')
  return isIP(literal) === 0 ? undefined : denialOf(literal, { allowLoopback })
}

export function guardedLookup(options: TargetGuard & { readonly namespace: string }): LookupFunction {
  return async (hostname, { all }, callback) => {
    const found = await checkedAddresses(hostname, options).catch((err: unknown) => (err instanceof Error ? err : new Error('lookup failed')))
    if (found instanceof Error) callback(found, '')
    else if (all) callback(null, [...found])
    else callback(null, found[0].address, found[0].family)
  }
}

async function checkedAddresses(hostname: string, options: TargetGuard & { readonly namespace: string }): Promise<readonly [LookupAddress, ...LookupAddress[]]> {
  const [first, ...more] = await resolveNear(hostname, options)
  if (!first) throw new Error(`${hostname} has no address`)
  for (const { address } of [first, ...more]) {
    const denial = options.denialOf(address, options)
    if (denial !== undefined) throw new DeniedTargetError(`${hostname} is ${denial}`)
  }
  return [first, ...more]
}

async function resolveNear(hostname: string, { namespace, resolve = resolveWithSystem }: TargetGuard & { readonly namespace: string }): Promise<readonly LookupAddress[]> {
  try {
    return await resolve(hostname)
  } catch (err) {
    const code: unknown = typeof err === 'object' && err !== null ? Reflect.get(err, 'code') : undefined
    if (hostname.includes('.') || namespace === '' || (code !== 'ENOTFOUND' && code !== 'EAI_AGAIN')) throw err
    return await resolve(`${hostname}.${namespace}`)
  }
}

const resolveWithSystem = (hostname: string): Promise<readonly LookupAddress[]> => systemLookup(hostname, { all: true, order: 'verbatim' })

/** A fault in few words that do not differ from request to request, so that they can be counted. */
export function nameOf(err: unknown): string {
  if (err instanceof DeniedTargetError) return `denied: ${err.message}`
  if (!(err instanceof Error)) return 'failed'
  const nested: unknown = Reflect.get(err, 'errors')
  if (Array.isArray(nested) && nested.length > 0) return nameOf(nested[0])
  const code: unknown = Reflect.get(err, 'code')
  return err.name === 'AbortError' ? 'timeout' : typeof code === 'string' ? code : err.name
}
