import { parser } from '@prometheus-io/lezer-promql'
import fc from 'fast-check'
import { test } from 'tap'
import { parseTemplate, renderTemplate, variablesOf, type TemplateValues } from '#metrics/template.ts'
import type { QueryLanguage } from '#metrics/query-language.ts'

const RUNS = 500
const VALUES: TemplateValues = {
  name: 'cart-release', namespace: 'shop', target: 'cart', service: 'cart-svc', ingress: 'cart-ing', route: 'cart-route',
  interval: '1m', variables: { app: 'web', threshold: '0.5', regex: String.raw`a\\.b`, empty: '' },
}

function render(text: string, values: Partial<TemplateValues> = {}): string {
  const { template, errors } = parseTemplate(text)
  if (!template) return `cannot parse: ${errors.join('; ')}`
  const { text: query, error } = renderTemplate(template, { ...VALUES, ...values })
  return query ?? `cannot render: ${error}`
}

const queries = [
  { name: 'plain text', text: 'sum(rate(x[1m]))', gives: 'sum(rate(x[1m]))' },
  { name: 'every value', text: '"{{ name }} {{ namespace }} {{ service }} {{ ingress }} {{ route }}"[{{ interval }}]', gives: '"cart-release shop cart-svc cart-ing cart-route"[1m]' },
  { name: 'a bare target is the canary workload', text: '{app="{{ target }}"}', gives: '{app="cart-canary"}' },
  { name: 'a target with a role names the Service', text: '{a="{{ target }}-canary", b="{{ target }}-primary"}', gives: '{a="cart-canary", b="cart-primary"}' },
  { name: 'a target before any other suffix is the canary workload', text: '{pod=~"{{ target }}-[0-9a-z]+"}', gives: '{pod=~"cart-canary-[0-9a-z]+"}' },
  { name: 'a role behind a trimmed gap counts', text: '"{{ target -}} -primary"', gives: '"cart-primary"' },
  { name: 'a role out of printf counts', text: '{a="{{ printf "%s-primary" target }}", b="{{ printf "%s.*" target }}"}', gives: '{a="cart-primary", b="cart-canary.*"}' },
  { name: 'two targets side by side', text: '"{{ target }}{{ target }}-canary"', gives: '"cart-canarycart-canary"' },
  { name: 'variables', text: '{app="{{ variables.app }}"} > {{ variables.threshold }}', gives: '{app="web"} > 0.5' },
  { name: 'variables by index', text: '"{{ index variables "app" }}{{ index variables "none" }}"', gives: '"web"' },
  { name: 'pipes', text: '{{ "x" | printf "%s_%s" "a" }}{{ namespace | printf "{ns=%q}" }}', gives: 'a_x{ns="shop"}' },
  { name: 'groups', text: '{{ printf "%s" (printf "%s_total" "x") }}', gives: 'x_total' },
  { name: 'numbers', text: '{{ 5 }} {{ printf "%d %.2f %v %%" 3 0.5 1.5 }}', gives: '5 3 0.50 1.5 %' },
  { name: 'raw strings and escapes', text: '{{ `a"b` }} {{ "c\\td\\u00e9" }}', gives: 'a"b c\tdé' },
  { name: 'white space control', text: 'a\n{{- /* why */ -}}\n b {{- " c" -}} \n d', gives: 'ab cd' },
  { name: 'if', text: '{{ if variables.app }}yes{{ else }}no{{ end }}{{ if variables.empty }}yes{{ end }}', gives: 'yes' },
  { name: 'else if', text: '{{ if eq namespace "a" "b" }}1{{ else if eq target "cart" }}2{{ else }}3{{ end }}', gives: '2' },
  { name: 'comparisons', text: '{{ lt 1 2 }} {{ ge 1 2 }} {{ ne namespace "shop" }} {{ and true (not false) }} {{ or variables.empty "x" }} {{ len namespace }}', gives: 'true false false true x 4' },
  { name: 'print and println', text: '{{ print "a" 1 }}{{ println "b" "c" }}', gives: 'a1b c\n' },
  { name: 'an own variable', text: '{{ $ns := namespace }}{{ $ns = service }}"{{ $ns }}"', gives: '"cart-svc"' },
  { name: 'braces of PromQL', text: 'x{a="b"}', gives: 'x{a="b"}' },
  { name: 'escapes that people wrote for Flagger stay', text: '{a=~"{{ variables.regex }}"}', gives: String.raw`{a=~"a\\.b"}` },
]
for (const { name, text, gives } of queries) test(`renders ${name}`, async (t) => t.equal(render(text), gives))

