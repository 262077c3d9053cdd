import { denialOf } from '#api/address-denial.ts'
import type { Http } from '#api/http.ts'
import type { Logger } from 'pino'
import type { Canary, CanaryAnalysis, CanaryStatus } from '#api/canary.ts'
import { isServiceTarget } from '#api/defaults.ts'
import { FLAGGER_API_VERSION } from '#api/names.ts'
import { objectKey, splitKey, type KubeObject, type Workload } from '#api/objects.ts'
import type { Routes } from '#api/routes.ts'
import { apply, scalerOf } from '#agent/apply.ts'
import { accessReviewOf, createAuthority } from '#agent/authority.ts'
import { createCaches, type Caches } from '#agent/caches.ts'
import { createClaims } from '#agent/claims.ts'
import { createFailing } from '#agent/failing.ts'
import { awaitsCanary, gateScaler, gateTarget, GRACE_MS } from '#agent/gating.ts'
import { consultHooks } from '#agent/hooks.ts'
import { withLastLook, withTraffic } from '#agent/last-look.ts'
import { createMeasuring, type Measuring } from '#agent/measuring.ts'
import { NotYetKnown, observe, requestedRevision } from '#agent/observe.ts'
import { judgeCommands, underPolicy } from '#agent/holding.ts'
import { createPolicies } from '#agent/policies.ts'
import { routerKinds, trafficProviderFor } from '#agent/providers.ts'
import { createProxies, type ProxySettings } from '#agent/proxies.ts'
import { reconcile, type Ports } from '#agent/reconcile.ts'
import { createRuns } from '#agent/runs.ts'
import { createSavedStatuses } from '#agent/saved-status.ts'
import type { Telemetry } from '#agent/telemetry.ts'
import { createTelling } from '#agent/telling.ts'
import { createVigil } from '#agent/vigil.ts'
import { createHookRounds } from '#hooks/rounds.ts'
import type { Traffic } from '#judge/power.ts'
import type { KubeClient } from '#kube/client.ts'
import { pause, realAfter, type After } from '#kube/clock.ts'
import { isConflict } from '#kube/error.ts'
import type { EventRecorder } from '#kube/events.ts'
import { createQueue, type Queue, type QueueTurn } from '#kube/queue.ts'
import type { Destination } from '#notify/provider.ts'
import { gatedSpec } from '#policy/defaults.ts'
import type { Check, CommandSeen, News } from '#rollout/decision.ts'
import { isAtRest, phaseOf } from '#rollout/status.ts'
import { providerFor } from '#traffic/registry.ts'
import { discoverScaler } from '#workload/discover.ts'

export type AgentOptions = {
  readonly client: KubeClient
  readonly events: EventRecorder
  readonly http: Http
  /** The one for hooks, where they have one of their own: they may take as long as their timeout says. */
  readonly httpForHooks?: Http
  /** The same through an HTTP proxy, for AlertProviders that name one. */
  readonly httpThrough?: (proxy: string) => Http
  /** Used where `spec.provider` and `spec.metricsServer` are left out. */
  readonly defaultProvider: string
  readonly metricsServer: string | undefined
  /** Where proxies count requests, for Canaries with `spec.gate.scrape.from: proxy`. */
  readonly proxies?: readonly ProxySettings[]
  readonly eventWebhook?: string | undefined
  readonly clusterName?: string | undefined
  /** Alerted about Canaries that name nobody. */
  readonly alertReceiver?: Destination | undefined
  readonly defaultAnalysis: CanaryAnalysis
  /** The fence for one Canary, or for the workload that is to get one of its name: asked before everything that is written. */
  readonly leads: (key: string) => boolean
  /** Others may lead other Canaries at the same time. */
  readonly isShared?: boolean
  readonly log: Logger
  /** Unix ms. */
  readonly now: () => number
  readonly random: () => number
  /** Timers; Node's own when left out. */
  readonly after?: After
  /** Told what happens, for the agent's own metrics. */
  readonly telemetry?: Pick<Telemetry, 'onChecked' | 'onTold' | 'onAlert'>
  readonly onWorked?: (turn: QueueTurn) => void
}

