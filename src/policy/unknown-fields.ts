/**
 * Fields that an API server would prune: accepted, then gone, as if they had never been written.
 * Walks the schemas of `src/api`, whose type is left out here so that nothing loads a schema library for it.
 */
type Schema = {
  readonly properties?: Readonly<Record<string, unknown>>
  readonly patternProperties?: Readonly<Record<string, unknown>>
  readonly items?: unknown
  readonly [keyword: string]: unknown
}

const isRecord = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

/** Paths, as kubectl writes them, of everything in `value` that `schema` has no word for. */
export function unknownFields(schema: unknown, value: unknown, path: string): readonly string[] {
  if (!isRecord(schema)) return []
  const { properties, patternProperties, items }: Schema = schema
  if (Array.isArray(value)) return value.flatMap((item, i) => unknownFields(items, item, `${path}[${i}]`))
  if (!isRecord(value) || schema['x-kubernetes-preserve-unknown-fields'] === true) return []
  const ofMap = patternProperties && Object.values(patternProperties)[0]
  return Object.entries(value).flatMap(([key, child]) => {
    const at = `${path}.${key}`
    if (properties && Object.hasOwn(properties, key)) return unknownFields(properties[key], child, at)
    if (ofMap !== undefined) return unknownFields(ofMap, child, at)
    return properties ? [at] : []
  })
}
