import type { Rule } from '#policy/rule.ts'

export const hookTls: Rule = {
  id: 'hook-tls',
  default: 'warn',
  why: 'Whoever answers in the place of an unverified webhook can approve a rollout.',
  check({ spec: { analysis } }) {
    return (analysis.webhooks ?? []).flatMap(({ disableTLS, name }, i) => (disableTLS === true ? [{
      field: `spec.analysis.webhooks[${i}].disableTLS`, message: `${name} is called without verifying its certificate`, fix: 'remove it, and let the webhook have a certificate of a known CA',
    }] : []))
  },
}
