import type { Canary, CanarySpec, Phase } from '#api/canary.ts'
import {
  ANNOTATION_GATE, ANNOTATION_REPLICAS, ANNOTATION_REQUESTED_BY, ANNOTATION_REVISION, ANNOTATION_STABLE, commandAnnotation,
  OWNED_TARGET_ANNOTATIONS,
} from '#api/names.ts'
import type { Workload } from '#api/objects.ts'
import { revisionOf, templateRevisionOf } from '#api/revision.ts'
import type { ReportedFinding } from '#policy/rule.ts'
import { warningsOf } from '#admission/answer.ts'
import { signaturesOf } from '#admission/commands.ts'
import { type Patch, type PatchOperation, remove, set, setAnnotations } from '#admission/json-patch.ts'
import type { AdmissionRequest, User } from '#admission/review.ts'
import type { RevisionChange } from '#admission/state.ts'
import {
  annotationOf, failedBecause, isAdopted, isExcluded, isFailed, isHeld, isOptedOut, isPending, isServing, isWorkload, PASSED, PENDING,
  roleOf, templateChange, type TemplateChange,
} from '#admission/target.ts'
import { changeInWords, nameOf, originInWords, optOutInWords, plannedInWords, promoteInWords, retryInWords } from '#admission/words.ts'

export type WorkloadContext = {
  /** The Canary whose `targetRef` is this workload. */
  readonly canary: Canary | undefined
  readonly gatedNamespace: boolean
  /** What auto-gating would use here, for the words of the plan. */
  readonly defaults: CanarySpec
  readonly policyName: string
  /** Requests of these users are the agent's own: never touched. */
  readonly agentUsers: readonly string[]
  readonly user: User
  /** Unix ms. */
  readonly now: number
  /** May this revision be asked for now? Absent: always. */
  readonly judgeChange?: (change: RevisionChange) => readonly ReportedFinding[]
}

export type Mutation =
  | { readonly kind: 'patch'; readonly patch: Patch; readonly warnings: readonly string[]; /** Of the change, the softer ones. */ readonly findings: readonly ReportedFinding[] }
  | { readonly kind: 'denial'; readonly findings: readonly ReportedFinding[] }

type Owned = (typeof OWNED_TARGET_ANNOTATIONS)[number]

/**
 * How the object shall be stored. It depends on the stored object and on what was asked, never on what an earlier pass of this
 * function added: so a second pass (`reinvocationPolicy: IfNeeded`) finds nothing left to do.
 */
type Wanted = {
  readonly annotations: Readonly<Record<Owned, string | undefined>>
  /** Who gave the commands on it, and when. */
  readonly signatures?: Readonly<Record<string, string | undefined>>
  /** Undefined: as asked. */
  readonly replicas?: number
  readonly paused?: boolean
  readonly warnings?: readonly string[]
}

type Update = {
  readonly kind: string
  readonly namespace: string
  /** `deployment/cart` */
  readonly name: string
  readonly old: Workload
  readonly next: Workload
  readonly change: TemplateChange
  readonly context: WorkloadContext
}

const UNTOUCHED: Mutation = { kind: 'patch', patch: [], warnings: [], findings: [] }
const REPLICAS = /^\d{1,10}$/
/** What the API server takes: `replicas` is an int32. */
const MAX_REPLICAS = 2_147_483_647
/** Replicas that the API server fills in where none are given. */
const DEFAULT_REPLICAS = 1
/** Phases in which no analysis is under way: asking for the serving revision again then has nothing to stop. */
const RESTING_PHASES: ReadonlySet<Phase | ''> = new Set<Phase | ''>(['', 'Initialized', 'Succeeded', 'Failed', 'Terminated'])

/**
 * Holds a change of a target until it is judged: what the object needs for that, as a patch. Pure.
 * The annotations that it writes (`OWNED_TARGET_ANNOTATIONS`) are the agent's orders.
 */
