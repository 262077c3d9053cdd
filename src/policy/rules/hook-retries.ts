import type { Rule } from '#policy/rule.ts'

export const hookRetries: Rule = {
  id: 'hook-retries',
  default: 'deny',
  why: 'A negative number of retries is no number of calls.',
  covers: ['10.13'],
  check({ spec: { analysis } }) {
    return (analysis.webhooks ?? []).flatMap(({ retries }, i) => (retries === undefined || retries >= 0 ? [] : [{
      field: `spec.analysis.webhooks[${i}].retries`, message: `${retries} is negative`, fix: 'use 0 for a single attempt',
    }]))
  },
}