const faults = [
  { name: 'an unknown function', text: 'a\n  {{ targets }}', gives: 'cannot parse: 2:3: function "targets" not defined' },
  { name: 'a dot before a function', text: '{{ .target }}', gives: 'cannot parse: 1:1: .target has no value; functions have no dot: {{ target }}' },
  { name: 'an open action', text: 'sum({{ target', gives: 'cannot parse: 1:5: unclosed action' },
  { name: 'an open string', text: '{{ "a }}', gives: 'cannot parse: 1:4: unexpected "\\"" in action' },
  { name: 'an open comment', text: '{{/* a }}', gives: 'cannot parse: 1:1: unclosed comment' },
  { name: 'an empty action', text: '{{ }}', gives: 'cannot parse: 1:1: missing value for command' },
  { name: 'an if without end', text: '{{ if target }}', gives: 'cannot parse: 1:1: {{ if }} has no {{ end }}' },
  { name: 'an end without if', text: '{{ end }}', gives: 'cannot parse: 1:1: unexpected {{ end }}' },
  { name: 'a range', text: '{{ range variables }}{{ end }}', gives: 'cannot parse: 1:1: {{ range }} is not supported in queries' },
  { name: 'several faults at once', text: '{{ a }} {{ b }}', gives: 'cannot parse: 1:1: function "a" not defined; 1:9: function "b" not defined' },
  { name: 'a missing variable', text: '{{ variables.none }}', gives: 'cannot render: 1:1: map has no entry for key "none"' },
  { name: 'an inherited name as variable', text: '{{ variables.constructor }}', gives: 'cannot render: 1:1: map has no entry for key "constructor"' },
  { name: 'the map itself', text: '{{ variables }}', gives: 'cannot render: 1:1: variables is a map: {{ variables.key }}' },
  { name: 'arguments for a value', text: '{{ target "a" }}', gives: 'cannot render: 1:1: wrong number of args for target: want 0 got 1' },
  { name: 'a verb without argument', text: '{{ printf "%s" }}', gives: 'cannot render: 1:1: printf: %s has no argument' },
  { name: 'a comparison of unlike things', text: '{{ lt "a" 1 }}', gives: 'cannot render: 1:1: incompatible types for comparison' },
  { name: 'an index of a string', text: '{{ index target "a" }}', gives: 'cannot render: 1:1: index of what is no map' },
  { name: 'a field of a string', text: '{{ target.name }}', gives: "cannot render: 1:1: can't evaluate field name" },
]
for (const { name, text, gives } of faults) test(`tells ${name}`, async (t) => t.equal(render(text), gives))

