import type { CanarySpec } from '#api/canary.ts'
import { familyOf, providerOf } from '#policy/traffic-provider.ts'
import type { Finding, Rule } from '#policy/rule.ts'

type Match = NonNullable<CanarySpec['analysis']['match']>[number]
type Operator = 'exact' | 'prefix' | 'suffix' | 'regex'
const OPERATORS: readonly Operator[] = ['exact', 'prefix', 'suffix', 'regex']
/** What the schema keeps of a match entry. */
const KEPT = ['headers', 'queryParams', 'sourceLabels']

/** What each router can compare, and where it differs from Istio, which takes everything. */
const KINDS: Readonly<Record<string, { readonly operators: readonly Operator[]; readonly parts: readonly string[] }>> = {
  istio: { operators: OPERATORS, parts: KEPT },
  gatewayapi: { operators: ['exact', 'regex'], parts: ['headers', 'queryParams'] },
  traefik: { operators: OPERATORS, parts: ['headers', 'queryParams'] },
  nginx: { operators: ['exact', 'regex'], parts: ['headers'] },
  contour: { operators: ['exact', 'prefix', 'suffix'], parts: ['headers'] },
  gloo: { operators: ['exact', 'regex'], parts: ['headers'] },
  appmesh: { operators: OPERATORS, parts: ['headers'] },
}

export const matchKinds: Rule = {
  id: 'match-kinds',
  default: 'deny',
  why: 'What a router cannot compare is dropped in silence, and the canary then gets other requests than the test was written for.',
  covers: ['10.7'],
  check(canary, context) {
    const match = canary.spec.analysis.match ?? []
    const provider = providerOf(canary, context)
    return [
      ...match.flatMap((entry, i) => entryFaults(entry, `spec.analysis.match[${i}]`, provider)),
      ...(familyOf(provider) === 'nginx' ? nginxFaults(match) : []),
    ]
  },
}

function entryFaults(entry: Match, field: string, provider: string | undefined): Finding[] {
  const family = familyOf(provider)
  const kinds = family !== undefined && Object.hasOwn(KINDS, family) ? KINDS[family] : undefined
  const findings: Finding[] = []
  for (const key of Object.keys(entry).filter((name) => !KEPT.includes(name))) {
    findings.push({ field: `${field}.${key}`, message: 'is pruned by the schema: A/B tests choose by header, query parameter or source label only', fix: 'put it into spec.service.match, or remove it' })
  }
  if (Object.keys(entry).filter((name) => KEPT.includes(name)).length === 0) {
    findings.push({ field, message: 'has no condition, so it matches every request', fix: 'add headers, or remove the entry' })
  }
  for (const part of ['headers', 'queryParams'] as const) {
    for (const [name, condition] of Object.entries(entry[part] ?? {})) {
      const at = `${field}.${part}[${name}]`
      const used = OPERATORS.filter((operator) => condition[operator] !== undefined)
      if (used.length !== 1) {
        findings.push({ field: at, message: used.length === 0 ? 'compares with nothing' : `has ${used.join(' and ')}`, fix: `give one of ${(kinds?.operators ?? OPERATORS).join(', ')}` })
      }
      for (const operator of used.filter((one) => kinds && !kinds.operators.includes(one))) {
        findings.push({ field: at, message: `provider ${provider} knows no ${operator}`, fix: `use ${kinds?.operators.join(' or ')}` })
      }
    }
  }
  for (const part of KEPT.filter((name) => Object.hasOwn(entry, name) && kinds && !kinds.parts.includes(name))) {
    findings.push({ field: `${field}.${part}`, message: `provider ${provider} cannot choose by ${part}`, fix: `use ${kinds?.parts.join(' or ')}` })
  }
  return findings
}

/** One header and one cookie are all that its annotations can hold: of more, only the last one would count. */
function nginxFaults(match: readonly Match[]): Finding[] {
  const names = match.flatMap((entry) => Object.keys(entry.headers ?? {}))
  const cookies = names.filter((name) => name.toLowerCase() === 'cookie')
  const others = names.filter((name) => name.toLowerCase() !== 'cookie')
  return [['headers', others] as const, ['cookies', cookies] as const].flatMap(([what, list]) => (list.length <= 1 ? [] : [{
    field: 'spec.analysis.match',
    message: `${list.length} ${what} (${list.join(', ')}): nginx compares one, and only the last would count`,
    fix: 'keep one header and, if needed, one cookie',
  }]))
}
