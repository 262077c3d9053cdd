import { generateKeyPair, randomBytes, X509Certificate } from 'node:crypto'
import { promisify } from 'node:util'
import type { pki } from 'node-forge'
import { coversName, isIssuedBy, isKeyOf, servingNames, validTo, type KeyPair, type ServingName } from '#certs/certificate.ts'

/** Makes certificates. What it answers has been checked by another implementation than the one which made it. */
export type CertIssuer = {
  issueCa(now: number): Promise<KeyPair>
  issueLeaf(ca: KeyPair, name: ServingName, now: number): Promise<KeyPair>
}

const DAY_MS = 24 * 3_600_000
const CA_DAYS = 5 * 365
const LEAF_DAYS = 60
/** Clocks of the API servers may be behind ours. */
const BACK_DATED_MS = 5 * 60_000
const RSA_BITS = 2_048
const SERIAL_BYTES = 16

const generateKeys = promisify(generateKeyPair)

/** RSA-2048, by node-forge: loaded when something is issued, since a process that only serves never needs it. */
export function createForgeIssuer(): CertIssuer {
  return {
    issueCa: async (now) => {
      const serial = serialNumber()
      // Two CAs side by side need two names, or a verifier may try the wrong one.
      const name = [{ name: 'commonName', value: `canarygate-ca-${serial.slice(0, 8)}` }]
      const made = await signed({ now, days: CA_DAYS, serial, subject: name, issuer: undefined, extensions: () => [
        { name: 'basicConstraints', cA: true, critical: true },
        { name: 'keyUsage', keyCertSign: true, cRLSign: true, critical: true },
        { name: 'subjectKeyIdentifier' },
      ] })
      const ca = new X509Certificate(made.cert)
      mustBe(ca.ca && isIssuedBy(ca, ca), 'a CA that signs itself')
      mustBe(isKeyOf(made.key, ca), 'a CA with its key')
      return made
    },
    issueLeaf: async (ca, name, now) => {
      const names = servingNames(name)
      const made = await signed({ now, days: LEAF_DAYS, serial: serialNumber(), subject: [{ name: 'commonName', value: name.service.slice(0, 64) }], issuer: ca, extensions: (issuerKeyId) => [
        { name: 'basicConstraints', cA: false, critical: true },
        { name: 'keyUsage', digitalSignature: true, keyEncipherment: true, critical: true },
        { name: 'extKeyUsage', serverAuth: true },
        { name: 'subjectAltName', altNames: names.map((value) => ({ type: DNS_NAME, value })) },
        { name: 'subjectKeyIdentifier' },
        { name: 'authorityKeyIdentifier', keyIdentifier: issuerKeyId },
      ] })
      const leaf = new X509Certificate(made.cert)
      const authority = new X509Certificate(ca.cert)
      mustBe(isIssuedBy(leaf, authority), 'a leaf signed by its CA')
      mustBe(isKeyOf(made.key, leaf), 'a leaf with its key')
      mustBe(names.every((wanted) => coversName(leaf, wanted)), `a leaf for ${names.join(', ')}`)
      mustBe(validTo(leaf) <= validTo(authority), 'a leaf that ends before its CA')
      return made
    },
  }
}

/** GeneralName's tag in RFC 5280. */
const DNS_NAME = 2

type Wanted = {
  readonly now: number
  readonly days: number
  readonly serial: string
  readonly subject: pki.CertificateField[]
  /** Undefined: it signs itself. */
  readonly issuer: KeyPair | undefined
  readonly extensions: (issuerKeyId: string) => object[]
}

async function signed({ now, days, serial, subject, issuer, extensions }: Wanted): Promise<KeyPair> {
  const { default: forge } = await import('node-forge')
  // Made by OpenSSL off the main thread: forge alone would block it for seconds.
  const keys = await generateKeys('rsa', {
    modulusLength: RSA_BITS,
    publicKeyEncoding: { type: 'spki', format: 'pem' },
    privateKeyEncoding: { type: 'pkcs1', format: 'pem' },
  })
  const authority = issuer && { cert: forge.pki.certificateFromPem(issuer.cert), key: forge.pki.privateKeyFromPem(issuer.key) }
  const certificate = forge.pki.createCertificate()
  certificate.publicKey = forge.pki.publicKeyFromPem(keys.publicKey)
  certificate.serialNumber = serial
  certificate.validity.notBefore = new Date(now - BACK_DATED_MS)
  const end = now + days * DAY_MS
  certificate.validity.notAfter = new Date(authority ? Math.min(end, authority.cert.validity.notAfter.getTime()) : end)
  certificate.setSubject(subject)
  certificate.setIssuer(authority ? authority.cert.subject.attributes : subject)
  certificate.setExtensions(extensions((authority?.cert ?? certificate).generateSubjectKeyIdentifier().getBytes()))
  certificate.sign(authority?.key ?? forge.pki.privateKeyFromPem(keys.privateKey), forge.md.sha256.create())
  return { cert: forge.pki.certificateToPem(certificate).replaceAll('\r\n', '\n'), key: keys.privateKey }
}

/** Hex. Forge writes it as it is: a set top bit would be a negative number, which Go refuses, and leading zeros are no DER. */
function serialNumber(): string {
  const bytes = randomBytes(SERIAL_BYTES)
  bytes[0] = ((bytes[0] ?? 0) & 0x7f) | 0x40
  return bytes.toString('hex')
}

function mustBe(isSo: boolean, what: string): void {
  if (!isSo) throw new Error(`certificate issued wrongly: it should be ${what}`)
}
