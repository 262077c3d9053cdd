import type { Canary, CanaryStatus } from '#api/canary.ts'
import { authorAnnotation, COMMAND_ANNOTATIONS, commandOf, GROUP_SEPARATOR, groupsAnnotation, reasonOf, timeAnnotation } from '#api/commands.ts'
import { apexName, DEFAULT_PROGRESS_DEADLINE_SECONDS, isServiceTarget } from '#api/defaults.ts'
import { writtenAt } from '#api/managed-fields.ts'
import {
  ANNOTATION_BESIDE, ANNOTATION_FLAGGER_PROMOTE, ANNOTATION_GATE, ANNOTATION_REPLICAS, ANNOTATION_REQUESTED_BY, ANNOTATION_STABLE, baselineName, canaryName, FINALIZER,
  LABEL_REVISION, LABEL_ROLE, primaryName, snapshotName, type Role, type WorkloadRole,
} from '#api/names.ts'
import { countsOf, type KubeObject, type ObjectRef, type PodTemplate, type Service, type Workload } from '#api/objects.ts'
import { imageOf, restartedAt, revisionOf, templateRevisionOf } from '#api/revision.ts'
import { servingOf } from '#api/selectors.ts'
import type { Caches } from '#agent/caches.ts'
import { observeService } from '#agent/service-target.ts'
import type { BaselineSeen, Check, CommandSeen, JudgementSeen, Seen, TargetSeen, WorkloadSeen } from '#rollout/decision.ts'
import { timeOf } from '#rollout/status.ts'
import type { TrafficProvider } from '#traffic/provider.ts'
import { agreesWith, checksumsOf, revisionWith } from '#workload/configs.ts'
import { isFlaggers, originalTemplate } from '#workload/flagger-primary.ts'
import { podFailure, readinessOf } from '#workload/readiness.ts'
import { configsOf, templateOf } from '#workload/snapshot.ts'

/** The facts about one Canary, from caches alone. */
export function observe(canary: Canary, caches: Caches, provider: TrafficProvider, now: number, found: { readonly check?: Check | undefined; readonly judgement?: JudgementSeen | undefined } = {}): Seen {
  const namespace = canary.metadata.namespace ?? ''
  const apex = apexName(canary)
  return {
    name: canary.metadata.name,
    namespace,
    spec: canary.spec,
    deleting: canary.metadata.deletionTimestamp !== undefined,
    hasFinalizer: canary.metadata.finalizers?.includes(FINALIZER) ?? false,
    commands: commandsOn(canary, caches.reader.get(targetRef(canary))),
    ...(isServiceTarget(canary) ? observeService(canary, caches) : observeWorkloads(canary, caches, now)),
    routes: provider.read(canary, caches.reader),
    obstacle: provider.obstacle(canary, caches.reader),
    endpoints: {
      primary: caches.readyAddresses(namespace, primaryName(apex)),
      canary: caches.readyAddresses(namespace, canaryName(apex)),
      ...(baselineIn(canary, caches) ? { baseline: caches.readyAddresses(namespace, baselineName(apex)) } : {}),
    },
    provider: { name: provider.name, settleMs: provider.settleMs, weightsByReplicas: provider.name === 'kubernetes', keepsSessions: provider.supports.sessionAffinity },
    hasScalers: caches.scalers(namespace, canary.spec.targetRef.name).length > 0,
    check: found.check,
    judgement: found.judgement,
  }
}

/** The target, whatever kind it is of. */
export const targetRef = (canary: Canary): ObjectRef => ({
  apiVersion: isServiceTarget(canary) ? 'v1' : 'apps/v1', kind: canary.spec.targetRef.kind, namespace: canary.metadata.namespace ?? '', name: canary.spec.targetRef.name,
})

function observeWorkloads(canary: Canary, caches: Caches, now: number): Pick<Seen, 'target' | 'targetReady' | 'stableRevision' | 'primary' | 'canary' | 'baseline' | 'apex'> {
  const namespace = canary.metadata.namespace ?? ''
  const { name: targetName, kind } = canary.spec.targetRef
  const workload = (name: string): Workload | undefined => caches.reader.get({ apiVersion: 'apps/v1', kind, namespace, name }) as Workload | undefined
  const target = workload(targetName)
  const apexService = caches.reader.get({ apiVersion: 'v1', kind: 'Service', namespace, name: apexName(canary) }) as Service | undefined
  const roleSeen = (role: Role, name: string): WorkloadSeen | undefined => {
    const copy = workload(name)
    return copy && workloadSeen(copy, canary, role, caches, now)
  }
  const primary = roleSeen('primary', primaryName(targetName))
  return {
    target: target && targetSeen(target, canary, primary, caches),
    targetReady: target !== undefined && readinessOf(target, { deadlineSeconds: deadlineOf(canary), thresholdPercent: 100, nowMs: now }).ready,
    stableRevision: target && (target.metadata.annotations?.[ANNOTATION_STABLE] ?? servingBefore(target, workload(primaryName(targetName)))),
    primary,
    canary: roleSeen('canary', canaryName(targetName)),
    baseline: baselineSeen(canary, caches, now),
    apex: servingOf(apexService, target),
  }
}

