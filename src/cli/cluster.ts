import { existsSync } from 'node:fs'
import { homedir } from 'node:os'
import { performance } from 'node:perf_hooks'
import type { KubeObject } from '#api/objects.ts'
import { InputError } from '#cli/input.ts'
import { createKubeClient, type KubeClient } from '#kube/client.ts'
import { loadClusterConfig, type LoadOptions } from '#kube/config.ts'
import { isNotFound, KubeError } from '#kube/error.ts'

/** Which cluster: by `--kubeconfig` and `--context`, else the one that kubectl would talk to. */
export type Where = { readonly kubeconfig: string | undefined; readonly context: string | undefined }

export type Connection = {
  readonly client: KubeClient
  /** Of the context: what `-n` is when it is left out, as in kubectl. */
  readonly namespace: string
  /** What the API server refused, or that there was no answer, in words; any other fault as it is. */
  inWords(err: unknown): unknown
}

export type ClusterReader = {
  /** Of the kubeconfig's context. */
  readonly namespace?: string
  list(apiVersion: string, kind: string, namespace?: string): Promise<readonly KubeObject[]>
  close(): Promise<void>
}

export async function connect({ kubeconfig, context }: Where): Promise<Connection> {
  const found = kubeconfig === undefined ? usualConfig() : { kubeconfig }
  const config = await loadClusterConfig({ ...found, ...(context === undefined ? {} : { context }), now: () => performance.now() }).catch((err: unknown) => {
    throw new InputError(`${found.kubeconfig ?? 'service account'}: ${firstLine(err)}`)
  })
  return {
    client: createKubeClient(config, { userAgent: 'kubectl-canary', now: () => performance.now(), random: Math.random }),
    namespace: config.namespace,
    inWords: (err) => {
      if (!(err instanceof KubeError)) return err
      return new InputError(err.status === 0 ? `no answer from the API server ${config.server}: ${err.message}` : err.message, { cause: err })
    },
  }
}

/** As kubectl looks for it: files of KUBECONFIG that are not there are passed over, and a pod has its service account. */
function usualConfig(): Pick<LoadOptions, 'kubeconfig' | 'inCluster'> {
  const { KUBECONFIG, KUBERNETES_SERVICE_HOST: host, KUBERNETES_SERVICE_PORT: port = '443' } = process.env
  const files = (KUBECONFIG || `${homedir()}/.kube/config`).split(':').filter((path) => existsSync(path))
  if (files.length > 0) return { kubeconfig: files.join(':') }
  if (host) return { inCluster: { host, port } }
  throw new InputError(`no cluster to ask: ${KUBECONFIG ? `there is no file of KUBECONFIG (${KUBECONFIG})` : `KUBECONFIG is not set, and there is no ${homedir()}/.kube/config`}; say --kubeconfig FILE`)
}

/** A parser draws a picture of the place below its words. */
const firstLine = (err: unknown): string => (err instanceof Error ? err.message : String(err)).split('\n')[0]?.replace(/:$/, '') ?? ''

/** The same cluster, to be read only; kinds that it does not serve are empty. */
export async function connectReader(where: Where): Promise<ClusterReader> {
  const { client, namespace: own, inWords } = await connect(where)
  return {
    namespace: own,
    async list(apiVersion, kind, namespace) {
      try {
        return (await client.list(apiVersion, kind, namespace === undefined ? {} : { namespace })).items
      } catch (err) {
        if (isNotFound(err)) return []
        throw inWords(err)
      }
    },
    close: () => client.close(),
  }
}
