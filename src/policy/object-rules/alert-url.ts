import type { AlertProvider } from '#api/alert-provider.ts'
import { webAddressFault } from '#policy/web-address.ts'
import type { ObjectRule } from '#policy/rule.ts'

export const alertUrl: ObjectRule<AlertProvider> = {
  id: 'alert-url',
  default: 'deny',
  why: 'An address that is no URL loses every alert, with a line in a log.',
  covers: ['10.22'],
  check({ spec }) {
    return (['address', 'proxy'] as const).flatMap((name) => {
      const value = spec[name]
      const fault = value ? webAddressFault(value) : undefined
      if (!value || fault === undefined) return []
      if (name === 'address' && spec.type === 'email' && URL.canParse(value) && /^smtps?:$/.test(new URL(value).protocol)) return []
      // The address of a hook is a secret: it is not repeated.
      return [{ field: `spec.${name}`, message: fault, fix: spec.type === 'email' ? 'use one like smtp://mail.example.org:587' : 'use one that begins with https://' }]
    })
  },
}
