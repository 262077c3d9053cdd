import { createPrivateKey, X509Certificate } from 'node:crypto'

/** PEM texts of one certificate, or of a chain, with its key. */
export type KeyPair = { readonly cert: string; readonly key: string }

/** The Service whose name the API server connects to. */
export type ServingName = {
  readonly service: string
  readonly namespace: string
  /** Default `cluster.local`. */
  readonly clusterDomain?: string
}

/** What the API server demands: exactly `<service>.<namespace>.svc`. Common names have not counted for years. */
export const requiredName = ({ service, namespace }: ServingName): string => `${service}.${namespace}.svc`

/** All names that somebody inside the cluster may call us by. */
export const servingNames = ({ service, namespace, clusterDomain = 'cluster.local' }: ServingName): readonly string[] => [
  `${service}.${namespace}.svc`,
  `${service}.${namespace}`,
  service,
  `${service}.${namespace}.svc.${clusterDomain}`,
]

const PEM = /-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----\n?/g

/** The certificates of a PEM text, in its order. Throws when one of them is none. */
export const certificatesOf = (pem: string): readonly X509Certificate[] => (pem.match(PEM) ?? []).map((text) => new X509Certificate(text))

export const isKeyOf = (key: string, certificate: X509Certificate): boolean => {
  try {
    return certificate.checkPrivateKey(createPrivateKey(key))
  } catch {
    return false
  }
}

/** Whether `issuer` signed `certificate`: its name alone proves nothing. */
export const isIssuedBy = (certificate: X509Certificate, issuer: X509Certificate): boolean =>
  certificate.checkIssued(issuer) && certificate.verify(issuer.publicKey)

/** Unix ms. */
export const validFrom = (certificate: X509Certificate): number => certificate.validFromDate.getTime()
export const validTo = (certificate: X509Certificate): number => certificate.validToDate.getTime()
/** The time at which this share of a certificate's life is over. */
export const lifePoint = (certificate: X509Certificate, share: number): number =>
  validFrom(certificate) + (validTo(certificate) - validFrom(certificate)) * share

/** Only a SAN counts; a certificate without any must not fall back to its common name. */
export const coversName = (certificate: X509Certificate, name: string): boolean =>
  certificate.checkHost(name, { subject: 'never', wildcards: false }) === name
