import type { Canary } from '#api/canary.ts'
import type { Finding, RuleContext } from '#policy/rule.ts'

type Look = NonNullable<NonNullable<NonNullable<Canary['status']>['gate']>['look']>
type Trouble = Look['metrics'][number]['trouble']

/** One finding for each metric of the Canary that was in this trouble when the agent looked last; what is stored knows, not what is sent. */
export function lastLookFindings(canary: Canary, { old }: RuleContext, trouble: Trouble, inWords: (at: string) => Omit<Finding, 'field'>): readonly Finding[] {
  const look = (old ?? canary).status?.gate?.look
  if (!look) return []
  const before = new Map((old?.spec.analysis.metrics ?? []).map((metric) => [metric.name, JSON.stringify(metric)]))
  return (canary.spec.analysis.metrics ?? []).flatMap((metric, i) => {
    const isTroubled = look.metrics.some((one) => one.name === metric.name && one.trouble === trouble)
    // Changed since: nobody has looked at it as it is now.
    const isChanged = old !== undefined && before.get(metric.name) !== JSON.stringify(metric)
    return isTroubled && !isChanged ? [{ field: `spec.analysis.metrics[${i}]`, ...inWords(look.at) }] : []
  })
}
