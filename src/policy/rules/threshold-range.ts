import { MAX_ITERATIONS } from '#api/defaults.ts'
import { MIN_THRESHOLD } from '#policy/bounds.ts'
import type { Finding, Rule } from '#policy/rule.ts'

export const thresholdRange: Rule = {
  id: 'threshold-range',
  default: 'deny',
  why: 'Flagger reads 0 and less as 1 for the threshold, and negative iterations as "not Blue/Green": not what was written.',
  covers: ['10.6', '1.8.10', '10.8', '1.8.9'],
  check({ spec: { analysis: { threshold, iterations } } }) {
    const findings: Finding[] = []
    if (threshold !== undefined && threshold < MIN_THRESHOLD) {
      findings.push({ field: 'spec.analysis.threshold', message: `${threshold} would tolerate less than one failed check`, fix: 'use 1 to roll back at the first, or 3 to 5' })
    }
    if (iterations !== undefined && iterations < 1) {
      findings.push({ field: 'spec.analysis.iterations', message: `${iterations} is no number of checks`, fix: 'use 1 or more, such as 10, or stepWeight instead' })
    }
    if (iterations !== undefined && iterations > MAX_ITERATIONS) {
      findings.push({ field: 'spec.analysis.iterations', message: `${iterations} checks would not end within days: at most ${MAX_ITERATIONS} are made`, fix: 'use fewer, such as 10' })
    }
    return findings
  },
}
