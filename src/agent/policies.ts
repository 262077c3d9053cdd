import type { Canary } from '#api/canary.ts'
import type { KubeObject } from '#api/objects.ts'
import type { CanaryPolicy, ClusterCanaryPolicy } from '#api/policies.ts'
import { GATE_API_VERSION } from '#policy/annotations.ts'
import { withDefaults } from '#policy/defaults.ts'
import { createGoverning, type Governing } from '#policy/governing.ts'
import type { KubeClient } from '#kube/client.ts'
import type { After } from '#kube/clock.ts'
import type { Log } from '#kube/log.ts'
import { createReflector } from '#kube/reflector.ts'

export type PoliciesOptions = {
  readonly client: KubeClient
  readonly labelsOf: (namespace: string) => Readonly<Record<string, string>> | undefined
  /** A policy changed: of one namespace, or of all when undefined. */
  readonly onChange: (namespace: string | undefined) => void
  readonly log: Log
  readonly now: () => number
  readonly random: () => number
  readonly after?: After
}

export type Policies = Governing & {
  start(): void
  stop(): Promise<void>
  hasSynced(): boolean
  /** The Canary with what its policies give where it says nothing. */
  governed(canary: Canary): Canary
}

/** The policies of the cluster, followed by watches. Where their CRDs are missing there are none. */
export function createPolicies({ client, labelsOf, onChange, log, now, random, after }: PoliciesOptions): Policies {
  const follow = (kind: string) => createReflector({
    client, apiVersion: GATE_API_VERSION, kind, log, now, random, ...(after ? { after } : {}),
    onChange(_, object: KubeObject) {
      governing.changed()
      onChange(object.metadata.namespace)
    },
  })
  const [cluster, namespaced] = [follow('ClusterCanaryPolicy'), follow('CanaryPolicy')]
  const governing = createGoverning({
    clusterPolicies: () => cluster.list() as readonly ClusterCanaryPolicy[],
    policiesOf: (namespace) => namespaced.list(namespace) as readonly CanaryPolicy[],
    labelsOf,
  })
  return {
    ...governing,
    start() {
      cluster.start()
      namespaced.start()
    },
    async stop() { await Promise.all([cluster.stop(), namespaced.stop()]) },
    hasSynced: () => cluster.hasSynced() && namespaced.hasSynced(),
    governed(canary) {
      const spec = withDefaults(canary.spec, governing.of(canary.metadata.namespace ?? '').defaults)
      return spec === canary.spec ? canary : { ...canary, spec }
    },
  }
}
