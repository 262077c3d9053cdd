import type { Rule } from '#policy/rule.ts'

export const autoscalerReplicas: Rule = {
  id: 'autoscaler-replicas',
  default: 'deny',
  why: 'The API server refuses the primary\'s autoscaler when its minimum is above its maximum, so the primary never gets one.',
  covers: ['10.17'],
  check({ spec: { autoscalerRef } }) {
    const { minReplicas, maxReplicas } = autoscalerRef?.primaryScalerReplicas ?? {}
    if (minReplicas === undefined || maxReplicas === undefined || minReplicas <= maxReplicas) return []
    return [{
      field: 'spec.autoscalerRef.primaryScalerReplicas.minReplicas',
      message: `${minReplicas} is more than maxReplicas (${maxReplicas})`,
      fix: `use at most ${maxReplicas}`,
    }]
  },
}
