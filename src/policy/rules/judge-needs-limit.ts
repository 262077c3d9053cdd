import { planOf } from '#rollout/plan.ts'
import type { Rule } from '#policy/rule.ts'

/** From here on no primary is left to compare with (percent). */
const ALONE_WEIGHT = 90

export const judgeNeedsLimit: Rule = {
  id: 'judge-needs-limit',
  default: 'warn',
  why: 'From weight 90 on no primary is left to compare with: without a limit for errors the judge is blind there, at the largest weight of all.',
  check({ spec }) {
    const { analysis: { metrics = [] }, gate } = spec
    const enforces = gate?.judge?.mode === 'enforce' || (gate?.generated && gate.judge?.mode === undefined)
    if (!enforces || spec.skipAnalysis) return []
    const hasLimit = metrics.some(({ name, threshold, thresholdRange }) =>
      (name === 'request-success-rate' && (thresholdRange?.min ?? threshold) !== undefined) || (name === 'error-rate' && (thresholdRange?.max ?? threshold) !== undefined))
    const { steps, strategy } = planOf(spec)
    const alone = steps.find(({ weight }) => weight >= ALONE_WEIGHT)
    if (hasLimit || strategy !== 'weighted' || !alone) return []
    return [{
      field: 'spec.analysis.metrics',
      message: `at weight ${alone.weight} the judge has neither a primary to compare with nor a limit`,
      fix: 'add request-success-rate with thresholdRange.min, or keep every weight below 90',
    }]
  },
}
