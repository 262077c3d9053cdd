import type { RuleContext } from '#policy/rule.ts'

/** Would the caches show an object of this kind if it were there? False offline, and for kinds that nobody watches. */
export const sees = ({ cluster }: RuleContext, kind: string): boolean => cluster !== undefined && (cluster.knows?.(kind) ?? true)
