import { isServiceTarget } from '#api/defaults.ts'
import { capabilitiesOf, providerOf, providersWith } from '#policy/traffic-provider.ts'
import type { Finding, Rule } from '#policy/rule.ts'

export const serviceTarget: Rule = {
  id: 'service-target',
  default: 'deny',
  why: 'A Service as target has no pods of its own: its requests are moved by a router or not at all, and nobody can scale it or read its counters.',
  check(canary, context) {
    if (!isServiceTarget(canary)) return []
    const { autoscalerRef, gate, service, targetRef } = canary.spec
    const findings: Finding[] = []
    if (capabilitiesOf(canary, context)?.services === false) {
      const provider = providerOf(canary, context)
      findings.push({
        field: canary.spec.provider === undefined ? 'spec.targetRef.kind' : 'spec.provider',
        message: `provider ${provider}${canary.spec.provider === undefined ? ', the default,' : ''} cannot split the requests to Service ${targetRef.name}`,
        fix: `use one of: ${providersWith(context, 'services')}; or the Deployment behind it as target`,
      })
    }
    if (autoscalerRef) {
      findings.push({ field: 'spec.autoscalerRef', severity: 'warn', message: 'changes nothing: a Service has no replicas', fix: 'remove it' })
    }
    if (service?.portDiscovery === true) {
      findings.push({ field: 'spec.service.portDiscovery', severity: 'warn', message: 'changes nothing: the ports are those of the Service', fix: 'remove it' })
    }
    if (gate?.scrape?.from !== 'proxy' && (gate?.scrape || gate?.judge?.mode === 'enforce')) {
      findings.push({
        field: gate.scrape ? 'spec.gate.scrape' : 'spec.gate.judge.mode', severity: 'warn', message: 'finds no counters: a Service has no pods of its own',
        fix: 'use spec.gate.scrape.from: proxy with a router that counts, or metricsServer and thresholds alone',
      })
    }
    return findings
  },
}
