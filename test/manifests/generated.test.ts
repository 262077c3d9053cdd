import { readFileSync } from 'node:fs'
import { test } from 'tap'
import { parse, parseAllDocuments } from 'yaml'
import { RULE_IDS } from '#policy/registry.ts'
import { crdFiles } from '../../scripts/generate/crds.ts'
import { rulesPage } from '../../scripts/generate/rules.ts'
import { schemaFiles } from '../../scripts/generate/schemas.ts'
import { admissionPolicies, INTERVAL_VALIDATIONS, STATIC_VALIDATIONS, vapFile } from '../../scripts/generate/vap.ts'

const stored = (path: string): string => readFileSync(new URL(`../../${path}`, import.meta.url), 'utf8')

for (const file of [...crdFiles(), ...schemaFiles(), rulesPage(), vapFile()]) {
  test(`${file.path} is up to date`, async (t) => { t.ok(stored(file.path) === file.text, 'else run "make generate"') })
}

type Node = Readonly<Record<string, unknown>>
const isNode = (value: unknown): value is Node => typeof value === 'object' && value !== null && !Array.isArray(value)

/** Faults against the structural form, by path. */
function faults(node: unknown, path: string): string[] {
  if (!isNode(node)) return [`${path}: is no schema`]
  const found: string[] = []
  const open = node['x-kubernetes-int-or-string'] === true
  if (typeof node['type'] !== 'string' && !open) found.push(`${path}: no type`)
  for (const key of ['$ref', '$id', 'definitions', 'const', 'patternProperties', 'anyOf', 'oneOf', 'allOf', 'not', 'dependencies', 'uniqueItems', 'readOnly']) {
    if (key in node) found.push(`${path}: ${key}`)
  }
  if (node['additionalProperties'] === false || ('additionalProperties' in node && 'properties' in node)) found.push(`${path}: additionalProperties`)
  if ('exclusiveMinimum' in node && typeof node['exclusiveMinimum'] !== 'boolean') found.push(`${path}: exclusiveMinimum`)
  const { properties, items, additionalProperties } = node
  if (isNode(properties)) found.push(...Object.entries(properties).flatMap(([key, child]) => faults(child, `${path}.${key}`)))
  if (items !== undefined) found.push(...faults(items, `${path}[]`))
  if (additionalProperties !== undefined) found.push(...faults(additionalProperties, `${path}{}`))
  return found
}

for (const file of crdFiles()) {
  test(`${file.path} is structural`, async (t) => {
    const crd = parse(file.text) as { metadata: { name: string }; spec: { group: string; names: { plural: string }; versions: { schema: { openAPIV3Schema: unknown } }[] } }
    t.equal(crd.metadata.name, `${crd.spec.names.plural}.${crd.spec.group}`)
    t.strictSame(crd.spec.versions.flatMap((version) => faults(version.schema.openAPIV3Schema, '$')), [])
  })
}

test('kubectl get canary prints Flagger\'s columns in Flagger\'s order', async (t) => {
  const [canaries] = crdFiles()
  const crd = parse(canaries?.text ?? '') as { spec: { names: { categories: string[] }; versions: { additionalPrinterColumns: { name: string; priority?: number }[] }[] } }
  const columns = crd.spec.versions[0]?.additionalPrinterColumns ?? []
  t.strictSame(columns.filter((column) => !column.priority).map((column) => column.name), ['Status', 'Weight', 'LastTransitionTime'])
  t.strictSame(columns.filter((column) => column.priority === 1).map((column) => column.name), ['Suspended', 'FailedChecks', 'Interval', 'Mirror', 'StepWeight', 'StepWeights', 'MaxWeight'])
  t.strictSame(crd.spec.names.categories, ['all'])
})

test('the admission policies name rules that exist', async (t) => {
  t.strictSame([...STATIC_VALIDATIONS, ...INTERVAL_VALIDATIONS].filter(({ rule }) => !RULE_IDS.includes(rule)), [])
  t.equal(parseAllDocuments(vapFile().text).length, admissionPolicies().length)
})

test('the page has a section for every rule', async (t) => {
  const { text } = rulesPage()
  t.strictSame(RULE_IDS.filter((id) => !text.includes(`\n### ${id}\n`)), [])
})
