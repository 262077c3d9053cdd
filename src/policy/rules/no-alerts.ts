import type { Rule } from '#policy/rule.ts'

export const noAlerts: Rule = {
  id: 'no-alerts',
  default: 'warn',
  why: 'A rollback that nobody hears of leaves a team believing that its release is out.',
  check({ spec: { analysis } }) {
    if ((analysis.alerts?.length ?? 0) > 0) return []
    return [{ field: 'spec.analysis.alerts', message: 'is empty: a rollback is only told in events', fix: 'add an alert whose providerRef names an AlertProvider' }]
  },
}
