import type { Rule } from '#policy/rule.ts'

export const wholeNumbers: Rule = {
  id: 'whole-numbers',
  default: 'deny',
  why: 'One fraction where an integer is meant makes Flagger\'s own controller stop for every Canary in the cluster.',
  covers: ['10.1', '1.8.1'],
  check({ spec }) {
    const { analysis } = spec
    const numbers: Readonly<Record<string, number | undefined>> = {
      'spec.progressDeadlineSeconds': spec.progressDeadlineSeconds,
      'spec.service.port': spec.service?.port,
      'spec.analysis.threshold': analysis.threshold,
      'spec.analysis.maxWeight': analysis.maxWeight,
      'spec.analysis.stepWeight': analysis.stepWeight,
      'spec.analysis.stepWeightPromotion': analysis.stepWeightPromotion,
      'spec.analysis.iterations': analysis.iterations,
      'spec.analysis.mirrorWeight': analysis.mirrorWeight,
      'spec.analysis.primaryReadyThreshold': analysis.primaryReadyThreshold,
      'spec.analysis.canaryReadyThreshold': analysis.canaryReadyThreshold,
      'spec.analysis.sessionAffinity.maxAge': analysis.sessionAffinity?.maxAge,
      ...Object.fromEntries((analysis.stepWeights ?? []).map((weight, i) => [`spec.analysis.stepWeights[${i}]`, weight])),
      ...Object.fromEntries((analysis.webhooks ?? []).map((hook, i) => [`spec.analysis.webhooks[${i}].retries`, hook.retries])),
    }
    return Object.entries(numbers).flatMap(([field, value]) => (value === undefined || Number.isSafeInteger(value) ? [] : [{
      field,
      message: `${value} is not a whole number`,
      fix: `use ${Math.max(1, Math.round(Number.isFinite(value) ? value : 1))}`,
    }]))
  },
}
