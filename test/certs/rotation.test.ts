import { X509Certificate } from 'node:crypto'
import { test } from 'tap'
import { EMPTY_BUNDLE, fromSecret, toSecret, trustedPem, type CertBundle } from '#certs/bundle.ts'
import { certificatesOf, coversName, isIssuedBy, type KeyPair } from '#certs/certificate.ts'
import { createForgeIssuer, type CertIssuer } from '#certs/issue.ts'
import { LEAF_SETTLES_MS, nextStep, performStep, TRUST_SETTLES_MS, type RotationFacts } from '#certs/rotation.ts'

const NOW = Date.UTC(2026, 0, 1)
const DAY = 86_400_000
const name = { service: 'canarygate', namespace: 'gate' }
const issuer = createForgeIssuer()
const settled: RotationFacts = { isInjected: true, isServed: true }

const fresh = async (now: number): Promise<CertBundle> => {
  const withCa = await performStep({ kind: 'introduce new CA', reason: '' }, EMPTY_BUNDLE, name, issuer, now)
  return await performStep({ kind: 'issue leaf', reason: '' }, withCa, name, issuer, now)
}
const bundle = await fresh(NOW)
const twoCas = await performStep({ kind: 'introduce new CA', reason: '' }, bundle, name, issuer, NOW + 1_217 * DAY)
const foreign = await issuer.issueLeaf({ cert: bundle.trusted[0] ?? '', key: bundle.caKey ?? '' }, { service: 'other', namespace: 'gate' }, NOW)
const otherCa = await fresh(NOW)

const withLeaf = (leaf: KeyPair | undefined): CertBundle => ({ ...bundle, leaf })
// The leaf of the two-CA rows: renewed from the old CA shortly before.
const shortly = await issuer.issueLeaf({ cert: bundle.trusted[0] ?? '', key: bundle.caKey ?? '' }, name, NOW + 1_200 * DAY)
const introduced: CertBundle = { ...twoCas, trusted: [...twoCas.trusted.slice(0, 1), bundle.trusted[0] ?? ''], leaf: shortly }
const AT = NOW + 1_217 * DAY
const switched: CertBundle = await performStep({ kind: 'issue leaf', reason: '' }, introduced, name, issuer, AT + TRUST_SETTLES_MS)

const rows = [
  { name: 'nothing there: a CA first', bundle: EMPTY_BUNDLE, now: NOW, wants: { kind: 'introduce new CA' } },
  { name: 'a CA without a leaf: a leaf at once', bundle: withLeaf(undefined), now: NOW, wants: { kind: 'issue leaf' } },
  { name: 'all in order: until two thirds of the life of the leaf', bundle, now: NOW + DAY, wants: { kind: 'keep', until: Math.round(NOW - 300_000 + (60 * DAY + 300_000) * 2 / 3) } },
  { name: 'a day before two thirds of its life', bundle, now: NOW + 39 * DAY, wants: { kind: 'keep' } },
  { name: 'after two thirds of its life', bundle, now: NOW + 40 * DAY, wants: { kind: 'issue leaf', reason: /two thirds/ } },
  { name: 'expired', bundle, now: NOW + 61 * DAY, wants: { kind: 'issue leaf', reason: /expired/ } },
  { name: 'a leaf for another name', bundle: withLeaf(foreign), now: NOW, wants: { kind: 'issue leaf', reason: /not for canarygate\.gate\.svc/ } },
  { name: 'a leaf of an unknown CA', bundle: withLeaf(otherCa.leaf), now: NOW, wants: { kind: 'issue leaf', reason: /no trusted CA/ } },
  { name: 'a leaf with another key', bundle: withLeaf({ cert: bundle.leaf?.cert ?? '', key: otherCa.leaf?.key ?? '' }), now: NOW, wants: { kind: 'issue leaf', reason: /key/ } },
  { name: 'the key of the CA is lost', bundle: { ...bundle, caKey: undefined }, now: NOW, wants: { kind: 'introduce new CA', reason: /key/ } },
  { name: 'the key is of another CA', bundle: { ...bundle, caKey: otherCa.caKey }, now: NOW, wants: { kind: 'introduce new CA', reason: /key/ } },
  { name: 'the CA is garbage', bundle: { ...bundle, trusted: ['-----BEGIN CERTIFICATE-----\nbm8=\n-----END CERTIFICATE-----\n'] }, now: NOW, wants: { kind: 'introduce new CA' } },
  { name: 'two thirds of the life of the CA', bundle: { ...bundle, leaf: shortly }, now: AT, wants: { kind: 'introduce new CA', reason: /two thirds/ } },
  { name: 'somebody asks for new ones', bundle, now: NOW + DAY, facts: { ...settled, askedFor: 'the key leaked' }, wants: { kind: 'introduce new CA', reason: 'asked for: the key leaked' } },
  { name: 'somebody asks while a rotation is under way: that one first', bundle: switched, now: AT + TRUST_SETTLES_MS + 1_000, facts: { ...settled, askedFor: 'again' }, wants: { kind: 'keep' } },
  { name: 'a new CA that is not injected yet', bundle: introduced, now: AT + DAY, facts: { isInjected: false, isServed: true }, wants: { kind: 'keep', until: AT + DAY + 10_000 } },
  { name: 'a new CA that API servers are taking over', bundle: introduced, now: AT + 1_000, wants: { kind: 'keep', until: AT + TRUST_SETTLES_MS } },
  { name: 'a new CA that everybody trusts', bundle: introduced, now: AT + TRUST_SETTLES_MS, wants: { kind: 'issue leaf', reason: /old CA/ } },
  { name: 'a new leaf that pods are taking over', bundle: switched, now: AT + TRUST_SETTLES_MS + 1_000, wants: { kind: 'keep', until: AT + TRUST_SETTLES_MS + LEAF_SETTLES_MS } },
  { name: 'a pod that still serves the old leaf', bundle: switched, now: AT + DAY, facts: { isInjected: true, isServed: false }, wants: { kind: 'keep' } },
  { name: 'every pod serves the new leaf', bundle: switched, now: AT + DAY, wants: { kind: 'drop old CA' } },
]
for (const row of rows) test(row.name, async (t) => {
  const step = nextStep(row.bundle, name, row.facts ?? settled, row.now)
  t.match('until' in step ? { ...step, until: Math.round(step.until) } : step, row.wants)
})

