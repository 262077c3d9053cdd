import type { Rule } from '#policy/rule.ts'

export const intervalAndThresholdGiven: Rule = {
  id: 'interval-and-threshold-given',
  default: 'warn',
  why: 'Flagger\'s own schema asks for both; without them the first failed check rolls back, and a check comes once a minute.',
  check({ spec: { analysis } }) {
    return [
      ...(analysis.interval === undefined ? [{ field: 'spec.analysis.interval', message: 'is left out and taken as 1m', fix: 'say it: interval: 1m' }] : []),
      ...(analysis.threshold === undefined ? [{ field: 'spec.analysis.threshold', message: 'is left out and taken as 1', fix: 'say it, such as threshold: 5' }] : []),
    ]
  },
}
