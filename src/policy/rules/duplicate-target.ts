import type { Rule } from '#policy/rule.ts'

export const duplicateTarget: Rule = {
  id: 'duplicate-target',
  default: 'deny',
  why: 'Two Canaries of one target fight for its pods and its weights.',
  covers: ['10.16', '1.8.16'],
  check({ metadata, spec: { targetRef } }, { cluster }) {
    const others = (cluster?.canaries ?? []).filter((other) =>
      other.metadata.namespace === metadata.namespace && other.metadata.name !== metadata.name
      && other.metadata.deletionTimestamp === undefined
      && other.spec.targetRef.kind === targetRef.kind && other.spec.targetRef.name === targetRef.name)
    return others.map((other) => ({
      field: 'spec.targetRef.name',
      message: `${targetRef.kind} ${targetRef.name} is the target of Canary ${other.metadata.name} already`,
      fix: `change that one, or delete it first: kubectl delete canary ${other.metadata.name}`,
    }))
  },
}