const attacks = [
  { name: 'a quote that would end the string', text: '{a="{{ variables.v }}"}', v: '"} or vector(0) #', gives: String.raw`{a="\"} or vector(0) #"}` },
  { name: 'a trailing backslash', text: '{a="{{ variables.v }}", b="x"}', v: 'a\\', gives: String.raw`{a="a\\", b="x"}` },
  { name: 'an escaped backslash before a quote', text: '{a="{{ variables.v }}"}', v: String.raw`\\" or`, gives: String.raw`{a="\\\" or"}` },
  { name: 'a new line', text: '{a="{{ variables.v }}"}', v: 'a\nb', gives: String.raw`{a="a\nb"}` },
  { name: 'the other quote', text: `{a='{{ variables.v }}'}`, v: `"'`, gives: String.raw`{a='"\''}` },
  { name: 'operators outside of quotes', text: 'x > {{ variables.v }}', v: '0 or vector(1)', gives: 'cannot render: the value "0 or vector(1)" is no single name or number; put it into quotes' },
  { name: 'a subtraction outside of quotes', text: '{{ variables.v }}', v: 'a-a', gives: 'cannot render: the value "a-a" is no single name or number; put it into quotes' },
  { name: 'a back quote in a raw string', text: '{a=`{{ variables.v }}`}', v: '` or', gives: 'cannot render: the value "` or" would end the string that it stands in' },
  { name: 'a new line in a comment', text: 'x # {{ variables.v }}', v: 'a\n+ 1', gives: 'cannot render: the value "a\\n+ 1" would end the comment that it stands in' },
  { name: 'a backslash of the template', text: String.raw`{a="\{{ variables.v }}"}`, v: '"', gives: 'cannot render: a value may not follow a backslash' },
  { name: 'a quote behind an escaped one of the template', text: String.raw`{a="\"{{ variables.v }}"}`, v: '" or x', gives: String.raw`{a="\"\" or x"}` },
  { name: 'an escape of the other quote', text: '{a="{{ variables.v }}"}', v: String.raw`\'`, gives: String.raw`{a="\\'"}` },
  { name: 'a backslash in a raw string of the template', text: '{a=`\\`, b="{{ variables.v }}"}', v: '"', gives: String.raw`{a=`+'`\\`'+String.raw`, b="\""}` },
  { name: 'a string that printf opens', text: '{a={{ printf "%q" variables.v }}}', v: '"} or x{a="', gives: String.raw`{a="\"} or x{a=\""}` },
]
for (const { name, text, v, gives } of attacks) test(`withstands ${name}`, async (t) => t.equal(render(text, { variables: { v } }), gives))

test('names with dashes are plain text where the language is not PromQL', async (t) => {
  t.equal(render('avg:requests{kube_service:{{ service }},v:{{ variables.v }}}', { language: 'selector', variables: { v: 'a-b' } }), 'avg:requests{kube_service:cart-svc,v:a-b}')
})

const languages: readonly { readonly language: QueryLanguage; readonly name: string; readonly text: string; readonly v: string; readonly gives: string }[] = [
  { language: 'flux', name: 'an expression in a string', text: 'r.h == "{{ variables.v }}"', v: '${token}', gives: String.raw`r.h == "\${token}"` },
  { language: 'flux', name: 'a quote', text: 'r.h == "{{ variables.v }}"', v: '" or true or "', gives: String.raw`r.h == "\" or true or \""` },
  { language: 'flux', name: 'the end of a regular expression', text: 'r.h =~ /{{ variables.v }}/', v: 'a//', gives: 'cannot render: the value "a//" is no single name or number; put it into quotes' },
  { language: 'flux', name: 'an apostrophe in the template', text: "// don't\nx > {{ variables.v }}", v: '1 or true', gives: 'cannot render: the value "1 or true" is no single name or number; put it into quotes' },
  { language: 'nrql', name: 'a comment', text: 'WHERE x = {{ variables.v }} AND y', v: 'x--', gives: 'cannot render: the value "x--" is no single name or number; put it into quotes' },
  { language: 'nrql', name: 'a quote', text: "x = '{{ variables.v }}'", v: "' OR 1 = 1", gives: `cannot render: the value "' OR 1 = 1" could end the string that it stands in` },
  { language: 'nrql', name: 'a negative number', text: 'x > {{ variables.v }}', v: '-1.5', gives: 'x > -1.5' },
  { language: 'selector', name: 'a quote where a backslash escapes none', text: 'eq("h","{{ variables.v }}")', v: '"),eq("h","x', gives: String.raw`cannot render: the value "\"),eq(\"h\",\"x" could end the string that it stands in` },
  { language: 'selector', name: 'an escape at the end', text: 'eq("h","{{ variables.v }}")', v: 'x~', gives: 'cannot render: the value "x~" could end the string that it stands in' },
  { language: 'query-string', name: 'encoded quotes and parameters', text: 'target=alias(a,"{{ variables.v }}")&from=-1min', v: '%22),b&from=-1y', gives: 'target=alias(a,"%2522)%2Cb%26from%3D-1y")&from=-1min' },
  { language: 'path', name: 'another part', text: 'keptnmetric/{{ namespace }}/{{ variables.v }}', v: 'x/9h', gives: 'cannot render: the value "x/9h" is no single name or number' },
  { language: 'path', name: 'another parameter', text: 'm?labelSelector="{{ variables.v }}"', v: 'x&labelSelector=', gives: 'cannot render: the value "x&labelSelector=" is no single name or number' },
  { language: 'json', name: 'a quote in JSON', text: '[{"Value":"{{ variables.v }}"}]', v: '"}]', gives: String.raw`[{"Value":"\"}]"}]` },
  { language: 'json', name: 'a term in an expression', text: '[{"Expression":"m1 / {{ variables.v }}"}]', v: '1 + 100', gives: 'cannot render: the value "1 + 100" could end the string that it stands in' },
  { language: 'signalflow', name: 'a quote in a program', text: "filter('h', '{{ variables.v }}')", v: "') or filter('", gives: String.raw`filter('h', '\') or filter(\'')` },
]
for (const { language, name, text, v, gives } of languages) test(`withstands ${name} (${language})`, async (t) => t.equal(render(text, { language, variables: { v } }), gives))

