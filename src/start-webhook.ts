import { readFile, stat } from 'node:fs/promises'
import type { Canary } from '#api/canary.ts'
import { managedFieldsOf } from '#api/managed-fields.ts'
import { FLAGGER_API_VERSION, GATE_GROUP } from '#api/names.ts'
import { objectKey, type KubeObject, type ObjectReader, type Workload } from '#api/objects.ts'
import type { CanaryPolicy, ClusterCanaryPolicy } from '#api/policies.ts'
import { governedRules } from '#admission/governed.ts'
import { createAdmissionServer, type CertificatePair } from '#admission/server.ts'
import type { AdmissionState } from '#admission/state.ts'
import { refuseUnusable } from '#certs/refuse.ts'
import { createKubeClient } from '#kube/client.ts'
import { createReflector, type Reflector } from '#kube/reflector.ts'
import type { Runtime } from '#runtime.ts'
import { clusterConfigOf, readDefaults } from '#settings.ts'
import { GATE_API_VERSION } from '#policy/annotations.ts'
import { gatedSpec } from '#policy/defaults.ts'
import { renderFault } from '#metrics/canary-query.ts'
import { createGoverning } from '#policy/governing.ts'
import { capabilities } from '#traffic/registry.ts'
import { usageNow } from '#usage.ts'

const PORT = 8443
/** How often the mounted certificate is looked at (ms): the kubelet itself is slower. */
const CERTIFICATE_POLL_MS = 10_000

/** Runs the webhook until it is told to stop; it then drains without failing a request. */
export async function startWebhook({ env, log, now, monotonic, random, stopping }: Runtime): Promise<void> {
  const ownNamespace = env['POD_NAMESPACE'] ?? 'canarygate'
  const tlsDirectory = env['TLS_DIRECTORY'] ?? '/etc/canarygate-tls'
  const config = await clusterConfigOf(env, monotonic)
  const client = createKubeClient(config, { userAgent: 'canarygate-webhook', now: monotonic, random })
  const analysis = await readDefaults(env)

  const follow = (apiVersion: string, kind: string, more: Partial<Parameters<typeof createReflector>[0]> = {}): Reflector =>
    createReflector({ client, apiVersion, kind, log, now: monotonic, random, ...more })
  const changed = { onChange: () => governing.changed() }
  const reflectors = {
    Canary: follow(FLAGGER_API_VERSION, 'Canary', {
      indexes: { target: (object) => [targetKey(object.metadata.namespace, (object as Canary).spec.targetRef.kind, (object as Canary).spec.targetRef.name)] },
    }),
    Namespace: follow('v1', 'Namespace', { transform: ({ apiVersion, kind, metadata: { name, labels, resourceVersion, uid } }) =>
      ({ apiVersion, kind, metadata: { name, ...(labels ? { labels } : {}), ...(resourceVersion ? { resourceVersion } : {}), ...(uid ? { uid } : {}) } }) }),
    // Who is an adopted target and who a generated workload: a review of `scale` says neither.
    Deployment: follow('apps/v1', 'Deployment', { transform: (object) => sketchOf(object as Workload) }),
    // Whether the Canary names the one that scales its target.
    HorizontalPodAutoscaler: follow('autoscaling/v2', 'HorizontalPodAutoscaler', { transform: scalerSketchOf }),
    MetricTemplate: follow(FLAGGER_API_VERSION, 'MetricTemplate'),
    AlertProvider: follow(FLAGGER_API_VERSION, 'AlertProvider', { transform: ({ apiVersion, kind, metadata }) => ({ apiVersion, kind, metadata }) }),
    ClusterCanaryPolicy: follow(GATE_API_VERSION, 'ClusterCanaryPolicy', changed),
    CanaryPolicy: follow(GATE_API_VERSION, 'CanaryPolicy', changed),
  }
  const all = Object.values(reflectors)
  const cacheOf = (kind: string): Reflector | undefined => (Object.hasOwn(reflectors, kind) ? reflectors[kind as keyof typeof reflectors] : undefined)
  const governing = createGoverning({
    clusterPolicies: () => reflectors.ClusterCanaryPolicy.list() as readonly ClusterCanaryPolicy[],
    policiesOf: (namespace) => reflectors.CanaryPolicy.list(namespace) as readonly CanaryPolicy[],
    labelsOf: (namespace) => reflectors.Namespace.get(namespace)?.metadata.labels,
  })
  const objects: ObjectReader = {
    get: (ref) => cacheOf(ref.kind)?.get(objectKey(ref)),
    list: (_apiVersion, kind, namespace) => cacheOf(kind)?.list(namespace === '' ? undefined : namespace) ?? [],
  }
  const defaultProvider = env['DEFAULT_PROVIDER'] ?? 'kubernetes'
  const state: AdmissionState = {
    synced: () => all.every((reflector) => reflector.hasSynced()),
    canaryFor: (namespace, kind, name) => reflectors.Canary.byIndex('target', targetKey(namespace, kind, name))[0] as Canary | undefined,
    isGated: governing.isGated,
    defaultsFor(namespace) {
      const policy = governing.of(namespace)
      const targetRef = { apiVersion: 'apps/v1', kind: 'Deployment', name: '' } as const
      return { spec: { ...gatedSpec(analysis, policy), targetRef }, policyName: policy.defaultsFrom.join(', ') || 'default' }
    },
    objects,
    ruleContext: (namespace, canary) => ({
      defaultProvider, providers: capabilities, renderFault,
      cluster: {
        objects,
        target: canary?.spec.targetRef.kind === 'Deployment' ? reflectors.Deployment.get(`${namespace}/${canary.spec.targetRef.name}`) as Workload | undefined : undefined,
        canaries: reflectors.Canary.list(namespace) as readonly Canary[],
        knows: (kind) => cacheOf(kind)?.hasSynced() ?? false,
      },
    }),
  }
  const tls = await readPair(tlsDirectory)
  // A certificate for another name would make every review fail, silently where hooks fail open: better not to start.
  refuseUnusable(tls, { service: env['WEBHOOK_SERVICE'] ?? 'canarygate-webhook', namespace: ownNamespace }, now())
  const tracing = env['OTEL_EXPORTER_OTLP_ENDPOINT'] || env['OTEL_EXPORTER_OTLP_TRACES_ENDPOINT'] ? (await import('#tracing.ts')).createTracing(env, log) : undefined
  const server = createAdmissionServer({
    state, log, now, random, ownNamespace,
    rules: governedRules(governing, now),
    agentUsers: [env['AGENT_USER'] ?? `system:serviceaccount:${ownNamespace}:canarygate-agent`],
    tls, usage: usageNow, ...(tracing ? { tracing } : {}),
  })

  for (const reflector of all) reflector.start()
  await server.app.listen({ host: '0.0.0.0', port: Number(env['HTTPS_PORT'] ?? PORT) })
  log.info({ port: PORT }, 'serving admission reviews')
  const stopPolling = pollPair(tlsDirectory, (pair) => server.setCertificate(pair), (err) => log.error({ err }, 'certificate cannot be read'))

  await new Promise<void>((resolve) => {
    stopping.addEventListener('abort', () => resolve(), { once: true })
    if (stopping.aborted) resolve()
  })
  stopPolling()
  await server.drain()
  await tracing?.stop()
  await Promise.all(all.map((reflector) => reflector.stop()))
  await client.close()
}

