import { boundOfNamespace } from '#policy/reach.ts'
import type { Rule } from '#policy/rule.ts'

export const crossNamespace: Rule = {
  id: 'cross-namespace',
  default: 'deny',
  why: 'Where namespaces are the border between teams, a reference across it reads another team\'s queries and credentials.',
  covers: ['10.20', '1.8.15'],
  check({ metadata, spec }, { reach }) {
    if (!reach || reach.namespaces.length === 0) return []
    const references = [
      ...(spec.analysis.metrics ?? []).map((metric, i) => [`spec.analysis.metrics[${i}].templateRef.namespace`, metric.templateRef?.namespace] as const),
      ...(spec.analysis.alerts ?? []).map((alert, i) => [`spec.analysis.alerts[${i}].providerRef.namespace`, alert.providerRef.namespace] as const),
      ['spec.upstreamRef.namespace', spec.upstreamRef?.namespace] as const,
    ]
    return references.flatMap(([field, namespace]) => {
      const bound = namespace ? boundOfNamespace(reach, namespace, metadata.namespace ?? '') : undefined
      return bound === undefined ? [] : [{ field, message: bound, fix: 'copy the object here and leave the namespace out, or ask for a ClusterCanaryPolicy that allows it' }]
    })
  },
}
