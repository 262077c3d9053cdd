import { boundsOf } from '#policy/metric.ts'
import type { Rule } from '#policy/rule.ts'

/** Hardly a service answers its slowest percent within this: such a bound was meant in seconds. */
const PLAUSIBLE_MS = 10

export const requestDurationUnits: Rule = {
  id: 'request-duration-units',
  default: 'warn',
  why: 'Milliseconds read as seconds make a bound that no service can hold.',
  check({ spec: { analysis } }) {
    return (analysis.metrics ?? []).flatMap((metric, i) => {
      const { min, max, field } = boundsOf(metric)
      const at = `spec.analysis.metrics[${i}].${field}`
      if (metric.name !== 'request-duration' || metric.query || metric.templateRef) return []
      if (max !== undefined && Number.isInteger(max) && max >= 1 && max < PLAUSIBLE_MS) {
        return [{ field: at, message: `max ${max} means ${max} milliseconds`, fix: `use ${max * 1_000} if ${max} seconds are meant` }]
      }
      if (max === undefined && min !== undefined) return [{ field: at, message: `min ${min} alone refuses fast answers and lets slow ones pass`, fix: `use max: ${Math.max(min, 500)}` }]
      return []
    })
  },
}