/** Ours, by its role: anybody may have a workload of that name. */
function baselineIn(canary: Canary, caches: Caches): Workload | undefined {
  const { kind, name } = canary.spec.targetRef
  const found = caches.reader.get({ apiVersion: 'apps/v1', kind, namespace: canary.metadata.namespace ?? '', name: baselineName(name) })
  return found?.metadata.labels?.[LABEL_ROLE] === 'baseline' ? (found as Workload) : undefined
}

function baselineSeen(canary: Canary, caches: Caches, now: number): BaselineSeen | undefined {
  const found = baselineIn(canary, caches)
  return found && { ...workloadSeen(found, canary, 'baseline', caches, now), beside: found.spec.template.metadata?.annotations?.[ANNOTATION_BESIDE] }
}

export const deadlineOf = (canary: Canary): number => canary.spec.progressDeadlineSeconds ?? DEFAULT_PROGRESS_DEADLINE_SECONDS

/**
 * What a primary serves that is there although its target is not adopted: Flagger made it, or a cluster was rebuilt or restored. The target's template may
 * be one that nobody has analysed. Only a primary without ready pods beside a target that has some does not serve.
 */
function servingBefore(target: Workload, primary: Workload | undefined): string | undefined {
  if (!primary) return undefined
  const { replicas, readyReplicas } = countsOf(primary)
  if (replicas === 0 || (readyReplicas === 0 && countsOf(target).readyReplicas > 0)) return undefined
  return primary.metadata.labels?.[LABEL_REVISION] ?? (isFlaggers(primary) ? revisionOf(originalTemplate(primary, target)) : undefined)
}

/** Something that a decision needs is being fetched: the turn is taken again in a moment. */
export class NotYetKnown extends Error {}

function targetSeen(target: Workload, canary: Canary, primary: WorkloadSeen | undefined, caches: Caches): TargetSeen {
  const annotations = target.metadata.annotations ?? {}
  const recorded = Number.parseInt(annotations[ANNOTATION_REPLICAS] ?? '', 10)
  const adopted = !Number.isNaN(recorded)
  const { replicas, runningReplicas } = countsOf(target)
  const scaled = canary.spec.autoscalerRef !== undefined
  return {
    ...requested(target, canary, caches),
    image: imageOf(target.spec.template),
    restartedAt: restartedAt(target.spec.template),
    // A target that another controller already holds at 0 beside a serving primary (Flagger's way): the primary knows the count.
    wantedReplicas: adopted ? (scaled && primary ? primary.replicas : recorded) : replicas === 0 && primary ? primary.replicas : replicas,
    adopted,
    replicas,
    runningReplicas,
    paused: target.spec.paused ?? false,
    held: (target.spec.paused ?? false) && annotations[ANNOTATION_STABLE] !== undefined,
    gate: annotations[ANNOTATION_GATE],
    requestedBy: annotations[ANNOTATION_REQUESTED_BY],
    scaled,
  }
}

/**
 * The revision that a target asks for: its template, with the ConfigMaps and Secrets that this refers to. One that is known already and was recorded with
 * the same content keeps its name; in particular one from before its configs were tracked, so that tracking them starts no run.
 */
function requested(target: Workload, canary: Canary, caches: Caches): Pick<TargetSeen, 'revision' | 'configs'> {
  const configs = caches.configs.follow(canary, target)
  if (!configs) throw new NotYetKnown(`the ConfigMaps and Secrets of ${target.kind} ${target.metadata.name}`)
  const { namespace = '', name } = target.metadata
  const ofTemplate = revisionOf(target.spec.template)
  const { lastPromotedSpec, lastAppliedSpec, gate } = statusOf(canary)
  const isSame = (revision: string | undefined): boolean => {
    if (revision === undefined || templateRevisionOf(revision) !== ofTemplate) return false
    const snapshot = caches.reader.get({ apiVersion: 'apps/v1', kind: 'ControllerRevision', namespace, name: snapshotName(name, revision) })
    return snapshot !== undefined && agreesWith(configsOf(snapshot), configs)
  }
  const known = [lastPromotedSpec, lastAppliedSpec, gate?.rolledBackRevision, ofTemplate].find(isSame)
  return { revision: known ?? revisionWith(ofTemplate, configs.record), configs: checksumsOf(configs.record) }
}

