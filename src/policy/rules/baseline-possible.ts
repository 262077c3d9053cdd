import { baselineObstacle, isBaselineAsked, tooLongForBaseline } from '#api/baseline.ts'
import { apexName } from '#api/defaults.ts'
import { baselineName, LABEL_ROLE, MAX_BASELINE_TARGET_NAME_BYTES } from '#api/names.ts'
import type { Finding, Rule } from '#policy/rule.ts'

/** A name without room is told of in any case, with the name. */
const OBSTACLES: Readonly<Record<Exclude<ReturnType<typeof baselineObstacle>, 'name' | undefined>, Pick<Finding, 'message' | 'fix'>>> = {
  kind: { message: 'is for Deployments: of no other target can there be some fresh pods more', fix: 'remove it; the canary is compared with the primary\'s own pods' },
  strategy: {
    message: 'is for analyses by weight: without a weight the canary gets no requests, or chosen ones, which cannot be compared with those of others',
    fix: 'use stepWeight or stepWeights, or remove it',
  },
  sessions: {
    message: 'cannot be had with sessionAffinity: users who stay with a version are not the ones whom a fresh pod gets',
    fix: 'remove spec.analysis.sessionAffinity, or spec.gate.baseline',
  },
  judge: { message: 'is there for the judge to compare with, and no judge looks', fix: 'remove spec.gate.judge.mode: off or spec.skipAnalysis, or spec.gate.baseline' },
}

export const baselinePossible: Rule = {
  id: 'baseline-possible',
  default: 'deny',
  why: 'Where fresh pods of the stable revision cannot get requests like the canary\'s, they would cost their pods and the comparison would not be what it says.',
  check(canary, context) {
    const { spec, metadata: { namespace } } = canary
    if (!isBaselineAsked(spec)) return []
    const field = 'spec.gate.baseline'
    const obstacle = baselineObstacle(spec)
    const { name, kind } = spec.targetRef
    const names = [{ apiVersion: 'apps/v1', kind, name: baselineName(name) }, { apiVersion: 'v1', kind: 'Service', name: baselineName(apexName(canary)) }]
    const foreign = names.filter((ref) => {
      const found = context.cluster?.objects.get({ ...ref, namespace: namespace ?? '' })
      return found !== undefined && found.metadata.labels?.[LABEL_ROLE] !== 'baseline'
    })
    const longest = tooLongForBaseline(spec)
    return [
      ...(obstacle && obstacle !== 'name' ? [{ field, ...OBSTACLES[obstacle] }] : []),
      ...(longest === undefined ? [] : [{
        field, message: `needs a Service ${baselineName(longest)}, which is longer than a name may be`, fix: `use a name of at most ${MAX_BASELINE_TARGET_NAME_BYTES} characters, or remove it`,
      }]),
      ...foreign.map((ref) => ({ field, message: `needs the name ${ref.name}, and there is a ${ref.kind} called so that is not CanaryGate's`, fix: `rename the ${ref.kind}, or remove spec.gate.baseline` })),
    ]
  },
}
