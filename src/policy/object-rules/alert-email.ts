import { isMailAddress, type AlertProvider } from '#api/alert-provider.ts'
import type { ObjectRule } from '#policy/rule.ts'

export const alertEmail: ObjectRule<AlertProvider> = {
  id: 'alert-email',
  default: 'deny',
  why: 'E-mail without a recipient, or without a sender that is an address, is taken by no server: every alert is lost.',
  check({ spec: { type, channel = '', username = '', proxy } }) {
    if (type !== 'email') return []
    const recipients = channel.split(',').map((one) => one.trim()).filter((one) => one !== '')
    const isTo = recipients.length > 0 && recipients.every(isMailAddress)
    return [
      ...(isTo ? [] : [{ field: 'spec.channel', message: channel === '' ? 'is missing' : `is "${channel}"`, fix: 'give the recipients, as "on-call@example.org, team@example.org"' }]),
      ...(isMailAddress(username) ? [] : [{ field: 'spec.username', message: username === '' ? 'is missing' : `is "${username}"`, fix: 'give the sender, as canary@example.org' }]),
      ...(proxy ? [{ field: 'spec.proxy', message: 'is given, and e-mail goes through no HTTP proxy', fix: 'leave it out' }] : []),
    ]
  },
}