export type Agent = {
  /** Fills the caches; nothing is written before `lead`. */
  start(): void
  hasSynced(): boolean
  /** Leadership of some Canaries came: each of them is looked at. */
  lead(): void
  /** No new turns; running ones end or are given up at the deadline (ms). */
  stop(deadlineMs: number): Promise<void>
  /** What is still to be told to receivers outside gets this long (ms). Call it when others may lead: nobody has to wait for a slow chat. */
  finishTelling(graceMs: number): Promise<void>
  readonly caches: Caches
  readonly queue: Queue
}

/** Keys of workloads that wait for a Canary of their own, beside the Canaries' keys. */
const GATE_PREFIX = 'gate:'
/** What events under way get at the end (ms): the Lease is not released before. */
const EVENTS_GRACE_MS = 500
/** After this long a command whose author's rights could not be asked for is tried again (ms). */
const UNJUDGED_MS = 2_000
/** A watch needs about this long to bring what a write collided with. */
const CONFLICT_MS = 50

export function createAgent(options: AgentOptions): Agent {
  const { client, events, log, now, random, leads } = options
  const saved = createSavedStatuses(client, now)
  const timers = options.after ? { after: options.after } : {}
  const told = new Map<string, string>()
  /** By Canary: the generation whose metric sources were looked at. */
  const probed = new Map<string, number>()
  /** By Canary: routes that were asked for, until the status says so. */
  const unsavedRoutes = new Map<string, Routes>()
  let isLeading = false

  const enqueue = (key: string): void => { if (isLeading && leads(key)) queue.add(key) }
  const gateLater = (target: KubeObject): void => {
    const key = objectKey(target.metadata)
    if (isLeading && leads(key) && awaitsCanary(target)) queue.addAfter(`${GATE_PREFIX}${key}`, GRACE_MS)
  }
  const caches = createCaches({
    client, log, now, random, ...timers,
    routers: routerKinds(),
    wake: (key) => {
      const cached = caches.canary(key)
      if (cached) saved.seen(cached)
      // Another agent's: what it does matters to those who wait for their turn here.
      if (cached && !leads(key)) runs.settle(cached)
      enqueue(key)
    },
    governs: (workload) => policies.isGated(workload),
    missed(target) {
      if (!leads(objectKey(target.metadata))) return
      const message = `${target.metadata.name}.${target.metadata.namespace} was changed while CanaryGate's webhook was not reached: this revision rolls out ungated`
      log.warn({ target: objectKey(target.metadata) }, 'a change was missed')
      const item = { type: 'Warning', severity: 'warn', reason: 'CanaryGateMissed', message } as const
      void events.record(target, item)
      alertOver(target, item)
    },
    wakeUngated: (target) => gateLater(target),
  })
  const wait = (milliseconds: number, signal: AbortSignal): Promise<void> => pause(options.after ?? realAfter, milliseconds, signal)
  const telling = createTelling({
    client, events, http: options.http, httpThrough: options.httpThrough, onAlert: options.telemetry?.onAlert, log, now, random, wait, caches: () => caches,
    denialOf: (address) => denialOf(address, {}), eventWebhook: options.eventWebhook, clusterName: options.clusterName, alertReceiver: options.alertReceiver,
  })
  const alertOver = (target: KubeObject, item: News): void => telling.alert(canaryOver(target, caches), item)
  const rounds = createHookRounds({ http: options.httpForHooks ?? options.http, wait, random, onDone: enqueue })
  const policies = createPolicies({
    client, log, now, random, ...timers,
    labelsOf: (namespace) => caches.reader.get({ apiVersion: 'v1', kind: 'Namespace', name: namespace })?.metadata.labels,
    onChange(namespace) {
      if (!isLeading) return
      for (const { metadata } of caches.canaries()) if ((namespace === undefined || metadata.namespace === namespace) && leads(objectKey(metadata))) queue.add(objectKey(metadata), 'low')
    },
  })
  const authority = createAuthority(accessReviewOf(client), log)
  const claims = createClaims({ client, caches })
  const failing = createFailing({ saved, announce: telling.announce, log, now })
  const runs = createRuns({ ...(options.isShared ? { shared: { now } } : {}), canaries: () => caches.canaries().map((canary) => saved.current(canary)), wake: (keys) => { for (const key of keys) enqueue(key) } })
  const proxies = (options.proxies ?? []).map((settings) => createProxies(settings, client, now))
  const vigil = createVigil({ http: options.http, caches, log, now, proxies })
  const measuring: Measuring = createMeasuring({ client, http: options.http, metricsServer: options.metricsServer, reach: (namespace) => policies.of(namespace).reach, caches, vigil, log, now, wait })

  const portsOf = (key: string): Ports => {
    const bound = log.child({ canary: key })
    const providerOf = (canary: Canary) => trafficProviderFor(canary, options.defaultProvider)
    const context = { policies, authority, runs }
    let commands: readonly CommandSeen[] = []
    let checked: Check | undefined
    let traffic: Traffic | undefined
    const withFindings = (status: CanaryStatus): CanaryStatus => withTraffic(withLastLook(status, checked, now()), traffic, now())
    return {
      now,
      canary: (of) => {
        const cached = caches.canary(of)
        return cached && policies.governed(withOwnStatus(saved.current(cached), caches))
      },
      observe(canary, at, found) {
        const seen = observe(canary, caches, providerOf(canary), at, found)
        commands = seen.commands
        return underPolicy(canary, { ...seen, unsavedRoutes: unsavedRoutes.get(key) }, at, context)
      },
      async look(canary, seen, why) {
        await judgeCommands(canary, commands, seen, now(), context)
        const looked = await vigil.look(canary, seen, why)
        traffic = looked.judgement?.traffic
        return looked
      },
      async measure(canary, seen) {
        const begunAt = now()
        checked = await measuring.measure(canary, seen, providerOf(canary).name)
        options.telemetry?.onChecked(canary, checked.metrics, (now() - begunAt) / 1_000)
        return checked
      },
      apply: async (canary, effect, seen) => {
        // Also one whose answer is lost may have been done.
        if (effect.kind === 'setRoutes') unsavedRoutes.set(key, effect.routes)
        await apply(canary, effect, seen, { client, caches, provider: providerOf(canary) })
      },
      saveStatus: async (canary, status) => {
        await saved.save(canary, withFindings(status))
        unsavedRoutes.delete(key)
      },
      deferStatus(canary, status) {
        if (!saved.defer(canary, withFindings(status))) return false
        unsavedRoutes.delete(key)
        return true
      },
      statusDueAt: saved.dueAt,
      announce(canary, item) {
        bound[item.type === 'Warning' ? 'warn' : 'info']({ reason: item.reason, message: item.message }, 'announced')
        options.telemetry?.onTold(canary, item)
        telling.announce(canary, item)
      },
      consultHooks: (canary, seen) => consultHooks(canary, seen, rounds, now()),
      isLeader: () => leads(key),
      log: bound,
    }
  }

  async function work(key: string): Promise<number | undefined> {
    if (!leads(key.startsWith(GATE_PREFIX) ? key.slice(GATE_PREFIX.length) : key)) {
      saved.forget(key)
      return undefined
    }
    if (key.startsWith(GATE_PREFIX)) {
      const { namespace, name } = splitKey(key.slice(GATE_PREFIX.length))
      const policy = policies.of(namespace)
      const { analysis, ...defaults } = gatedSpec(options.defaultAnalysis, policy, name)
      await gateTarget(namespace, name, { client, caches, events, alert: alertOver, defaultAnalysis: analysis, defaults, policyName: policy.defaultsFrom.join(', '), hasMetricsServer: options.metricsServer !== undefined, log })
      return undefined
    }
    const cached = caches.canary(key)
    if (!cached) {
      saved.forget(key)
      vigil.forget(key)
      authority.forget(key)
      runs.forget(key)
      failing.forget(key)
      rounds.forget(key)
      caches.configs.forget(key)
      told.delete(key)
      probed.delete(key)
      unsavedRoutes.delete(key)
      return undefined
    }
    try {
      // 0 is older than any generation: once it is initialized, its sources are asked.
      if (phaseOf(statusOf(cached)) === 'Initializing') probed.set(key, 0)
      await gateScaler(cached, { client, caches, events })
      const wakeAt = await reconcile(key, portsOf(key))
      failing.forget(key)
      tellHindrances(key)
      probeSources(key)
      const left = await repairClaims(cached.metadata.namespace ?? '')
      const again = left === 'more' ? 0 : wakeAt === undefined ? undefined : Math.max(0, wakeAt - now())
      return authority.isOpen(key) ? Math.min(again ?? UNJUDGED_MS, UNJUDGED_MS) : again
    } catch (err) {
      // Something is still being fetched, or somebody wrote first (a Gateway's status, a person, our own last write that the watch has yet to bring): look again.
      if (!isConflict(err) && !(err instanceof NotYetKnown)) {
        const canary = caches.canary(key)
        if (canary && leads(key)) await failing.tell(saved.current(canary), err)
        throw err
      }
      log.debug({ err, canary: key }, 'conflict')
      return CONFLICT_MS
    } finally {
      const last = caches.canary(key)
      if (last) runs.settle(saved.current(last))
    }
  }

  /** No rollout waits for it, and none fails with it: it is tried again at the next look. */
  async function repairClaims(namespace: string): Promise<'done' | 'more'> {
    try {
      return await claims.giveBack(namespace)
    } catch (err) {
      log.warn({ err, namespace }, 'fields of the user\'s could not be given back')
      return 'done'
    }
  }

  /** What the Canary asks for and cannot have: told when it begins, and once in the life of an agent. */
  function tellHindrances(key: string): void {
    const canary = caches.canary(key)
    if (!canary) return
    const found = hindrancesOf(canary, caches, options.defaultProvider)
    const all = found.map(({ message }) => message).join()
    if (told.get(key) === all || (all === '' && !told.has(key))) return
    told.set(key, all)
    for (const item of found) void events.record(canary, { type: 'Warning', ...item })
  }

  /**
   * A metric source that cannot be asked is told when a Canary is initialized and when it is edited at rest, not when the first release is held by it. Nobody
   * waits for the answer. What an agent finds at its start is not asked: thousands of Canaries would ask at once.
   */
  function probeSources(key: string): void {
    const cached = caches.canary(key)
    if (!cached || !isAtRest(statusOf(cached))) return
    const { generation = 0 } = cached.metadata
    const before = probed.get(key)
    probed.set(key, generation)
    if (before === undefined || before === generation) return
    void tellUnavailable(policies.governed(cached))
  }

  async function tellUnavailable(canary: Canary): Promise<void> {
    for (const { metric, reason } of await measuring.probe(canary, trafficProviderFor(canary, options.defaultProvider).name)) {
      void events.record(canary, { type: 'Warning', reason: 'CanaryMetricUnavailable', message: `Metric ${metric} cannot be asked: ${reason}. A rollout is held until it can.` })
    }
  }

  const statusOf = (cached: Canary): CanaryStatus => saved.current(cached).status ?? {}

  const queue = createQueue({ work, log, now, ...timers, ...(options.onWorked ? { onWorked: options.onWorked } : {}) })

  return {
    caches,
    queue,
    start() {
      policies.start()
      caches.start()
    },
    hasSynced: () => caches.hasSynced() && policies.hasSynced(),
    lead() {
      isLeading = true
      vigil.takeOver()
      for (const { metadata } of caches.canaries()) if (leads(objectKey(metadata))) queue.add(objectKey(metadata), 'low')
      for (const target of ungated(caches)) gateLater(target)
      queue.start()
    },
    async stop(deadlineMs) {
      isLeading = false
      await queue.shutdown(deadlineMs)
      await Promise.all([rounds.close(), telling.settle(EVENTS_GRACE_MS)])
      await Promise.all([caches.stop(), policies.stop()])
    },
    finishTelling: (graceMs) => telling.close(graceMs),
  }
}

