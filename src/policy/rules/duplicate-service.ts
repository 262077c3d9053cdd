import { apexName } from '#api/defaults.ts'
import type { Rule } from '#policy/rule.ts'

export const duplicateService: Rule = {
  id: 'duplicate-service',
  default: 'deny',
  why: 'Two Canaries behind one Service overwrite each other\'s routes.',
  covers: ['10.16'],
  check(canary, { cluster }) {
    const { metadata, spec } = canary
    const others = (cluster?.canaries ?? []).filter((other) =>
      other.metadata.namespace === metadata.namespace && other.metadata.name !== metadata.name
      && other.metadata.deletionTimestamp === undefined && apexName(other) === apexName(canary)
      // The same target is `duplicate-target`, which says more.
      && (other.spec.targetRef.kind !== spec.targetRef.kind || other.spec.targetRef.name !== spec.targetRef.name))
    return others.map((other) => ({
      field: 'spec.service.name',
      message: `${apexName(canary)} is the Service of Canary ${other.metadata.name} already`,
      fix: 'use another spec.service.name',
    }))
  },
}
