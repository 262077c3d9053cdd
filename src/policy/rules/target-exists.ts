import { sees } from '#policy/cluster.ts'
import type { Rule } from '#policy/rule.ts'

export const targetExists: Rule = {
  id: 'target-exists',
  // Not deny: one `kubectl apply` may bring the Canary before its target.
  default: 'warn',
  why: 'A Canary whose target is misspelt waits for ever, and the workload that was meant is rolled out without a gate.',
  covers: ['10.15'],
  check({ metadata, spec: { targetRef } }, context) {
    if (context.cluster?.target || targetRef.kind === 'Service' || !sees(context, targetRef.kind)) return []
    return [{
      field: 'spec.targetRef.name',
      message: `${targetRef.kind} ${metadata.namespace ? `${metadata.namespace}/` : ''}${targetRef.name} does not exist`,
      fix: 'create it, or correct the name',
    }]
  },
}
