import { denialOf } from '#api/address-denial.ts'

/** Names of the caller's own machine, and of metadata services of clouds. */
const LOOPBACK_NAME = /^(.+\.)?localhost\.?$/i
const METADATA_NAME = /^(metadata\.google\.internal|metadata\.goog|instance-data(\.[\w-]+)*\.ec2\.internal)\.?$/i

/** Why nothing can be called at this text, in words, or undefined: it has to be an absolute `http` or `https` URL that leads somewhere else. */
export function webAddressFault(text: string): string | undefined {
  if (!URL.canParse(text)) return 'is no absolute http(s) URL'
  const { protocol, hostname } = new URL(text)
  if ((protocol !== 'http:' && protocol !== 'https:') || hostname === '') return 'is no absolute http(s) URL'
  const reason = LOOPBACK_NAME.test(hostname) ? 'loopback' : METADATA_NAME.test(hostname) ? 'a metadata service' : literalDenial(hostname)
  return reason === undefined ? undefined : `leads to an address that is never called: ${reason}`
}

/** Of a name it is known when it is resolved, at the call. */
function literalDenial(hostname: string): string | undefined {
  const literal = hostname.replace(/^\[(.*)\]$/, '$1')
  return /^[\d.]+$/.test(literal) || literal.includes(':') ? denialOf(literal, {}) : undefined
}
