import type { LookupAddress } from 'node:dns'
import { lookup as systemLookup } from 'node:dns/promises'
import { isIP } from 'node:net'
import { createTransport } from 'nodemailer'
import type { Mail } from '#notify/provider.ts'

/** Sends one mail; rejects when it is not taken. */
export type SendMail = (mail: Mail, signal: AbortSignal) => Promise<void>

export type SmtpOptions = {
  /** Why an address must not be connected to, or undefined: resources that a team may write name the server. */
  readonly denialOf: (address: string) => string | undefined
  readonly resolve?: (hostname: string) => Promise<readonly LookupAddress[]>
  /** For each step of the conversation (ms). */
  readonly stepMs?: number
  /** Certificates that are trusted beside the usual ones. */
  readonly ca?: string
}

/** Servers that make spammers wait greet after 6 s and more, and some scan a mail before they take it. */
const STEP_MS = 15_000

/** A mailbox that is not to be had (RFC 5321, 4.2.3). */
const REFUSED = 550

/** SMTP over nodemailer. The name is resolved here and the connection goes to the checked address. */
export function createSmtp({ denialOf, resolve = resolveWithSystem, stepMs = STEP_MS, ca }: SmtpOptions): SendMail {
  return async (mail, signal) => {
    signal.throwIfAborted()
    const found = isIP(mail.host) === 0 ? (await resolve(mail.host)).map(({ address }) => address) : [mail.host]
    const [address] = found
    if (address === undefined) throw new Error(`${mail.host} has no address`)
    const denial = found.map(denialOf).find((reason) => reason !== undefined)
    if (denial !== undefined) throw new Error(`${mail.host} is ${denial}`)
    const transport = createTransport({
      host: address, port: mail.port, secure: mail.tls, requireTLS: !mail.tls && mail.user !== undefined,
      ...(mail.user ? { auth: { user: mail.user.name, pass: mail.user.password } } : {}),
      connectionTimeout: stepMs, greetingTimeout: stepMs, socketTimeout: stepMs, dnsTimeout: stepMs,
      // Without a password TLS is used where it is offered. Whoever could fake the certificate could as well leave the offer out: it is not asked for.
      tls: { rejectUnauthorized: mail.tls || mail.user !== undefined, ...(isIP(mail.host) === 0 ? { servername: mail.host } : {}), ...(ca === undefined ? {} : { ca }) },
      disableFileAccess: true, disableUrlAccess: true,
    })
    const giveUp = (): void => { transport.close() }
    signal.addEventListener('abort', giveUp, { once: true })
    try {
      const { rejected, rejectedErrors = [] } = await Promise.race([transport.sendMail({ from: mail.from, to: [...mail.to], subject: mail.subject, text: mail.text }), aborted(signal)])
      // The others have it, so it is not sent again.
      if (rejected.length > 0) throw Object.assign(new Error(`not taken for ${rejected.join(', ')}: ${rejectedErrors[0]?.message ?? 'refused'}`), { responseCode: REFUSED })
    } finally {
      signal.removeEventListener('abort', giveUp)
      transport.close()
    }
  }
}

const resolveWithSystem = (hostname: string): Promise<readonly LookupAddress[]> => systemLookup(hostname, { all: true, order: 'verbatim' })

const aborted = (signal: AbortSignal): Promise<never> => new Promise((_resolve, reject) => {
  signal.addEventListener('abort', () => { reject(new Error('given up')) }, { once: true })
})
