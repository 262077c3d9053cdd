/**
 * Metric queries as templates: Go's text/template with Flagger's functions. What is substituted cannot change the shape of the query:
 * inside quotes it is escaped, outside it must be a single name, number or duration.
 */

import { canaryName } from '#api/names.ts'
import { contextAfter, guarded, type Context, type QueryLanguage } from '#metrics/query-language.ts'
import { parseNodes, TemplateError, type Command, type Node, type Operand, type Pipeline, type Place } from '#metrics/template-syntax.ts'

export type Template = { readonly text: string; readonly nodes: readonly Node[] }

export type TemplateValues = {
  /** Of the Canary. */
  readonly name: string
  readonly namespace: string
  /** The target's own name. `{{ target }}` renders the canary workload's, unless `-canary` or `-primary` follows. */
  readonly target: string
  readonly service: string
  readonly ingress: string
  readonly route: string
  /** As written in the metric: `1m`. */
  readonly interval: string
  readonly variables: Readonly<Record<string, string>>
  /** What the rendered text is read as: in PromQL, say, an unquoted `a-b` is a subtraction, so a variable must not be one. */
  readonly language?: QueryLanguage
}

export type ParseResult = { readonly template: Template; readonly errors?: undefined } | { readonly template?: undefined; readonly errors: readonly string[] }
export type RenderResult = { readonly text: string; readonly error?: undefined } | { readonly text?: undefined; readonly error: string }

/** The functions that a query may call without a dot. */
const VALUE_FUNCTIONS = ['name', 'namespace', 'target', 'service', 'ingress', 'route', 'interval'] as const
type ValueFunction = (typeof VALUE_FUNCTIONS)[number]
const isValueFunction = (name: string): name is ValueFunction => (VALUE_FUNCTIONS as readonly string[]).includes(name)

/** A template, or what is wrong with it (`line:column: fault`). Unknown functions are found here, as in Go. */
export function parseTemplate(text: string): ParseResult {
  try {
    const nodes = parseNodes(text)
    const errors = [...operandsOf(nodes)].flatMap(({ operand, at }) => {
      if (operand.kind === 'call' && !isKnownFunction(operand.name)) return [new TemplateError(`function ${JSON.stringify(operand.name)} not defined`, at).message]
      // Queries have no dot in Flagger either: `.target` is somebody's slip.
      if (operand.kind === 'dot') return [new TemplateError(`${operand.fields.length > 0 ? `.${operand.fields.join('.')}` : 'the dot'} has no value; functions have no dot: {{ target }}`, at).message]
      return []
    })
    return errors.length > 0 ? { errors } : { template: { text, nodes } }
  } catch (err) {
    if (err instanceof TemplateError) return { errors: [err.message] }
    throw err
  }
}

/** Names of the variables that a template asks for, sorted. */
export function variablesOf(template: Template): readonly string[] {
  const names = new Set<string>()
  for (const { operand, rest } of operandsOf(template.nodes)) {
    if (operand.kind !== 'call') continue
    const [field] = operand.name === 'variables' ? operand.fields : []
    if (field !== undefined) names.add(field)
    const [of, key] = operand.name === 'index' ? rest : []
    if (of?.kind === 'call' && of.name === 'variables' && key?.kind === 'string') names.add(key.value)
  }
  return [...names].sort()
}

function* operandsOf(nodes: readonly Node[]): Generator<{ operand: Operand; rest: readonly Operand[]; at: Place }> {
  for (const node of nodes) {
    if (node.kind === 'text') continue
    yield* pipelineOperands(node.pipeline, node.at)
    if (node.kind === 'branch') yield* operandsOf([...node.body, ...node.otherwise])
  }
}

function* pipelineOperands(pipeline: Pipeline, at: Place): Generator<{ operand: Operand; rest: readonly Operand[]; at: Place }> {
  for (const command of pipeline) {
    for (const [i, operand] of command.entries()) {
      yield { operand, rest: command.slice(i + 1), at }
      if (operand.kind === 'group') yield* pipelineOperands(operand.pipeline, at)
    }
  }
}

