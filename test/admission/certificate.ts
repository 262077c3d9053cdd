import { generateKeyPairSync } from 'node:crypto'
import forge from 'node-forge'
import type { CertificatePair } from '#admission/server.ts'

/** A self-signed pair for 127.0.0.1, for tests alone. */
export function selfSigned(commonName = 'localhost', notAfter = new Date('2040-01-01T00:00:00Z')): CertificatePair & { readonly key: string; readonly cert: string } {
  // Node makes an RSA key in a tenth of the time that node-forge takes.
  const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2_048, privateKeyEncoding: { type: 'pkcs1', format: 'pem' }, publicKeyEncoding: { type: 'spki', format: 'pem' } })
  const key = forge.pki.privateKeyFromPem(privateKey)
  const certificate = forge.pki.createCertificate()
  certificate.publicKey = forge.pki.setRsaPublicKey(key.n, key.e)
  certificate.serialNumber = '01'
  certificate.validity.notBefore = new Date('2020-01-01T00:00:00Z')
  certificate.validity.notAfter = notAfter
  const name = [{ name: 'commonName', value: commonName }]
  certificate.setSubject(name)
  certificate.setIssuer(name)
  certificate.setExtensions([{ name: 'subjectAltName', altNames: [{ type: 2, value: 'localhost' }, { type: 7, ip: '127.0.0.1' }] }])
  certificate.sign(key, forge.md.sha256.create())
  return { key: privateKey, cert: forge.pki.certificateToPem(certificate) }
}