export function mutateWorkload(request: AdmissionRequest, context: WorkloadContext): Mutation {
  const { object, oldObject, operation, subResource, namespace } = request
  if (subResource !== '' || !isWorkload(object) || isExcluded(namespace)) return UNTOUCHED
  if (context.agentUsers.includes(context.user.username)) return UNTOUCHED
  if (operation === 'CREATE') return roleOf(object) === undefined ? towards(object, asCreated(object)) : UNTOUCHED
  // The stored label alone counts: one that comes with the change would be a way around the gate.
  if (operation !== 'UPDATE' || !isWorkload(oldObject) || roleOf(oldObject) !== undefined) return UNTOUCHED
  if (object.metadata.deletionTimestamp !== undefined) return UNTOUCHED

  const update: Update = {
    kind: request.kind, namespace, name: nameOf(request.kind, request.name), old: oldObject, next: object,
    change: templateChange(oldObject, object), context,
  }
  if (isOptedOut(object)) return towards(object, isAdopted(oldObject) ? { annotations: keptAnnotations(update) } : { annotations: unforged(update) })
  const isGated = isGatedTarget(request.kind, context)
  if (!isAdopted(oldObject) && !isGated) return towards(object, { annotations: unforged(update) })

  const warnings: string[] = []
  let findings: readonly ReportedFinding[] = []
  if (update.change.kind === 'revision' && context.judgeChange && update.change.revision !== stableRevision(update)) {
    findings = context.judgeChange({
      target: object, old: oldObject, revision: update.change.revision, canary: context.canary, user: context.user,
    })
    if (findings.some((finding) => finding.severity === 'deny')) return { kind: 'denial', findings }
    warnings.push(...warningsOf(findings))
  }
  const wanted = isAdopted(oldObject) ? adoptedTarget(update) : newTarget(update)
  const signatures = signaturesOf(object, oldObject, context)
  return towards(object, { ...wanted, signatures, warnings: [...(wanted.warnings ?? []), ...warnings, ...overwritten(update, wanted)] }, findings)
}

/** Whoever writes an order of ours by hand hears that it is not taken, and the way to the same end. */
function overwritten({ old, next, name, namespace }: Update, { annotations }: Wanted): string[] {
  const keys = OWNED_TARGET_ANNOTATIONS.filter((key) => {
    const asked = annotationOf(next, key)
    // A count of replicas may be written by its owner.
    return key !== ANNOTATION_REPLICAS && asked !== undefined && asked !== annotationOf(old, key) && asked !== annotations[key]
  })
  const way = isAdopted(old) || isHeld(old) ? `to let a change pass: ${promoteInWords(name, namespace)}` : 'leave it out'
  return keys.length === 0 ? [] : [`CanaryGate: ${keys.join(', ')} of ${name} ${keys.length === 1 ? 'is' : 'are'} written by CanaryGate alone; ${way}`]
}

/** A Canary makes its target gated; a gated namespace does so for every Deployment in it. */
function isGatedTarget(kind: string, { canary, gatedNamespace }: WorkloadContext): boolean {
  if (canary) return canary.metadata.deletionTimestamp === undefined
  return gatedNamespace && kind === 'Deployment'
}

/**
 * A manifest exported from a live target carries our annotations. Nothing of them is true of a new object, except that an adopted
 * target's 0 replicas stand for those on record, and that a pause of ours must not outlive its reason.
 */
function asCreated(object: Workload): Wanted {
  const recorded = recordedReplicas(object)
  return {
    annotations: NO_ANNOTATIONS,
    ...(object.spec.replicas === 0 && recorded !== undefined ? { replicas: recorded } : {}),
    ...(isHeld(object) && object.spec.paused === true ? { paused: false } : {}),
  }
}

const NO_ANNOTATIONS: Wanted['annotations'] = {
  [ANNOTATION_REVISION]: undefined, [ANNOTATION_REPLICAS]: undefined, [ANNOTATION_GATE]: undefined,
  [ANNOTATION_REQUESTED_BY]: undefined, [ANNOTATION_STABLE]: undefined,
}

function recordedReplicas(object: Workload): number | undefined {
  const recorded = annotationOf(object, ANNOTATION_REPLICAS)
  return recorded !== undefined && isCount(recorded) ? Number(recorded) : undefined
}

const isCount = (text: string): boolean => REPLICAS.test(text) && Number(text) <= MAX_REPLICAS

/** As they are stored, whatever the client sent: a `replace` loses none, and nobody writes them but us. */
const keptAnnotations = ({ old }: Update): Wanted['annotations'] => ({
  [ANNOTATION_REVISION]: annotationOf(old, ANNOTATION_REVISION),
  [ANNOTATION_REPLICAS]: annotationOf(old, ANNOTATION_REPLICAS),
  [ANNOTATION_GATE]: annotationOf(old, ANNOTATION_GATE),
  [ANNOTATION_REQUESTED_BY]: annotationOf(old, ANNOTATION_REQUESTED_BY),
  [ANNOTATION_STABLE]: annotationOf(old, ANNOTATION_STABLE),
})

/** On a workload that is no target (any more) leftovers may be taken away, but none may be added or changed. */
function unforged(update: Update): Wanted['annotations'] {
  const kept = keptAnnotations(update)
  const stays = (key: Owned): string | undefined => (annotationOf(update.next, key) === undefined ? undefined : kept[key])
  return {
    [ANNOTATION_REVISION]: stays(ANNOTATION_REVISION), [ANNOTATION_REPLICAS]: stays(ANNOTATION_REPLICAS),
    [ANNOTATION_GATE]: stays(ANNOTATION_GATE), [ANNOTATION_REQUESTED_BY]: stays(ANNOTATION_REQUESTED_BY),
    [ANNOTATION_STABLE]: stays(ANNOTATION_STABLE),
  }
}