/** What an autoscaler scales, and whose it is. */
function scalerSketchOf({ apiVersion, kind, metadata: { name, namespace, resourceVersion, ownerReferences }, spec }: KubeObject): KubeObject {
  return {
    apiVersion, kind,
    metadata: { name, ...(namespace ? { namespace } : {}), ...(resourceVersion ? { resourceVersion } : {}), ...(ownerReferences ? { ownerReferences } : {}) },
    spec: { scaleTargetRef: (spec as { readonly scaleTargetRef?: object } | undefined)?.scaleTargetRef },
  }
}

/** Our own labels and annotations, and the little that rules ask of a target: a few hundred bytes for each of thousands of workloads. */
function sketchOf({ apiVersion, kind, metadata, spec }: Workload): Workload {
  const { name, namespace, resourceVersion, uid, labels, annotations } = metadata
  // What the reflector has left of it: when break-glass was written.
  const managedFields = managedFieldsOf({ apiVersion, kind, metadata })
  const own = (marks: Readonly<Record<string, string>> = {}) => Object.fromEntries(Object.entries(marks).filter(([key]) => key.startsWith(`${GATE_GROUP}/`)))
  const { replicas, selector, strategy, progressDeadlineSeconds, minReadySeconds } = spec
  return {
    apiVersion, kind,
    metadata: {
      name, labels: own(labels), annotations: own(annotations),
      ...(namespace === undefined ? {} : { namespace }), ...(resourceVersion === undefined ? {} : { resourceVersion }), ...(uid === undefined ? {} : { uid }), ...(managedFields.length === 0 ? {} : { managedFields }),
    },
    spec: {
      selector, strategy,
      ...(replicas === undefined ? {} : { replicas }), ...(minReadySeconds === undefined ? {} : { minReadySeconds }),
      ...(progressDeadlineSeconds === undefined ? {} : { progressDeadlineSeconds }),
      template: { spec: { containers: spec.template.spec.containers.map((container) => ({ name: container.name, ...(container.ports ? { ports: container.ports } : {}) })) } },
    },
  }
}

const targetKey = (namespace: string | undefined, kind: string, name: string): string => `${namespace ?? ''}/${kind}/${name}`

async function readPair(directory: string): Promise<{ readonly cert: string; readonly key: string }> {
  const [cert, key] = await Promise.all([readFile(`${directory}/tls.crt`, 'utf8'), readFile(`${directory}/tls.key`, 'utf8')])
  return { cert, key }
}

/** Calls back with a pair whenever the mounted files change. The kubelet swaps both at once, by a symlink. */
function pollPair(directory: string, onChange: (pair: CertificatePair) => void, onError: (err: unknown) => void): () => void {
  let last: number | undefined
  const look = async (): Promise<void> => {
    const { mtimeMs } = await stat(`${directory}/tls.crt`)
    if (last !== undefined && mtimeMs !== last) onChange(await readPair(directory))
    last = mtimeMs
  }
  const timer = setInterval(() => { look().catch(onError) }, CERTIFICATE_POLL_MS)
  look().catch(onError)
  return () => clearInterval(timer)
}
