import { homedir } from 'node:os'
import { performance } from 'node:perf_hooks'
import { InputError } from '#cli/input.ts'
import type { ClusterReader } from '#cli/manifests.ts'
import { createKubeClient, type KubeClient } from '#kube/client.ts'
import { loadClusterConfig } from '#kube/config.ts'
import { isNotFound } from '#kube/error.ts'

/** The cluster that kubectl would talk to: `--kubeconfig`, then KUBECONFIG, then the home directory's. */
export async function connect(kubeconfig: string | undefined): Promise<KubeClient> {
  const path = kubeconfig ?? process.env['KUBECONFIG'] ?? `${homedir()}/.kube/config`
  const config = await loadClusterConfig({ kubeconfig: path, now: () => performance.now() }).catch((err: unknown) => {
    throw new InputError(`--kubeconfig ${path}: ${err instanceof Error ? err.message : String(err)}`)
  })
  return createKubeClient(config, { userAgent: 'kubectl-canary', now: () => performance.now(), random: Math.random })
}

/** The same cluster, to be read only; kinds that it does not serve are empty. */
export async function connectReader(kubeconfig: string | undefined): Promise<ClusterReader> {
  const client = await connect(kubeconfig)
  return {
    async list(apiVersion, kind, namespace) {
      try {
        return (await client.list(apiVersion, kind, namespace === undefined ? {} : { namespace })).items
      } catch (err) {
        if (isNotFound(err)) return []
        throw err
      }
    },
    close: () => client.close(),
  }
}
