import { parseDuration } from '#api/duration.ts'
import type { Rule } from '#policy/rule.ts'

export const hookTimeout: Rule = {
  id: 'hook-timeout',
  default: 'deny',
  why: 'A timeout that cannot be read, such as 5sx, passes the schema and fails every call.',
  covers: ['10.13', '1.8.19'],
  check({ spec: { analysis } }) {
    return (analysis.webhooks ?? []).flatMap(({ timeout }, i) => (timeout === undefined || timeout === '' || (parseDuration(timeout) ?? 0) > 0 ? [] : [{
      field: `spec.analysis.webhooks[${i}].timeout`, message: `"${timeout}" is no positive duration`, fix: 'write it like 5s',
    }]))
  },
}
