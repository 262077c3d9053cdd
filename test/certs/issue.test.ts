import { execFile } from 'node:child_process'
import { X509Certificate } from 'node:crypto'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { connect, createServer } from 'node:tls'
import { promisify } from 'node:util'
import { test } from 'tap'
import { createForgeIssuer } from '#certs/issue.ts'
import { refuseUnusable } from '#certs/refuse.ts'

const NOW = Date.UTC(2026, 0, 1)
const DAY = 86_400_000
const name = { service: 'canarygate', namespace: 'gate' }
const issuer = createForgeIssuer()
const ca = await issuer.issueCa(NOW)
const leaf = await issuer.issueLeaf(ca, name, NOW)

/** Content bytes of the certificate's serial number in DER. */
function serialBytes(certificate: X509Certificate): Buffer {
  const der = certificate.raw
  const at = der.indexOf(Buffer.from([0xa0, 0x03, 0x02, 0x01, 0x02, 0x02])) + 6
  return der.subarray(at + 1, at + 1 + (der[at] ?? 0))
}

test('a leaf serves a TLS client that trusts the CA, by each of its names', async (t) => {
  // The only test that needs the present time: OpenSSL looks at its own clock.
  const fresh = await issuer.issueCa(Date.now())
  const pair = await issuer.issueLeaf(fresh, name, Date.now())
  const server = createServer({ cert: pair.cert, key: pair.key }, (socket) => socket.end('ok'))
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  t.teardown(() => void server.close())
  const { port } = server.address() as AddressInfo
  for (const servername of ['canarygate.gate.svc', 'canarygate.gate', 'canarygate', 'canarygate.gate.svc.cluster.local']) {
    const told = await new Promise<string>((resolve) => {
      const socket = connect({ host: '127.0.0.1', port, servername, ca: fresh.cert }, () => { resolve('trusted'); socket.destroy() })
      socket.on('error', (err) => resolve(err.message))
    })
    t.equal(told, 'trusted', servername)
  }
})

test('openssl accepts the chain for a server', async (t) => {
  const run = promisify(execFile)
  const found = await run('openssl', ['version']).catch(() => undefined)
  if (!found) return void t.pass('no openssl here: nothing to ask')
  const directory = await mkdtemp(`${tmpdir()}/certs-`)
  t.teardown(async () => await rm(directory, { recursive: true }))
  await writeFile(`${directory}/ca.pem`, ca.cert)
  await writeFile(`${directory}/leaf.pem`, leaf.cert)
  const args = ['verify', '-x509_strict', '-purpose', 'sslserver', '-verify_hostname', 'canarygate.gate.svc', '-attime', String(NOW / 1_000), '-CAfile', `${directory}/ca.pem`, `${directory}/leaf.pem`]
  t.match((await run('openssl', args)).stdout, /: OK/)
})

test('a CA lives five years, a leaf sixty days, both begin five minutes ago', async (t) => {
  const [authority, certificate] = [new X509Certificate(ca.cert), new X509Certificate(leaf.cert)]
  t.equal(authority.validFromDate.getTime(), NOW - 300_000)
  t.equal(authority.validToDate.getTime(), NOW + 1_825 * DAY)
  t.equal(certificate.validToDate.getTime(), NOW + 60 * DAY)
  t.equal(authority.ca, true)
  t.equal(certificate.ca, false)
  t.same(certificate.keyUsage, ['1.3.6.1.5.5.7.3.1'], 'server authentication alone')
})

test('a leaf never outlives its CA', async (t) => {
  const late = await issuer.issueLeaf(ca, name, NOW + 1_820 * DAY)
  t.equal(new X509Certificate(late.cert).validToDate.getTime(), NOW + 1_825 * DAY)
})

test('serial numbers are positive, sixteen bytes, and never the same', async (t) => {
  const serials = [ca, leaf, await issuer.issueLeaf(ca, name, NOW)].map(({ cert }) => serialBytes(new X509Certificate(cert)))
  for (const serial of serials) {
    t.equal(serial.length, 16)
    t.ok((serial[0] ?? 0) >= 0x40 && (serial[0] ?? 0) < 0x80, 'the top bit is clear, the first byte is not zero')
  }
  t.equal(new Set(serials.map((serial) => serial.toString('hex'))).size, 3)
})

test('a leaf is not made with the key of another CA', async (t) => {
  const other = await issuer.issueCa(NOW)
  await t.rejects(issuer.issueLeaf({ cert: ca.cert, key: other.key }, name, NOW), { message: /issued wrongly/ })
})

test('a serving certificate that the API server would refuse is refused at start, with the reason', async (t) => {
  const other = await issuer.issueLeaf(ca, { service: 'canarygate', namespace: 'elsewhere' }, NOW)
  const rows = [
    { name: 'the right one', pair: leaf, now: NOW, error: undefined },
    { name: 'of another namespace', pair: other, now: NOW, error: /it is for DNS:canarygate\.elsewhere\.svc.*will ask for DNS:canarygate\.gate\.svc/ },
    { name: 'a CA without names', pair: ca, now: NOW, error: /it is for no DNS name/ },
    { name: 'with a foreign key', pair: { cert: leaf.cert, key: other.key }, now: NOW, error: /key belongs to another/ },
    { name: 'with a broken key', pair: { cert: leaf.cert, key: 'no key' }, now: NOW, error: /key belongs to another/ },
    { name: 'expired', pair: leaf, now: NOW + 61 * DAY, error: /expired/ },
    { name: 'empty', pair: { cert: '', key: '' }, now: NOW, error: /no certificate/ },
  ]
  for (const { name: what, pair, now, error } of rows) {
    if (error) t.throws(() => refuseUnusable(pair, name, now), { message: error }, what)
    else t.doesNotThrow(() => refuseUnusable(pair, name, now), what)
  }
})

test('node-forge is not loaded by what the webhook imports', async (t) => {
  const run = promisify(execFile)
  const script = `
    import { registerHooks } from 'node:module'
    registerHooks({ resolve(specifier, context, next) { if (specifier === 'node-forge') throw new Error('node-forge was loaded'); return next(specifier, context) } })
    for (const file of ['issue', 'refuse', 'rotation', 'bundle', 'inject', 'certificate']) await import('#certs/' + file + '.ts')
  `
  const { stderr } = await run(process.execPath, ['--no-warnings', '--input-type=module', '-e', script], { cwd: new URL('../..', import.meta.url) })
  t.equal(stderr, '')
})
