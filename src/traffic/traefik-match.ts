import type { Canary, CanaryAnalysis } from '#api/canary.ts'

/** Conditions of an A/B test in the language of Traefik's rules. */

type AnalysisMatch = NonNullable<CanaryAnalysis['match']>[number]
type StringMatch = NonNullable<AnalysisMatch['headers']>[string]

/** Version 2 of the language has other words, and no regular expressions over query parameters. */
export type Syntax = 'v2' | 'v3'

const escaped = (text: string): string => text.replaceAll(/[.*+?^${}()|[\]\\]/g, '\\$&')
/** Backticks take everything but themselves; a quoted string is read as Go does, which takes JSON's. */
const quoted = (text: string): string => (text.includes('`') ? JSON.stringify(text) : `\`${text}\``)

const patternOf = ({ prefix, suffix, regex }: StringMatch): string | undefined =>
  regex ?? (prefix !== undefined ? `^${escaped(prefix)}` : suffix !== undefined ? `${escaped(suffix)}$` : undefined)

const WORDS = { v2: { header: 'Headers', headerPattern: 'HeadersRegexp' }, v3: { header: 'Header', headerPattern: 'HeaderRegexp' } } as const

function header(name: string, match: StringMatch, syntax: Syntax): string | undefined {
  if (match.exact !== undefined) return `${WORDS[syntax].header}(${quoted(name)}, ${quoted(match.exact)})`
  const pattern = patternOf(match)
  return pattern === undefined ? undefined : `${WORDS[syntax].headerPattern}(${quoted(name)}, ${quoted(pattern)})`
}

function queryParam(name: string, match: StringMatch, syntax: Syntax): string | undefined {
  if (match.exact !== undefined) return syntax === 'v2' ? `Query(${quoted(`${name}=${match.exact}`)})` : `Query(${quoted(name)}, ${quoted(match.exact)})`
  const pattern = patternOf(match)
  return pattern === undefined || syntax === 'v2' ? undefined : `QueryRegexp(${quoted(name)}, ${quoted(pattern)})`
}

/** What cannot be said would let everybody in if it were left out: such a condition chooses nobody. */
function conditionOf({ headers, queryParams, sourceLabels }: AnalysisMatch, syntax: Syntax): string | undefined {
  const parts = [
    ...Object.entries(headers ?? {}).map(([name, match]) => header(name, match, syntax)),
    ...Object.entries(queryParams ?? {}).map(([name, match]) => queryParam(name, match, syntax)),
  ]
  if (sourceLabels !== undefined || parts.length === 0 || parts.includes(undefined)) return undefined
  return parts.join(' && ')
}

/** Who gets the canary: any of the conditions. Undefined: nobody. */
export function testCondition(canary: Canary, syntax: Syntax): string | undefined {
  const conditions = (canary.spec.analysis.match ?? []).flatMap((match) => conditionOf(match, syntax) ?? [])
  const [first] = conditions
  return first === undefined || conditions.length === 1 ? first : conditions.map((condition) => `(${condition})`).join(' || ')
}
