/** The syntax of metric queries: Go's text/template, as far as queries use it. Text in, tree out. */

/** `{{ $x := ... }}` is an assignment. */
export type Node =
  | { readonly kind: 'text'; readonly text: string }
  | { readonly kind: 'output'; readonly pipeline: Pipeline; readonly at: Place }
  | { readonly kind: 'assign'; readonly variable: string; readonly pipeline: Pipeline; readonly at: Place }
  | { readonly kind: 'branch'; readonly pipeline: Pipeline; readonly body: readonly Node[]; readonly otherwise: readonly Node[]; readonly at: Place }

/** Commands from left to right; the value of each is the last argument of the next. */
export type Pipeline = readonly Command[]
/** An operand alone, or a function with its arguments. */
export type Command = readonly [Operand, ...Operand[]]

export type Operand =
  | { readonly kind: 'string'; readonly value: string }
  | { readonly kind: 'number'; readonly value: number }
  | { readonly kind: 'bool'; readonly value: boolean }
  | { readonly kind: 'call'; readonly name: string; readonly fields: readonly string[] }
  | { readonly kind: 'variable'; readonly name: string; readonly fields: readonly string[] }
  | { readonly kind: 'dot'; readonly fields: readonly string[] }
  | { readonly kind: 'group'; readonly pipeline: Pipeline; readonly fields: readonly string[] }

/** Line and column, both from 1. */
export type Place = { readonly line: number; readonly column: number }

/** A fault in a template, with its place. */
export class TemplateError extends Error {
  constructor(message: string, at: Place) {
    super(`${at.line}:${at.column}: ${message}`)
    this.name = 'TemplateError'
  }
}

/** Longest template; a query is some hundred characters. */
export const MAX_TEMPLATE_CHARS = 64 * 1024
const MAX_DEPTH = 32

type Token = { readonly kind: 'string' | 'number' | 'word' | 'field' | 'variable' | 'symbol'; readonly text: string; readonly at: Place }
type Piece = { readonly kind: 'text'; readonly text: string } | { readonly kind: 'action'; readonly tokens: readonly Token[]; readonly at: Place }

/** The tree of a template. Throws TemplateError. */
export function parseNodes(text: string): readonly Node[] {
  if (text.length > MAX_TEMPLATE_CHARS) throw new TemplateError(`longer than ${MAX_TEMPLATE_CHARS} characters`, { line: 1, column: 1 })
  const cursor = { pieces: splitPieces(text), next: 0 }
  const { nodes, end } = parseBlock(cursor, 0)
  if (end) throw new TemplateError(`unexpected {{ ${end.word} }}`, end.at)
  return nodes
}

type Placer = (index: number) => Place

/** Line and column of an index. Looked up, not counted: a template of nothing but actions must not cost the square of its length. */
function createPlacer(text: string): Placer {
  const starts = [0, ...Array.from(text.matchAll(/\n/g), ({ index }) => index + 1)]
  return (index) => {
    let [low, high] = [0, starts.length - 1]
    while (low < high) {
      const middle = Math.ceil((low + high) / 2)
      if ((starts[middle] ?? 0) <= index) low = middle
      else high = middle - 1
    }
    return { line: low + 1, column: index - (starts[low] ?? 0) + 1 }
  }
}

const COMMENT = /[ \t\r\n]*\/\*/y
const TRIM_END = /[ \t\r\n]+$/
const TRIM_START = /^[ \t\r\n]+/

