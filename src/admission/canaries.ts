import type { Canary, Phase } from '#api/canary.ts'
import { primaryName } from '#api/names.ts'
import type { KubeObject } from '#api/objects.ts'
import type { ReportedFinding } from '#policy/rule.ts'
import type { Verdict } from '#admission/guards.ts'
import { warningsOf } from '#admission/answer.ts'
import { isRecord, sameJson } from '#admission/json.ts'
import type { AdmissionRequest } from '#admission/review.ts'
import type { AdmissionRules, AdmissionState } from '#admission/state.ts'

export type RulesContext = {
  readonly rules: Pick<AdmissionRules, 'canary' | 'object'>
  readonly ruleContext: AdmissionState['ruleContext']
  readonly agentUsers: readonly string[]
}

const PASSES: Verdict = { findings: [], warnings: [] }
/** Phases in which a canary may be getting live requests. */
export const RUNNING_PHASES: ReadonlySet<string> = new Set<Phase>(['Waiting', 'Progressing', 'WaitingPromotion', 'Promoting', 'Finalising'])

/** Is this Canary safe to store? All faults at once; what is merely unwise is said as a warning. */
export function reviewCanary(request: AdmissionRequest, context: RulesContext): Verdict {
  const { operation, object, oldObject } = request
  if (operation === 'DELETE') return deletionOf(oldObject)
  if (object === undefined || !needsJudgement(request, context)) return PASSES
  const missing = missingParts(object)
  if (!isCanary(object)) return { findings: missing, warnings: [] }
  const old = isCanary(oldObject) ? { old: oldObject } : {}
  return verdict(context.rules.canary(object, { ...context.ruleContext(request.namespace, object), ...old }, request.user))
}

/** The same for MetricTemplates, AlertProviders and policies. */
export function reviewObject(request: AdmissionRequest, context: RulesContext): Verdict {
  const { operation, object } = request
  if (operation === 'DELETE' || object === undefined || !needsJudgement(request, context)) return PASSES
  return verdict(context.rules.object(object, context.ruleContext(request.namespace), request.user))
}

/**
 * An object that was stored under older rules must still lose its finalizer and get its annotations: only a change of its spec is
 * judged. What the agent writes from a policy's defaults has been judged with that policy.
 */
function needsJudgement({ operation, object, oldObject, user, subResource }: AdmissionRequest, { agentUsers }: RulesContext): boolean {
  if (subResource !== '' || agentUsers.includes(user.username) || object?.metadata.deletionTimestamp !== undefined) return false
  return operation === 'CREATE' || !sameJson(object?.['spec'], oldObject?.['spec'])
}

const verdict = (findings: readonly ReportedFinding[]): Verdict => ({ findings, warnings: warningsOf(findings) })

export function isCanary(object: KubeObject | undefined): object is Canary {
  return object !== undefined && missingParts(object).length === 0
}

/** The CRD's schema asks for these too; rules may lean on them even where it is not in force. */
function missingParts(object: KubeObject): ReportedFinding[] {
  const spec = object['spec']
  if (!isRecord(spec)) return [missing('spec', 'give targetRef and analysis')]
  const { targetRef, analysis } = spec
  const findings: ReportedFinding[] = []
  if (!isRecord(targetRef) || typeof targetRef['name'] !== 'string') findings.push(missing('spec.targetRef', 'name the workload: apiVersion, kind and name'))
  if (!isRecord(analysis)) findings.push(missing('spec.analysis', 'give at least interval, threshold and stepWeight'))
  return findings
}

const missing = (field: string, fix: string): ReportedFinding => ({ rule: 'schema', severity: 'deny', field, message: 'is missing', fix })

function deletionOf(canary: KubeObject | undefined): Verdict {
  const status = canary?.['status']
  if (!isCanary(canary) || !isRecord(status) || typeof status['phase'] !== 'string' || !RUNNING_PHASES.has(status['phase'])) return PASSES
  const serving = primaryName(canary.spec.targetRef.name)
  return {
    findings: [],
    warnings: [`CanaryGate: canary "${canary.metadata.name}" is in phase ${status['phase']}: its analysis ends here, and the target goes on with what ${serving} serves`],
  }
}
