import { MAX_WEIGHT, MIN_WEIGHT } from '#policy/bounds.ts'
import type { Rule } from '#policy/rule.ts'

export const readyThresholdRange: Rule = {
  id: 'ready-threshold-range',
  default: 'deny',
  why: 'At 0 percent a workload without one working pod counts as ready; above 100 it never does.',
  covers: ['10.2', '1.8.11'],
  check({ spec: { analysis } }) {
    return (['primaryReadyThreshold', 'canaryReadyThreshold'] as const).flatMap((name) => {
      const value = analysis[name]
      if (value === undefined || (value >= MIN_WEIGHT && value <= MAX_WEIGHT)) return []
      return [{
        field: `spec.analysis.${name}`,
        message: `${value} is not between ${MIN_WEIGHT} and ${MAX_WEIGHT} percent of the pods`,
        fix: value > MAX_WEIGHT ? `use ${MAX_WEIGHT}, or leave it out` : 'use a share that can serve the traffic, such as 80',
      }]
    })
  },
}
