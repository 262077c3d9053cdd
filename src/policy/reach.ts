/** How far a Canary may reach, by the policies that hold where it is. */

import { denialOf, isPublic } from '#api/address-denial.ts'
import type { Finding, Reach, RuleContext } from '#policy/rule.ts'

export const NO_BOUNDS: Reach = { metricHosts: [], namespaces: [] }

const bare = (hostname: string): string => hostname.toLowerCase().replace(/^\[(.*)\]$/, '$1').replace(/\.$/, '')

/** Is everything that a pattern stands for in what the list allows? A plain name is a pattern for itself. */
export function allowsHost(names: readonly string[], pattern: string): boolean {
  const wanted = bare(pattern)
  return names.map(bare).some((name) => name === wanted || (name.startsWith('*.') && wanted.endsWith(name.slice(1))))
}

/** Why metrics are asked of this host only if its address is a private one; undefined where it may have any. */
export function boundOfHost({ metricHosts }: Pick<Reach, 'metricHosts'>, hostname: string): string | undefined {
  const by = metricHosts.filter(({ names }) => !allowsHost(names, hostname)).map(({ policy }) => policy)
  return by.length === 0 ? undefined : `${bare(hostname)} is not among the hosts outside that policy ${by.join(', ')} allows (spec.reach.metricHosts)`
}

/** Why a Canary of `own` may not use objects of this namespace, or undefined. */
export function boundOfNamespace({ namespaces }: Pick<Reach, 'namespaces'>, namespace: string, own: string): string | undefined {
  const by = namespace === own ? [] : namespaces.filter(({ names }) => !names.includes(namespace)).map(({ policy }) => policy)
  return by.length === 0 ? undefined : `namespace ${namespace} is not among those that policy ${by.join(', ')} lets Canaries of ${own} use (spec.reach.namespaces)`
}

/** Names that only a cluster or a company's own network knows. */
const INNER_NAME = /(?:^[^.]*|\.(?:svc|local|internal|cluster|lan|intranet|corp|home\.arpa))$/

/**
 * An address that the policies do not let metrics be asked at. A name may still lead to a private address, which nobody knows before it is resolved: that is
 * said, and decided at each query.
 */
export function hostFindings({ reach, cluster }: RuleContext, field: string, url: string): readonly Finding[] {
  const hostname = URL.canParse(url) ? new URL(url).hostname : ''
  const bound = !reach || hostname === '' ? undefined : boundOfHost(reach, hostname)
  if (bound === undefined) return []
  const isAddress = denialOf(bare(hostname), { allowLoopback: true }) === undefined
  const [, namespace = ''] = /^[^.]+\.([^.]+)$/.exec(bare(hostname)) ?? []
  const isInner = INNER_NAME.test(bare(hostname)) || (namespace !== '' && cluster?.objects.get({ apiVersion: 'v1', kind: 'Namespace', name: namespace }) !== undefined)
  if (isAddress ? !isPublic(bare(hostname)) : isInner) return []
  return isAddress
    ? [{ field, message: bound, fix: 'use an allowed host, or ask for a ClusterCanaryPolicy that allows it' }]
    : [{ field, message: `${bound}: it is asked only if its address is a private one`, fix: 'use an allowed host, or ask for a ClusterCanaryPolicy that allows it', severity: 'warn' }]
}
