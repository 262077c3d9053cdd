import { COUNTED_PROVIDERS } from '#api/counting-proxies.ts'
import { capabilitiesOf, providerOf } from '#policy/traffic-provider.ts'
import type { Finding, Rule } from '#policy/rule.ts'

/** Settings that say where a pod's own page is and what is on it. */
const OF_PODS = ['port', 'path', 'requests', 'duration'] as const

export const scrapeSource: Rule = {
  id: 'scrape-source',
  default: 'deny',
  why: 'Where no proxy stands before the pods, or none that counts by Service, there is nothing to read: every check would wait for counters that never come.',
  check(canary, context) {
    const { gate, provider: named } = canary.spec
    if (gate?.scrape?.from !== 'proxy') return []
    const provider = providerOf(canary, context)
    const findings: Finding[] = []
    if (provider !== undefined && capabilitiesOf(canary, context) && !COUNTED_PROVIDERS.includes(provider)) {
      findings.push({
        field: 'spec.gate.scrape.from', message: `proxy cannot be read with provider ${provider}${named === undefined ? ', the default' : ''}`,
        fix: `use one of the providers ${COUNTED_PROVIDERS.join(', ')}, or from: pods`,
      })
    }
    const unread = OF_PODS.filter((field) => gate.scrape?.[field] !== undefined)
    return [...findings, ...unread.map((field): Finding => ({
      field: `spec.gate.scrape.${field}`, severity: 'warn', message: 'changes nothing: the counters of a proxy have names of its own', fix: 'remove it, or use from: pods',
    }))]
  },
}
