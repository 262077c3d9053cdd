import { ANNOTATION_BREAK_GLASS, ANNOTATION_REPLICAS, LABEL_REVISION, LABEL_ROLE, LABEL_TARGET, roleName, type WorkloadRole } from '#api/names.ts'
import type { Canary } from '#api/canary.ts'
import type { KubeObject, ObjectReader, Workload } from '#api/objects.ts'
import type { ReportedFinding } from '#policy/rule.ts'
import { breakGlassOf } from '#admission/break-glass.ts'
import { isRecord, sameJson } from '#admission/json.ts'
import type { AdmissionRequest, User } from '#admission/review.ts'
import { annotationOf, isWorkload, labelOf, roleOf } from '#admission/target.ts'
import { nameOf } from '#admission/words.ts'

export type GuardContext = {
  readonly agentUsers: readonly string[]
  canaryFor(namespace: string, kind: string, name: string): Canary | undefined
  readonly objects: ObjectReader
  /** Unix ms. */
  now(): number
}

/** Denied when a finding says `deny`; the warnings are said otherwise. */
export type Verdict = { readonly findings: readonly ReportedFinding[]; readonly warnings: readonly string[] }

const PASSES: Verdict = { findings: [], warnings: [] }
const RULE = 'generated-workload'
const RULE_SCALE = 'held-at-zero'
const SYSTEM_SERVICE_ACCOUNTS = 'system:serviceaccount:kube-system:'
const SERVICE_ACCOUNTS = 'system:serviceaccount:'
/** Labels by which we know our own; taking one off would be a way around the guard. */
const GUARDED_LABELS = [LABEL_ROLE, LABEL_TARGET, LABEL_REVISION] as const

/** Controllers of the cluster: the garbage collector, the namespace controller, the autoscaler, nodes. They never wait for us. */
export const isSystemUser = ({ username, groups }: User): boolean =>
  username.startsWith(SYSTEM_SERVICE_ACCOUNTS) || username.startsWith('system:node:') || groups.includes('system:nodes') ||
  username === 'system:kube-controller-manager' || username === 'system:kube-scheduler' || username === 'system:apiserver'

/**
 * Others' edits of a `-primary` or `-canary` workload are refused with the right way to the same end: the agent would undo them, and
 * a revision in the primary that nobody analysed is what CanaryGate is there to prevent. Pure.
 */
export function guardWorkload(request: AdmissionRequest, context: GuardContext): Verdict {
  const { operation, oldObject, object, namespace, kind, user } = request
  if (oldObject === undefined || (operation !== 'UPDATE' && operation !== 'DELETE')) return PASSES
  const role = roleOf(oldObject)
  if (role === undefined || isSystemUser(user) || context.agentUsers.includes(user.username)) return PASSES
  const { name } = request
  const target = labelOf(oldObject, LABEL_TARGET) ?? name.slice(0, -`-${role}`.length)
  // Without a living Canary it is nobody's: cleaning up what was left is right.
  const canary = context.canaryFor(namespace, kind, target)
  if (canary === undefined || canary.metadata.deletionTimestamp !== undefined) return PASSES
  const edited: Edited = { kind, namespace, name, target, role }
  const findings = operation === 'DELETE' ? [deletion(edited)] : edits(oldObject, object, edited)
  return underGlass(findings, request, object ?? oldObject, context.now(), 'the next promotion or repair replaces it')
}

/** Findings that count unless somebody has broken the glass, with a reason and not long ago; `then` says what becomes of the edit. */
export function underGlass(findings: readonly ReportedFinding[], { kind, name }: Pick<AdmissionRequest, 'kind' | 'name'>, edited: KubeObject | undefined, now: number, then: string): Verdict {
  if (findings.length === 0 || edited === undefined) return PASSES
  const glass = breakGlassOf(edited, now)
  switch (glass.kind) {
    case 'intact': return { findings, warnings: [] }
    case 'over': return { findings: findings.map((finding) => ({ ...finding, message: `${finding.message}; ${glass.message}` })), warnings: [] }
    case 'broken': return { findings: [], warnings: [`CanaryGate: ${nameOf(kind, name)} is edited under break-glass ("${glass.reason}"); ${then}`] }
    default: return glass satisfies never
  }
}

type Edited = { readonly kind: string; readonly namespace: string; readonly name: string; readonly target: string; readonly role: WorkloadRole }

function edits(old: KubeObject, next: KubeObject | undefined, edited: Edited): ReportedFinding[] {
  if (next === undefined || next.metadata.deletionTimestamp !== undefined) return []
  const findings: ReportedFinding[] = GUARDED_LABELS
    .filter((label) => labelOf(old, label) !== labelOf(next, label))
    .map((label) => fault(`metadata.labels[${label}]`, `CanaryGate knows ${nameOf(edited.kind, edited.name)} by it`, 'leave it as it is', edited))
  if (sameJson(old['spec'], next['spec'])) return findings
  if (!isWorkload(old) || !isWorkload(next)) return [...findings, otherEdit('spec', edited)]
  const specs = specEdits(old, next, edited)
  return [...findings, ...(specs.length > 0 ? specs : [otherEdit('spec', edited)])]
}

