import type { Rule } from '#policy/rule.ts'
import { tooShortFor } from '#rollout/power.ts'

/** `2026-11-21` of an ISO time. */
const DATE_CHARS = 10

export const analysisTooShortToTell: Rule = {
  id: 'analysis-too-short-to-tell',
  default: 'warn',
  why: 'With few requests in little time a bad revision looks like a good one, and is promoted unseen.',
  check({ spec, status }, { old }) {
    const traffic = (old?.status ?? status)?.gate?.traffic
    const found = traffic && tooShortFor(spec, { requestsPerSecond: traffic.requestsPerSecond, primaryRate: traffic.failureRate, phi: traffic.clumping })
    return found ? [{ field: 'spec.analysis.interval', message: `${found.message} (seen ${traffic.at.slice(0, DATE_CHARS)})`, fix: found.fix }] : []
  },
}