/** Text and actions in turn; `{{-` and `-}}` eat the white space beside them. */
function splitPieces(text: string): readonly Piece[] {
  const pieces: Piece[] = []
  const place = createPlacer(text)
  let index = 0
  let trimNext = false
  while (index < text.length) {
    const open = text.indexOf('{{', index)
    const raw = text.slice(index, open < 0 ? text.length : open)
    const left = trimNext ? raw.replace(TRIM_START, '') : raw
    const trims = open >= 0 && /^\{\{-[ \t\r\n]/.test(text.slice(open, open + 4))
    const shown = trims ? left.replace(TRIM_END, '') : left
    if (shown !== '') pieces.push({ kind: 'text', text: shown })
    if (open < 0) break
    const at = place(open)
    const inside = open + (trims ? 4 : 2)
    const { tokens, end, trimsRight } = startsComment(text, inside) ? skipComment(text, inside, at) : tokenize(text, inside, at, place)
    if (tokens.length > 0) pieces.push({ kind: 'action', tokens, at })
    index = end
    trimNext = trimsRight
  }
  return pieces
}

type Action = { readonly tokens: readonly Token[]; readonly end: number; readonly trimsRight: boolean }

function startsComment(text: string, from: number): boolean {
  COMMENT.lastIndex = from
  return COMMENT.test(text)
}

function skipComment(text: string, from: number, at: Place): Action {
  const close = text.indexOf('*/', from)
  const ending = close < 0 ? null : /^(\s-)?\}\}/.exec(text.slice(close + 2, close + 6))
  if (!ending) throw new TemplateError('unclosed comment', at)
  return { tokens: [], end: close + 2 + ending[0].length, trimsRight: ending[1] !== undefined }
}

const TOKEN = new RegExp(
  [
    String.raw`(?<space>[ \t\r\n]+)`,
    String.raw`(?<string>"(?:[^"\\\n]|\\.)*"|\x60[^\x60]*\x60|'(?:[^'\\\n]|\\.)+')`,
    String.raw`(?<number>[+-]?(?:0[xX][0-9a-fA-F]+|\d+\.?\d*(?:[eE][+-]?\d+)?|\.\d+))`,
    String.raw`(?<variable>\$[\p{L}\p{N}_]*)`,
    String.raw`(?<field>\.[\p{L}_][\p{L}\p{N}_]*)`,
    String.raw`(?<word>[\p{L}_][\p{L}\p{N}_]*)`,
    String.raw`(?<symbol>:=|[|().=,])`,
  ].join('|'),
  'uy',
)

function tokenize(text: string, from: number, at: Place, place: Placer): Action {
  const tokens: Token[] = []
  let index = from
  while (index < text.length) {
    const ending = /^(?:[ \t\r\n]-)?\}\}/.exec(text.slice(index, index + 4))
    if (ending) {
      if (tokens.every(isSpace)) throw new TemplateError('missing value for command', at)
      return { tokens, end: index + ending[0].length, trimsRight: ending[0].length === 4 }
    }
    TOKEN.lastIndex = index
    const found = TOKEN.exec(text)
    if (!found) throw new TemplateError(`unexpected ${JSON.stringify(text[index])} in action`, place(index))
    const [kind, match] = Object.entries(found.groups ?? {}).find(([, value]) => value !== undefined) ?? []
    if (match === undefined) break
    if (isTokenKind(kind)) tokens.push({ kind, text: match, at: place(index) })
    // White space between operands separates arguments; `x.y` and `x .y` differ.
    else tokens.push({ kind: 'symbol', text: ' ', at: place(index) })
    index += match.length
  }
  throw new TemplateError('unclosed action', at)
}

const isTokenKind = (kind: string | undefined): kind is Token['kind'] => kind !== undefined && kind !== 'space'

type Cursor = { readonly pieces: readonly Piece[]; next: number }
type End = { readonly word: string; readonly rest: readonly Token[]; readonly at: Place }

