/** The languages of queries, as far as is needed so that a value which is put into one cannot change its shape. */

import type { MetricProviderType } from '#api/metric-template.ts'

/** Where in a query a value lands: in a string of this quote, in a comment, or between tokens. */
export type Context = '"' | "'" | '`' | 'comment' | ''

type Language = {
  readonly quotes: readonly string[]
  /** What begins a comment that lasts to the end of the line. */
  readonly comments: readonly string[]
  /** What a value may be outside of strings. */
  readonly word: RegExp
  /** A value for the inside of a string; undefined where it would end the string and the language has no escape for that. */
  quoted(text: string, quote: '"' | "'", before: string): string | undefined
  /** The value as it is written into the query in any case. */
  readonly written?: (text: string) => string
}

/** An identifier, a number, a duration, or a Kubernetes name; nothing with an operator in PromQL. */
const PROMQL_WORD = /^(?:[a-zA-Z0-9_:]+|[+-]?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?|\d+(?:\.\d+)?(?:ms|[smhdwy]))$/
/** Names with dashes and dots, or a number; not the dashes and slashes that begin a comment. */
const NAME = /^(?:[a-zA-Z0-9_.:@]+(?:-[a-zA-Z0-9_.:@]+)*|[+-]?\d+(?:\.\d+)?)$/
const PLAIN = /^[a-zA-Z0-9_.:/@-]+$/
const PATH_PART = /^[a-zA-Z0-9_.:@-]+$/

const BOTH = ['"', "'"] as const

const ESCAPE_SEQUENCE = String.raw`\\(?:[abfnrtv\\"']|x[0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8}|[0-7]{3})`
const QUOTED_PIECE = new RegExp(String.raw`(?<kept>${ESCAPE_SEQUENCE})|(?<char>[\s\S])`, 'g')

/**
 * Text for the inside of a quoted string. Escape sequences that are already in the value stay, since people write regular
 * expressions for Flagger as they would in the query; whatever could end the string is escaped.
 */
function escapeQuoted(text: string, quote: '"' | "'"): string {
  return text.replaceAll(QUOTED_PIECE, (piece, kept: string | undefined) => {
    // \' in a string of double quotes is an invalid escape, and the other way round.
    if (kept !== undefined && !(kept[1] !== quote && (kept[1] === '"' || kept[1] === "'"))) return kept
    if (kept !== undefined) return `\\\\${kept[1]}`
    if (piece === '\n') return String.raw`\n`
    if (piece === '\r') return String.raw`\r`
    return piece === '\\' || piece === quote ? `\\${piece}` : piece
  })
}

/** For languages that escape by other means, or none: `~` is Dynatrace's. */
const unlessSpecial = (text: string, quote: string): string | undefined => (/[\\~\r\n]/.test(text) || text.includes(quote) ? undefined : text)

/** A metric math expression is a language of its own inside of a JSON string, with names and no strings of the user's. */
const IN_EXPRESSION = /"Expression"\s*:\s*"(?:[^"\\]|\\.)*$/

const LANGUAGES = {
  promql: { quotes: [...BOTH, '`'], comments: ['#'], word: PROMQL_WORD, quoted: escapeQuoted },
  // "${...}" is an expression in a string.
  flux: { quotes: ['"'], comments: ['//'], word: NAME, quoted: (text, quote) => escapeQuoted(text, quote).replaceAll('${', String.raw`\${`) },
  nrql: { quotes: [...BOTH, '`'], comments: ['--', '//'], word: NAME, quoted: unlessSpecial },
  mql: { quotes: BOTH, comments: ['#'], word: NAME, quoted: escapeQuoted },
  signalflow: { quotes: BOTH, comments: ['#'], word: NAME, quoted: escapeQuoted },
  /** Datadog's and Dynatrace's. */
  selector: { quotes: BOTH, comments: [], word: PLAIN, quoted: unlessSpecial },
  /** CloudWatch's list of queries. */
  json: { quotes: ['"'], comments: [], word: PLAIN, quoted: (text, _quote, before) => (IN_EXPRESSION.test(before) && !PLAIN.test(text) ? undefined : JSON.stringify(text).slice(1, -1)) },
  /** Graphite's, which is decoded before it is read. */
  'query-string': { quotes: BOTH, comments: [], word: PLAIN, quoted: unlessSpecial, written: encodeURIComponent },
  /** Keptn's and the external metrics API's. */
  path: { quotes: [], comments: [], word: PATH_PART, quoted: () => undefined },
} as const satisfies Readonly<Record<string, Language>>

export type QueryLanguage = keyof typeof LANGUAGES

const SPOKEN: Readonly<Record<MetricProviderType, QueryLanguage>> = {
  prometheus: 'promql', influxdb: 'flux', newrelic: 'nrql', stackdriver: 'mql', splunk: 'signalflow', datadog: 'selector', dynatrace: 'selector',
  cloudwatch: 'json', graphite: 'query-string', keptn: 'path', externalmetrics: 'path',
}

/** The language of a provider's queries. */
export const queryLanguage = (type: MetricProviderType): QueryLanguage => SPOKEN[type]

const isQuote = (char: string | undefined, { quotes }: Language): char is '"' | "'" | '`' => char !== undefined && quotes.includes(char)

/** Where the end of a stretch of the template's own text is. */
export function contextAfter(text: string, from: Context, name: QueryLanguage): Context {
  const language: Language = LANGUAGES[name]
  let context = from
  for (let i = 0; i < text.length; i += 1) {
    const char = text[i]
    if (context === 'comment') context = char === '\n' ? '' : 'comment'
    else if (context === '') {
      if (isQuote(char, language)) context = char
      else if (language.comments.some((start) => text.startsWith(start, i))) context = 'comment'
    } else if (char === '\\' && context !== '`') i += 1
    else if (char === context) context = ''
  }
  return context
}

/** A value as it may stand in this place, `before` being all of the query that precedes it; or why it may not. */
export function guarded(text: string, context: Context, name: QueryLanguage, before: string): { readonly text: string; readonly fault?: undefined } | { readonly text?: undefined; readonly fault: string } {
  const language: Language = LANGUAGES[name]
  const { word, written = (plain: string) => plain } = language
  const shown = JSON.stringify(text)
  if (context === 'comment') return /[\r\n]/.test(text) ? { fault: `the value ${shown} would end the comment that it stands in` } : { text }
  if (context === '`') return text.includes('`') ? { fault: `the value ${shown} would end the string that it stands in` } : { text }
  if (context === '') {
    return text === '' || word.test(text) ? { text: written(text) } : { fault: `the value ${shown} is no single name or number${language.quotes.length > 0 ? '; put it into quotes' : ''}` }
  }
  // A backslash of the template would take the first character of the value along, and with it the value's own escape.
  if (endsInEscape(before)) return { fault: 'a value may not follow a backslash' }
  const quoted = language.quoted(text, context, before)
  return quoted === undefined ? { fault: `the value ${shown} could end the string that it stands in` } : { text: written(quoted) }
}

const BACKSLASH = 92

function endsInEscape(text: string): boolean {
  let backslashes = 0
  while (text.charCodeAt(text.length - 1 - backslashes) === BACKSLASH) backslashes += 1
  return backslashes % 2 === 1
}
