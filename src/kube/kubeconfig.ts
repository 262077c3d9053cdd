import { readFile } from 'node:fs/promises'
import { dirname, resolve } from 'node:path'
import { parse } from 'yaml'
import type { Credentials, ReadCredentials, TlsOptions } from '#kube/credentials.ts'

/*
 * Ordinary kubeconfigs are read here, because loading client-node's KubeConfig costs half a second and 85 MB (it brings every
 * generated API), which a command line tool and a small agent would pay at every start. What needs its plugins gets it.
 */

type Named<Name extends string, T> = { readonly name: string } & { readonly [key in Name]?: T }

type KubeconfigCluster = {
  readonly server?: string
  readonly 'certificate-authority'?: string
  readonly 'certificate-authority-data'?: string
  readonly 'insecure-skip-tls-verify'?: boolean
  readonly 'tls-server-name'?: string
  readonly 'proxy-url'?: string
}

type KubeconfigUser = {
  readonly token?: string
  readonly tokenFile?: string
  readonly 'client-certificate'?: string
  readonly 'client-certificate-data'?: string
  readonly 'client-key'?: string
  readonly 'client-key-data'?: string
  readonly username?: string
  readonly password?: string
  readonly as?: string
  readonly 'as-uid'?: string
  readonly 'as-groups'?: readonly string[]
  readonly 'as-user-extra'?: Readonly<Record<string, readonly string[]>>
  readonly exec?: unknown
  readonly 'auth-provider'?: unknown
}

type KubeconfigContext = { readonly cluster?: string; readonly user?: string; readonly namespace?: string }

/** Several files as one: of equal names the first wins, as in kubectl. `directory` is what relative paths are relative to. */
export type Kubeconfig = {
  readonly currentContext: string | undefined
  readonly clusters: readonly (Named<'cluster', KubeconfigCluster> & { readonly directory: string })[]
  readonly users: readonly (Named<'user', KubeconfigUser> & { readonly directory: string })[]
  readonly contexts: readonly Named<'context', KubeconfigContext>[]
}

export type KubeconfigText = { readonly path: string; readonly text: string }
export type ReachableCluster = { readonly server: string; readonly namespace: string; readonly read: ReadCredentials }

export function parseKubeconfigs(texts: readonly KubeconfigText[]): Kubeconfig {
  const files = texts.map(({ path, text }) => {
    const told: unknown = parse(text)
    if (typeof told !== 'object' || told === null) throw new Error(`${path} is no kubeconfig`)
    const { clusters, users, contexts, 'current-context': currentContext } = told as Record<string, unknown>
    return { directory: dirname(path), clusters: listed(clusters), users: listed(users), contexts: listed(contexts), currentContext }
  })
  return {
    currentContext: files.map((file) => file.currentContext).find((name) => typeof name === 'string' && name !== '') as string | undefined,
    clusters: files.flatMap((file) => file.clusters.map((entry) => ({ ...entry, directory: file.directory }))),
    users: files.flatMap((file) => file.users.map((entry) => ({ ...entry, directory: file.directory }))),
    contexts: files.flatMap((file) => file.contexts),
  }
}

const listed = (value: unknown): readonly { readonly name: string }[] =>
  Array.isArray(value) ? value.filter((entry) => typeof entry?.name === 'string') : []

/** Throws when the context leads nowhere. `texts` are kept for credential plugins, which client-node runs. */
export function clusterFromKubeconfig(config: Kubeconfig, contextName: string | undefined, texts: readonly KubeconfigText[]): ReachableCluster {
  const wanted = contextName ?? config.currentContext
  const context = config.contexts.find(({ name }) => name === wanted)?.context
  if (!context) throw new Error(`kubeconfig has no context ${wanted ?? '(and names no current one)'}`)
  const cluster = config.clusters.find(({ name }) => name === context.cluster)
  if (!cluster?.cluster?.server) throw new Error(`kubeconfig has no server for cluster ${context.cluster}`)
  if (cluster.cluster['proxy-url']) throw new Error(`kubeconfig's cluster ${context.cluster} asks for a proxy, which is not supported`)
  const user = config.users.find(({ name }) => name === context.user)
  const usesPlugin = user?.user?.exec !== undefined || user?.user?.['auth-provider'] !== undefined
  return {
    server: cluster.cluster.server,
    namespace: context.namespace ?? 'default',
    read: usesPlugin && wanted ? () => readWithPlugin(texts, wanted) : async () => ({
      headers: await headersOf(user?.user ?? {}, user?.directory ?? '.'),
      tls: { ...(await clusterTls(cluster.cluster ?? {}, cluster.directory)), ...(await clientTls(user?.user ?? {}, user?.directory ?? '.')) },
    }),
  }
}

