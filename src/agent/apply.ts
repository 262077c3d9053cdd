import type { Canary } from '#api/canary.ts'
import { COMMAND_ANNOTATIONS, commandOf, signed } from '#api/commands.ts'
import { apexName, DEFAULT_REVISION_HISTORY_LIMIT, isServiceTarget } from '#api/defaults.ts'
import {
  baselineName, FIELD_MANAGER, FINALIZER, LABEL_MANAGED_BY, LABEL_REVISION, LABEL_ROLE, LABEL_TARGET, MANAGED_BY, roleName, snapshotName, type Command, type Role, type WorkloadRole,
} from '#api/names.ts'
import { countsOf, refOf, type KubeObject, type ObjectRef, type PodTemplate, type Service, type Workload } from '#api/objects.ts'
import { revisionOf, templateRevisionOf, withoutTemplateHash } from '#api/revision.ts'
import { SCALER_API_VERSIONS } from '#api/scalers.ts'
import type { Caches } from '#agent/caches.ts'
import { covers, isMerged } from '#agent/covers.ts'
import { targetRef } from '#agent/observe.ts'
import { applyToServices } from '#agent/service-target.ts'
import { isClaimed, withoutClaims } from '#kube/claims.ts'
import type { KubeClient } from '#kube/client.ts'
import { isConflict, KubeError } from '#kube/error.ts'
import type { Effect, Seen } from '#rollout/decision.ts'
import type { TrafficProvider } from '#traffic/provider.ts'
import { configNames, configRefs, configsSeen, copiesOf, factsOf, recordOf, renderCopy, revisionWith, rewriteConfigs, type ConfigRecord } from '#workload/configs.ts'
import { isFlaggers, originalTemplate } from '#workload/flagger-primary.ts'
import { isScalerRendered, pauseScalerPatch, renderScaler } from '#workload/scalers.ts'
import { renderApex, renderServices } from '#workload/services.ts'
import { configsOf, nextOrder, prune, renderSnapshot, snapshotsOf, templateOf } from '#workload/snapshot.ts'
import { forgetPatch, gatePatch, holdPatch, releasePatch, scalePatch, unpausePatch, type MergePatch } from '#workload/target.ts'
import { renderWorkload } from '#workload/workload.ts'

export type ApplyContext = {
  readonly client: KubeClient
  readonly caches: Caches
  readonly provider: TrafficProvider
}

/** Effects upon workloads and what belongs to them. Where the target is a Service there are none: its copies stand for them, and itself is left alone. */
const OF_WORKLOADS: readonly Effect['kind'][] = [
  'snapshot', 'deploy', 'scale', 'services', 'apex', 'holdTarget', 'scalers', 'unpauseTarget', 'markGate', 'releaseTarget', 'forgetTarget',
]

