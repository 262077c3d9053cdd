import { readdirSync, readFileSync } from 'node:fs'
import t from 'tap'
import { parseAllDocuments } from 'yaml'
import type { KubeObject } from '#api/objects.ts'
import { KubeError } from '#kube/error.ts'
import { denials, evaluateCanary } from '#policy/evaluate.ts'
import { INTERVAL_VALIDATIONS, STATIC_VALIDATIONS } from '../../scripts/generate/vap.ts'
import { canaryOf, contextOf } from '../policy/canaries.ts'
import { CASES } from '../policy/cases/all.ts'
import { beginBesideOthers, client, skip } from '../scene.ts'

const { test } = t

/** The generated CRDs and admission policies on the real API server. Everything is a dry run, in a namespace that the webhooks leave out. */
const NAMESPACE = 'kube-public'

async function create(object: KubeObject): Promise<{ code: number; message: string }> {
  const plural = { Canary: 'canaries', MetricTemplate: 'metrictemplates', AlertProvider: 'alertproviders' }[object.kind] ?? ''
  const body = { ...object, metadata: { ...object.metadata, namespace: NAMESPACE } }
  try {
    const connected = await client()
    await connected.raw('POST', `/apis/flagger.app/v1beta1/namespaces/${NAMESPACE}/${plural}`, { body, query: { dryRun: 'All', fieldValidation: 'Strict' } })
    return { code: 201, message: '' }
  } catch (err) {
    if (err instanceof KubeError) return { code: err.status, message: err.message }
    throw err
  }
}

await beginBesideOthers(t)

const DIRECTORY = new URL('../policy/fixtures/', import.meta.url)
const fixtures = readdirSync(DIRECTORY).flatMap((file) =>
  parseAllDocuments(readFileSync(new URL(file, DIRECTORY), 'utf8')).map((document) => ({ file, object: document.toJS() as KubeObject })))

test('every manifest of the corpus is taken, no field of it unknown', { skip }, async (t) => {
  for (const { file, object } of fixtures) t.match(await create(object), { code: 201 }, `${file}: ${object.kind} ${object.metadata.name}`)
})

test('what no rule denies, the API server takes', { skip }, async (t) => {
  for (const [id, { valid }] of Object.entries(CASES)) {
    for (const row of valid) {
      const canary = canaryOf(row)
      if (denials(evaluateCanary(canary, contextOf())).length > 0) continue // valid for this rule, not for all
      t.match(await create(canary), { code: 201 }, `${id}: ${row.name}`)
    }
  }
})

for (const rule of new Set([...STATIC_VALIDATIONS, ...INTERVAL_VALIDATIONS].map((validation) => validation.rule))) {
  test(`${rule} holds without the webhook`, { skip }, async (t) => {
    let refused = 0
    for (const row of CASES[rule]?.invalid ?? []) {
      const { code, message } = await create(canaryOf(row))
      if (code === 201) t.comment(`only the webhook refuses: ${row.name}`)
      else refused += 1
      // The schema may have refused it before.
      if (code !== 201) t.match(message, /\([a-z-]+\)$|spec\.|Invalid value/, row.name)
    }
    t.ok(refused > 0, `refuses ${refused} of ${CASES[rule]?.invalid.length ?? 0}`)
  })
}

test('a fraction is refused by the schema', { skip }, async (t) => {
  for (const row of CASES['whole-numbers']?.invalid ?? []) t.match(await create(canaryOf(row)), { code: 422, message: /spec\./ }, row.name)
})