/** A stretch of text, and whether it came from outside the template. `bare`: what it renders as when no role's suffix follows. */
type Part = { readonly text: string; readonly foreign: boolean; readonly bare?: string }
type Parts = { readonly kind: 'parts'; readonly parts: readonly Part[] }
type Value = Parts | number | boolean | { readonly kind: 'map'; readonly entries: Readonly<Record<string, string>> }

const ours = (text: string): Parts => ({ kind: 'parts', parts: [{ text, foreign: false }] })
const foreign = (text: string): Parts => ({ kind: 'parts', parts: [{ text, foreign: true }] })
const plainText = (value: Value): string => {
  if (typeof value !== 'object') return String(value)
  if (value.kind === 'map') throw new RenderError('variables is a map: {{ variables.key }}')
  return value.parts.map(({ text }) => text).join('')
}

class RenderError extends Error {}

/** The query, or why there is none: a variable that is missing, a value that would change the query's shape. */
export function renderTemplate(template: Template, values: TemplateValues): RenderResult {
  try {
    const scope = { values, locals: new Map<string, Value>() }
    return { text: joinParts(renderNodes(template.nodes, scope), values.language ?? 'promql') }
  } catch (err) {
    if (err instanceof RenderError || err instanceof TemplateError) return { error: err.message }
    throw err
  }
}

type Scope = { readonly values: TemplateValues; readonly locals: Map<string, Value> }

function renderNodes(nodes: readonly Node[], scope: Scope): readonly Part[] {
  return nodes.flatMap((node): readonly Part[] => {
    if (node.kind === 'text') return [{ text: node.text, foreign: false }]
    const result = placed(node.at, () => evaluate(node.pipeline, scope))
    if (node.kind === 'output') return typeof result === 'object' && result.kind === 'parts' ? result.parts : [{ text: placed(node.at, () => plainText(result)), foreign: false }]
    if (node.kind === 'branch') return renderNodes(isTrue(result) ? node.body : node.otherwise, scope)
    scope.locals.set(node.variable, result)
    return []
  })
}

function placed<T>(at: Place, work: () => T): T {
  try {
    return work()
  } catch (err) {
    throw err instanceof RenderError ? new TemplateError(err.message, at) : err
  }
}

const isTrue = (value: Value): boolean => {
  if (typeof value !== 'object') return Boolean(value)
  return value.kind === 'map' ? Object.keys(value.entries).length > 0 : plainText(value) !== ''
}

function evaluate(pipeline: Pipeline, scope: Scope): Value {
  let piped: readonly Value[] = []
  for (const command of pipeline) piped = [runCommand(command, piped, scope)]
  const [result] = piped
  if (result === undefined) throw new RenderError('empty pipeline')
  return result
}

function runCommand([first, ...rest]: Command, piped: readonly Value[], scope: Scope): Value {
  if (first.kind !== 'call') {
    if (piped.length > 0) throw new RenderError('a value cannot be piped into a value')
    return valueOf(first, scope)
  }
  return select(call(first.name, [...rest.map((operand) => valueOf(operand, scope)), ...piped], scope), first.fields)
}

function valueOf(operand: Operand, scope: Scope): Value {
  switch (operand.kind) {
    case 'string': return ours(operand.value)
    case 'number':
    case 'bool': return operand.value
    case 'call': return select(call(operand.name, [], scope), operand.fields)
    case 'group': return select(evaluate(operand.pipeline, scope), operand.fields)
    case 'dot': throw new RenderError('the dot has no value')
    case 'variable': {
      const found = scope.locals.get(operand.name)
      if (found === undefined) throw new RenderError(`undefined variable ${operand.name}`)
      return select(found, operand.fields)
    }
    default: return operand satisfies never
  }
}