/** Carries out one effect. What the cluster already says is not written again. */
export async function apply(canary: Canary, effect: Effect, seen: Seen, context: ApplyContext): Promise<void> {
  const { client, caches, provider } = context
  const namespace = canary.metadata.namespace ?? ''
  if (isServiceTarget(canary) && OF_WORKLOADS.includes(effect.kind)) {
    if (effect.kind === 'snapshot' || effect.kind === 'deploy') await applyToServices(canary, effect, client, caches)
    return
  }
  switch (effect.kind) {
    case 'addFinalizer':
      await setFinalizers(client, canary, [...(canary.metadata.finalizers ?? []), FINALIZER])
      return
    case 'removeFinalizer':
      await setFinalizers(client, canary, (canary.metadata.finalizers ?? []).filter((name) => name !== FINALIZER))
      return
    case 'snapshot':
      await takeSnapshot(canary, effect.revision, context)
      return
    case 'services':
      await writeAll(renderServices(canary, targetOf(canary, caches), caches.reader), context)
      // Until adoption is done the target serves; afterwards it has no pods, whoever points the apex there. Where the apex itself is the route, only a
      // deleted one is made again here.
      if (provider.name === 'kubernetes' ? seen.apex === 'missing' && seen.target?.adopted : seen.apex !== 'target' || seen.target?.adopted) {
        await writeApex(canary, 'primary', context)
      }
      return
    case 'apex':
      await writeApex(canary, effect.serving, context)
      return
    case 'deploy':
      await deploy(canary, effect, context)
      return
    case 'scale':
      await client.patch(workloadRef(canary, effect.role), scalePatch(canary.spec.targetRef.kind, effect.replicas), 'merge', { fieldManager: FIELD_MANAGER })
      return
    case 'setRoutes':
      await applyAll(provider.render(canary, effect.routes, caches.reader), context)
      return
    case 'releaseRoutes':
      await applyAll(provider.release(canary, caches.reader), context)
      return
    case 'holdTarget':
      await hold(canary, effect.replicas, context)
      return
    case 'scalers':
      await keepScalers(canary, effect, seen, context)
      return
    case 'unpauseTarget':
      await patchTarget(canary, unpausePatch(), context)
      return
    case 'markGate':
      await patchTarget(canary, gatePatch(effect.gate, effect.revision), context)
      return
    case 'releaseTarget':
      await release(canary, effect.revision, effect.replicas, context)
      return
    case 'forgetTarget':
      await retirePrimary(canary, context)
      await patchTarget(canary, forgetPatch(), context)
      return
    case 'consume':
      await consume(canary, effect.commands, namespace, context)
      return
    case 'prune':
      await prunePast(canary, effect.keep, seen, context)
      return
    default:
      effect satisfies never
  }
}

const workloadRef = (canary: Canary, role: WorkloadRole): ObjectRef => ({
  apiVersion: 'apps/v1', kind: canary.spec.targetRef.kind, namespace: canary.metadata.namespace ?? '', name: roleName(canary.spec.targetRef.name, role),
})

function targetOf(canary: Canary, caches: Caches): Workload {
  const target = caches.reader.get(targetRef(canary)) as Workload | undefined
  if (!target) throw new Error(`target ${canary.metadata.namespace}/${canary.spec.targetRef.name} is gone`)
  return target
}

/** Objects that are rendered only where something differs. */
async function applyAll(objects: readonly KubeObject[], { client, caches }: ApplyContext): Promise<void> {
  for (const object of objects) caches.note(await write(object, client))
}

async function writeAll(objects: readonly KubeObject[], { client, caches }: ApplyContext): Promise<void> {
  for (const object of objects) {
    if (!covers(caches.reader.get(refOf(object)), object)) await write(object, client)
  }
}

async function write(object: KubeObject, client: KubeClient): Promise<KubeObject> {
  const written = await client.apply(object, { fieldManager: FIELD_MANAGER, force: true })
  return object.metadata.labels?.[LABEL_MANAGED_BY] === MANAGED_BY ? written : await disown(written, client)
}

/** Further tries where somebody writes at the same time. */
const DISOWN_TRIES = 5

/**
 * Gives the spec of an object of the user's back to its managers after a write of ours: what we set stays set, but no longer counts as
 * ours, or the user's next `kubectl apply --server-side` would end in a conflict with us. The webhook and the agent keep it as it must be.
 * A crash in between is made good at the next look (see `claims.ts`).
 */
export async function disown(written: KubeObject, client: KubeClient): Promise<KubeObject> {
  let object: KubeObject | undefined = written
  for (let tries = 0; object && tries < DISOWN_TRIES; tries += 1) {
    if (!isClaimed(object)) return object
    const metadata = { resourceVersion: object.metadata.resourceVersion, managedFields: withoutClaims(object) }
    try {
      return await client.patch(refOf(written), { metadata }, 'merge', { fieldManager: FIELD_MANAGER })
    } catch (err) {
      // Nothing differs any more after the write itself, so no later effect would come back to this.
      if (!isConflict(err) && !(tries === 0 && err instanceof KubeError && err.retryable)) throw err
      object = await client.get(refOf(written))
    }
  }
  return object ?? written
}

