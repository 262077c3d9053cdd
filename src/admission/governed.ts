import { commandAnnotation } from '#api/names.ts'
import type { KubeObject } from '#api/objects.ts'
import type { AdmissionRules, RevisionChange } from '#admission/state.ts'
import { withDefaults } from '#policy/defaults.ts'
import type { EffectivePolicy } from '#policy/effective.ts'
import { evaluate } from '#policy/evaluate.ts'
import { withExemptions, type Subject } from '#policy/exemptions.ts'
import { findingsUnder } from '#policy/findings-under.ts'
import type { Governing } from '#policy/governing.ts'
import { freezeFindings } from '#policy/holds.ts'
import { POLICY_DEMANDS } from '#policy/registry.ts'
import type { ReportedFinding } from '#policy/rule.ts'
import { analysisTooShortToTell } from '#policy/rules/analysis-too-short-to-tell.ts'
import { retryInWords } from '#admission/words.ts'

/** The rules as the policies of the namespace have them: severities, limits, requirements, freeze windows, exemptions. */
export function governedRules(governing: Governing, now: () => number): AdmissionRules {
  return {
    canary(canary, context, user) {
      const namespace = canary.metadata.namespace ?? ''
      return findingsUnder(governing.of(namespace), canary, context, { namespace, canary: canary.metadata.name, user }, now())
    },
    object(object, context, user) {
      const namespace = object.metadata.namespace ?? ''
      return findingsUnder(governing.of(namespace), object, context, { namespace, user }, now())
    },
    change(change) {
      const namespace = change.target.metadata.namespace ?? ''
      const policy = governing.of(namespace)
      const subject: Subject = { namespace, canary: change.canary?.metadata.name ?? change.target.metadata.name, user: change.user }
      return withExemptions([...freezeFindings(policy, subject, now()), ...knownBad(change, policy), ...blindAnalysis(change, policy)], policy, subject, now())
    },
  }
}

/** The change goes through an analysis that can tell nothing at the requests that were seen. Not the change's fault, so never a denial of it. */
function blindAnalysis({ canary }: RevisionChange, policy: EffectivePolicy): readonly ReportedFinding[] {
  if (!canary?.status?.gate?.traffic) return []
  const judged = { ...canary, spec: withDefaults(canary.spec, policy.defaults) }
  return evaluate([analysisTooShortToTell], judged, { providers: {} }, policy.severities).map((finding) => ({
    ...finding, severity: finding.severity === 'deny' ? 'warn' : finding.severity, field: `canary/${canary.metadata.name} ${finding.field}`,
  }))
}

const KNOWN_BAD = 'known-bad-revision'

/** A revision that was rolled back comes again, by GitOps say. Unless a policy is harder, it is stored and not tried: the hook says so itself. */
function knownBad({ canary, revision, target, old }: RevisionChange, policy: EffectivePolicy): ReportedFinding[] {
  if (!canary || revision !== canary.status?.gate?.rolledBackRevision) return []
  const severity = policy.severities[KNOWN_BAD] ?? POLICY_DEMANDS[KNOWN_BAD]
  const asked = ({ metadata }: KubeObject): string | undefined => metadata.annotations?.[commandAnnotation('retry')]
  const hasRetry = asked(canary) !== undefined || (asked(target) !== undefined && asked(target) !== asked(old))
  if (hasRetry || (severity !== 'deny' && severity !== 'audit')) return []
  return [{
    rule: KNOWN_BAD, severity, field: 'spec.template', message: `revision ${revision} was rolled back before: ${canary.status.gate.reason ?? 'its canary failed'}`,
    fix: `to try it again: ${retryInWords(canary, target.metadata.namespace ?? '')}, then make the change`,
  }]
}
