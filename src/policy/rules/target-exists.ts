import type { Rule } from '#policy/rule.ts'

export const targetExists: Rule = {
  id: 'target-exists',
  // Not deny: one `kubectl apply` may bring the Canary before its target.
  default: 'warn',
  why: 'A Canary whose target is misspelt waits for ever, and the workload that was meant is rolled out without a gate.',
  covers: ['10.15'],
  check({ metadata, spec: { targetRef } }, { cluster }) {
    if (!cluster || cluster.target || targetRef.kind === 'Service') return []
    return [{
      field: 'spec.targetRef.name',
      message: `${targetRef.kind} ${metadata.namespace ? `${metadata.namespace}/` : ''}${targetRef.name} does not exist`,
      fix: 'create it, or correct the name',
    }]
  },
}