async function writeApex(canary: Canary, serving: 'target' | 'primary', context: ApplyContext): Promise<void> {
  const { caches } = context
  const existing = caches.reader.get({ apiVersion: 'v1', kind: 'Service', namespace: canary.metadata.namespace ?? '', name: apexName(canary) })
  const rendered = renderApex(canary, targetOf(canary, caches), caches.reader, existing as Service | undefined, serving)
  // A Service that we made must outlive its Canary: people and routes go on using it.
  await writeAll([serving === 'target' ? withoutOwners(rendered) : rendered], context)
}

function withoutOwners<T extends KubeObject>(object: T): T {
  const { ownerReferences: _, ...metadata } = object.metadata
  return { ...object, metadata: { ...metadata, ownerReferences: [] } }
}

async function deploy(canary: Canary, effect: Extract<Effect, { kind: 'deploy' }>, context: ApplyContext): Promise<void> {
  const { client, caches } = context
  const { template, configs } = await admitted(canary, effect.revision, context)
  const existing = caches.reader.get(workloadRef(canary, effect.role)) as Workload | undefined
  if (effect.role === 'baseline') refuseForeign(canary, [existing, caches.reader.get({ apiVersion: 'v1', kind: 'Service', namespace: canary.metadata.namespace ?? '', name: baselineName(apexName(canary)) })])
  const replicas = canary.spec.autoscalerRef && effect.role === 'primary' && existing ? undefined : effect.replicas
  const workload = renderWorkload(canary, targetOf(canary, caches), effect.role, template, replicas, effect.revision, {
    existing, restartedAt: effect.restartedAt, beside: effect.beside, configNames: configNames(copiesOf(canary.spec.targetRef.name, configs)),
  })
  const written = existing && covers(existing, workload) ? existing : await client.apply<Workload>(workload, { fieldManager: FIELD_MANAGER, force: true })
  // What keeps a DaemonSet off all nodes was merged in, so leaving it out of what is applied does not take it away.
  if (written.kind === 'DaemonSet' && effect.replicas > 0 && countsOf(written).replicas === 0) {
    await client.patch(workloadRef(canary, effect.role), scalePatch(written.kind, effect.replicas), 'merge', { fieldManager: FIELD_MANAGER })
  }
}

/** Nobody asked for a name like `<target>-baseline` to be taken before: what somebody has under it stays theirs. */
function refuseForeign(canary: Canary, found: readonly (KubeObject | undefined)[]): void {
  const foreign = found.find((object) => object && object.metadata.labels?.[LABEL_ROLE] !== 'baseline')
  if (!foreign) return
  const { kind, metadata } = foreign
  throw new Error(`spec.gate.baseline: ${kind} ${canary.metadata.namespace}/${metadata.name} is not CanaryGate's, and the baseline needs its name: rename it, or remove spec.gate.baseline`)
}

/** The autoscaler that the Canary names; undefined when it names none, or there is none. */
export function scalerOf({ metadata, spec: { autoscalerRef: ref } }: Canary, caches: Caches): KubeObject | undefined {
  return ref && caches.reader.get({ apiVersion: SCALER_API_VERSIONS[ref.kind], kind: ref.kind, namespace: metadata.namespace ?? '', name: ref.name })
}

