import { apexName } from '#api/defaults.ts'
import { MAX_TARGET_NAME_BYTES } from '#api/names.ts'
import type { Finding, Rule } from '#policy/rule.ts'

/** What a Service may be called: a DNS label that begins with a letter. */
const SERVICE_NAME = /^[a-z]([-a-z0-9]*[a-z0-9])?$/

export const targetName: Rule = {
  id: 'target-name',
  default: 'deny',
  why: 'Workloads and Services are named after the target: a name that is too long, or is such a name itself, makes objects that cannot be created.',
  covers: ['10.15'],
  check(canary) {
    const { targetRef, service } = canary.spec
    const apex = apexName(canary)
    const findings: Finding[] = []
    if (targetRef.name.endsWith('-primary')) {
      findings.push({ field: 'spec.targetRef.name', message: `${targetRef.name} is what a primary is called`, fix: `use ${targetRef.name.slice(0, -'-primary'.length)}, the workload that you change` })
    }
    if (targetRef.name.endsWith('-canary')) {
      findings.push({ field: 'spec.targetRef.name', severity: 'warn', message: `${targetRef.name} is what a canary is called`, fix: 'give the workload another name' })
    }
    if (targetRef.name.length > MAX_TARGET_NAME_BYTES) {
      findings.push({ field: 'spec.targetRef.name', message: `${targetRef.name} has ${targetRef.name.length} characters`, fix: `use at most ${MAX_TARGET_NAME_BYTES}, so that -primary still fits` })
    }
    if (service?.name !== undefined && (service.name.length > MAX_TARGET_NAME_BYTES || !SERVICE_NAME.test(service.name))) {
      findings.push({ field: 'spec.service.name', message: `"${apex}" is no name for a Service with room for -primary`, fix: `use at most ${MAX_TARGET_NAME_BYTES} lower-case letters, digits and -` })
    }
    return findings
  },
}
