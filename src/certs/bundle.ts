import type { KubeObject } from '#api/objects.ts'
import type { KeyPair } from '#certs/certificate.ts'

/** Everything that one Secret holds. PEM texts. */
export type CertBundle = {
  /** What serves now; undefined before the first was issued. */
  readonly leaf: KeyPair | undefined
  /** All CAs that are to be trusted, the newest first. */
  readonly trusted: readonly string[]
  /** Key of the newest CA. Older keys are not kept: nothing is signed with them any more. */
  readonly caKey: string | undefined
  /** Unix ms: when the newest CA was put into the bundle, and when the leaf was issued. */
  readonly introducedAt: number
  readonly leafIssuedAt: number
}

export const EMPTY_BUNDLE: CertBundle = { leaf: undefined, trusted: [], caKey: undefined, introducedAt: 0, leafIssuedAt: 0 }

const STATE_KEY = 'canarygate-rotation.json'
/** The state's form; another one is treated as absent, which only makes a rotation wait longer. */
const STATE_VERSION = 1
const PEM = /-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g

/** The certificates in a text, one by one. */
export const pemsIn = (text: string): string[] => (text.match(PEM) ?? []).map((pem) => `${pem}\n`)

/** What webhook configurations get, as PEM. */
export const trustedPem = ({ trusted }: CertBundle): string => trusted.map((pem) => `${pem.trim()}\n`).join('')

const encoded = (text: string): string => Buffer.from(text).toString('base64')

/** The Secret with this bundle; `of` is the Secret as read (so with its resourceVersion), or a new one's name. */
export function toSecret(bundle: CertBundle, of: Pick<KubeObject, 'metadata'> & { readonly type?: unknown }): KubeObject {
  const state = { version: STATE_VERSION, introducedAt: bundle.introducedAt, leafIssuedAt: bundle.leafIssuedAt }
  return {
    apiVersion: 'v1',
    kind: 'Secret',
    metadata: of.metadata,
    // A Secret's type can never change: one that was made by hand keeps its own.
    type: typeof of.type === 'string' ? of.type : 'kubernetes.io/tls',
    data: {
      // A Secret of this type must have both, even before the first leaf.
      'tls.crt': encoded(bundle.leaf?.cert ?? ''),
      'tls.key': encoded(bundle.leaf?.key ?? ''),
      'ca.crt': encoded(trustedPem(bundle)),
      'ca.key': encoded(bundle.caKey ?? ''),
      [STATE_KEY]: encoded(JSON.stringify(state)),
    },
  }
}

/** The bundle in a Secret; whatever is missing or unreadable is absent. Never throws: rotation makes anew what is not there. */
export function fromSecret(secret: KubeObject | undefined): CertBundle {
  const data = typeof secret?.['data'] === 'object' && secret['data'] !== null ? (secret['data'] as Readonly<Record<string, unknown>>) : {}
  const text = (key: string): string => {
    const value = data[key]
    return typeof value === 'string' ? Buffer.from(value, 'base64').toString('utf8') : ''
  }
  const [cert, key, caKey] = [text('tls.crt'), text('tls.key'), text('ca.key')]
  return {
    leaf: cert && key ? { cert, key } : undefined,
    trusted: pemsIn(text('ca.crt')),
    caKey: caKey || undefined,
    ...times(text(STATE_KEY)),
  }
}

function times(text: string): Pick<CertBundle, 'introducedAt' | 'leafIssuedAt'> {
  try {
    const { version, introducedAt, leafIssuedAt } = JSON.parse(text) as Readonly<Record<string, unknown>>
    if (version === STATE_VERSION && typeof introducedAt === 'number' && typeof leafIssuedAt === 'number') return { introducedAt, leafIssuedAt }
  } catch {
    // Somebody else's Secret, or none.
  }
  return { introducedAt: 0, leafIssuedAt: 0 }
}
