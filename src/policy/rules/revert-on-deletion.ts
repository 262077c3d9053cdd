import type { Rule } from '#policy/rule.ts'

export const revertOnDeletion: Rule = {
  id: 'revert-on-deletion',
  // Only noted: here a deletion ends with a serving target either way, but with Flagger it does not.
  default: 'audit',
  why: 'With Flagger, deleting such a Canary leaves the target without pods and the Service without its backends.',
  covers: ['10.21'],
  check({ spec }) {
    if (spec.revertOnDeletion === true) return []
    return [{ field: 'spec.revertOnDeletion', message: 'is off: Flagger would leave the target at 0 replicas when the Canary is deleted', fix: 'set it to true' }]
  },
}