/** Nodes until an `else` or `end` that belongs to the caller. */
function parseBlock(cursor: Cursor, depth: number): { nodes: readonly Node[]; end?: End } {
  const nodes: Node[] = []
  for (;;) {
    const piece = cursor.pieces[cursor.next]
    if (!piece) return { nodes }
    cursor.next += 1
    if (piece.kind === 'text') {
      nodes.push(piece)
      continue
    }
    const [first, ...rest] = trimSpace(piece.tokens)
    if (!first) continue
    const word = first.kind === 'word' ? first.text : ''
    if (word === 'end' || word === 'else') return { nodes, end: { word, rest: trimSpace(rest), at: piece.at } }
    if (word === 'if') nodes.push(parseBranch(cursor, rest, piece.at, depth + 1))
    else if (['range', 'with', 'define', 'template', 'block', 'break', 'continue'].includes(word)) throw new TemplateError(`{{ ${word} }} is not supported in queries`, piece.at)
    else nodes.push(parseAction([first, ...rest], piece.at))
  }
}

function parseBranch(cursor: Cursor, tokens: readonly Token[], at: Place, depth: number): Node {
  if (depth > MAX_DEPTH) throw new TemplateError('nested too deeply', at)
  const pipeline = parsePipeline(tokens, at)
  const { nodes: body, end } = parseBlock(cursor, depth)
  if (!end) throw new TemplateError('{{ if }} has no {{ end }}', at)
  if (end.word === 'end') return { kind: 'branch', pipeline, body, otherwise: [], at }
  const [next, ...rest] = end.rest
  // `else if` is an `else` that holds one branch, and shares its `end`.
  if (next?.text === 'if') return { kind: 'branch', pipeline, body, otherwise: [parseBranch(cursor, rest, end.at, depth + 1)], at }
  if (next) throw new TemplateError(`unexpected ${next.text} in else`, next.at)
  const last = parseBlock(cursor, depth)
  if (last.end?.word !== 'end') throw new TemplateError('{{ if }} has no {{ end }}', at)
  return { kind: 'branch', pipeline, body, otherwise: last.nodes, at }
}

function parseAction(tokens: readonly Token[], at: Place): Node {
  const [first, second, ...rest] = tokens.filter((token) => token.text !== ' ')
  if (first?.kind === 'variable' && (second?.text === ':=' || second?.text === '=')) {
    const from = tokens.findIndex((token) => token === second) + 1
    if (rest.length === 0) throw new TemplateError('missing value for assignment', at)
    return { kind: 'assign', variable: first.text, pipeline: parsePipeline(tokens.slice(from), at), at }
  }
  return { kind: 'output', pipeline: parsePipeline(tokens, at), at }
}

const isSpace = (token: Token | undefined): boolean => token?.kind === 'symbol' && token.text === ' '

function trimSpace(tokens: readonly Token[]): readonly Token[] {
  const start = tokens.findIndex((token) => !isSpace(token))
  const end = tokens.findLastIndex((token) => !isSpace(token))
  return start < 0 ? [] : tokens.slice(start, end + 1)
}

function parsePipeline(tokens: readonly Token[], at: Place, depth = 0): Pipeline {
  if (depth > MAX_DEPTH) throw new TemplateError('nested too deeply', at)
  return splitAtPipes(tokens).map((part) => parseCommand(trimSpace(part), at, depth))
}

function splitAtPipes(tokens: readonly Token[]): readonly (readonly Token[])[] {
  const parts: Token[][] = [[]]
  let open = 0
  for (const token of tokens) {
    if (token.kind === 'symbol' && token.text === '(') open += 1
    if (token.kind === 'symbol' && token.text === ')') open -= 1
    if (token.kind === 'symbol' && token.text === '|' && open === 0) parts.push([])
    else parts.at(-1)?.push(token)
  }
  return parts
}

function parseCommand(tokens: readonly Token[], at: Place, depth: number): Command {
  const operands: Operand[] = []
  let index = 0
  while (index < tokens.length) {
    if (isSpace(tokens[index])) {
      index += 1
      continue
    }
    if (operands.length > 0 && !isSpace(tokens[index - 1])) throw new TemplateError(`unexpected ${JSON.stringify(tokens[index]?.text)} in operand`, tokens[index]?.at ?? at)
    const { operand, next } = parseOperand(tokens, index, at, depth)
    operands.push(operand)
    index = next
  }
  const [first, ...more] = operands
  if (!first) throw new TemplateError('missing value for command', at)
  if (more.length > 0 && first.kind !== 'call') throw new TemplateError('only a function takes arguments', at)
  if (first.kind === 'call' && first.fields.length > 0 && more.length > 0) throw new TemplateError(`${first.name}.${first.fields.join('.')} takes no arguments`, at)
  return [first, ...more]
}

