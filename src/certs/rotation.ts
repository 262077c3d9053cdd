import type { X509Certificate } from 'node:crypto'
import { trustedPem, type CertBundle } from '#certs/bundle.ts'
import { certificatesOf, coversName, isIssuedBy, isKeyOf, lifePoint, requiredName, validTo, type ServingName } from '#certs/certificate.ts'
import type { CertIssuer } from '#certs/issue.ts'

/** What the cluster shows of the present bundle. */
export type RotationFacts = {
  /** Every webhook configuration (and CRD conversion) holds the whole bundle. */
  readonly isInjected: boolean
  /** Every ready pod answers TLS with the present leaf. */
  readonly isServed: boolean
  /** Why somebody wants a new CA and certificate now: a key that leaked, say. */
  readonly askedFor?: string | undefined
}

export type RotationStep =
  /** Nothing until then (Unix ms), unless the facts change. */
  | { readonly kind: 'keep'; readonly until: number; readonly reason: string }
  | { readonly kind: 'issue leaf'; readonly reason: string }
  /** The bundle is then old and new CA. */
  | { readonly kind: 'introduce new CA'; readonly reason: string }
  | { readonly kind: 'drop old CA'; readonly reason: string }

/** Certificates are renewed when this share of their life is over. */
const RENEWAL_SHARE = 2 / 3
/** From a new bundle in the configurations until all API servers use it: they watch, each for itself. */
export const TRUST_SETTLES_MS = 60_000
/** From a new leaf in the Secret until it is in every pod's volume, the kubelet's sync and cache included. */
export const LEAF_SETTLES_MS = 90_000
/** How long changes take to be everywhere (ms). */
export type SettleTimes = { readonly trustMs: number; readonly leafMs: number }
export const SETTLE_TIMES: SettleTimes = { trustMs: TRUST_SETTLES_MS, leafMs: LEAF_SETTLES_MS }
/** How often facts that block a rotation are looked at again. */
const LOOK_AGAIN_MS = 10_000

/**
 * What is to be done next with this bundle. At any time each trusted bundle that some API server may still use verifies each leaf
 * that some pod may still serve: that is what the waits are for. Pure.
 */
export function nextStep(bundle: CertBundle, name: ServingName, facts: RotationFacts, now: number, settle: SettleTimes = SETTLE_TIMES): RotationStep {
  const authorities = readable(trustedPem(bundle))
  const [newest, ...older] = authorities ?? []
  if (!newest) return { kind: 'introduce new CA', reason: 'there is no CA' }
  if (!bundle.caKey || !isKeyOf(bundle.caKey, newest)) return { kind: 'introduce new CA', reason: "the CA's key is missing or of another CA" }
  if (validTo(newest) <= now) return { kind: 'introduce new CA', reason: 'the CA has expired' }

  const leaf = readable(bundle.leaf?.cert ?? '')?.[0]
  const fault = leafFault(bundle, leaf, authorities ?? [], name, now)
  // Nothing that works can be broken: waiting would only prolong the outage.
  if (fault || !leaf) return { kind: 'issue leaf', reason: fault ?? 'there is no serving certificate' }

  if (!isIssuedBy(leaf, newest)) {
    if (!facts.isInjected) return { kind: 'keep', until: now + LOOK_AGAIN_MS, reason: 'the new CA is not in every webhook configuration yet' }
    const settledAt = bundle.introducedAt + settle.trustMs
    if (now < settledAt) return { kind: 'keep', until: settledAt, reason: 'API servers are taking over the new CA' }
    return { kind: 'issue leaf', reason: 'the serving certificate is still of the old CA' }
  }
  if (older.length > 0) {
    const settledAt = bundle.leafIssuedAt + settle.leafMs
    if (now < settledAt) return { kind: 'keep', until: settledAt, reason: 'pods are taking over the new serving certificate' }
    if (!facts.isServed) return { kind: 'keep', until: now + LOOK_AGAIN_MS, reason: 'a pod still serves the old certificate' }
    return { kind: 'drop old CA', reason: 'every pod serves a certificate of the new CA' }
  }
  // One at a time: while two CAs are trusted, the rotation under way comes first.
  if (facts.askedFor !== undefined) return { kind: 'introduce new CA', reason: `asked for: ${facts.askedFor}` }
  if (now >= lifePoint(newest, RENEWAL_SHARE)) return { kind: 'introduce new CA', reason: 'two thirds of the life of the CA are over' }
  const leafRenewalAt = lifePoint(leaf, RENEWAL_SHARE)
  if (now >= leafRenewalAt) return { kind: 'issue leaf', reason: 'two thirds of the life of the serving certificate are over' }
  return { kind: 'keep', until: Math.min(leafRenewalAt, lifePoint(newest, RENEWAL_SHARE)), reason: 'certificates are in order' }
}

/** Why this leaf cannot serve at all, or undefined. */
function leafFault(bundle: CertBundle, leaf: X509Certificate | undefined, authorities: readonly X509Certificate[], name: ServingName, now: number): string | undefined {
  if (!leaf || !bundle.leaf) return 'there is no serving certificate'
  if (!isKeyOf(bundle.leaf.key, leaf)) return 'the key is of another serving certificate'
  if (validTo(leaf) <= now) return 'the serving certificate has expired'
  if (!coversName(leaf, requiredName(name))) return `the serving certificate is not for ${requiredName(name)}`
  if (!authorities.some((authority) => isIssuedBy(leaf, authority))) return 'no trusted CA has signed the serving certificate'
  return undefined
}

/** Undefined for a text that holds something else than certificates. */
function readable(pem: string): readonly X509Certificate[] | undefined {
  try {
    return certificatesOf(pem)
  } catch {
    return undefined
  }
}

/** The bundle after a step, to be written over the Secret which was read (by its resourceVersion: two leaders cannot both win). */
export async function performStep(step: Exclude<RotationStep, { kind: 'keep' }>, bundle: CertBundle, name: ServingName, issuer: CertIssuer, now: number): Promise<CertBundle> {
  switch (step.kind) {
    case 'introduce new CA': {
      const ca = await issuer.issueCa(now)
      // Of what was trusted only what can still verify the present leaf is worth trusting on; where that is lost, pods may still serve one of any.
      const leaf = readable(bundle.leaf?.cert ?? '')?.[0]
      const useful = bundle.trusted.filter((pem) => {
        const authority = readable(pem)?.[0]
        return authority !== undefined && validTo(authority) > now && (leaf === undefined || isIssuedBy(leaf, authority))
      })
      return { ...bundle, trusted: [ca.cert, ...useful], caKey: ca.key, introducedAt: now }
    }
    case 'issue leaf': {
      const [newest] = bundle.trusted
      if (!newest || !bundle.caKey) throw new Error('a serving certificate needs a CA with its key')
      return { ...bundle, leaf: await issuer.issueLeaf({ cert: newest, key: bundle.caKey }, name, now), leafIssuedAt: now }
    }
    case 'drop old CA': return { ...bundle, trusted: bundle.trusted.slice(0, 1) }
    default: return step satisfies never
  }
}
