import ipaddr from 'ipaddr.js'

/** Which addresses nothing of ours connects to, whoever names them: a guard for calls, and a rule for settings. */

/**
 * Ranges that nobody's metrics are served from, and tunnels that could lead there. Private ranges are where a cluster lives, and some
 * clusters have their pods in carrier-grade or reserved ones (100.64.0.0/10, 240.0.0.0/4), so those are allowed.
 */
const DENIED_RANGES = new Set(['unspecified', 'broadcast', 'multicast', 'linkLocal', 'deprecatedSiteLocal', '6to4', 'teredo', 'discard'])
/**
 * Metadata and credential services of clouds outside link-local: Alibaba, Azure's wire server, Oracle; over IPv6 AWS (instances, and the pod
 * identity of EKS), Google and Scaleway.
 */
const METADATA_ADDRESSES = new Set(['100.100.100.200', '168.63.129.16', '192.0.0.192', 'fd00:ec2::254', 'fd00:ec2::23', 'fd20:ce::254', 'fd00:42::42'])

/** Why an address must not be connected to, or undefined. */
export function denialOf(address: string, { allowLoopback = false }: { readonly allowLoopback?: boolean }): string | undefined {
  if (!ipaddr.isValid(address)) return 'no IP address'
  const plain = embeddedAddress(ipaddr.parse(address))
  if (METADATA_ADDRESSES.has(plain.toString())) return 'a metadata service'
  const range = plain.range()
  if (range === 'loopback') return allowLoopback ? undefined : 'loopback'
  return DENIED_RANGES.has(range) ? `in the ${range} range` : undefined
}

/** Where clusters and companies have their own machines. */
const OWN_RANGES = new Set(['private', 'uniqueLocal', 'carrierGradeNat', 'reserved', 'benchmarking', 'loopback'])

/** Does an address belong to everybody's internet? */
export const isPublic = (address: string): boolean => !ipaddr.isValid(address) || !OWN_RANGES.has(embeddedAddress(ipaddr.parse(address)).range())

/** The IPv4 address that an IPv6 one leads to (mapped, translated, NAT64), else the address itself. */
function embeddedAddress(address: ipaddr.IPv4 | ipaddr.IPv6): ipaddr.IPv4 | ipaddr.IPv6 {
  if (!(address instanceof ipaddr.IPv6)) return address
  if (!['ipv4Mapped', 'rfc6145', 'rfc6052'].includes(address.range())) return address
  return new ipaddr.IPv4(address.toByteArray().slice(-4))
}