/** Kinds of the tokens of a query, and whether it parses. */
function shapeOf(query: string): string {
  const shape: string[] = []
  parser.parse(query).iterate({ enter: (node) => { shape.push(node.type.isError ? 'error' : node.name) } })
  return shape.join(' ')
}

test('no value changes the shape of a query', async (t) => {
  const templates = ['x{a="{{ variables.v }}", b="c"}', `x{a='{{ variables.v }}'}`, 'x{a=~"^{{ variables.v }}$"} > 1', 'x{a={{ printf "%q" variables.v }}}', 'x{a="{{ variables.v }}{{ variables.v }}"}']
  const nasty = fc.string({ unit: fc.constantFrom('"', "'", '\\', '`', '\n', '#', '{', '}', 'a', 'x', 'n', '0', ' '), maxLength: 12 })
  const value = fc.oneof(nasty, fc.string({ unit: 'grapheme' }))
  fc.assert(fc.property(fc.constantFrom(...templates), value, (text, v) => {
    const query = render(text, { variables: { v } })
    return query.startsWith('cannot render') || shapeOf(query) === shapeOf(render(text, { variables: { v: 'a' } }))
  }), { numRuns: RUNS })
  t.pass()
})

test('what is left outside of quotes is one token', async (t) => {
  const value = fc.string({ unit: fc.constantFrom('a', '1', '.', '-', '+', '_', ':', 'm', 'e', ' ', '(', '[', '{', '"', '#'), minLength: 1, maxLength: 5 })
  fc.assert(fc.property(value, (v) => {
    const query = render('{{ variables.v }}', { variables: { v } })
    return query.startsWith('cannot render') || !/[\s()[\]{}"#]/.test(query)
  }), { numRuns: RUNS })
  t.pass()
})

test('the largest templates cost milliseconds', async (t) => {
  // Processor time: what else the machine does is not the template's fault.
  const before = process.cpuUsage()
  for (const unit of ['{{target}}', '"{{target}}', '{{(', '{{/**/}}', '{{if target}}', '{{ variables.app -}}\n']) render(unit.repeat(64 * 1024 / unit.length))
  t.match(render('{{ variables.v }}'.repeat(100), { variables: { v: 'a'.repeat(1_000) } }), /longer than/)
  t.ok(process.cpuUsage(before).user < 2_000_000)
})

test('any text either parses or says what is wrong, and text without braces is itself', async (t) => {
  const text = fc.string({ unit: fc.constantFrom('{{', '}}', '{{-', ' -}}', 'if', 'end', 'else', 'target', ' ', '|', '(', ')', '"', '.', 'variables', '/*', '*/', ':=', '$x', '1', '\n') })
  fc.assert(fc.property(text, (source) => {
    const { template, errors } = parseTemplate(source)
    if (!template) return errors.length > 0
    const result = renderTemplate(template, VALUES)
    return source.includes('{{') ? typeof (result.text ?? result.error) === 'string' : result.text === source
  }), { numRuns: RUNS })
  t.pass()
})

test('the variables that a template asks for', async (t) => {
  const { template } = parseTemplate('{{ variables.b }}{{ if index variables "a" }}{{ printf "%s" (variables.c) }}{{ end }}{{ variables.b }}')
  t.same(template && variablesOf(template), ['a', 'b', 'c'])
})