/**
 * A status that an earlier Flagger wrote: its revisions are hashes that mean nothing here, and its phase may be in the middle of a run. What
 * serves is adopted anew. What it rolled back stays rolled back.
 */
function withOwnStatus(canary: Canary, caches: Caches): Canary {
  if (!canary.status?.phase || canary.status.gate) return canary
  const rolledBackRevision = canary.status.phase === 'Failed' ? requestedRevision(canary, caches) : undefined
  return { ...canary, status: rolledBackRevision === undefined ? {} : { gate: { rolledBackRevision } } }
}

function hindrancesOf(canary: Canary, caches: Caches, defaultProvider: string): readonly { readonly reason: string; readonly message: string }[] {
  const { metadata: { namespace }, spec: { autoscalerRef, targetRef } } = canary
  const unreadable = caches.configs.unreadable(canary).map((kind) => ({
    reason: 'CanaryConfigsUntracked',
    message: `the agent may not read ${kind}s in namespace ${namespace}: changes of those that ${targetRef.name} refers to are not gated; to have them tracked: ` +
      `kubectl -n ${namespace} create rolebinding canarygate-configs --clusterrole=canarygate-secret-tracker --serviceaccount=canarygate:canarygate-agent`,
  }))
  const isUnsplit = isServiceTarget(canary) && providerFor(canary.spec.provider ?? defaultProvider)?.supports.services === false
  const isScalerMissing = autoscalerRef !== undefined && scalerOf(canary, caches) === undefined
  return [...unreadable, ...(isUnsplit ? [{
    reason: 'CanaryUnsupported', message: `spec.targetRef: requests to Service ${targetRef.name} can only be split by a router; use provider traefik or gatewayapi:v1`,
  }] : []), ...(isScalerMissing ? [{
    reason: 'CanaryScalerMissing',
    message: `spec.autoscalerRef: ${autoscalerRef.kind} ${namespace}/${autoscalerRef.name} not found: the primary of ${targetRef.name} keeps its count until there is one`,
  }] : []), ...unnamedScaler(canary, caches)]
}

