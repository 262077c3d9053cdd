import type { Canary, CanaryAnalysis } from '#api/canary.ts'
import { ANNOTATION_GATE, ANNOTATION_OPT_OUT, ANNOTATION_STABLE, FIELD_MANAGER } from '#api/names.ts'
import type { KubeObject, ObjectRef, Workload } from '#api/objects.ts'
import type { Caches } from '#agent/caches.ts'
import type { KubeClient } from '#kube/client.ts'
import { isConflict } from '#kube/error.ts'
import type { EventRecorder } from '#kube/events.ts'
import type { Log } from '#kube/log.ts'
import type { News } from '#rollout/decision.ts'
import { defaultCanary, discover, discoverScaler, type CanaryDefaults } from '#workload/discover.ts'

export type GatingContext = {
  readonly client: KubeClient
  readonly caches: Caches
  readonly events: EventRecorder
  /** Whoever is alerted for all hears of it: no Canary names anybody yet. */
  readonly alert: (target: KubeObject, item: News) => void
  readonly defaultAnalysis: CanaryAnalysis
  /** What the policies of the namespace say beside it, and their names. */
  readonly defaults?: Omit<CanaryDefaults, 'analysis'>
  readonly policyName?: string
  /** Some server is asked for metrics; else only pods that offer a metrics page can be. */
  readonly hasMetricsServer: boolean
  readonly log: Log
}

/**
 * A Canary that comes in one manifest or chart with its target comes within this time after it (ms): none is written in its stead, or whoever applies
 * them finds one there that was not when they looked. Adoption is to wait for it once in a target's life.
 */
export const GRACE_MS = 10_000

/** A change that the webhook holds until its target is adopted. */
export function awaitsCanary({ metadata: { annotations = {} } }: KubeObject): boolean {
  return annotations[ANNOTATION_STABLE] !== undefined && annotations[ANNOTATION_GATE] === 'pending'
}

/**
 * A change of a gated target is held and no Canary speaks of it: one is written from the defaults, with the Service found in the cluster.
 * A workload that nothing routes to cannot be split: its change is let through, and that is told, since a gate must not become a trap.
 */
export async function gateTarget(namespace: string, name: string, context: GatingContext): Promise<void> {
  const { client, caches, events, log } = context
  const ref: ObjectRef = { apiVersion: 'apps/v1', kind: 'Deployment', namespace, name }
  const target = caches.reader.get(ref) as Workload | undefined
  if (!target || caches.canariesOf(namespace, name).length > 0) return
  if (!awaitsCanary(target) || target.metadata.annotations?.[ANNOTATION_OPT_OUT] === 'disabled') return

  const found = discover(target, caches.reader)
  if (!found.found) {
    log.warn({ target: `${namespace}/${name}`, reason: found.reason }, 'target cannot be gated')
    const item = { type: 'Warning', severity: 'warn', reason: 'CanaryGateSkipped', message: `CanaryGate lets this change through ungated: ${found.reason}` } as const
    await events.record(target, item)
    context.alert(target, item)
    await client.patch(ref, { metadata: { annotations: { [ANNOTATION_STABLE]: null, [ANNOTATION_GATE]: 'passed' } }, spec: { paused: null } }, 'merge', { fieldManager: FIELD_MANAGER })
    return
  }
  try {
    const analysis = judgeable(target, context)
    await client.create(defaultCanary(target, found, { ...context.defaults, analysis }, discoverScaler(target, caches.reader)), { fieldManager: FIELD_MANAGER })
    await events.record(target, { type: 'Normal', reason: 'CanaryCreated', message: `Canary ${name}.${namespace} written from the defaults${context.policyName ? ` (policy "${context.policyName}")` : ''}, ${found.reason}${analysis.metrics?.length ? '' : '; no metrics: only readiness is judged'}` })
  } catch (err) {
    if (isConflict(err)) return
    // Refused, by a policy say: the change stays held, so its owner must hear of it. It is tried again, since policies change.
    const message = `${name}.${namespace} stays held: its Canary could not be written: ${err instanceof Error ? err.message : String(err)}`
    const item = { type: 'Warning', severity: 'warn', reason: 'CanaryNotWritten', message } as const
    await events.record(target, item)
    context.alert(target, item)
    throw err
  }
}

/** An autoscaler that came after its target was gated: left to itself it would scale the target, which has no pods, and the primary would keep its count. */
export async function gateScaler(canary: Canary, { client, caches, events }: Pick<GatingContext, 'client' | 'caches' | 'events'>): Promise<void> {
  const { metadata: { name, namespace = '' }, spec: { autoscalerRef, gate, targetRef } } = canary
  if (!gate?.generated || autoscalerRef) return
  const target = caches.reader.get({ apiVersion: 'apps/v1', kind: targetRef.kind, namespace, name: targetRef.name }) as Workload | undefined
  const found = target && discoverScaler(target, caches.reader)
  if (!found) return
  await client.patch({ apiVersion: canary.apiVersion, kind: canary.kind, namespace, name }, { spec: { autoscalerRef: found } }, 'merge', { fieldManager: FIELD_MANAGER })
  await events.record(canary, { type: 'Normal', reason: 'CanaryScalerFound', message: `${found.kind} ${found.name} scales ${targetRef.name}: its primary is scaled alike from now on` })
}

/** The default analysis, without metrics for pods that nobody scrapes: they would have no data, and every release would fail. */
function judgeable(target: Workload, { defaultAnalysis, hasMetricsServer }: GatingContext): CanaryAnalysis {
  if (hasMetricsServer || target.spec.template.metadata?.annotations?.['prometheus.io/scrape'] === 'true') return defaultAnalysis
  const { metrics: _, ...analysis } = defaultAnalysis
  return analysis
}
