import { createHash } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import type { Credentials, ReadCredentials } from '#kube/credentials.ts'
import { clusterFromKubeconfig, parseKubeconfigs } from '#kube/kubeconfig.ts'

/** How to reach one API server and who we are there. No file is read on the way of a request. */
export type ClusterConfig = {
  /** Such as `https://10.0.0.1:443`, without a slash at its end. */
  readonly server: string
  /** Namespace of the context, or of the service account. */
  readonly namespace: string
  /** Present credentials: read again when older than a minute, as client-go does. */
  credentials(): Promise<Credentials>
  /** After a 401: the next `credentials` is read anew. */
  refresh(): void
}

export type LoadOptions = {
  /** Paths of kubeconfigs, separated as in KUBECONFIG (`:`); absent: the pod's service account. */
  readonly kubeconfig?: string
  readonly context?: string
  /** KUBERNETES_SERVICE_HOST and _PORT, as a pod gets them. Needed without `kubeconfig`. */
  readonly inCluster?: { readonly host: string; readonly port: string; readonly directory?: string }
  /** Unix or monotonic ms: only differences count. */
  readonly now: () => number
}

const SERVICE_ACCOUNT_DIRECTORY = '/var/run/secrets/kubernetes.io/serviceaccount'
/** A projected token is rotated at 80 % of its life, an hour at least: a minute late is early enough. */
const CREDENTIALS_MAX_AGE_MS = 60_000

/** Throws when the files are missing or make no sense: without an API server there is nothing to start. */
export async function loadClusterConfig(options: LoadOptions): Promise<ClusterConfig> {
  if (options.kubeconfig) {
    const paths = options.kubeconfig.split(':').filter((path) => path !== '')
    const texts = await Promise.all(paths.map(async (path) => ({ path, text: await readFile(path, 'utf8') })))
    const cluster = clusterFromKubeconfig(parseKubeconfigs(texts), options.context, texts)
    return clusterConfig(cluster.server, cluster.namespace, cluster.read, options.now)
  }
  if (!options.inCluster) throw new Error('neither a kubeconfig nor a service account to reach an API server with')
  const { host, port, directory = SERVICE_ACCOUNT_DIRECTORY } = options.inCluster
  const namespace = (await readFile(`${directory}/namespace`, 'utf8')).trim()
  const address = host.includes(':') ? `[${host}]` : host
  return clusterConfig(`https://${address}:${port}`, namespace, () => readServiceAccount(directory), options.now)
}

async function readServiceAccount(directory: string): Promise<Omit<Credentials, 'tlsVersion'>> {
  const [token, ca] = await Promise.all([readFile(`${directory}/token`, 'utf8'), readFile(`${directory}/ca.crt`, 'utf8')])
  return { headers: { authorization: `Bearer ${token.trim()}` }, tls: { ca } }
}

/** A config whose credentials are read at most once a minute, and by one reader at a time. */
export function clusterConfig(server: string, namespace: string, read: ReadCredentials, now: () => number): ClusterConfig {
  let kept: Credentials | undefined
  let readAt = -Infinity
  let reading: Promise<Credentials> | undefined

  const readNow = async (): Promise<Credentials> => {
    try {
      const fresh = await read()
      kept = { ...fresh, tlsVersion: createHash('sha256').update(JSON.stringify(fresh.tls)).digest('hex') }
      readAt = now()
      return kept
    } catch (err) {
      // A volume being swapped, a plugin that hangs: what worked a minute ago still works, or gets a 401 that asks again.
      if (kept && readAt !== -Infinity) return kept
      throw err
    } finally {
      reading = undefined
    }
  }
  return {
    server: server.replace(/\/+$/, ''),
    namespace,
    credentials: async () => (kept && now() - readAt < CREDENTIALS_MAX_AGE_MS ? kept : await (reading ??= readNow())),
    refresh: () => {
      readAt = -Infinity
    },
  }
}
