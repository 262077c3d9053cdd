import { certificatesOf, coversName, isKeyOf, requiredName, validTo, type KeyPair, type ServingName } from '#certs/certificate.ts'

/**
 * Throws, saying what is wrong and what is needed, when the API server would refuse this serving certificate: to start with it would
 * turn every admission into a time-out, or, with failurePolicy Ignore, into none at all.
 */
export function refuseUnusable(pair: KeyPair, name: ServingName, now: number): void {
  const [leaf] = certificatesOf(pair.cert)
  const wanted = requiredName(name)
  if (!leaf) throw new Error('serving certificate: the file holds no certificate')
  if (!coversName(leaf, wanted))
    throw new Error(`serving certificate: it is for ${leaf.subjectAltName ?? 'no DNS name'}, but the API server will ask for DNS:${wanted}`)
  if (!isKeyOf(pair.key, leaf)) throw new Error('serving certificate: the key belongs to another certificate')
  if (validTo(leaf) <= now) throw new Error(`serving certificate: it expired at ${leaf.validTo}`)
}
