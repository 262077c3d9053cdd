import { boundsOf } from '#policy/metric.ts'
import type { Finding, Rule } from '#policy/rule.ts'

export const requestDurationBounds: Rule = {
  id: 'request-duration-bounds',
  default: 'deny',
  why: 'The bounds are whole milliseconds: 0.5, meant as half a second, is cut to 0 and fails every check.',
  covers: ['10.12'],
  check({ spec: { analysis } }) {
    return (analysis.metrics ?? []).flatMap((metric, i) => {
      if (metric.name !== 'request-duration' || metric.query || metric.templateRef) return []
      const { min, max, field } = boundsOf(metric)
      const at = `spec.analysis.metrics[${i}].${field}`
      const findings: Finding[] = []
      for (const [name, bound, least] of [['min', min, 0], ['max', max, 1]] as const) {
        if (bound === undefined || (Number.isInteger(bound) && bound >= least)) continue
        const inSeconds = bound > 0 && bound < 10
        findings.push({
          field: field === 'threshold' ? at : `${at}.${name}`,
          message: `${bound} is no whole number of milliseconds from ${least}`,
          fix: inSeconds ? `use ${Math.round(bound * 1_000)} if ${bound} seconds are meant` : `use ${Math.max(1, Math.round(Math.abs(bound)))}`,
        })
      }
      return findings
    })
  },
}
