/** Who we are to an API server, and how its connections are made. */

export type Credentials = {
  /** A header with several values stands on several lines. */
  readonly headers: Readonly<Record<string, string | readonly string[]>>
  readonly tls: TlsOptions
  /** Changes with `tls`: connections must then be made anew. */
  readonly tlsVersion: string
}

export type TlsOptions = {
  readonly ca?: string
  readonly cert?: string
  readonly key?: string
  readonly servername?: string
  readonly rejectUnauthorized?: boolean
}

/** What one reading of files, or one run of a credential plugin, gives. */
export type ReadCredentials = () => Promise<Omit<Credentials, 'tlsVersion'>>
