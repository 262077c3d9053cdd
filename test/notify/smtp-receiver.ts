import { createServer, type Socket } from 'node:net'
import type { AddressInfo } from 'node:net'
import { TLSSocket } from 'node:tls'
import type { Test } from 'tap'

/** A mail server of one page (RFC 5321): takes mail, keeps it, or answers as told. */
export type Received = { readonly from: string; readonly to: readonly string[]; readonly data: string; readonly login: string; readonly encrypted: boolean }

export type SmtpReceiver = { readonly port: number; readonly mails: Received[]; readonly connections: () => number }

export type SmtpBehaviour = {
  /** Answer to RCPT instead of 250, for all recipients or by their addresses. */
  readonly recipientReply?: string | ((recipient: string) => string)
  /** Says nothing at all. */
  readonly silent?: boolean
  /** Where it listens; this machine alone can reach it when left out. */
  readonly address?: string
  /** Speaks TLS: from the first byte, or after STARTTLS. */
  readonly tls?: { readonly key: string; readonly cert: string; readonly from: 'start' | 'starttls' }
}

export async function receiveMail(t: Test, { recipientReply = '250 ok', silent = false, address = '127.0.0.1', tls }: SmtpBehaviour = {}): Promise<SmtpReceiver> {
  const mails: Received[] = []
  const sockets = new Set<Socket>()
  let connections = 0

  const encrypt = (socket: Socket): Socket => new TLSSocket(socket, { isServer: true, key: tls?.key, cert: tls?.cert })

  function converse(socket: Socket, encrypted: boolean): void {
    const say = (line: string): void => { socket.write(`${line}\r\n`) }
    const fresh = () => ({ from: '', to: [] as string[], data: '', login: '', encrypted })
    let mail = fresh()
    let isData = false
    let buffer = ''
    socket.on('error', () => {})
    const hear = (chunk: Buffer): void => {
      buffer += chunk.toString('latin1')
      for (let end = buffer.indexOf('\r\n'); end >= 0; end = buffer.indexOf('\r\n')) {
        const line = buffer.slice(0, end)
        buffer = buffer.slice(end + 2)
        if (isData && line === '.') {
          isData = false
          mails.push(mail)
          mail = fresh()
          say('250 queued')
        } else if (isData) mail = { ...mail, data: `${mail.data}${line}\n` }
        else if (/^EHLO/i.test(line)) say(tls?.from === 'starttls' && !encrypted ? '250-mail.test\r\n250 STARTTLS' : '250-mail.test\r\n250 AUTH PLAIN')
        else if (/^STARTTLS/i.test(line)) { say('220 go on'); socket.off('data', hear); converse(encrypt(socket), true) }
        else if (/^MAIL FROM:/i.test(line)) { mail = { ...mail, from: line.slice('MAIL FROM:'.length) }; say('250 ok') }
        else if (/^RCPT TO:/i.test(line)) { mail.to.push(line.slice('RCPT TO:'.length)); say(typeof recipientReply === 'string' ? recipientReply : recipientReply(line)) }
        else if (/^DATA/i.test(line)) { isData = true; say('354 go on') }
        else if (/^AUTH PLAIN /i.test(line)) { mail = { ...mail, login: Buffer.from(line.slice('AUTH PLAIN '.length), 'base64').toString() }; say('235 ok') }
        else if (/^QUIT/i.test(line)) { say('221 bye'); socket.end() }
        else say('502 unknown')
      }
    }
    socket.on('data', hear)
  }

  const server = createServer((raw) => {
    connections += 1
    sockets.add(raw)
    raw.on('close', () => sockets.delete(raw))
    raw.on('error', () => {})
    if (silent) return
    const socket = tls?.from === 'start' ? encrypt(raw) : raw
    converse(socket, tls?.from === 'start')
    socket.write('220 mail.test ESMTP\r\n')
  })
  await new Promise<void>((resolve) => { server.listen(0, address, resolve) })
  t.teardown(() => { for (const socket of sockets) socket.destroy(); server.close() })
  return { port: (server.address() as AddressInfo).port, mails, connections: () => connections }
}
