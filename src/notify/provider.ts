/** A kind of receiver of alerts: gives an alert the form that the receiver wants. Pure: it renders, `deliver.ts` sends. */

import type { AlertProviderSpec } from '#api/alert-provider.ts'
import type { Alert } from '#notify/alert.ts'

/** Where an alert goes, with what rights. */
export type Destination = {
  readonly type: string
  readonly address: string
  readonly channel: string
  readonly username: string
  /** Decoded data of the referenced Secret, `address` included. */
  readonly secret: Readonly<Record<string, string>>
  /** URL of an HTTP proxy. */
  readonly proxy?: string
}

export type Mail = {
  readonly host: string
  readonly port: number
  /** TLS from the first byte; otherwise STARTTLS, which is a must once there is a password. */
  readonly tls: boolean
  readonly user?: { readonly name: string; readonly password: string }
  readonly from: string
  readonly to: readonly string[]
  readonly subject: string
  readonly text: string
}

export type Delivery =
  | { readonly kind: 'post'; readonly url: string; readonly headers: Readonly<Record<string, string>>; readonly body: unknown }
  | { readonly kind: 'mail'; readonly mail: Mail }
  /** It cannot be told there at all; the reason names no secret. */
  | { readonly kind: 'fault'; readonly reason: string }

export type NotifyProvider = {
  /** As in AlertProvider `spec.type`. */
  readonly type: string
  render(alert: Alert, to: Destination): Delivery
  /** Why a 2xx answer is a failure nevertheless; undefined when it is none. */
  readonly refusal?: (body: string) => Refusal | undefined
}

export type Refusal = { readonly reason: string; /** It may be taken a moment later. */ readonly isTransient: boolean }

const DEFAULT_CHANNEL = 'general'
const DEFAULT_USERNAME = 'flagger'

type Spec = Omit<AlertProviderSpec, 'type'> & { readonly type: string }

/** The destination that an AlertProvider describes; text says what it lacks. */
export function destinationOf(spec: Spec, data: Readonly<Record<string, string>> | undefined): Destination | string {
  // What was made with `echo` or from a file ends with a new line.
  const secret = data && Object.fromEntries(Object.entries(data).map(([key, value]) => [key, value.replace(/[\r\n]+$/, '')]))
  if (spec.secretRef && secret === undefined) return `secret ${spec.secretRef.name} was not found`
  if (spec.secretRef && !secret?.['address']) return `secret ${spec.secretRef.name} has no key address`
  const address = secret?.['address'] ?? spec.address ?? ''
  if (address === '') return 'it has neither address nor secretRef'
  return {
    type: spec.type, address: address.trim(), channel: spec.channel || DEFAULT_CHANNEL, username: spec.username || DEFAULT_USERNAME,
    secret: secret ?? {}, ...(spec.proxy ? { proxy: spec.proxy } : {}),
  }
}

export const JSON_HEADERS = { 'content-type': 'application/json' } as const

export function post(url: string, body: unknown, headers: Readonly<Record<string, string>> = {}): Delivery {
  if (!URL.canParse(url) || !['http:', 'https:'].includes(new URL(url).protocol)) return { kind: 'fault', reason: 'the address is no http or https URL' }
  return { kind: 'post', url, body, headers: { ...JSON_HEADERS, ...headers } }
}

export const bearer = ({ secret }: Destination): Readonly<Record<string, string>> =>
  (secret['token'] ? { authorization: `Bearer ${secret['token'].trim()}` } : {})