/** The primary serves: the target is a template at 0 replicas, and each change of it is a revision to be judged. */
function adoptedTarget(update: Update): Wanted {
  const { change, next } = update
  const annotations = { ...keptAnnotations(update), ...askedReplicas(update) }
  const held = update.kind === 'Deployment' && askedCount(next) > 0 ? { replicas: 0 } : {}
  if (change.kind === 'none') return { annotations, ...held }
  const asked = { ...annotations, [ANNOTATION_REQUESTED_BY]: update.context.user.username }
  if (change.kind === 'restart') {
    return {
      ...held,
      // A failed gate stays: what was asked for last is still not what serves.
      annotations: { ...asked, [ANNOTATION_GATE]: isFailed(update.old) ? annotations[ANNOTATION_GATE] : PENDING },
      warnings: [`CanaryGate: this restarts the primary of ${update.name}; no analysis, since the template is otherwise the same`],
    }
  }
  const verdict = verdictOn(change.revision, update)
  return {
    ...held,
    annotations: { ...asked, [ANNOTATION_REVISION]: change.revision, [ANNOTATION_GATE]: verdict.gate },
    warnings: verdict.warnings,
  }
}

/**
 * The replicas its owner asks for. `spec.replicas` other than 0 says so; at 0, which is how the target is stored, the annotation may
 * name another count, and that is the way to scale to zero. A count that is missing or none is put back.
 */
function askedReplicas({ kind, next, old }: Update): { readonly [ANNOTATION_REPLICAS]: string | undefined } {
  const count = kind === 'Deployment' ? askedCount(next) : 0
  if (count > 0) return { [ANNOTATION_REPLICAS]: String(count) }
  const named = annotationOf(next, ANNOTATION_REPLICAS)
  return { [ANNOTATION_REPLICAS]: named !== undefined && isCount(named) ? named : annotationOf(old, ANNOTATION_REPLICAS) }
}

function askedCount(workload: Workload): number {
  const replicas: unknown = workload.spec.replicas ?? DEFAULT_REPLICAS
  return typeof replicas === 'number' && Number.isInteger(replicas) && replicas <= MAX_REPLICAS ? replicas : 0
}

/** What the gate says of a revision when it is asked for, and what its owner is told. */
function verdictOn(revision: string, update: Update): { readonly gate: string; readonly warnings: readonly string[] } {
  const { old, next, name, namespace, context: { canary, defaults, policyName } } = update
  const what = changeInWords(old, next, name)
  if (canary && revision === promotedTemplate(canary)) {
    const mayRun = isPending(old) || !RESTING_PHASES.has(canary.status?.phase ?? '')
    return mayRun
      ? { gate: PENDING, warnings: [`CanaryGate: ${what} is revision ${revision}, which serves now: the analysis under way is aborted`] }
      : { gate: PASSED, warnings: [`CanaryGate: ${what} is revision ${revision}, which serves now: there is nothing to analyse`] }
  }
  if (canary && revision === canary.status?.gate?.rolledBackRevision && !isRetried(update, canary)) {
    const way = retryInWords(canary, namespace)
    return {
      gate: failedBecause(`revision ${revision} was rolled back before; to try it again: ${way}`),
      warnings: [`CanaryGate: revision ${revision} (${what}) was rolled back before and is not tried again; to try it: ${way}`],
    }
  }
  const spec = canary?.spec ?? defaults
  const held = `CanaryGate: ${what} is held as revision ${revision}`
  const origin = originInWords(canary, policyName)
  if (spec.suspend) return { gate: PENDING, warnings: [`${held}; nothing starts while ${origin} is suspended (spec.suspend)`] }
  const warnings = [`${held}; ${plannedInWords(spec)} ${origin}`]
  const superseded = annotationOf(old, ANNOTATION_REVISION)
  if (isPending(old) && superseded !== undefined && superseded !== revision) {
    warnings.push(`CanaryGate: the analysis of revision ${superseded} ends; this one replaces it`)
  }
  if (next.spec.paused === true) warnings.push(`CanaryGate: ${name} is paused: its canary starts when it is un-paused`)
  return { gate: PENDING, warnings }
}

function isRetried({ old, next }: Update, canary: Canary): boolean {
  const retry = commandAnnotation('retry')
  const asked = annotationOf(next, retry)
  return (asked !== undefined && asked !== annotationOf(old, retry)) || annotationOf(canary, retry) !== undefined
}

