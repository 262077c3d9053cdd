import { COMMAND_AGE_MS } from '#api/commands.ts'
import { formatDuration, parseDuration } from '#api/duration.ts'
import type { CanaryPolicy, ClusterCanaryPolicy } from '#api/policies.ts'
import { windowFaults } from '#policy/freeze.ts'
import type { Finding, ObjectRule } from '#policy/rule.ts'

/** Less, and a restart of the agent loses what was meant; clocks of nodes differ by seconds, too. */
const MIN_COMMAND_AGE_MS = 60_000

/** A name, all names below one, or an address. */
const HOST = /^(?:(?:\*\.)?[a-zA-Z0-9](?:[a-zA-Z0-9.-]*[a-zA-Z0-9])?|[0-9a-fA-F]*:[0-9a-fA-F:.]+)$/

export const policySettings: ObjectRule<ClusterCanaryPolicy | CanaryPolicy> = {
  id: 'policy-settings',
  default: 'deny',
  why: 'A window or a limit that cannot be read protects nothing, and is believed to.',
  check({ spec }) {
    const findings: Finding[] = []
    for (const name of ['minInterval', 'minAnalysis', 'maxCommandAge'] as const) {
      const text = spec.limits?.[name]
      if (text !== undefined && parseDuration(text) === undefined) findings.push({ field: `spec.limits.${name}`, message: `"${text}" is no duration`, fix: 'write it like 30s' })
    }
    const age = parseDuration(spec.limits?.maxCommandAge ?? '')
    if (age !== undefined && (age < MIN_COMMAND_AGE_MS || age > COMMAND_AGE_MS)) {
      findings.push({ field: 'spec.limits.maxCommandAge', message: `${spec.limits?.maxCommandAge} is not between ${formatDuration(MIN_COMMAND_AGE_MS)} and ${formatDuration(COMMAND_AGE_MS)}`, fix: 'write it like 15m' })
    }
    for (const [i, host] of (spec.reach?.metricHosts ?? []).entries()) {
      if (!HOST.test(host)) findings.push({ field: `spec.reach.metricHosts[${i}]`, message: `"${host}" is no host`, fix: 'write it like api.datadoghq.com, *.signalfx.com or 192.0.2.10: no scheme, no port' })
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
