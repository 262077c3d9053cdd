import type { Canary } from '#api/canary.ts'
import type { KubeObject } from '#api/objects.ts'
import { withDefaults } from '#policy/defaults.ts'
import { policyFindings, type EffectivePolicy } from '#policy/effective.ts'
import { evaluateCanary, evaluateObject } from '#policy/evaluate.ts'
import { withExemptions, type Subject } from '#policy/exemptions.ts'
import type { ReportedFinding, RuleContext } from '#policy/rule.ts'

/**
 * Everything that is found on a Canary, a template, an alert provider or a policy where this policy holds: by the rules with its
 * severities, by its limits and requirements, less its exemptions. `now` in Unix ms.
 */
export function findingsUnder(policy: EffectivePolicy, object: KubeObject, context: RuleContext, subject: Subject, now: number): readonly ReportedFinding[] {
  return withExemptions(object.kind === 'Canary' ? onCanary(policy, object as Canary, context) : evaluateObject(object, { ...context, reach: policy.reach }, policy.severities), policy, subject, now)
}

function onCanary(policy: EffectivePolicy, canary: Canary, context: RuleContext): readonly ReportedFinding[] {
  // What the policy gives need not be written, and must not be missed.
  const judged = { ...canary, spec: withDefaults(canary.spec, policy.defaults) }
  const findings = evaluateCanary(judged, { ...context, reach: policy.reach }, policy.severities)
  // Without an analysis there is a single thing to say, and a rule says it.
  return judged.spec.analysis === undefined ? findings : [...findings, ...policyFindings(judged, policy)]
}