/** What the user's autoscaler says holds for the roles' as well; where it is gone, theirs go, and the counts stay as they are. */
async function keepScalers(canary: Canary, effect: Extract<Effect, { kind: 'scalers' }>, { provider }: Seen, { client, caches }: ApplyContext): Promise<void> {
  const { namespace = '' } = canary.metadata
  const ref = canary.spec.autoscalerRef
  const scaler = scalerOf(canary, caches)
  const options = { target: targetOf(canary, caches), primary: caches.reader.get(workloadRef(canary, 'primary')) as Workload | undefined, isResting: effect.canary === 'resting' }
  const roles: readonly Role[] = provider.weightsByReplicas ? ['primary'] : ['primary', 'canary']
  const wanted = ref && scaler ? roles.map((role) => renderScaler(canary, ref, scaler, role, options)) : []
  if (scaler?.kind === 'ScaledObject') {
    const patch = pauseScalerPatch(effect.target === 'held')
    if (!isMerged(scaler, patch)) await client.patch(refOf(scaler), patch, 'merge', { fieldManager: FIELD_MANAGER })
  }
  for (const object of wanted) {
    if (!isScalerRendered(caches.reader.get(refOf(object)), object)) await client.apply(object, { fieldManager: FIELD_MANAGER, force: true })
  }
  for (const made of caches.scalers(namespace, canary.spec.targetRef.name)) {
    if (!wanted.some(({ kind, metadata }) => kind === made.kind && metadata.name === made.metadata.name)) await client.delete(refOf(made))
  }
}

type Admitted = { readonly template: PodTemplate; readonly configs: ConfigRecord }

/** Nothing reaches it any more. Where its deletion is left out (`--cascade=orphan`), it must not pass for what serves when a Canary comes again. */
async function retirePrimary(canary: Canary, { client, caches }: ApplyContext): Promise<void> {
  const ref = workloadRef(canary, 'primary')
  const primary = caches.reader.get(ref) as Workload | undefined
  if (primary && countsOf(primary).replicas > 0) await client.patch(ref, scalePatch(ref.kind, 0), 'merge', { fieldManager: FIELD_MANAGER })
}

/** The template exactly as it was admitted, and what it referred to; thrown if nobody knows it any more. */
async function admitted(canary: Canary, revision: string, { client, caches }: ApplyContext): Promise<Admitted> {
  const ref = snapshotRef(canary, revision)
  const snapshot = caches.reader.get(ref) ?? (await client.get(ref))
  const template = templateOf(snapshot)
  if (!template) throw new Error(`snapshot ${ref.name} is gone: revision ${revision} cannot be deployed`)
  return { template, configs: configsOf(snapshot) }
}

const snapshotRef = (canary: Canary, revision: string): ObjectRef => ({
  apiVersion: 'apps/v1', kind: 'ControllerRevision', namespace: canary.metadata.namespace ?? '', name: snapshotName(canary.spec.targetRef.name, revision),
})

/**
 * Stores the template under its revision before anything runs it, and copies of what it refers to. It comes from whoever holds it: the target, or what
 * served before.
 */
async function takeSnapshot(canary: Canary, revision: string, context: ApplyContext): Promise<void> {
  const { client, caches } = context
  const stored = caches.reader.get(snapshotRef(canary, revision))
  if (stored) return await copyConfigs(canary, configsOf(stored), context)
  const target = targetOf(canary, caches)
  const found = requestedTemplate(canary, target, revision, caches) ?? (await earlierTemplate(canary, target, revision, context))
  if (!found) throw new Error(`no template of revision ${revision} is left: the target has moved on`)
  const { template, configs } = found
  try {
    caches.note(await client.create(renderSnapshot(canary, template, revision, nextOrder(storedSnapshots(canary, caches)), configs), { fieldManager: FIELD_MANAGER }))
  } catch (err) {
    if (!isConflict(err)) throw err // 409: it exists, and a snapshot never changes
  }
  await copyConfigs(canary, configs, context)
}

