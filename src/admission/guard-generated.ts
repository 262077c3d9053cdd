import { ANNOTATION_BREAK_GLASS, ANNOTATION_CONFIG, FLAGGER_API_VERSION, LABEL_MANAGED_BY, LABEL_TARGET, MANAGED_BY } from '#api/names.ts'
import type { KubeObject } from '#api/objects.ts'
import type { ReportedFinding } from '#policy/rule.ts'
import { type GuardContext, isSystemUser, underGlass, type Verdict } from '#admission/guards.ts'
import { isRecord, sameJson } from '#admission/json.ts'
import type { AdmissionRequest } from '#admission/review.ts'
import { annotationOf, labelOf } from '#admission/target.ts'
import { nameOf } from '#admission/words.ts'

const PASSES: Verdict = { findings: [], warnings: [] }
const RULE = 'generated-object'
const SNAPSHOT = 'ControllerRevision'
/** Everything that says what the object does; a status is its router's. */
const CONTENT = ['spec', 'data', 'binaryData', 'revision'] as const
const SCALERS: readonly string[] = ['HorizontalPodAutoscaler', 'ScaledObject']
/** A copy that runs its revision as it was admitted. */
const COPY = 'ConfigMap'

/**
 * Services, routes, autoscalers, snapshots and copies of ConfigMaps of a Canary are the agent's: an edit by hand would send requests elsewhere until the
 * agent sees it, and a snapshot is what is promoted. Refused, with the right way to the same end. Pure.
 */
export function guardGenerated(request: AdmissionRequest, { agentUsers, objects, now }: Pick<GuardContext, 'agentUsers' | 'objects' | 'now'>): Verdict {
  const { operation, oldObject, namespace, user } = request
  if (oldObject === undefined || (operation !== 'UPDATE' && operation !== 'DELETE') || isSystemUser(user) || agentUsers.includes(user.username)) return PASSES
  if (labelOf(oldObject, LABEL_MANAGED_BY) !== MANAGED_BY) return PASSES
  const owner = ownerOf(oldObject)
  const canary = owner === undefined ? undefined : objects.get({ apiVersion: FLAGGER_API_VERSION, kind: 'Canary', namespace, name: owner })
  // Without a living Canary it is nobody's: cleaning up what was left is right.
  if (canary === undefined || canary.metadata.deletionTimestamp !== undefined) return PASSES
  const findings = operation === 'DELETE' ? [deletion(request, canary)] : edits(request, canary)
  return underGlass(findings, request, request.object ?? oldObject, now(), 'the agent puts right what it needs')
}

/** Name of the Canary that it was made for. */
function ownerOf({ metadata }: KubeObject): string | undefined {
  const references: unknown = metadata.ownerReferences
  const owner = Array.isArray(references) ? references.find((reference) => isRecord(reference) && reference['kind'] === 'Canary') : undefined
  return isRecord(owner) && typeof owner['name'] === 'string' ? owner['name'] : undefined
}

function edits(request: AdmissionRequest, canary: KubeObject): ReportedFinding[] {
  const { oldObject: old, object: next } = request
  if (old === undefined || next === undefined || next.metadata.deletionTimestamp !== undefined) return []
  const changed = CONTENT.filter((field) => !sameJson(old[field], next[field]))
  const labels = [LABEL_MANAGED_BY, LABEL_TARGET].filter((label) => labelOf(old, label) !== labelOf(next, label))
  return [
    ...changed.map((field) => fault(request, field, `is made from canary "${canary.metadata.name}"`, wayToChange(request, canary))),
    ...labels.map((label) => fault(request, `metadata.labels[${label}]`, 'is known to CanaryGate by it', 'leave it as it is')),
  ]
}

function deletion(request: AdmissionRequest, canary: KubeObject): ReportedFinding {
  const { name } = canary.metadata
  const found = (fix: string): ReportedFinding => fault(request, 'metadata.name', `belongs to canary "${name}"`, fix)
  if (request.kind === SNAPSHOT) return found(`snapshots go by themselves; to keep fewer, set spec.gate.revisionHistoryLimit of canary/${name}`)
  if (request.kind === COPY) return found('copies go by themselves, with the last revision that runs with them')
  if (SCALERS.includes(request.kind)) return found(`take spec.autoscalerRef out of canary/${name}`)
  return found('delete the Canary instead, which leaves the target serving')
}

function wayToChange({ kind, namespace, oldObject }: AdmissionRequest, { metadata: { name }, spec }: KubeObject): string {
  if (kind === SNAPSHOT) return 'a snapshot never changes: change the target, which makes another revision'
  if (kind === COPY) return `change ${(oldObject && annotationOf(oldObject, ANNOTATION_CONFIG)) ?? 'the original'}, which makes another revision`
  if (!SCALERS.includes(kind)) return `change spec.service or the weights there: kubectl -n ${namespace} edit canary ${name}`
  const ref = isRecord(spec) ? spec['autoscalerRef'] : undefined
  const original = isRecord(ref) && typeof ref['name'] === 'string' ? nameOf(kind, ref['name']) : 'your own'
  return `change the one that it is made from, which is carried over at once: kubectl -n ${namespace} edit ${original}`
}

const fault = ({ kind, name, namespace }: AdmissionRequest, field: string, message: string, fix: string): ReportedFinding => ({
  rule: RULE, severity: 'deny', field, message: `${nameOf(kind, name)} ${message}`,
  fix: `${fix} (in an emergency: kubectl -n ${namespace} annotate ${nameOf(kind, name)} ${ANNOTATION_BREAK_GLASS}="<reason>" first)`,
})
