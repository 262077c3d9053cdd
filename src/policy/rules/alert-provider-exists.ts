import { FLAGGER_API_VERSION } from '#api/names.ts'
import { sees } from '#policy/cluster.ts'
import type { Rule } from '#policy/rule.ts'

export const alertProviderExists: Rule = {
  id: 'alert-provider-exists',
  // Not deny: one `kubectl apply` may bring the Canary before its provider.
  default: 'warn',
  why: 'Alerts to a provider that is not there are lost, with a line in a log.',
  covers: ['10.14', '1.8.20'],
  check({ metadata, spec: { analysis } }, context) {
    const { cluster } = context
    if (!cluster || !sees(context, 'AlertProvider')) return []
    return (analysis.alerts ?? []).flatMap(({ name, providerRef }, i) => {
      const namespace = providerRef.namespace ?? metadata.namespace
      if (!namespace || cluster.objects.get({ apiVersion: FLAGGER_API_VERSION, kind: 'AlertProvider', name: providerRef.name, namespace })) return []
      return [{
        field: `spec.analysis.alerts[${i}].providerRef`,
        message: `AlertProvider ${namespace}/${providerRef.name} of ${name} does not exist`,
        fix: 'create it, or correct the name',
      }]
    })
  },
}
