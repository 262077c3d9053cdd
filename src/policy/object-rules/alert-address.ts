import type { AlertProvider } from '#api/alert-provider.ts'
import type { ObjectRule } from '#policy/rule.ts'

export const alertAddress: ObjectRule<AlertProvider> = {
  id: 'alert-address',
  default: 'deny',
  why: 'Without an address nothing is sent; with two it is not said which one counts.',
  covers: ['10.22'],
  check({ spec }) {
    if (spec.address && spec.secretRef) return [{ field: 'spec.address', message: 'is given beside secretRef', fix: 'keep secretRef, with the URL under its key "address"' }]
    if (spec.address || spec.secretRef) return []
    return [{ field: 'spec.secretRef', message: 'is missing, and so is address', fix: 'name a Secret with the key "address"' }]
  },
}
