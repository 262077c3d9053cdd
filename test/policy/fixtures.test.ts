import { readdirSync, readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { Ajv2020, type ValidateFunction } from 'ajv/dist/2020.js'
import { test } from 'tap'
import { parseAllDocuments } from 'yaml'
import { AlertProviderSpec } from '#api/alert-provider.ts'
import { CanarySpec, PROVIDER_NAMES } from '#api/canary.ts'
import { MetricTemplateSpec } from '#api/metric-template.ts'
import type { KubeObject } from '#api/objects.ts'
import type { LintReport } from '#cli/lint-report.ts'
import { lintCommand } from '#cli/lint.ts'
import { nodeIo } from '#cli/manifests.ts'
import { denials, evaluateObject, findingText } from '#policy/evaluate.ts'
import { unknownFields } from '#policy/unknown-fields.ts'
import { capabilities } from '#traffic/registry.ts'
import { RESOURCES } from '../../scripts/generate/crds.ts'
import { jsonSchema } from '../../scripts/generate/schemas.ts'
import { contextOf } from './canaries.ts'

const DIRECTORY = new URL('fixtures/', import.meta.url)
const SCHEMAS: Readonly<Record<string, object>> = { Canary: CanarySpec, MetricTemplate: MetricTemplateSpec, AlertProvider: AlertProviderSpec }
/** As editors have them. */
const DOCUMENTS = Object.fromEntries(RESOURCES.map((resource) => [resource.kind, jsonSchema(resource)]))
const ajv = new Ajv2020({ strict: false, allErrors: true, formats: { 'date-time': true } })

const manifests = readdirSync(DIRECTORY).filter((name) => name.endsWith('.yaml')).flatMap((file) =>
  parseAllDocuments(readFileSync(new URL(file, DIRECTORY), 'utf8')).map((document) => ({ file, object: document.toJS() as KubeObject })))

test('the corpus is large enough to mean something', async (t) => {
  const canaries = manifests.filter(({ object }) => object.kind === 'Canary')
  t.ok(canaries.length >= 100, `${canaries.length} Canaries in ${manifests.length} objects`)
  const providers = new Set(canaries.map(({ object }) => (object['spec'] as { provider?: string }).provider ?? ''))
  t.strictSame(PROVIDER_NAMES.filter((name) => !providers.has(name)), [], 'every provider')
})

test('linting the corpus denies nothing', async (t) => {
  let [out, err] = ['', '']
  const io = { ...nodeIo, out: (text: string) => { out += text }, err: (text: string) => { err += text }, providers: capabilities }
  t.equal(await lintCommand(['-f', fileURLToPath(DIRECTORY), '-o', 'json'], io), 0, err)
  const { findings } = JSON.parse(out) as LintReport
  t.strictSame(findings.filter(({ severity, rule }) => severity === 'deny' || rule === 'schema' || rule === 'unknown-field'), [])
})

const validators = new Map<string, ValidateFunction>()
function compiled(kind: string): ValidateFunction {
  const known = validators.get(kind) ?? ajv.compile(DOCUMENTS[kind] ?? false)
  validators.set(kind, known)
  return known
}

test('an editor is told of a misspelled field', async (t) => {
  const [canary] = manifests.filter(({ object }) => object.kind === 'Canary').map(({ object }) => object as KubeObject & { readonly spec: { readonly analysis: object } })
  const misspelled = { ...canary, spec: { ...canary?.spec, analysis: { ...canary?.spec.analysis, stepWeigth: 10 } } }
  t.notOk(compiled('Canary')(misspelled))
  t.match(compiled('Canary').errors, [{ instancePath: '/spec/analysis', params: { additionalProperty: 'stepWeigth' } }])
})

for (const { file, object } of manifests) {
  test(`${file}: ${object.kind} ${object.metadata.name} is admitted`, async (t) => {
    const schema = SCHEMAS[object.kind] ?? {}
    const validate = ajv.compile(schema)
    validate(object['spec'])
    t.strictSame(validate.errors ?? [], [], 'the schema takes it')
    const editor = compiled(object.kind)
    editor(object)
    t.strictSame(editor.errors ?? [], [], 'so does the schema for editors')
    t.strictSame(unknownFields(schema, object['spec'], 'spec'), [], 'nothing of it is pruned')
    t.strictSame(denials(evaluateObject(object, contextOf({ defaultProvider: undefined }))).map(findingText), [], 'no rule refuses it')
  })
}