/** Copies what is not copied yet. The content is read now and forgotten at once. */
async function copyConfigs(canary: Canary, configs: ConfigRecord, { client, caches }: ApplyContext): Promise<void> {
  const { namespace = '' } = canary.metadata
  const target = canary.spec.targetRef.name
  const existing = new Set(caches.configs.copies(namespace, target).map(({ kind, name }) => `${kind}/${name}`))
  for (const copy of copiesOf(target, configs)) {
    if (existing.has(`${copy.kind}/${copy.name}`)) continue
    const config = await client.get({ apiVersion: 'v1', kind: copy.kind, namespace, name: copy.source })
    if (!config || factsOf(config).checksum !== copy.checksum) {
      // The watch brings it, and with it another revision.
      throw new KubeError({ status: 409, reason: 'Conflict', message: `${copy.kind} ${namespace}/${copy.source} has changed since it was looked at` })
    }
    try {
      await client.create(renderCopy(canary, config, copy), { fieldManager: FIELD_MANAGER })
    } catch (err) {
      if (!isConflict(err)) throw err // 409: it exists, and a copy never changes
    }
  }
}

/** What the target asks for now. A revision named by its template alone is of one that is held: what it referred to is what there is. */
function requestedTemplate(canary: Canary, { spec: { template } }: Workload, revision: string, caches: Caches): Admitted | undefined {
  const ofTemplate = revisionOf(template)
  if (templateRevisionOf(revision) !== ofTemplate) return undefined
  const configs = liveConfigs(canary, template, caches)
  return revision === ofTemplate || revision === revisionWith(ofTemplate, configs) ? { template, configs } : undefined
}

const liveConfigs = (canary: Canary, template: PodTemplate, caches: Caches): ConfigRecord => configsSeen(configRefs(template), caches.configs.look(canary)).record

/** What served before: the primary that is there already has it, or, of a target whose change is held, an old ReplicaSet. */
async function earlierTemplate(canary: Canary, target: Workload, revision: string, { client, caches }: ApplyContext): Promise<Admitted | undefined> {
  const { namespace = '' } = target.metadata
  const primary = caches.reader.get(workloadRef(canary, 'primary')) as Workload | undefined
  const labelled = primary?.metadata.labels?.[LABEL_REVISION]
  if (primary && labelled === revision) {
    const copies = caches.configs.copies(namespace, target.metadata.name)
    const template = rewriteConfigs(withoutRoleLabels(primary.spec.template), configNames(copies, 'source'))
    const referred = new Set(configRefs(primary.spec.template).map(({ kind, name }) => `${kind}/${name}`))
    return { template, configs: recordOf(copies.filter(({ kind, name }) => referred.has(`${kind}/${name}`))) }
  }
  const original = isFlaggers(primary) && labelled === undefined ? originalTemplate(primary, target) : undefined
  if (original && revisionOf(original) === revision) return { template: original, configs: liveConfigs(canary, original, caches) }
  const selector = Object.entries(target.spec.selector.matchLabels ?? {}).map(([key, value]) => `${key}=${value}`).join(',')
  const { items } = await client.list<Workload>('apps/v1', 'ReplicaSet', { namespace, labelSelector: selector })
  const owned = items.filter((item) => item.metadata.ownerReferences?.some(({ uid }) => uid === target.metadata.uid))
  const found = owned.find((item) => revisionOf(item.spec.template) === revision)
  if (!found) return undefined
  const template = withoutHash(found.spec.template)
  return { template, configs: liveConfigs(canary, template, caches) }
}

function withoutHash(template: PodTemplate): PodTemplate {
  return { ...template, metadata: { ...template.metadata, labels: withoutTemplateHash(template.metadata?.labels) ?? {} } }
}

function withoutRoleLabels(template: PodTemplate): PodTemplate {
  const labels = Object.entries(template.metadata?.labels ?? {}).filter(([key]) => key !== 'canarygate.dev/role' && key !== LABEL_TARGET)
  return { ...template, metadata: { ...template.metadata, labels: Object.fromEntries(labels) } }
}

const storedSnapshots = (canary: Canary, caches: Caches): readonly KubeObject[] =>
  snapshotsOf(caches.reader.list('apps/v1', 'ControllerRevision', canary.metadata.namespace ?? ''), canary.spec.targetRef.name)

