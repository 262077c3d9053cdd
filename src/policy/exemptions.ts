import type { PolicyExemption } from '#api/policies.ts'
import type { EffectivePolicy } from '#policy/effective.ts'
import type { ReportedFinding } from '#policy/rule.ts'

/** Who does something, and to what. */
export type Subject = {
  readonly namespace: string
  readonly canary?: string | undefined
  readonly user?: { readonly username: string; readonly groups: readonly string[] } | undefined
}

const SERVICE_ACCOUNT = 'system:serviceaccount:'

function isAbout({ subject: { kind, name } }: PolicyExemption, { namespace, canary, user }: Subject): boolean {
  switch (kind) {
    case 'User': return user?.username === name
    case 'Group': return user?.groups.includes(name) ?? false
    // As RBAC's subjects are written by people: `namespace/name`, or a name of the same namespace.
    case 'ServiceAccount': return user?.username === `${SERVICE_ACCOUNT}${name.includes('/') ? name.replace('/', ':') : `${namespace}:${name}`}`
    case 'Canary': return canary !== undefined && (name === canary || name === `${namespace}/${canary}`)
    case 'Namespace': return name === namespace
    default: return kind satisfies never
  }
}

/** The exemption of this subject from a rule that has not expired at `now` (Unix ms). One whose expiry cannot be read exempts nobody. */
export const exemptionFrom = (rule: string, policy: EffectivePolicy, subject: Subject, now: number): PolicyExemption | undefined =>
  policy.exemptions.find((exemption) => exemption.rules.includes(rule) && Date.parse(exemption.expires) > now && isAbout(exemption, subject))

/** A denial that somebody is exempt from becomes a warning which says so; a warning is only counted. */
export const withExemptions = (findings: readonly ReportedFinding[], policy: EffectivePolicy, subject: Subject, now: number): readonly ReportedFinding[] =>
  policy.exemptions.length === 0 ? findings : findings.map((finding) => {
    if (finding.severity !== 'deny' && finding.severity !== 'warn') return finding
    const exemption = exemptionFrom(finding.rule, policy, subject, now)
    if (!exemption) return finding
    return {
      ...finding, severity: finding.severity === 'deny' ? 'warn' : 'audit',
      message: `${finding.message} (exempt until ${exemption.expires}: ${exemption.reason})`,
    }
  })