async function headersOf(user: KubeconfigUser, directory: string): Promise<Credentials['headers']> {
  const token = user.tokenFile ? (await readFile(resolve(directory, user.tokenFile), 'utf8')).trim() : user.token
  const basic = user.username ? Buffer.from(`${user.username}:${user.password ?? ''}`).toString('base64') : undefined
  return {
    ...(token ? { authorization: `Bearer ${token}` } : basic ? { authorization: `Basic ${basic}` } : {}),
    ...(user.as ? { 'impersonate-user': user.as } : {}),
    ...(user['as-uid'] ? { 'impersonate-uid': user['as-uid'] } : {}),
    ...(user['as-groups'] ? { 'impersonate-group': user['as-groups'] } : {}),
    // What a header's name may not hold is written as in a URL, and read so by the API server.
    ...Object.fromEntries(Object.entries(user['as-user-extra'] ?? {}).map(([key, values]) => [`impersonate-extra-${encodeURIComponent(key)}`, values])),
  }
}

async function clusterTls(cluster: KubeconfigCluster, directory: string): Promise<TlsOptions> {
  const ca = await pem(cluster['certificate-authority-data'], cluster['certificate-authority'], directory)
  return {
    ...(ca ? { ca } : {}),
    ...(cluster['tls-server-name'] ? { servername: cluster['tls-server-name'] } : {}),
    ...(cluster['insecure-skip-tls-verify'] ? { rejectUnauthorized: false } : {}),
  }
}

async function clientTls(user: KubeconfigUser, directory: string): Promise<TlsOptions> {
  const cert = await pem(user['client-certificate-data'], user['client-certificate'], directory)
  const key = await pem(user['client-key-data'], user['client-key'], directory)
  return { ...(cert ? { cert } : {}), ...(key ? { key } : {}) }
}

async function pem(data: string | undefined, path: string | undefined, directory: string): Promise<string | undefined> {
  if (data) return Buffer.from(data, 'base64').toString('utf8')
  return path ? await readFile(resolve(directory, path), 'utf8') : undefined
}

/** Runs the user's credential plugin. A new KubeConfig each time: an old one would answer a refused token from its cache. */
async function readWithPlugin(texts: readonly KubeconfigText[], context: string): Promise<Omit<Credentials, 'tlsVersion'>> {
  const { KubeConfig } = await import('@kubernetes/client-node')
  const config = new KubeConfig()
  // Put together by hand: mergeConfig throws on names that appear twice, where kubectl lets the first win.
  const [first, ...others] = texts
  if (first) config.loadFromFile(first.path)
  for (const { path } of others) {
    const more = new KubeConfig()
    more.loadFromFile(path)
    config.clusters = [...config.clusters, ...more.clusters]
    config.users = [...config.users, ...more.users]
    config.contexts = [...config.contexts, ...more.contexts]
  }
  config.setCurrentContext(context)
  const told: { headers?: Record<string, string>; auth?: string | null; ca?: unknown; cert?: unknown; key?: unknown; servername?: string; rejectUnauthorized?: boolean } = {}
  await config.applyToHTTPSOptions(told as Parameters<typeof config.applyToHTTPSOptions>[0])
  const text = (value: unknown): string | undefined => (value === undefined || value === null ? undefined : String(value))
  const [ca, cert, key] = [text(told.ca), text(told.cert), text(told.key)]
  return {
    headers: lowerCased(told.headers ?? {}),
    tls: {
      ...(ca ? { ca } : {}),
      ...(cert ? { cert } : {}),
      ...(key ? { key } : {}),
      ...(told.servername ? { servername: told.servername } : {}),
      ...(told.rejectUnauthorized === false ? { rejectUnauthorized: false } : {}),
    },
  }
}

const lowerCased = (headers: Record<string, string>): Record<string, string> =>
  Object.fromEntries(Object.entries(headers).map(([name, value]) => [name.toLowerCase(), value]))