test('a Secret holds the whole bundle and gives it back', async (t) => {
  const secret = toSecret(switched, { metadata: { name: 'canarygate-certs', namespace: 'gate', resourceVersion: '7' } })
  t.same(fromSecret(secret), switched)
  t.match(secret, { kind: 'Secret', type: 'kubernetes.io/tls', metadata: { resourceVersion: '7' } })
  const { data } = secret as unknown as { data: Record<string, string> }
  t.match(toSecret(switched, { metadata: { name: 'made-by-hand' }, type: 'Opaque' }), { type: 'Opaque' }, 'a type cannot be changed')
  t.same(Object.keys(data).sort(), ['ca.crt', 'ca.key', 'canarygate-rotation.json', 'tls.crt', 'tls.key'])
  t.equal(certificatesOf(Buffer.from(data['ca.crt'] ?? '', 'base64').toString()).length, 2)
})

test('a Secret that is absent, empty or broken is an empty bundle, never an exception', async (t) => {
  const secret = (data: unknown) => ({ apiVersion: 'v1', kind: 'Secret', metadata: { name: 'x' }, data })
  for (const broken of [undefined, secret(undefined), secret(null), secret({ 'tls.crt': 7, 'ca.crt': '%%%', 'canarygate-rotation.json': 'bnVsbA==' })])
    t.same(fromSecret(broken), EMPTY_BUNDLE)
})

test('over four years, with one new CA, every pod is trusted by every API server at any moment', async (t) => {
  let issued = 0
  const counting: CertIssuer = {
    issueCa: async (now) => { issued += 1; return await issuer.issueCa(now) },
    issueLeaf: async (ca, serving, now) => { issued += 1; return await issuer.issueLeaf(ca, serving, now) },
  }
  const MOST_LATE_POD = 85_000
  const MOST_LATE_API_SERVER = 55_000
  type At<T> = { readonly at: number; readonly value: T }
  let current: CertBundle = EMPTY_BUNDLE
  const leaves: At<string>[] = []
  const bundles: At<string>[] = []
  /** What somebody who is up to `lateness` late may still be using. */
  const inUse = <T>(history: readonly At<T>[], now: number, lateness: number): T[] =>
    history.filter((entry, at) => (history[at + 1]?.at ?? Infinity) > now - lateness).map(({ value }) => value)
  let now = NOW
  let steps = 0
  const kinds = new Set<string>()
  const trusts = (bundlePem: string, leafPem: string): boolean => {
    const leaf = new X509Certificate(leafPem)
    return now < leaf.validToDate.getTime() && coversName(leaf, 'canarygate.gate.svc') && certificatesOf(bundlePem).some((ca) => now < ca.validToDate.getTime() && isIssuedBy(leaf, ca))
  }
  while (now < NOW + 4 * 365 * DAY && steps < 1_000) {
    steps += 1
    const isServed = now - (leaves.at(-1)?.at ?? -Infinity) > MOST_LATE_POD
    const step = nextStep(current, name, { isInjected: true, isServed }, now)
    kinds.add(step.kind)
    if (step.kind === 'keep') {
      now = Math.max(step.until, now + 1)
      continue
    }
    const next = await performStep(step, current, name, counting, now)
    if (next.leaf && next.leaf.cert !== current.leaf?.cert) leaves.push({ at: now, value: next.leaf.cert })
    if (trustedPem(next) !== trustedPem(current)) bundles.push({ at: now, value: trustedPem(next) })
    current = next
    if (leaves.length > 1)
      for (const leaf of inUse(leaves, now, MOST_LATE_POD)) for (const trusted of inUse(bundles, now, MOST_LATE_API_SERVER)) {
        if (!trusts(trusted, leaf)) t.fail(`at ${new Date(now).toISOString()} after ${step.kind}: a leaf in use is not trusted`)
      }
  }
  t.ok(current.trusted.length === 1 && issued < 60, `${issued} certificates`)
  t.same([...kinds].sort(), ['drop old CA', 'introduce new CA', 'issue leaf', 'keep'])
})
