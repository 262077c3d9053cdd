import type { Rule } from '#policy/rule.ts'

export const mirrorWeightAlone: Rule = {
  id: 'mirror-weight-alone',
  default: 'warn',
  why: 'A share of mirrored requests is believed to be in force while nothing is mirrored.',
  check({ spec: { analysis } }) {
    if (analysis.mirrorWeight === undefined || analysis.mirror === true) return []
    return [{ field: 'spec.analysis.mirrorWeight', message: `${analysis.mirrorWeight} has no effect without mirror`, fix: 'add mirror: true, or remove it' }]
  },
}