/** Old snapshots go, and the copies that none of the revisions in `keep` refers to: of a Secret no more than needed is kept. */
async function prunePast(canary: Canary, keep: readonly string[], { target }: Seen, { client, caches }: ApplyContext): Promise<void> {
  const { namespace = '' } = canary.metadata
  const { name } = canary.spec.targetRef
  const limit = canary.spec.gate?.revisionHistoryLimit ?? DEFAULT_REVISION_HISTORY_LIMIT
  for (const snapshot of prune(storedSnapshots(canary, caches), keep, limit)) {
    await client.delete({ apiVersion: 'apps/v1', kind: 'ControllerRevision', name: snapshot.metadata.name, namespace })
  }
  const revisions = target ? [...keep, target.revision] : keep
  const needed = new Set(revisions.flatMap((revision) => copiesOf(name, configsOf(caches.reader.get(snapshotRef(canary, revision))))).map((copy) => `${copy.kind}/${copy.name}`))
  for (const copy of caches.configs.copies(namespace, name)) {
    if (!needed.has(`${copy.kind}/${copy.name}`)) await client.delete({ apiVersion: 'v1', kind: copy.kind, namespace, name: copy.name })
  }
}

/** Merges a patch into the target; nothing is sent when it already says so. */
async function patchTarget(canary: Canary, patch: MergePatch, { client, caches }: ApplyContext): Promise<void> {
  if (isMerged(targetOf(canary, caches), patch)) return
  const written = await client.patch(targetRef(canary), patch, 'merge', { fieldManager: FIELD_MANAGER })
  if (patch['spec'] !== undefined) await disown(written, client)
}

/** The same, upon the very target that was observed: a count that somebody asked for since is a conflict, and so is looked at, not lost. */
const observed = (patch: MergePatch, target: Workload): MergePatch =>
  ({ ...patch, metadata: { ...(patch['metadata'] as object | undefined), resourceVersion: target.metadata.resourceVersion } })

async function hold(canary: Canary, replicas: number, context: ApplyContext): Promise<void> {
  const target = targetOf(canary, context.caches)
  const patch = holdPatch(target, replicas)
  if (!isMerged(target, patch)) await patchTarget(canary, observed(patch, target), context)
}

/** Gives the target the template that the primary serves, and its replicas: whole, so that nothing of a failed revision stays in it. */
async function release(canary: Canary, revision: string, replicas: number, context: ApplyContext): Promise<void> {
  await patchTarget(canary, releasePatch(targetOf(canary, context.caches), (await admitted(canary, revision, context)).template, replicas), context)
}

async function setFinalizers(client: KubeClient, canary: Canary, finalizers: readonly string[]): Promise<void> {
  const { name, namespace = '' } = canary.metadata
  await client.patch({ apiVersion: canary.apiVersion, kind: canary.kind, name, namespace }, { metadata: { finalizers } }, 'merge', { fieldManager: FIELD_MANAGER })
}

async function consume(canary: Canary, commands: readonly Command[], namespace: string, { client, caches }: ApplyContext): Promise<void> {
  const names = COMMAND_ANNOTATIONS.filter((annotation) => commands.some((command) => command === commandOf(annotation))).flatMap((annotation) => Object.values(signed(annotation)))
  const objects = [caches.canary(`${namespace}/${canary.metadata.name}`), caches.reader.get(targetRef(canary))]
  for (const object of objects) {
    const present = names.filter((name) => object?.metadata.annotations?.[name] !== undefined)
    if (!object || present.length === 0) continue
    const ref = { apiVersion: object.apiVersion, kind: object.kind, name: object.metadata.name, namespace }
    await client.patch(ref, { metadata: { annotations: Object.fromEntries(present.map((name) => [name, null])) } }, 'merge', { fieldManager: FIELD_MANAGER })
  }
}

