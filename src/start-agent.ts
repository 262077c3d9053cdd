import { randomUUID } from 'node:crypto'
import { setFlagsFromString } from 'node:v8'
import { createAgent } from '#agent/agent.ts'
import { keepCertificates } from '#agent/certificates.ts'
import { createHealthServer } from '#agent/health.ts'
import { proxiesIn } from '#agent/proxies.ts'
import { createShards } from '#agent/shards.ts'
import { createTelemetry } from '#agent/telemetry.ts'
import { SETTLE_TIMES } from '#certs/rotation.ts'
import { createKubeClient } from '#kube/client.ts'
import { createEventRecorder } from '#kube/events.ts'
import { createHttp } from '#metrics/http.ts'
import type { Runtime } from '#runtime.ts'
import { alertReceiverOf, clusterConfigOf, durationOf, positiveOf, readDefaults } from '#settings.ts'
import { usageNow } from '#usage.ts'
import manifest from '../package.json' with { type: 'json' }

/** What running effects get to finish after SIGTERM, before the Lease is released all the same (ms). */
const DRAIN_MS = 5_000
/** What alerts under way get when the Lease is free (ms): two attempts, and well within the pod's 30 s. */
const TELLING_MS = 12_000
const LEASE_NAME = 'canarygate-agent'
/**
 * Requests a second that the agent allows itself: 200 runs that begin in one moment make some 3,000 in their first seconds. The API server protects itself, by priority and fairness,
 * and its 429s are obeyed; this is against a fault of our own.
 */
const DEFAULT_QPS = 400
/** How many at once after a quiet time, in seconds' worth of requests. */
const BURST_SECONDS = 2

/** Everybody's hooks go to one load tester, and some take a minute to answer: none is to spend its time waiting for a connection. */
const HOOK_CONNECTIONS = 1_000

/** Runs the agent until it is told to stop, or until it lost a Lease: then another leads, and this one starts afresh. */
export async function startAgent({ env, log, now, monotonic, random, stopping }: Runtime): Promise<void> {
  // It keeps much and computes little: V8 is to collect before it grows. What the first lists leave behind is never collected otherwise, since an
  // idle agent allocates nothing (1,640 idle Canaries: 148 MiB instead of 280).
  setFlagsFromString('--optimize-for-size')
  const namespace = env['POD_NAMESPACE'] ?? 'canarygate'
  const pod = env['POD_NAME'] ?? 'canarygate-agent'
  const config = await clusterConfigOf(env, monotonic)
  const defaultProvider = env['DEFAULT_PROVIDER'] ?? 'kubernetes'
  const telemetry = createTelemetry({
    caches: () => agent?.caches, queue: () => agent?.queue, isLeader: () => shards?.isHolding() ?? false, leads: (key) => shards?.leads(key) ?? false,
    usage: usageNow, version: manifest.version, defaultProvider,
  })
  const qps = positiveOf(env, 'API_QPS', DEFAULT_QPS)
  const client = createKubeClient(config, { userAgent: 'canarygate-agent', qps, burst: qps * BURST_SECONDS, now: monotonic, random, onRequest: telemetry.onRequest })
  const { http, through, close } = createHttp()
  const hooks = createHttp({ connections: HOOK_CONNECTIONS })
  const lost = new AbortController()
  const count = Number(env['SHARDS'] ?? '1')
  const settle = { trustMs: durationOf(env, 'CERTIFICATE_TRUST_SETTLES', SETTLE_TIMES.trustMs), leafMs: durationOf(env, 'CERTIFICATE_LEAF_SETTLES', SETTLE_TIMES.leafMs) }

  const agent = createAgent({
    client, http, httpForHooks: hooks.http, httpThrough: through, telemetry, log, now, random,
    events: createEventRecorder({ client, component: 'canarygate', instance: pod, log, now, random }),
    defaultProvider,
    metricsServer: env['METRICS_SERVER'],
    proxies: proxiesIn(env),
    eventWebhook: env['EVENT_WEBHOOK_URL'] ?? env['EVENT_WEBHOOK'],
    alertReceiver: alertReceiverOf(env),
    clusterName: env['CLUSTER_NAME'],
    defaultAnalysis: await readDefaults(env),
    leads: (key) => shards.leads(key),
    isShared: count > 1,
  })
  const shards = createShards({
    client, namespace, name: LEASE_NAME, identity: `${pod}_${randomUUID()}`, count, log, now, monotonic, random,
    onStarted: () => {
      void begin()
    },
    onStopped: (reason) => {
      if (!stopping.aborted) log.warn({ reason }, 'leadership lost')
      lost.abort()
    },
  })
  const begin = async (): Promise<void> => {
    await whenSynced(agent.hasSynced, stopping)
    if (stopping.aborted) return
    agent.lead()
    if (shards.holds(0)) certificates.lead()
  }
  const certificates = keepCertificates({ client, namespace, service: env['WEBHOOK_SERVICE'] ?? 'canarygate-webhook', isLeader: () => shards.holds(0), log, now, random, settle })
  const health = createHealthServer({ isReady: () => agent.hasSynced(), metrics: () => telemetry.render() })

  agent.start()
  await health.listen({ host: '0.0.0.0', port: Number(env['HTTP_PORT'] ?? '8080') })
  await whenSynced(agent.hasSynced, stopping)
  shards.start()
  await new Promise<void>((resolve) => {
    for (const signal of [stopping, lost.signal]) signal.addEventListener('abort', () => resolve(), { once: true })
    if (stopping.aborted) resolve()
  })

  certificates.stop()
  await agent.stop(DRAIN_MS)
  await shards.stop() // only now: nothing runs any more that a second leader could meet
  await agent.finishTelling(TELLING_MS)
  await Promise.all([health.close(), close(), hooks.close(), client.close()])
}

async function whenSynced(hasSynced: () => boolean, signal: AbortSignal): Promise<void> {
  while (!hasSynced() && !signal.aborted) await new Promise((resolve) => { setTimeout(resolve, 20) })
}