/** The revision that serves, as far as it is known: asking for it again is an abort, which no rule may forbid. */
const stableRevision = ({ old, context }: Update): string | undefined =>
  isAdopted(old) ? promotedTemplate(context.canary) : annotationOf(old, ANNOTATION_STABLE)

/** As far as it can be told here: whether what a template refers to has changed since, the agent sees. */
function promotedTemplate(canary: Canary | undefined): string | undefined {
  const promoted = canary?.status?.lastPromotedSpec
  return promoted === undefined ? undefined : templateRevisionOf(promoted)
}

/** Not adopted yet: its own pods serve, and go on serving, while the agent makes the primary from the template that they run. */
function newTarget(update: Update): Wanted {
  const { change, old, next } = update
  const kept = keptAnnotations(update)
  if (change.kind !== 'revision') return { annotations: kept, ...stillPaused(update) }
  const stable = annotationOf(old, ANNOTATION_STABLE)
  if (change.revision === stable) return backToStable(update, stable)
  if (stable === undefined) {
    const passes = passesUnheld(update)
    if (passes !== undefined) return { annotations: kept, warnings: [passes] }
  }
  return {
    annotations: {
      ...kept,
      [ANNOTATION_REVISION]: change.revision,
      [ANNOTATION_GATE]: PENDING,
      [ANNOTATION_REQUESTED_BY]: update.context.user.username,
      [ANNOTATION_STABLE]: stable ?? revisionOf(old.spec.template),
    },
    ...(update.kind === 'Deployment' ? { paused: true } : {}),
    warnings: adoptionWarnings(update, change.revision, next),
  }
}

/** Why a first change is not held, or undefined when it is. Pausing what does not serve would only keep it from ever doing so. */
function passesUnheld({ name, old, context: { canary } }: Update): string | undefined {
  if (canary?.spec.suspend) return `CanaryGate: canary "${canary.metadata.name}" is suspended and ${name} not adopted yet: this rolls out at once`
  if (!isServing(old)) return `CanaryGate: ${name} has no available pods, so there is nothing to protect: this rolls out at once`
  return undefined
}

function adoptionWarnings({ kind, name, namespace, old, context: { canary, defaults, policyName } }: Update, revision: string, next: Workload): string[] {
  const what = changeInWords(old, next, name)
  const origin = originInWords(canary, policyName)
  if (kind !== 'Deployment') {
    return [`CanaryGate: ${what} is revision ${revision}, but ${name} is not adopted yet and a DaemonSet cannot be held: it rolls out now ${origin}`]
  }
  const warnings = [`CanaryGate: ${what} is held as revision ${revision}; ${plannedInWords(canary?.spec ?? defaults)} ${origin}`]
  if (!isHeld(old)) {
    warnings.push(`CanaryGate: first change of ${name}: it is adopted first, paused until its primary serves; to leave it alone: ${optOutInWords(namespace, name)}`)
  }
  return warnings
}

/** The change is taken back before the adoption is done: nothing is left to hold. */
const backToStable = ({ name, context }: Update, stable: string): Wanted => ({
  annotations: { ...NO_ANNOTATIONS, [ANNOTATION_GATE]: PASSED, [ANNOTATION_REQUESTED_BY]: context.user.username },
  paused: false,
  warnings: [`CanaryGate: ${name} is back at revision ${stable}, which serves now: nothing is held any more`],
})

/** Un-paused in mid-adoption, the old ReplicaSet would be rolled over to a revision that nobody has judged. */
function stillPaused({ kind, name, old, next, change }: Update): Pick<Wanted, 'paused' | 'warnings'> {
  if (kind !== 'Deployment' || !isHeld(old) || !isPending(old) || old.spec.paused !== true) return {}
  const warning = change.kind === 'restart'
    ? `CanaryGate: ${name} is being adopted: this restart takes effect with its primary`
    : `CanaryGate: ${name} stays paused until its primary serves; CanaryGate un-pauses it then`
  return { paused: true, ...(next.spec.paused === true && change.kind === 'none' ? {} : { warnings: [warning] }) }
}

/** The operations between what was sent and what is wanted. */
function towards(object: Workload, { annotations, signatures = {}, replicas, paused, warnings = [] }: Wanted, findings: readonly ReportedFinding[] = []): Mutation {
  const patch: PatchOperation[] = setAnnotations(object, { ...annotations, ...signatures })
  if (replicas !== undefined && object.spec.replicas !== replicas) patch.push(set(replicas, 'spec', 'replicas'))
  if (paused === true && object.spec.paused !== true) patch.push(set(true, 'spec', 'paused'))
  if (paused === false && object.spec.paused === true) patch.push(remove('spec', 'paused'))
  return patch.length === 0 && warnings.length === 0 && findings.length === 0 ? UNTOUCHED : { kind: 'patch', patch, warnings, findings }
}
