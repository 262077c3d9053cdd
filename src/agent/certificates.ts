import { X509Certificate } from 'node:crypto'
import { connect } from 'node:tls'
import { FIELD_MANAGER, GATE_GROUP } from '#api/names.ts'
import type { KubeObject, ObjectRef } from '#api/objects.ts'
import { fromSecret, toSecret, trustedPem, type CertBundle } from '#certs/bundle.ts'
import { requiredName } from '#certs/certificate.ts'
import { caBundlePatch, foreignInjector, injectedPems } from '#certs/inject.ts'
import { createForgeIssuer } from '#certs/issue.ts'
import { nextStep, performStep, SETTLE_TIMES, type RotationFacts, type SettleTimes } from '#certs/rotation.ts'
import type { KubeClient } from '#kube/client.ts'
import type { After } from '#kube/clock.ts'
import type { Log } from '#kube/log.ts'
import { createQueue } from '#kube/queue.ts'
import { createReflector } from '#kube/reflector.ts'

export type CertificatesOptions = {
  readonly client: KubeClient
  /** CanaryGate's own namespace, and the name of its webhook's Service. */
  readonly namespace: string
  readonly service: string
  readonly isLeader: () => boolean
  readonly log: Log
  /** Unix ms. */
  readonly now: () => number
  readonly random: () => number
  readonly after?: After
  readonly settle?: SettleTimes
  /** Fingerprint of the certificate that a webhook pod serves, or undefined; by default the pod is asked. */
  readonly servedAt?: (address: string, servername: string) => Promise<string | undefined>
}

export type Certificates = { lead(): void; stop(): void }

const SECRET_NAME = 'canarygate-webhook-tls'
const CONFIGURATION_NAME = 'canarygate'
const PART_OF = 'app.kubernetes.io/part-of=canarygate'
const WEBHOOK_PODS = 'app.kubernetes.io/name=canarygate,app.kubernetes.io/component=webhook'
const WEBHOOK_PORT = 8443
const PROBE_MS = 2_000
/** On a webhook configuration, with the reason: a new CA and certificate now. Taken away when it has begun. */
const ANNOTATION_ROTATE = `${GATE_GROUP}/rotate-certificates`
const SYNC_POLL_MS = 50
const KEY = 'certificates'
/** At the latest, however far away the next renewal is (ms). */
const LOOK_AGAIN_MS = 3_600_000