function select(value: Value, fields: readonly string[]): Value {
  const [key, ...more] = fields
  if (key === undefined) return value
  if (typeof value !== 'object' || value.kind !== 'map' || more.length > 0) throw new RenderError(`can't evaluate field ${more[0] ?? key}`)
  // As with missingkey=error: a query without its variable is another query.
  if (!Object.hasOwn(value.entries, key)) throw new RenderError(`map has no entry for key ${JSON.stringify(key)}`)
  return foreign(value.entries[key] ?? '')
}

type Fn = (args: readonly Value[]) => Value

const compare = (test: (order: number) => boolean): Fn => (args) => {
  const [a, b] = exactly(2, args)
  return test(orderOf(a, b))
}

const FUNCTIONS: Readonly<Record<string, Fn>> = {
  printf: ([format, ...args]) => formatParts(plainText(format ?? ours('')), args),
  print: (args) => ({ kind: 'parts', parts: args.flatMap(partsOf) }),
  println: (args) => ({ kind: 'parts', parts: [...args.flatMap((arg, i) => [...(i > 0 ? partsOf(ours(' ')) : []), ...partsOf(arg)]), { text: '\n', foreign: false }] }),
  index: (args) => {
    const [map, key] = exactly(2, args)
    if (typeof map !== 'object' || map.kind !== 'map') throw new RenderError('index of what is no map')
    const name = plainText(key)
    return foreign(Object.hasOwn(map.entries, name) ? (map.entries[name] ?? '') : '')
  },
  len: (args) => {
    const [value] = exactly(1, args)
    return typeof value === 'object' && value.kind === 'map' ? Object.keys(value.entries).length : Buffer.byteLength(plainText(value))
  },
  not: (args) => !isTrue(exactly(1, args)[0]),
  and: (args) => args.find((arg) => !isTrue(arg)) ?? args.at(-1) ?? false,
  or: (args) => args.find(isTrue) ?? args.at(-1) ?? false,
  eq: ([first, ...others]) => {
    if (first === undefined || others.length === 0) throw new RenderError('eq wants two arguments')
    return others.some((other) => orderOf(first, other) === 0)
  },
  ne: compare((order) => order !== 0),
  lt: compare((order) => order < 0),
  le: compare((order) => order <= 0),
  gt: compare((order) => order > 0),
  ge: compare((order) => order >= 0),
}

const isKnownFunction = (name: string): boolean => name === 'variables' || isValueFunction(name) || Object.hasOwn(FUNCTIONS, name)

function exactly<N extends 1 | 2>(count: N, args: readonly Value[]): N extends 1 ? readonly [Value] : readonly [Value, Value]
function exactly(count: number, args: readonly Value[]): readonly Value[] {
  if (args.length !== count) throw new RenderError(`wrong number of args: want ${count} got ${args.length}`)
  return args
}

function orderOf(a: Value, b: Value): number {
  if (typeof a === 'number' && typeof b === 'number') return a - b
  if (typeof a === 'boolean' && typeof b === 'boolean') return Number(a) - Number(b)
  if (typeof a !== 'object' || typeof b !== 'object') throw new RenderError('incompatible types for comparison')
  const [x, y] = [plainText(a), plainText(b)]
  return x < y ? -1 : Number(x > y)
}

function call(name: string, args: readonly Value[], { values }: Scope): Value {
  const fn = Object.hasOwn(FUNCTIONS, name) ? FUNCTIONS[name] : undefined
  if (fn) return fn(args)
  if (args.length > 0) throw new RenderError(`wrong number of args for ${name}: want 0 got ${args.length}`)
  if (name === 'variables') return { kind: 'map', entries: values.variables }
  if (name === 'target') return { kind: 'parts', parts: [{ text: values.target, foreign: true, bare: canaryName(values.target) }] }
  if (isValueFunction(name)) return foreign(values[name])
  throw new RenderError(`function ${JSON.stringify(name)} not defined`)
}

