import { isMailAddress } from '#api/alert-provider.ts'
import { authorOf, type Alert } from '#notify/alert.ts'
import type { Delivery, Destination, Mail, NotifyProvider } from '#notify/provider.ts'

const SUBMISSION_PORT = 587
const TLS_PORT = 465
const MAX_SUBJECT_CHARS = 150

/**
 * E-mail by SMTP. `address` is `smtp://host:587` (STARTTLS) or `smtps://host:465`, `channel` the recipients (commas between them),
 * `username` the sender's address; the Secret may hold `username` and `password` of the server's account.
 */
export const email: NotifyProvider = { type: 'email', render: renderEmail }

function renderEmail(alert: Alert, to: Destination): Delivery {
  const url = URL.canParse(to.address) ? new URL(to.address) : undefined
  if (url === undefined || !['smtp:', 'smtps:'].includes(url.protocol) || url.hostname === '') {
    return { kind: 'fault', reason: 'the address is no smtp:// or smtps:// URL' }
  }
  if (to.proxy !== undefined) return { kind: 'fault', reason: 'e-mail goes through no proxy; leave spec.proxy out' }
  const recipients = to.channel.split(',').map((one) => one.trim()).filter((one) => one !== '')
  if (recipients.length === 0) return { kind: 'fault', reason: 'channel holds no recipient' }
  const wrong = [...recipients, to.username].find((one) => !isMailAddress(one))
  if (wrong !== undefined) return { kind: 'fault', reason: `"${wrong}" is no e-mail address; channel holds the recipients, username the sender` }
  const tls = url.protocol === 'smtps:'
  return { kind: 'mail', mail: {
    host: url.hostname.replace(/^\[(.*)\]$/, '$1'), port: url.port === '' ? (tls ? TLS_PORT : SUBMISSION_PORT) : Number(url.port), tls,
    ...userOf(to, url), from: to.username, to: recipients, subject: subjectOf(alert), text: textOf(alert),
  } }
}

function userOf({ secret }: Destination, { username, password }: URL): Pick<Mail, 'user'> {
  if (secret['username'] && secret['password']) return { user: { name: secret['username'], password: secret['password'] } }
  return username === '' ? {} : { user: { name: decodeURIComponent(username), password: decodeURIComponent(password) } }
}

/** By code points: half a character is none. */
const subjectOf = (alert: Alert): string =>
  [...`[${alert.severity}] ${authorOf(alert)}: ${alert.message}`.replaceAll(/\p{Cc}+/gu, ' ')].slice(0, MAX_SUBJECT_CHARS).join('')

const textOf = (alert: Alert): string => [
  alert.message, ...(alert.detail === undefined ? [] : ['', alert.detail]), '',
  ...[
    { name: 'Canary', value: authorOf(alert) }, { name: 'Severity', value: alert.severity }, { name: 'Reason', value: alert.reason },
    ...(alert.revision === '' ? [] : [{ name: 'Revision', value: alert.revision }]),
    { name: 'Time', value: new Date(alert.at).toISOString() }, ...alert.fields,
  ].map(({ name, value }) => `${name}: ${value}`), '',
].join('\n')
