/**
 * What can be told about a query's Go template without rendering it for real: does it parse, which functions and variables does it use,
 * and what does it look like with samples in place. The rendering itself is the metric client's.
 */

/** Functions that Flagger offers in queries, with samples that keep PromQL parseable. */
const SAMPLES: Readonly<Record<string, string>> = {
  name: 'sample', namespace: 'sample', target: 'sample', service: 'sample', ingress: 'sample', route: 'sample', interval: '1m',
}
export const TEMPLATE_FUNCTIONS: readonly string[] = [...Object.keys(SAMPLES), 'variables']
/** Built into Go's templates. */
const GO_WORDS = new Set([
  'and', 'or', 'not', 'len', 'index', 'slice', 'print', 'printf', 'println', 'html', 'js', 'urlquery', 'eq', 'ne', 'lt', 'le', 'gt', 'ge',
  'if', 'else', 'end', 'range', 'with', 'define', 'block', 'template', 'break', 'continue', 'true', 'false', 'nil',
])

/** Longest query that is looked at; real ones are some hundred characters. */
const MAX_QUERY_CHARS = 16_384
const STRINGS = /"(?:[^"\\\n]|\\.)*"|`[^`]*`|'(?:[^'\\]|\\.)*'/g
const WORDS = /(\$?\.?[A-Za-z_]\w*(?:\.\w+)*)/g

export type TemplateFacts = {
  /** What keeps it from parsing, in words. */
  readonly faults: readonly string[]
  /** Words called as functions that nobody defines. */
  readonly unknown: readonly string[]
  /** Known functions that it uses. */
  readonly functions: readonly string[]
  /** `x` of `{{ variables.x }}`. */
  readonly variables: readonly string[]
  /** The template with samples for its actions; undefined when it branches or pipes, so that nothing sure can be said. */
  readonly sample: string | undefined
}

export function templateFacts(template: string): TemplateFacts {
  if (template.length > MAX_QUERY_CHARS) {
    return { faults: [`is longer than ${MAX_QUERY_CHARS} characters`], unknown: [], functions: [], variables: [], sample: undefined }
  }
  const faults: string[] = []
  const unknown = new Set<string>()
  const functions = new Set<string>()
  const variables = new Set<string>()
  let depth = 0
  let isPlain = true

  const sample = replaceActions(template, (body) => {
    if (body.startsWith('/*')) return ''
    if (body === '') faults.push('an action {{ }} is empty')
    const code = body.replace(STRINGS, ' ')
    const first = code.split(/\s/)[0]
    if (first === 'if' || first === 'range' || first === 'with' || first === 'define' || first === 'block') depth += 1
    if (first === 'end') depth -= 1
    for (const [word] of code.matchAll(WORDS)) {
      if (word.startsWith('$') || word.startsWith('.') || GO_WORDS.has(word)) continue
      const [head = word, ...path] = word.split('.')
      if (!TEMPLATE_FUNCTIONS.includes(head)) unknown.add(head)
      else functions.add(head)
      if (head === 'variables' && path[0] !== undefined) variables.add(path[0])
    }
    for (const [, name] of body.matchAll(/index\s+variables\s+"([^"]+)"/g)) if (name !== undefined) variables.add(name)
    if (/^variables\.\w+$/.test(body)) return 'sample'
    const known = Object.hasOwn(SAMPLES, body) ? SAMPLES[body] : undefined
    if (known === undefined) isPlain = false
    return known ?? ''
  })
  if (sample.includes('{{')) faults.push('an action is opened with {{ and never closed')
  if (sample.includes('}}') && !template.includes('{{')) faults.push('}} closes an action that was never opened')
  if (depth > 0) faults.push('if, range or with lacks its {{ end }}')
  if (depth < 0) faults.push('{{ end }} closes nothing')
  return {
    faults, unknown: [...unknown], functions: [...functions], variables: [...variables],
    sample: isPlain && faults.length === 0 ? sample : undefined,
  }
}

/** By hand instead of by a pattern: thousands of `{{` that nobody closes must not cost more than one look at each. */
function replaceActions(template: string, replace: (body: string) => string): string {
  let result = ''
  let from = 0
  for (;;) {
    const start = template.indexOf('{{', from)
    const end = start < 0 ? -1 : template.indexOf('}}', start + 2)
    if (end < 0) return result + template.slice(from)
    result += template.slice(from, start) + replace(template.slice(start + 2, end).replace(/^-(?=\s)/, '').replace(/\s-$/, '').trim())
    from = end + 2
  }
}
