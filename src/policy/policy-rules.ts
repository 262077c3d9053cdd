import type { CanaryPolicy, ClusterCanaryPolicy } from '#api/policies.ts'
import { policyMayOnlyTighten } from '#policy/object-rules/policy-may-only-tighten.ts'
import { policyRuleNames } from '#policy/object-rules/policy-rule-names.ts'
import { policySettings } from '#policy/object-rules/policy-settings.ts'
import type { ObjectRule } from '#policy/rule.ts'

/** Rules about policies. Apart from the other lists, since they look at those. */
export const POLICY_RULES: readonly ObjectRule<ClusterCanaryPolicy | CanaryPolicy>[] = [policyMayOnlyTighten, policyRuleNames, policySettings]
