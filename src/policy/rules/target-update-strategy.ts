import type { Rule } from '#policy/rule.ts'

type UpdateStrategy = { readonly type?: string } | undefined

export const targetUpdateStrategy: Rule = {
  id: 'target-update-strategy',
  default: 'deny',
  why: 'A DaemonSet that waits for its pods to be deleted never finishes an update; a Deployment that recreates them is down while it is promoted.',
  covers: ['10.15'],
  check({ spec: { targetRef } }, { cluster }) {
    const target = cluster?.target
    if (!target) return []
    if (target.kind === 'DaemonSet' && ((target.spec.updateStrategy as UpdateStrategy)?.type ?? 'RollingUpdate') !== 'RollingUpdate') {
      return [{ field: 'spec.targetRef.name', message: `DaemonSet ${targetRef.name} has updateStrategy ${(target.spec.updateStrategy as UpdateStrategy)?.type}`, fix: 'use RollingUpdate' }]
    }
    if (target.kind === 'Deployment' && (target.spec.strategy as UpdateStrategy)?.type === 'Recreate') {
      return [{
        field: 'spec.targetRef.name', severity: 'warn',
        message: `Deployment ${targetRef.name} has strategy Recreate: its primary stops all pods during a promotion`, fix: 'use RollingUpdate',
      }]
    }
    return []
  },
}
