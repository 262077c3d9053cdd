import { RESOURCES, type Resource } from './crds.ts'
import { writeOrCheck, type GeneratedFile } from './files.ts'

/** Writes `docs/schemas/<kind>.json`, for editors and for checks without a cluster: JSON Schema, closed, so that a misspelled field is seen. */

type Node = Readonly<Record<string, unknown>>
const isNode = (value: unknown): value is Node => typeof value === 'object' && value !== null && !Array.isArray(value)

export function jsonSchema({ group, version, kind, spec, status, scope }: Resource): Node {
  const apiVersion = `${group}/${version}`
  return {
    $schema: 'https://json-schema.org/draft/2020-12/schema', $id: `https://canarygate.dev/schemas/${fileOf(kind)}`, title: `${kind} (${apiVersion})`,
    type: 'object', required: ['apiVersion', 'kind', 'metadata', 'spec'],
    properties: {
      apiVersion: { type: 'string', enum: [apiVersion] }, kind: { type: 'string', enum: [kind] },
      metadata: { type: 'object', required: ['name'], properties: { name: { type: 'string' }, ...(scope === 'Namespaced' ? { namespace: { type: 'string' } } : {}) } },
      spec: closed(spec), ...(status ? { status: closed(status) } : {}),
    },
    additionalProperties: false,
  }
}

const fileOf = (kind: string): string => `${kind.toLowerCase()}.json`

/** Unknown fields are faults, but where the API server keeps them. */
function closed(schema: unknown): unknown {
  if (Array.isArray(schema)) return schema.map(closed)
  if (!isNode(schema)) return schema
  const { properties, ...rest } = schema
  const kept = Object.fromEntries(Object.entries(rest).filter(([key]) => !key.startsWith('x-kubernetes-')).map(([key, value]) => [key, closed(value)]))
  if (!isNode(properties)) return kept
  const isOpen = schema['x-kubernetes-preserve-unknown-fields'] === true
  return { ...kept, properties: Object.fromEntries(Object.entries(properties).map(([key, value]) => [key, closed(value)])), ...(isOpen ? {} : { additionalProperties: false }) }
}

export const schemaFiles = (): readonly GeneratedFile[] => RESOURCES.map((resource) => ({
  path: `docs/schemas/${fileOf(resource.kind)}`, text: `${JSON.stringify(jsonSchema(resource), undefined, 1)}\n`,
}))

if (import.meta.main) process.exitCode = writeOrCheck(schemaFiles())
