import { DEFAULT_HOOK_TIMEOUT_SECONDS } from '#api/defaults.ts'
import { formatDuration, parseDuration } from '#api/duration.ts'
import { intervalMsOf } from '#policy/analysis.ts'
import type { Rule } from '#policy/rule.ts'

export const hookTimeoutsExceedInterval: Rule = {
  id: 'hook-timeouts-exceed-interval',
  default: 'warn',
  why: 'The rollout webhooks run one after the other within a check: slow ones delay the judgement, and with it a rollback.',
  covers: ['10.13'],
  check({ spec }) {
    const hooks = (spec.analysis.webhooks ?? []).filter(({ type = '' }) => type === '' || type === 'rollout')
    const totalMs = hooks.reduce((sum, { timeout, retries = 0 }) =>
      sum + (parseDuration(timeout ?? '') ?? DEFAULT_HOOK_TIMEOUT_SECONDS * 1_000) * (1 + Math.max(0, retries)), 0)
    const intervalMs = intervalMsOf(spec)
    if (hooks.length === 0 || totalMs < intervalMs) return []
    return [{
      field: 'spec.analysis.webhooks',
      message: `${hooks.map((hook) => hook.name).join(', ')} may take ${formatDuration(totalMs)} (timeouts times attempts), and a check comes every ${formatDuration(intervalMs)}`,
      fix: `lower timeout and retries to less than ${formatDuration(intervalMs)} together`,
    }]
  },
}
