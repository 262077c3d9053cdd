import type { AlertProvider } from '#api/alert-provider.ts'
import { webAddressFault } from '#policy/web-address.ts'
import type { ObjectRule } from '#policy/rule.ts'

/** A mail server may be wherever a web server may be. */
const mailAddressFault = (value: string): string | undefined =>
  (/^smtps?:\/\/./i.test(value) ? webAddressFault(value.replace(/^smtps?:/i, 'http:')) : 'is no smtp:// or smtps:// URL')

export const alertUrl: ObjectRule<AlertProvider> = {
  id: 'alert-url',
  default: 'deny',
  why: 'An address that is no URL loses every alert, with a line in a log.',
  covers: ['10.22'],
  check({ spec }) {
    return (['address', 'proxy'] as const).flatMap((name) => {
      const value = spec[name]
      if (!value) return []
      const isMail = name === 'address' && spec.type === 'email'
      const fault = isMail ? mailAddressFault(value) : webAddressFault(value)
      // The address of a hook is a secret: it is not repeated.
      return fault === undefined ? [] : [{ field: `spec.${name}`, message: fault, fix: isMail ? 'use one like smtp://mail.example.org:587' : 'use one that begins with https://' }]
    })
  },
}
