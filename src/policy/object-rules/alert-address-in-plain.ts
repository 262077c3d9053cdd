import type { AlertProvider } from '#api/alert-provider.ts'
import type { ObjectRule } from '#policy/rule.ts'

export const alertAddressInPlain: ObjectRule<AlertProvider> = {
  id: 'alert-address-in-plain',
  default: 'warn',
  why: 'The address of an incoming hook is a password: everybody who may read AlertProviders, or the repository, can post with it.',
  check({ spec }) {
    if (!spec.address || !URL.canParse(spec.address)) return []
    // A bare host is harmless; what identifies a hook is its path or query, and a mail server's account may stand before the host.
    const { pathname, search, password } = new URL(spec.address)
    if (pathname.length <= 1 && search.length <= 1 && password === '') return []
    return [{ field: 'spec.address', message: 'shows the address of the hook to every reader', fix: 'put it into a Secret, key "address", and name that in secretRef' }]
  },
}