/** An autoscaler of the target that a person's Canary does not name: on its own it scales nothing any more, since the target has no pods. */
function unnamedScaler({ metadata: { namespace = '' }, spec: { autoscalerRef, gate, targetRef } }: Canary, caches: Caches): readonly { readonly reason: string; readonly message: string }[] {
  if (autoscalerRef || gate?.generated) return []
  const target = caches.reader.get({ apiVersion: 'apps/v1', kind: targetRef.kind, namespace, name: targetRef.name }) as Workload | undefined
  const found = target && discoverScaler(target, caches.reader)
  if (!found) return []
  return [{
    reason: 'CanaryScalerMissing',
    message: `${found.kind} ${namespace}/${found.name} scales ${targetRef.name}, which has no pods, and spec.autoscalerRef does not name it: the primary keeps its count; ` +
      `add {apiVersion: ${found.apiVersion}, kind: ${found.kind}, name: ${found.name}}`,
  }]
}

/** The Canary of a Deployment, or where it has none yet, one that names nobody to be alerted. */
function canaryOver({ metadata: { name, namespace = '' } }: KubeObject, caches: Caches): Canary {
  const [known] = caches.canariesOf(namespace, name).flatMap((key) => caches.canary(key) ?? [])
  return known ?? { apiVersion: FLAGGER_API_VERSION, kind: 'Canary', metadata: { name, namespace }, spec: { targetRef: { apiVersion: 'apps/v1', kind: 'Deployment', name }, analysis: {} } }
}

/** Workloads of gated namespaces that no Canary speaks of. */
function ungated(caches: Caches): readonly KubeObject[] {
  return caches.gatedWorkloads().filter(({ metadata }) => caches.canariesOf(metadata.namespace ?? '', metadata.name).length === 0)
}
