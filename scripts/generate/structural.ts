/**
 * TypeBox writes JSON Schema; a CRD holds the "structural" subset. What has a translation is translated, and anything
 * that this file does not know is an error: a constraint that vanished in silence would be believed to hold.
 */

type Schema = Readonly<Record<string, unknown>>

/** Written as it is. */
const PASSED = new Set([
  'type', 'description', 'title', 'default', 'format', 'pattern', 'minLength', 'maxLength', 'minimum', 'maximum', 'multipleOf',
  'minItems', 'maxItems', 'minProperties', 'maxProperties', 'nullable',
  'x-kubernetes-preserve-unknown-fields', 'x-kubernetes-int-or-string', 'x-kubernetes-embedded-resource', 'x-kubernetes-list-type',
  'x-kubernetes-list-map-keys', 'x-kubernetes-map-type', 'x-kubernetes-validations',
])
const TRANSLATED = new Set([
  'properties', 'required', 'items', 'patternProperties', 'additionalProperties', 'enum', 'anyOf', 'const', 'exclusiveMinimum', 'exclusiveMaximum',
])
/** What a Record of TypeBox has as the pattern of its keys: any text. */
const ANY_KEY = '^.*$'

const isSchema = (value: unknown): value is Schema => typeof value === 'object' && value !== null && !Array.isArray(value)

/** The structural form of a TypeBox schema. Throws with the path on what a structural schema cannot say. */
export function structural(schema: unknown, path = '$'): Schema {
  if (!isSchema(schema)) throw new Error(`${path}: expected a schema, found ${JSON.stringify(schema)}`)
  const unknown = Object.keys(schema).filter((key) => !PASSED.has(key) && !TRANSLATED.has(key))
  if (unknown.length > 0) throw new Error(`${path}: no structural form for ${unknown.join(', ')}`)
  const passed = Object.fromEntries(Object.entries(schema).filter(([key]) => PASSED.has(key)))

  if (schema['x-kubernetes-int-or-string'] === true) return withoutType(passed)
  const values = literals(schema)
  if (values) return { ...typeOfLiterals(values, path), enum: values, ...withoutType(passed) }
  if (schema.anyOf !== undefined) throw new Error(`${path}: a union of anything but literals (or int-or-string) is not structural`)
  if (typeof schema.type !== 'string') throw new Error(`${path}: every node needs one type`)

  return { ...passed, ...bounds(schema), ...children(schema, path) }
}

function children(schema: Schema, path: string): Schema {
  if (schema.type === 'array') return { items: structural(schema.items, `${path}[]`) }
  if (schema.type !== 'object') return {}
  const map = mapValues(schema, path)
  if (map !== undefined) return { additionalProperties: structural(map, `${path}{}`) }
  if (!isSchema(schema.properties)) throw new Error(`${path}: an object needs properties`)
  const entries = Object.entries(schema.properties)
  const required = Array.isArray(schema.required) && schema.required.length > 0 ? { required: schema.required } : {}
  if (entries.length === 0 && schema['x-kubernetes-preserve-unknown-fields'] !== true) throw new Error(`${path}: everything in it would be pruned`)
  if (entries.length === 0) return required
  return { ...required, properties: Object.fromEntries(entries.map(([key, child]) => [key, structural(child, `${path}.${key}`)])) }
}

function mapValues(schema: Schema, path: string): unknown {
  const patterns = schema.patternProperties
  if (patterns === undefined && schema.additionalProperties === undefined) return undefined
  if (patterns === undefined) {
    if (isSchema(schema.properties)) throw new Error(`${path}: additionalProperties beside properties is not structural`)
    return schema.additionalProperties
  }
  const entries = isSchema(patterns) ? Object.entries(patterns) : []
  const [only] = entries
  if (!only || entries.length > 1 || only[0] !== ANY_KEY) throw new Error(`${path}: keys of a map cannot have a pattern`)
  return only[1]
}

/** Draft 2020 has numbers where OpenAPI v3.0 has a boolean beside `minimum`. */
function bounds(schema: Schema): Schema {
  return {
    ...(typeof schema.exclusiveMinimum === 'number' ? { minimum: schema.exclusiveMinimum, exclusiveMinimum: true } : {}),
    ...(typeof schema.exclusiveMaximum === 'number' ? { maximum: schema.exclusiveMaximum, exclusiveMaximum: true } : {}),
  }
}

function literals(schema: Schema): readonly unknown[] | undefined {
  if (schema.const !== undefined) return [schema.const]
  if (Array.isArray(schema.enum)) return schema.enum
  if (!Array.isArray(schema.anyOf)) return undefined
  const values = schema.anyOf.map((one: unknown) => (isSchema(one) ? one.const : undefined))
  return values.includes(undefined) ? undefined : values
}

function typeOfLiterals(values: readonly unknown[], path: string): Schema {
  const types = new Set(values.map((value) => (Number.isInteger(value) ? 'integer' : typeof value)))
  const [type] = types
  if (types.size !== 1 || type === undefined || type === 'object') throw new Error(`${path}: literals of one type, please: ${JSON.stringify(values)}`)
  return { type }
}

function withoutType({ type: _, ...rest }: Schema): Schema {
  return rest
}