const partsOf = (value: Value): readonly Part[] =>
  typeof value === 'object' && value.kind === 'parts' ? value.parts : [{ text: plainText(value), foreign: false }]

const VERB = /%([+#0-]*)(\d*)(?:\.(\d+))?([a-zA-Z%])/g

/** Go's Printf for %s %v %d %f %g %q and %%. What comes from outside stays marked as such. */
function formatParts(format: string, args: readonly Value[]): Value {
  const parts: Part[] = []
  let from = 0
  let next = 0
  for (const match of format.matchAll(VERB)) {
    const [whole, , width = '', precision, verb = ''] = match
    parts.push({ text: format.slice(from, match.index), foreign: false })
    from = match.index + whole.length
    if (verb === '%') {
      parts.push({ text: '%', foreign: false })
      continue
    }
    const arg = args[next]
    if (arg === undefined) throw new RenderError(`printf: ${whole} has no argument`)
    next += 1
    if (width !== '') throw new RenderError(`printf: ${whole} with a width is not supported in queries`)
    parts.push(...verbParts(verb, arg, precision, whole))
  }
  if (next < args.length) throw new RenderError('printf: more arguments than verbs')
  return { kind: 'parts', parts: [...parts, { text: format.slice(from), foreign: false }] }
}

function verbParts(verb: string, arg: Value, precision: string | undefined, whole: string): readonly Part[] {
  const quote: Part = { text: '"', foreign: false }
  if (verb === 'q' && typeof arg === 'object') return [quote, ...partsOf(arg).map((part) => ({ ...part, foreign: true })), quote]
  if (verb === 's' || verb === 'v') {
    if (precision !== undefined) throw new RenderError(`printf: ${whole} is not supported in queries`)
    return partsOf(arg)
  }
  if (typeof arg !== 'number') throw new RenderError(`printf: ${whole} wants a number`)
  if (verb === 'd' && Number.isInteger(arg)) return [{ text: String(arg), foreign: false }]
  if (verb === 'f') return [{ text: arg.toFixed(precision === undefined ? 6 : Number(precision)), foreign: false }]
  if (verb === 'g') return [{ text: String(arg), foreign: false }]
  throw new RenderError(`printf: ${whole} is not supported in queries`)
}

/** Longest query that is sent. */
const MAX_QUERY_CHARS = 64 * 1024

function joinParts(parts: readonly Part[], language: QueryLanguage): string {
  const shown = coalesce(parts)
  let text = ''
  let context: Context = ''
  for (const [i, part] of shown.entries()) {
    if (!part.foreign) {
      context = contextAfter(part.text, context, language)
      text += part.text
      continue
    }
    const isBare = part.bare !== undefined && !/^-(?:canary|primary)/.test(textAfter(shown, i))
    const value = guarded(isBare ? (part.bare ?? part.text) : part.text, context, language, text)
    if (value.fault !== undefined) throw new RenderError(value.fault)
    text += value.text
    if (text.length > MAX_QUERY_CHARS) throw new RenderError(`the query is longer than ${MAX_QUERY_CHARS} characters`)
  }
  return text
}

/** The first characters that follow a part: as many as a role's suffix has. */
function textAfter(parts: readonly Part[], index: number): string {
  let text = ''
  for (let i = index + 1; i < parts.length && text.length < '-primary'.length; i += 1) text += parts[i]?.text ?? ''
  return text
}

/** The template's own text in one piece wherever it stands together, so that no token is cut in two. */
function coalesce(parts: readonly Part[]): readonly Part[] {
  const joined: Part[] = []
  for (const part of parts) {
    const before = joined.at(-1)
    if (before && !before.foreign && !part.foreign) joined[joined.length - 1] = { text: before.text + part.text, foreign: false }
    else if (part.text !== '' || part.bare !== undefined) joined.push(part)
  }
  return joined
}
