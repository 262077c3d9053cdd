import { lastLookFindings } from '#policy/last-look.ts'
import type { Rule } from '#policy/rule.ts'

export const primaryFailsMetric: Rule = {
  id: 'primary-fails-metric',
  default: 'warn',
  why: 'A bound that what serves now does not meet is met by no release: the run holds, or is rolled back, for a fault that is not the canary\'s.',
  check: (canary, context) => lastLookFindings(canary, context, 'primary-fails', (at) => ({
    message: `was failed by the primary itself when it was last asked (${at})`, fix: 'use a bound that the primary meets, or mend what it suffers from first',
  })),
}
