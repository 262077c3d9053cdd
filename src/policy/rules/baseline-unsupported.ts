import type { Rule } from '#policy/rule.ts'

export const baselineUnsupported: Rule = {
  id: 'baseline-unsupported',
  default: 'deny',
  why: 'Fresh pods of the stable revision beside the canary are not there yet: a Canary that asks for them would be compared with the warm primary, unlike what it says.',
  check({ spec: { gate } }) {
    if (gate?.baseline === undefined) return []
    return [{ field: 'spec.gate.baseline', message: 'is not supported: the canary is compared with the primary\'s own pods', fix: 'remove it; latency counts from pods that have been ready for a minute' }]
  },
}
