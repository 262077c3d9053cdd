import type { ReportedFinding } from '#policy/rule.ts'

/** What a rule finds, or one warning where it stumbles over an object of another shape: nothing that admission asks may throw. */
export function attempt(rule: string, find: () => readonly ReportedFinding[]): readonly ReportedFinding[] {
  try {
    return find()
  } catch (err) {
    return [stumbled(rule, err)]
  }
}

export function stumbled(rule: string, err: unknown): ReportedFinding {
  const reason = err instanceof Error ? err.message : String(err)
  return { rule, severity: 'warn', field: 'spec', message: `rule ${rule} ${COULD_NOT_LOOK}: ${reason}`, fix: 'correct the other findings first; if it stays, report it' }
}

const COULD_NOT_LOOK = 'could not look at it'

/** Did the rule stumble, rather than find something? */
export const hasStumbled = ({ rule, message }: ReportedFinding): boolean => message.startsWith(`rule ${rule} ${COULD_NOT_LOOK}`)
