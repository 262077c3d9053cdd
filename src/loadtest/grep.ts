import { parsed, refused, type Parsed } from '#loadtest/words.ts'

/** `grep` over the output of a check: plain text, `.` for any character, `^` and `$` at the ends, `|` between texts with -E. Pure. */

export type Filter = { readonly matches: (line: string) => boolean; readonly quiet: boolean }

/** What would take a pattern to be more than that; with it a pattern could also take for ever. */
const REGEX_ONLY = /[*+?()[\]{}|\\]/

/** `words` without the program's name. */
export function parseGrep(words: readonly string[]): Parsed<Filter> {
  let quiet = false
  let inverted = false
  let ignoreCase = false
  let fixed = false
  let extended = false
  const patterns: string[] = []
  const options: Readonly<Record<string, () => void>> = {
    q: () => { quiet = true }, v: () => { inverted = true }, i: () => { ignoreCase = true }, F: () => { fixed = true }, E: () => { extended = true },
  }
  for (const word of words) {
    if (patterns.length > 0 || !/^-./.test(word)) {
      patterns.push(word)
      continue
    }
    for (const letter of word.slice(1)) {
      const option = Object.hasOwn(options, letter) ? options[letter] : undefined
      if (!option) return refused(`grep ${word.slice(0, 20)} is not supported here`)
      option()
    }
  }
  const [pattern] = patterns
  if (pattern === undefined || patterns.length > 1) return refused('grep takes one pattern and no file here')
  const texts = fixed ? [pattern] : extended ? pattern.split('|') : pattern.split(String.raw`\|`)
  if (!fixed && texts.some((text) => REGEX_ONLY.test(text))) return refused(`grep knows text, ".", "^", "$" and, with -E, "|" here, not ${pattern.slice(0, 40)}; with -F it is plain text`)
  const expression = new RegExp(fixed ? escape(pattern) : texts.map(lineExpression).join('|'), ignoreCase ? 'i' : '')
  return parsed({ quiet, matches: (line) => expression.test(line) !== inverted })
}

/** Without quantifiers: its time grows with the line's length alone. */
function lineExpression(pattern: string): string {
  const start = pattern.startsWith('^') ? '^' : ''
  const end = pattern.length > start.length && pattern.endsWith('$') ? '$' : ''
  const middle = pattern.slice(start.length, pattern.length - end.length)
  return start + middle.split('.').map(escape).join('.') + end
}

const escape = (text: string): string => text.replaceAll(/[.*+?^${}()|[\]\\/-]/g, String.raw`\$&`)