function specEdits(old: Workload, next: Workload, edited: Edited): ReportedFinding[] {
  const findings: ReportedFinding[] = []
  const target = nameOf(edited.kind, edited.target)
  const generated = nameOf(edited.kind, edited.name)
  if (old.spec.replicas !== next.spec.replicas) {
    findings.push(fault('spec.replicas', `${generated} gets its replicas from ${target}`,
      `scale ${target} instead: kubectl -n ${edited.namespace} scale ${target} --replicas=${String(next.spec.replicas ?? 1)}`, edited))
  }
  const before = new Map(old.spec.template.spec.containers.map((container) => [container.name, container.image]))
  for (const [index, container] of next.spec.template.spec.containers.entries()) {
    if (container.image === before.get(container.name)) continue
    findings.push(fault(`spec.template.spec.containers[${index}].image`, `${generated} runs only revisions that were analysed`,
      `set the image of ${target} instead: kubectl -n ${edited.namespace} set image ${target} ${container.name}=${String(container.image)}`, edited))
  }
  const images = findings.some((finding) => finding.field.startsWith('spec.template'))
  if (!images && !sameJson(old.spec.template, next.spec.template)) findings.push(otherEdit('spec.template', edited))
  return findings
}

const otherEdit = (field: string, edited: Edited): ReportedFinding =>
  fault(field, `${nameOf(edited.kind, edited.name)} is made from ${nameOf(edited.kind, edited.target)}`,
    `make the change there: kubectl -n ${edited.namespace} edit ${nameOf(edited.kind, edited.target)}`, edited)

const DUTIES: Readonly<Record<WorkloadRole, string>> = { primary: 'serves', canary: 'is the copy under analysis of', baseline: 'is the baseline of' }

const deletion = (edited: Edited): ReportedFinding =>
  fault('metadata.name', `${nameOf(edited.kind, edited.name)} ${DUTIES[edited.role]} ${nameOf(edited.kind, edited.target)}`,
    'delete the Canary instead, which leaves the target serving', edited)

const fault = (field: string, message: string, fix: string, { kind, namespace, name }: Edited): ReportedFinding => ({
  rule: RULE, severity: 'deny', field, message,
  fix: `${fix} (in an emergency: kubectl -n ${namespace} annotate ${nameOf(kind, name)} ${ANNOTATION_BREAK_GLASS}="<reason>" first)`,
})

/**
 * The `scale` subresource's review holds neither labels nor annotations, so the stored objects are asked. Two faults hide there:
 * scaling a generated workload by hand, and `kubectl scale --replicas=0` on an adopted target, which is stored at 0 already: it would
 * say "scaled" and stop nothing.
 */
export function guardScale(request: AdmissionRequest, context: GuardContext): Verdict {
  const { namespace, name, user, operation } = request
  const isAutoscaler = user.username.startsWith(SERVICE_ACCOUNTS) || isSystemUser(user)
  if (operation !== 'UPDATE' || isAutoscaler || context.agentUsers.includes(user.username)) return PASSES
  const stored = context.objects.get({ apiVersion: 'apps/v1', kind: 'Deployment', namespace, name })
  if (stored === undefined) return PASSES
  const asked = replicasOf(request.object)
  const role = roleOf(stored)
  if (role !== undefined) {
    const target = nameOf('Deployment', labelOf(stored, LABEL_TARGET) ?? name.slice(0, -`-${role}`.length))
    if (context.canaryFor(namespace, 'Deployment', target.slice('deployment/'.length)) === undefined) return PASSES
    if (asked === replicasOf(request.oldObject)) return PASSES
    const finding = fault('spec.replicas', `deployment/${name} gets its replicas from ${target}`,
      `scale ${target} instead: kubectl -n ${namespace} scale ${target} --replicas=${asked ?? 1}`,
      { kind: 'Deployment', namespace, name, target, role })
    return underGlass([finding], { ...request, kind: 'Deployment' }, stored, context.now(), 'the agent puts back what its target asks for')
  }
  const recorded = annotationOf(stored, ANNOTATION_REPLICAS)
  if (asked !== 0 || replicasOf(request.oldObject) !== 0 || recorded === undefined || recorded === '0') return PASSES
  return {
    warnings: [],
    findings: [{
      rule: RULE_SCALE, severity: 'deny', field: 'spec.replicas',
      message: `deployment/${name} is a template at 0 replicas; deployment/${roleName(name, 'primary')} serves with ${recorded}`,
      fix: `to scale it to zero: kubectl -n ${namespace} annotate deployment/${name} ${ANNOTATION_REPLICAS}=0 --overwrite`,
    }],
  }
}

function replicasOf(scale: KubeObject | undefined): number | undefined {
  const spec = scale?.['spec']
  // Zero is left out of a Scale's JSON.
  if (!isRecord(spec)) return scale === undefined ? undefined : 0
  const { replicas } = spec
  return typeof replicas === 'number' ? replicas : 0
}