/** Issues and renews the webhook's certificate, and keeps it trusted: an emptied caBundle is put back as soon as the watch tells of it. */
export function keepCertificates(options: CertificatesOptions): Certificates {
  const { client, namespace, service, isLeader, log, now, random, servedAt = fingerprintAt, settle = SETTLE_TIMES } = options
  const timers = options.after ? { after: options.after } : {}
  const issuer = createForgeIssuer()
  const name = { service, namespace }
  const place = { name: service, namespace }
  const queue = createQueue({ work: async () => await turn(), workers: 1, log, now, ...timers })
  const configurations = ['MutatingWebhookConfiguration', 'ValidatingWebhookConfiguration'].map((kind) => createReflector({
    client, apiVersion: 'admissionregistration.k8s.io/v1', kind, labelSelector: PART_OF, log, now, random, ...timers, onChange: () => queue.add(KEY),
  }))
  // A Secret that somebody deletes or empties is made anew at once: pods that start meanwhile would wait for it.
  const secrets = createReflector({
    client, apiVersion: 'v1', kind: 'Secret', namespace, fieldSelector: `metadata.name=${SECRET_NAME}`, log, now, random, ...timers,
    mayBeForbidden: true, unservedRetryMs: LOOK_AGAIN_MS, transform: ({ apiVersion, kind, metadata }) => ({ apiVersion, kind, metadata }), onChange: () => queue.add(KEY),
  })
  const ours = (): KubeObject[] => configurations.flatMap((reflector) => reflector.get(CONFIGURATION_NAME) ?? [])

  async function turn(): Promise<number | undefined> {
    if (!isLeader()) return undefined
    // Before these are known, a Secret that cert-manager looks after would be taken for one of ours that lost its key.
    if (!configurations.every((reflector) => reflector.hasSynced())) return SYNC_POLL_MS
    // cert-manager looks after both, or after nothing: two issuers would take turns for ever.
    if (ours().some((configuration) => foreignInjector(configuration))) return undefined
    const ref: ObjectRef = { apiVersion: 'v1', kind: 'Secret', namespace, name: SECRET_NAME }
    const stored = await client.get(ref)
    const found = fromSecret(stored)
    // Of a Secret that is lost, the pods still serve what they read from it.
    let bundle = found.trusted.length > 0 ? found : { ...found, trusted: [...new Set(ours().flatMap((configuration) => injectedPems(configuration, place)))] }
    let resource: Pick<KubeObject, 'metadata'> = stored ?? { metadata: { name: SECRET_NAME, namespace } }
    for (;;) {
      const step = nextStep(bundle, name, await factsOf(bundle), now(), settle)
      if (step.kind === 'keep') {
        await inject(bundle)
        return Math.min(Math.max(1_000, step.until - now()), LOOK_AGAIN_MS)
      }
      log.info({ step: step.kind, reason: step.reason }, 'certificates change')
      bundle = await performStep(step, bundle, name, issuer, now())
      if (!isLeader()) return undefined
      // Before the first leaf the Secret would make pods start with an empty certificate.
      if (!bundle.leaf) continue
      const secret = toSecret(bundle, resource)
      resource = resource.metadata.resourceVersion ? await client.replace(secret, { fieldManager: FIELD_MANAGER }) : await client.create(secret, { fieldManager: FIELD_MANAGER })
      // A crash before this asks for one rotation too many, which harms nobody.
      if (step.kind === 'introduce new CA') await forgetAsking()
    }
  }

  async function inject(bundle: CertBundle): Promise<void> {
    for (const configuration of ours()) {
      const patch = caBundlePatch(configuration, trustedPem(bundle), place)
      if (patch.length === 0 || !isLeader()) continue
      await client.patch({ apiVersion: configuration.apiVersion, kind: configuration.kind, name: CONFIGURATION_NAME }, patch, 'json', { fieldManager: FIELD_MANAGER })
      log.info({ kind: configuration.kind }, 'caBundle injected')
    }
  }

  const askedFor = ({ metadata }: KubeObject): string | undefined => metadata.annotations?.[ANNOTATION_ROTATE]

  async function forgetAsking(): Promise<void> {
    for (const { apiVersion, kind } of ours().filter((configuration) => askedFor(configuration) !== undefined)) {
      await client.patch({ apiVersion, kind, name: CONFIGURATION_NAME }, { metadata: { annotations: { [ANNOTATION_ROTATE]: null } } }, 'merge', { fieldManager: FIELD_MANAGER })
    }
  }

  async function factsOf(bundle: CertBundle): Promise<RotationFacts> {
    const isInjected = ours().length > 0 && ours().every((configuration) => caBundlePatch(configuration, trustedPem(bundle), place).length === 0)
    // Only a rotation under way needs to know what the pods serve.
    return { isInjected, askedFor: ours().map(askedFor).find((reason) => reason !== undefined), isServed: bundle.trusted.length > 1 && bundle.leaf !== undefined && (await isServedEverywhere(bundle.leaf.cert)) }
  }

  async function isServedEverywhere(certificate: string): Promise<boolean> {
    const wanted = new X509Certificate(certificate).fingerprint256
    const { items } = await client.list('v1', 'Pod', { namespace, labelSelector: WEBHOOK_PODS })
    const addresses = items.map((pod) => pod['status'] as PodStatus | undefined)
      .flatMap((status) => (status?.conditions?.some(({ type, status: value }) => type === 'Ready' && value === 'True') ? (status.podIP ?? []) : []))
    const served = await Promise.all(addresses.map((address) => servedAt(address, requiredName(name))))
    return served.every((fingerprint) => fingerprint === wanted)
  }

  return {
    lead() {
      for (const reflector of [...configurations, secrets]) reflector.start()
      queue.add(KEY)
      queue.start()
    },
    stop() {
      for (const reflector of [...configurations, secrets]) void reflector.stop()
      void queue.shutdown(PROBE_MS)
    },
  }
}

type PodStatus = { readonly podIP?: string; readonly conditions?: readonly { readonly type: string; readonly status: string }[] }

/** Fingerprint of the certificate that an address serves; undefined when it does not answer in time. */
function fingerprintAt(address: string, servername: string): Promise<string | undefined> {
  return new Promise((resolve) => {
    const socket = connect({ host: address, port: WEBHOOK_PORT, servername, rejectUnauthorized: false, timeout: PROBE_MS }, () => {
      resolve(socket.getPeerX509Certificate()?.fingerprint256)
      socket.end()
    })
    socket.once('timeout', () => socket.destroy(new Error('no answer')))
    socket.once('error', () => resolve(undefined))
  })
}