function parseOperand(tokens: readonly Token[], index: number, at: Place, depth: number): { operand: Operand; next: number } {
  const token = tokens[index]
  if (!token) throw new TemplateError('missing operand', at)
  switch (token.kind) {
    case 'string': return { operand: { kind: 'string', value: unquote(token) }, next: index + 1 }
    case 'number': return { operand: { kind: 'number', value: Number(token.text) }, next: index + 1 }
    case 'variable': return withFields(tokens, index + 1, (fields) => ({ kind: 'variable', name: token.text, fields }))
    case 'field': return withFields(tokens, index, (fields) => ({ kind: 'dot', fields }))
    case 'word':
      if (token.text === 'true' || token.text === 'false') return { operand: { kind: 'bool', value: token.text === 'true' }, next: index + 1 }
      return withFields(tokens, index + 1, (fields) => ({ kind: 'call', name: token.text, fields }))
    case 'symbol': return parseSymbol(tokens, index, token, depth)
    default: return token.kind satisfies never
  }
}

function parseSymbol(tokens: readonly Token[], index: number, token: Token, depth: number): { operand: Operand; next: number } {
  if (token.text === '.') return { operand: { kind: 'dot', fields: [] }, next: index + 1 }
  if (token.text !== '(') throw new TemplateError(`unexpected ${JSON.stringify(token.text)} in command`, token.at)
  let open = 0
  const close = tokens.findIndex((each, i) => {
    if (i < index || each.kind !== 'symbol') return false
    if (each.text === '(') open += 1
    if (each.text === ')') open -= 1
    return open === 0 && each.text === ')'
  })
  if (close < 0) throw new TemplateError('unclosed left paren', token.at)
  const pipeline = parsePipeline(tokens.slice(index + 1, close), token.at, depth + 1)
  return withFields(tokens, close + 1, (fields) => ({ kind: 'group', pipeline, fields }))
}

/** Field tokens that follow without white space: `variables.key`. */
function withFields(tokens: readonly Token[], from: number, build: (fields: readonly string[]) => Operand): { operand: Operand; next: number } {
  let next = from
  while (tokens[next]?.kind === 'field') next += 1
  return { operand: build(tokens.slice(from, next).map(({ text }) => text.slice(1))), next }
}

const ESCAPES: Readonly<Record<string, string>> = { a: '\u0007', b: '\b', f: '\f', n: '\n', r: '\r', t: '\t', v: '\v', '\\': '\\', '"': '"', "'": "'" }
const ESCAPE = /\\(?:x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|([0-7]{3})|(.))/gs

/** A Go string as its text: double quotes with escapes, back quotes as they are. A character is refused: queries have no use for one. */
function unquote({ text, at }: Token): string {
  if (text.startsWith("'")) throw new TemplateError('a string has double quotes', at)
  const inside = text.slice(1, -1)
  if (text.startsWith('`')) return inside
  return inside.replaceAll(ESCAPE, (_, hex: string | undefined, short: string | undefined, long: string | undefined, octal: string | undefined, plain: string | undefined) => {
    const digits = hex ?? short ?? long
    const code = digits === undefined ? Number.parseInt(octal ?? '', 8) : Number.parseInt(digits, 16)
    if (plain === undefined && code <= 0x10ffff) return String.fromCodePoint(code)
    if (plain === undefined || !Object.hasOwn(ESCAPES, plain)) throw new TemplateError('invalid escape in string', at)
    return ESCAPES[plain] ?? ''
  })
}
