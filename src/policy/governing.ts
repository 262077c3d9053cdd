import { GATE_ENABLED, LABEL_GATE } from '#api/names.ts'
import type { KubeObject } from '#api/objects.ts'
import type { CanaryPolicy, ClusterCanaryPolicy } from '#api/policies.ts'
import { effectivePolicy, isGatedBy, type EffectivePolicy } from '#policy/effective.ts'

/** Where the policies and the labels of namespaces are found: caches. */
export type PolicySources = {
  clusterPolicies(): readonly ClusterCanaryPolicy[]
  policiesOf(namespace: string): readonly CanaryPolicy[]
  labelsOf(namespace: string): Readonly<Record<string, string>> | undefined
}

/** The effective policy of each namespace, made once and kept until something that it is made of changes. */
export type Governing = {
  of(namespace: string): EffectivePolicy
  /** Is this workload a target, by its namespace's label or by a policy's selector? */
  isGated(workload: KubeObject): boolean
  /** A policy changed: what was made of them is forgotten. Other labels of a namespace are noticed by themselves. */
  changed(): void
}

export function createGoverning({ clusterPolicies, policiesOf, labelsOf }: PolicySources): Governing {
  const made = new Map<string, { readonly labels: Readonly<Record<string, string>> | undefined; readonly policy: EffectivePolicy }>()
  const of = (namespace: string): EffectivePolicy => {
    const labels = labelsOf(namespace)
    const known = made.get(namespace)
    if (known && known.labels === labels) return known.policy
    // By name, so that two replicas merge defaults in one order.
    const sorted = <T extends KubeObject>(policies: readonly T[]): readonly T[] => policies.toSorted((a, b) => (a.metadata.name < b.metadata.name ? -1 : 1))
    const effective = effectivePolicy(sorted(clusterPolicies()), sorted(policiesOf(namespace)), { name: namespace, labels: labels ?? {} })
    made.set(namespace, { labels, policy: effective })
    return effective
  }
  return {
    of,
    isGated(workload) {
      const namespace = workload.metadata.namespace ?? ''
      return labelsOf(namespace)?.[LABEL_GATE] === GATE_ENABLED || isGatedBy(of(namespace), workload)
    },
    changed: () => made.clear(),
  }
}
