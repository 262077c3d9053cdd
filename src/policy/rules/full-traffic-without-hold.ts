import { hasHold, weightSteps } from '#policy/analysis.ts'
import type { Rule } from '#policy/rule.ts'

export const fullTrafficWithoutHold: Rule = {
  id: 'full-traffic-without-hold',
  default: 'warn',
  why: 'At 100 percent the canary is the only version that serves before it was promoted, and nobody was asked.',
  check({ spec }) {
    const last = weightSteps(spec).at(-1)
    if (last?.weight !== 100 || hasHold(spec)) return []
    const isDefault = spec.analysis.stepWeight !== undefined && spec.analysis.maxWeight === undefined
    return [{
      field: spec.analysis.stepWeight === undefined ? last.field : 'spec.analysis.maxWeight',
      message: `${isDefault ? '100 (left out)' : '100'} gives the canary all live requests without anybody being asked`,
      fix: 'end at 50, or set spec.gate.atMaxWeight: wait',
    }]
  },
}