/** The revision that the Canary's target asks for now; undefined where there is no target. */
export function requestedRevision(canary: Canary, caches: Caches): string | undefined {
  const target = caches.reader.get(targetRef(canary)) as Workload | undefined
  return target?.spec.template === undefined ? undefined : requested(target, canary, caches).revision
}

function workloadSeen(found: Workload, canary: Canary, role: WorkloadRole, caches: Caches, now: number): WorkloadSeen {
  const { primaryReadyThreshold = 100, canaryReadyThreshold = 100 } = canary.spec.analysis
  const thresholdPercent = role === 'primary' ? primaryReadyThreshold : canaryReadyThreshold
  const changedAt = Date.parse(statusOf(canary).gate?.changedAt ?? '')
  const sinceMs = Number.isNaN(changedAt) ? undefined : changedAt
  const readiness = readinessOf(found, { deadlineSeconds: deadlineOf(canary), thresholdPercent, nowMs: now, sinceMs })
  const namespace = canary.metadata.namespace ?? ''
  const targetName = canary.spec.targetRef.name
  const pods = caches.pods(namespace, targetName)
  const labelled = found.metadata.labels?.[LABEL_REVISION]
  const snapshot = labelled && templateOf(caches.reader.get({ apiVersion: 'apps/v1', kind: 'ControllerRevision', namespace, name: snapshotName(targetName, labelled) }))
  const cause = readiness.ready ? undefined : podFailure(pods.filter((pod) => pod.metadata.labels?.[LABEL_ROLE] === role))
  return {
    // Images set by hand under an old label: it is nobody's revision, and upkeep puts it right.
    revision: snapshot && imagesOf(snapshot) !== imagesOf(found.spec.template) ? FOREIGN_REVISION : labelled,
    isOwned: found.metadata.ownerReferences?.some(({ uid }) => uid === canary.metadata.uid) ?? false,
    ...countsOf(found),
    readiness: readiness.ready || !cause ? readiness : { ...readiness, reason: `${readiness.reason} (${cause})` },
    restartedAt: restartedAt(found.spec.template),
  }
}

/** A revision that no snapshot has. */
const FOREIGN_REVISION = 'foreign'
const imagesOf = ({ spec }: PodTemplate): string => [...(spec.initContainers ?? []), ...spec.containers].map(({ name, image }) => `${name}=${image}`).join()

function commandsOn(canary: Canary, target: KubeObject | undefined): readonly CommandSeen[] {
  return [canary, target].flatMap((object) => (object ? COMMAND_ANNOTATIONS.flatMap((annotation): CommandSeen[] => {
    const [command, value] = [commandOf(annotation), object.metadata.annotations?.[annotation]]
    // Flagger's guides know no other value.
    if (!command || value === undefined || (annotation === ANNOTATION_FLAGGER_PROMOTE && value !== 'true')) return []
    const givenAt = whenGiven(object, annotation)
    return [{ command, reason: reasonOf(annotation, value), ...authorOf(object.metadata.annotations ?? {}, annotation), ...(givenAt === undefined ? {} : { givenAt }) }]
  }) : []))
}

/** The webhook's stamp, or what the API server has on record where that is earlier, or there is no other. */
function whenGiven(object: KubeObject, command: string): number | undefined {
  const times = [timeOf(object.metadata.annotations?.[timeAnnotation(command)]), writtenAt(object, command)].filter((time) => time !== undefined)
  return times.length === 0 ? undefined : Math.min(...times)
}

function authorOf(annotations: Readonly<Record<string, string>>, command: string): Pick<CommandSeen, 'by' | 'actor'> {
  const username = annotations[authorAnnotation(command)]
  if (username === undefined) return { by: 'an operator' }
  const groups = (annotations[groupsAnnotation(command)] ?? '').split(GROUP_SEPARATOR).filter((group) => group !== '')
  return { by: username, actor: { username, groups } }
}

export const statusOf = (canary: Canary): CanaryStatus => canary.status ?? {}
