import { hasBaseline } from '#api/baseline.ts'
import { ANNOTATION_REPLICAS } from '#api/names.ts'
import { canaryReplicasFor } from '#api/replica-weights.ts'
import { weightSteps } from '#policy/analysis.ts'
import { TOLERATED_WEIGHT_ERROR } from '#policy/bounds.ts'
import { providerOf } from '#policy/traffic-provider.ts'
import type { Rule } from '#policy/rule.ts'

export const replicaWeights: Rule = {
  id: 'replica-weights',
  default: 'warn',
  why: 'Provider kubernetes splits by the number of pods, and few pods know few shares: the weight asked for is not the weight served.',
  covers: ['10.8'],
  check(canary, context) {
    const target = context.cluster?.target
    if (providerOf(canary, context) !== 'kubernetes' || !target) return []
    // An adopted target is held at 0; what its owner asks for is in the annotation.
    const replicas = Math.max(1, Number(target.metadata.annotations?.[ANNOTATION_REPLICAS] ?? target.spec.replicas ?? 1) || 1)
    const missed = weightSteps(canary.spec)
      .filter(({ weight }) => weight >= 1 && weight <= 100)
      .map(({ weight }) => ({ weight, served: canaryReplicasFor(weight, replicas, hasBaseline(canary.spec)).effectiveWeight }))
      .filter(({ weight, served }) => Math.abs(weight - served) > TOLERATED_WEIGHT_ERROR)
    const [first] = missed
    if (!first) return []
    const all = missed.map(({ weight, served }) => `${weight}% as ${Math.round(served)}%`).join(', ')
    return [{
      field: weightSteps(canary.spec)[0]?.field.replace(/\[.*$/, '') ?? 'spec.analysis',
      message: `${replicas} replica${replicas === 1 ? '' : 's'} of ${target.metadata.name}${hasBaseline(canary.spec) ? ' beside a baseline' : ''} serve ${all}`,
      fix: `use weights that the pods can serve, such as ${Math.round(canaryReplicasFor(1, replicas, hasBaseline(canary.spec)).effectiveWeight)}, more replicas, or a provider with a router`,
    }]
  },
}
