import { parseDuration } from '#api/duration.ts'
import type { CanaryPolicy, ClusterCanaryPolicy } from '#api/policies.ts'
import { windowFaults } from '#policy/freeze.ts'
import type { Finding, ObjectRule } from '#policy/rule.ts'

export const policySettings: ObjectRule<ClusterCanaryPolicy | CanaryPolicy> = {
  id: 'policy-settings',
  default: 'deny',
  why: 'A window or a limit that cannot be read protects nothing, and is believed to.',
  check({ spec }) {
    const findings: Finding[] = []
    for (const name of ['minInterval', 'minAnalysis'] as const) {
      const text = spec.limits?.[name]
      if (text !== undefined && parseDuration(text) === undefined) findings.push({ field: `spec.limits.${name}`, message: `"${text}" is no duration`, fix: 'write it like 30s' })
    }
    for (const [i, window] of (spec.freeze ?? []).entries()) {
      for (const { part, message } of windowFaults(window)) {
        findings.push({ field: `spec.freeze[${i}].${part}`, message, fix: part === 'start' ? 'write it like "0 18 * * 5"' : 'write it like 62h' })
      }
    }
    for (const [i, { expires }] of ('exemptions' in spec ? spec.exemptions ?? [] : []).entries()) {
      if (Number.isNaN(Date.parse(expires))) findings.push({ field: `spec.exemptions[${i}].expires`, message: `"${expires}" is no time`, fix: 'write it like 2026-12-31T18:00:00Z' })
    }
    return findings
  },
}
