import { RECOMMENDED_DEADLINE_SECONDS } from '#policy/bounds.ts'
import type { Finding, Rule } from '#policy/rule.ts'

export const progressDeadline: Rule = {
  id: 'progress-deadline',
  default: 'warn',
  why: 'A deadline that a pull and a start can hardly meet rolls back healthy revisions on a slow day.',
  covers: ['10.18'],
  check({ spec: { progressDeadlineSeconds: seconds } }, { cluster }) {
    if (seconds === undefined) return []
    const field = 'spec.progressDeadlineSeconds'
    const findings: Finding[] = []
    if (seconds < RECOMMENDED_DEADLINE_SECONDS) {
      findings.push({ field, message: `${seconds} s hardly fits a pull and a start`, fix: `use ${RECOMMENDED_DEADLINE_SECONDS} or more; 600 is the default` })
    }
    const minReady = cluster?.target?.spec.minReadySeconds ?? 0
    if (seconds <= minReady) {
      findings.push({ field, message: `${seconds} s is over before the target's minReadySeconds (${minReady})`, fix: `use ${minReady + RECOMMENDED_DEADLINE_SECONDS} or more` })
    }
    return findings
  },
}
