import { parseDuration } from '#api/duration.ts'
import type { Rule } from '#policy/rule.ts'

export const serviceTimeouts: Rule = {
  id: 'service-timeouts',
  default: 'deny',
  why: 'The router refuses the route with a timeout that it cannot read, in the middle of a rollout.',
  check({ spec: { service } }) {
    const texts = [
      ['timeout', service?.timeout], ['backendTimeout', service?.backendTimeout], ['retries.perTryTimeout', service?.retries?.perTryTimeout],
    ] as const
    return texts.flatMap(([name, text]) => (text === undefined || text === '' || parseDuration(text) !== undefined ? [] : [{
      field: `spec.service.${name}`, message: `"${text}" is no duration`, fix: 'write it like 15s',
    }]))
  },
}
