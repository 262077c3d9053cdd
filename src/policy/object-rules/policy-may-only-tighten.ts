import { GATE_API_VERSION } from '#policy/annotations.ts'
import type { CanaryPolicy, ClusterCanaryPolicy } from '#api/policies.ts'
import { effectivePolicy, loosenings } from '#policy/effective.ts'
import type { ObjectRule } from '#policy/rule.ts'

export const policyMayOnlyTighten: ObjectRule<ClusterCanaryPolicy | CanaryPolicy> = {
  id: 'policy-may-only-tighten',
  default: 'deny',
  why: 'A team that could loosen the cluster\'s policy would be held by none.',
  check(policy, { cluster }) {
    const namespace = policy.metadata.namespace
    if (policy.kind !== 'CanaryPolicy' || !cluster || namespace === undefined) return []
    const above = cluster.objects.list(GATE_API_VERSION, 'ClusterCanaryPolicy', '') as readonly ClusterCanaryPolicy[]
    const labels = cluster.objects.get({ apiVersion: 'v1', kind: 'Namespace', name: namespace })?.metadata.labels ?? {}
    return loosenings(policy, effectivePolicy(above, [], { name: namespace, labels }))
  },
}
