import { readdirSync, readFileSync } from 'node:fs'
import { Ajv2020 } from 'ajv/dist/2020.js'
import { test } from 'tap'
import { parseAllDocuments } from 'yaml'
import { AlertProviderSpec } from '#api/alert-provider.ts'
import { CanarySpec, PROVIDER_NAMES } from '#api/canary.ts'
import { MetricTemplateSpec } from '#api/metric-template.ts'
import type { KubeObject } from '#api/objects.ts'
import { denials, evaluateObject, findingText } from '#policy/evaluate.ts'
import { unknownFields } from '#policy/unknown-fields.ts'
import { contextOf } from './canaries.ts'

const DIRECTORY = new URL('fixtures/', import.meta.url)
const SCHEMAS: Readonly<Record<string, object>> = { Canary: CanarySpec, MetricTemplate: MetricTemplateSpec, AlertProvider: AlertProviderSpec }
const ajv = new Ajv2020({ strict: false, allErrors: true, formats: { 'date-time': true } })

const manifests = readdirSync(DIRECTORY).filter((name) => name.endsWith('.yaml')).flatMap((file) =>
  parseAllDocuments(readFileSync(new URL(file, DIRECTORY), 'utf8')).map((document) => ({ file, object: document.toJS() as KubeObject })))

test('the corpus is large enough to mean something', async (t) => {
  const canaries = manifests.filter(({ object }) => object.kind === 'Canary')
  t.ok(canaries.length >= 40, `${canaries.length} Canaries in ${manifests.length} objects`)
  const providers = new Set(canaries.map(({ object }) => (object['spec'] as { provider?: string }).provider ?? ''))
  t.strictSame(PROVIDER_NAMES.filter((name) => !providers.has(name)), [], 'every provider')
})

for (const { file, object } of manifests) {
  test(`${file}: ${object.kind} ${object.metadata.name} is admitted`, async (t) => {
    const schema = SCHEMAS[object.kind] ?? {}
    const validate = ajv.compile(schema)
    validate(object['spec'])
    t.strictSame(validate.errors ?? [], [], 'the schema takes it')
    t.strictSame(unknownFields(schema, object['spec'], 'spec'), [], 'nothing of it is pruned')
    t.strictSame(denials(evaluateObject(object, contextOf())).map(findingText), [], 'no rule refuses it')
  })
}
