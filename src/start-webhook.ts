import { readFile, stat } from 'node:fs/promises'
import type { Canary } from '#api/canary.ts'
import { FLAGGER_API_VERSION, GATE_ENABLED, GATE_GROUP, LABEL_GATE } from '#api/names.ts'
import { objectKey, type KubeObject, type ObjectMeta, type ObjectReader } from '#api/objects.ts'
import { createAdmissionServer, type CertificatePair } from '#admission/server.ts'
import type { AdmissionState } from '#admission/state.ts'
import { refuseUnusable } from '#certs/refuse.ts'
import { createKubeClient } from '#kube/client.ts'
import { createReflector, type Reflector } from '#kube/reflector.ts'
import type { Runtime } from '#main.ts'
import { clusterConfigOf, readDefaults } from '#settings.ts'
import { evaluateCanary, evaluateObject } from '#policy/evaluate.ts'
import { capabilities } from '#traffic/registry.ts'

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
  const canaries = follow(FLAGGER_API_VERSION, 'Canary', {
    indexes: { target: (object) => [targetKey(object.metadata.namespace, (object as Canary).spec.targetRef.kind, (object as Canary).spec.targetRef.name)] },
  })
  const namespaces = follow('v1', 'Namespace', { transform: ({ apiVersion, kind, metadata }) => ({ apiVersion, kind, metadata }) })
  // Who is an adopted target and who a generated workload: a review of `scale` says neither.
  const workloads = follow('apps/v1', 'Deployment', { transform: ({ apiVersion, kind, metadata }) => ({ apiVersion, kind, metadata: marksOf(metadata) }) })
  const objects: ObjectReader = {
    get: (ref) => {
      const key = objectKey(ref)
      return ref.kind === 'Canary' ? canaries.get(key) : ref.kind === 'Deployment' ? workloads.get(key) : undefined
    },
    list: (_apiVersion, kind, namespace) => (kind === 'Canary' ? canaries.list(namespace) : []),
  }
  const reflectors = [canaries, namespaces, workloads]
  const defaultProvider = env['DEFAULT_PROVIDER'] ?? 'kubernetes'
  const state: AdmissionState = {
    synced: () => reflectors.every((reflector) => reflector.hasSynced()),
    canaryFor: (namespace, kind, name) => canaries.byIndex('target', targetKey(namespace, kind, name))[0] as Canary | undefined,
    isGated: (namespace) => namespaces.get(namespace)?.metadata.labels?.[LABEL_GATE] === GATE_ENABLED,
    defaultsFor: () => ({ spec: { targetRef: { apiVersion: 'apps/v1', kind: 'Deployment', name: '' }, analysis }, policyName: 'default' }),
    objects,
    ruleContext: () => ({ defaultProvider, providers: capabilities }),
  }
  const tls = await readPair(tlsDirectory)
  // A certificate for another name would make every review fail, silently where hooks fail open: better not to start.
  refuseUnusable(tls, { service: env['WEBHOOK_SERVICE'] ?? 'canarygate-webhook', namespace: ownNamespace }, now())
  const server = createAdmissionServer({
    state, log, now, random, ownNamespace,
    rules: { canary: evaluateCanary, object: (object: KubeObject, context) => evaluateObject(object, context), change: () => [] },
    agentUsers: [env['AGENT_USER'] ?? `system:serviceaccount:${ownNamespace}:canarygate-agent`],
    tls,
  })

  for (const reflector of reflectors) reflector.start()
  await server.app.listen({ host: '0.0.0.0', port: Number(env['HTTPS_PORT'] ?? PORT) })
  log.info({ port: PORT }, 'serving admission reviews')
  const stopPolling = pollPair(tlsDirectory, (pair) => server.setCertificate(pair), (err) => log.error({ err }, 'certificate cannot be read'))

  await new Promise<void>((resolve) => {
    stopping.addEventListener('abort', () => resolve(), { once: true })
    if (stopping.aborted) resolve()
  })
  stopPolling()
  await server.drain()
  await Promise.all(reflectors.map((reflector) => reflector.stop()))
  await client.close()
}

/** Our own labels and annotations alone: a few bytes for each of thousands of workloads. */
function marksOf({ name, namespace, resourceVersion, uid, labels, annotations }: ObjectMeta): ObjectMeta {
  const own = (marks: Readonly<Record<string, string>> = {}) => Object.fromEntries(Object.entries(marks).filter(([key]) => key.startsWith(`${GATE_GROUP}/`)))
  return {
    name, labels: own(labels), annotations: own(annotations),
    ...(namespace === undefined ? {} : { namespace }), ...(resourceVersion === undefined ? {} : { resourceVersion }), ...(uid === undefined ? {} : { uid }),
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
