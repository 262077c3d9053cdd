import type { CanaryPolicy, ClusterCanaryPolicy } from '#api/policies.ts'
import { POLICY_DEMANDS, RULE_IDS } from '#policy/registry.ts'
import type { ObjectRule } from '#policy/rule.ts'

const NAMES: readonly string[] = [...RULE_IDS, ...Object.keys(POLICY_DEMANDS)]

export const policyRuleNames: ObjectRule<ClusterCanaryPolicy | CanaryPolicy> = {
  id: 'policy-rule-names',
  default: 'deny',
  why: 'A severity for a misspelt rule changes nothing, and is believed to.',
  check({ spec }) {
    const named = [
      ...Object.keys(spec.rules ?? {}).map((rule) => ({ rule, field: `spec.rules.${rule}` })),
      ...('exemptions' in spec ? spec.exemptions ?? [] : []).flatMap(({ rules }, i) => rules.map((rule) => ({ rule, field: `spec.exemptions[${i}].rules` }))),
    ]
    return named.filter(({ rule }) => !NAMES.includes(rule)).map(({ rule, field }) => {
      const near = NAMES.filter((id) => rule.split('-').some((word) => word.length > 3 && id.split('-').includes(word)))
      return { field, message: `there is no rule ${rule}`, fix: near.length > 0 ? `did you mean ${near.slice(0, 3).join(', ')}?` : 'see docs/rules.md' }
    })
  },
}
