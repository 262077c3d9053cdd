/** Splits a command line as a shell would, and refuses whatever only a shell could do: nothing here is ever given to one. Pure. */

/** What a text means, or why it is refused: in words for whoever wrote it. */
export type Parsed<T> = { readonly ok: true; readonly value: T } | { readonly ok: false; readonly reason: string }

export const parsed = <T>(value: T): Parsed<T> => ({ ok: true, value })
export const refused = (reason: string): { readonly ok: false; readonly reason: string } => ({ ok: false, reason })

/** One program's words; `|` feeds the next one, `&&` runs the next one if this one succeeded. */
export type Simple = { readonly words: readonly string[]; readonly quiet: boolean; readonly next: '|' | '&&' | 'end' }

export const MAX_COMMAND_CHARS = 16_384

/** Redirections that change nothing but what is printed. */
const HARMLESS = /^(?:2>&1|2?>\s*\/dev\/null|&>\s*\/dev\/null)(?=\s|$|[|&])/
const SUBSTITUTION = /^\$[\w({?#@*!$-]/

export function splitCommand(text: string): Parsed<readonly Simple[]> {
  if (text.length > MAX_COMMAND_CHARS) return refused(`the command is longer than ${MAX_COMMAND_CHARS} characters`)
  const source = text.trim()
  const commands: Simple[] = []
  let words: string[] = []
  let word: string | undefined
  let quiet = false
  let at = 0

  const endWord = (): void => {
    if (word !== undefined) words.push(word)
    word = undefined
  }
  const endCommand = (next: Simple['next']): boolean => {
    endWord()
    if (words.length === 0) return false
    commands.push({ words, quiet, next })
    words = []
    quiet = false
    return true
  }

  while (at < source.length) {
    const rest = source.slice(at)
    const char = source.charAt(at)
    const redirection = word === undefined ? HARMLESS.exec(rest)?.[0] : undefined
    if (redirection !== undefined) {
      quiet ||= !redirection.startsWith('2')
      at += redirection.length
    } else if (char === '\\') {
      const next = source.charAt(at + 1)
      if (next !== '\n') word = (word ?? '') + next
      at += 2
    } else if (char === "'") {
      const end = source.indexOf("'", at + 1)
      if (end < 0) return refused('a single quote is not closed')
      word = (word ?? '') + source.slice(at + 1, end)
      at = end + 1
    } else if (char === '"') {
      const quoted = readDoubleQuoted(source, at + 1)
      if (!quoted.ok) return quoted
      word = (word ?? '') + quoted.value.text
      at = quoted.value.end
    } else if (char === '`' || SUBSTITUTION.test(rest)) {
      return refused(`variables and command substitution are not run here: ${rest.slice(0, 20)}`)
    } else if (rest.startsWith('&&') || (char === '|' && !rest.startsWith('||'))) {
      const next = char === '|' ? '|' : '&&'
      if (!endCommand(next)) return refused(`there is no command before ${next}`)
      at += next.length
    } else if (char === '\n' && word === undefined && words.length === 0) {
      // A line may end after && and |.
      at += 1
    } else if ('|&;<>()\n'.includes(char) || (char === '#' && word === undefined)) {
      return refused(`"${char === '\n' ? 'a new line' : char}" needs a shell, and none is run here; join commands with &&, filter with | grep`)
    } else if (/\s/.test(char)) {
      endWord()
      at += 1
    } else {
      word = (word ?? '') + char
      at += 1
    }
  }
  if (!endCommand('end')) return refused(commands.length === 0 ? 'the command is empty' : 'there is no command at the end')
  return parsed(commands)
}

/** Text up to the closing quote, and the place behind it. */
function readDoubleQuoted(source: string, from: number): Parsed<{ readonly text: string; readonly end: number }> {
  let text = ''
  for (let at = from; at < source.length; at += 1) {
    const char = source.charAt(at)
    if (char === '"') return parsed({ text, end: at + 1 })
    if (char === '`' || SUBSTITUTION.test(source.slice(at, at + 2))) return refused(`variables and command substitution are not run here: ${source.slice(at, at + 20)}`)
    const next = source.charAt(at + 1)
    if (char === '\\' && '"\\$`\n'.includes(next)) {
      text += next === '\n' ? '' : next
      at += 1
    } else text += char
  }
  return refused('a double quote is not closed')
}
