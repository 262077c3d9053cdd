/** How to reach one API server and who we are there. Nothing is read synchronously after `loadClusterConfig`. */
export type ClusterConfig = {
  /** Such as `https://10.0.0.1:443`, without a slash at its end. */
  readonly server: string
  /** Namespace of the context, or of the service account. */
  readonly namespace: string
  /** TLS options as they are now; `version` changes when they do, and connections must be made anew. */
  tls(): Promise<TlsState>
  /** Headers which say who we are. */
  authHeaders(): Promise<Readonly<Record<string, string>>>
  /** After a 401: the next `authHeaders` reads credentials anew. */
  refresh(): Promise<void>
}

export type TlsState = { readonly version: string; readonly options: TlsOptions }

export type TlsOptions = {
  readonly ca?: string
  readonly cert?: string
  readonly key?: string
  readonly servername?: string
  readonly rejectUnauthorized?: boolean
}

export type LoadOptions = {
  /** Path of a kubeconfig; absent: the service account of the pod. */
  readonly kubeconfig?: string
  readonly context?: string
  readonly now: () => number
}

export async function loadClusterConfig(_options: LoadOptions): Promise<ClusterConfig> {
  throw new Error('not written yet')
}
