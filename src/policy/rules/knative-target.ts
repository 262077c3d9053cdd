import { isKnativeTarget } from '#api/defaults.ts'
import { providerOf } from '#policy/traffic-provider.ts'
import type { Finding, Rule } from '#policy/rule.ts'

export const knativeTarget: Rule = {
  id: 'knative-target',
  default: 'deny',
  why: 'Provider knative and a Knative Service belong together; Flagger refuses any other pair in its log only, and the Canary stays without a status.',
  covers: ['10.10', '1.8.14'],
  check(canary, context) {
    const { targetRef, autoscalerRef } = canary.spec
    const isTarget = isKnativeTarget(canary)
    const provider = providerOf(canary, context)
    const isProvider = provider === 'knative'
    const findings: Finding[] = []
    if (isProvider && !isTarget) {
      findings.push({ field: 'spec.targetRef', message: `a ${targetRef.kind} of ${targetRef.apiVersion} is no Knative Service`, fix: 'use kind Service of serving.knative.dev/v1, or another provider' })
    }
    if (isTarget && !isProvider && provider !== undefined) {
      findings.push({ field: 'spec.provider', message: `${provider} cannot split a Knative Service`, fix: 'use provider knative' })
    }
    if ((isProvider || isTarget) && autoscalerRef) {
      findings.push({ field: 'spec.autoscalerRef', message: 'Knative scales by itself', fix: 'remove it' })
    }
    return findings
  },
}
