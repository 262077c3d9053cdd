import type { KubeObject } from '#api/objects.ts'

/** Who owns which fields of an object, and since when, as the API server keeps it. */
export type ManagedFields = {
  readonly manager?: string
  /** `Apply` for server-side apply, else `Update`. */
  readonly operation?: string
  readonly time?: string
  readonly fieldsV1?: Readonly<Record<string, unknown>>
}

/** None where the object does not say, or says it in another shape. */
export function managedFieldsOf({ metadata }: KubeObject): readonly ManagedFields[] {
  const entries: unknown = 'managedFields' in metadata ? metadata.managedFields : undefined
  return Array.isArray(entries) ? entries.filter((entry): entry is ManagedFields => typeof entry === 'object' && entry !== null) : []
}

export const ownsAnnotation = ({ fieldsV1 }: ManagedFields, annotation: string): boolean => has(fieldsV1, 'f:metadata', 'f:annotations', `f:${annotation}`)

function has(value: unknown, ...path: readonly string[]): boolean {
  const [key, ...rest] = path
  if (key === undefined) return true
  return typeof value === 'object' && value !== null && Object.hasOwn(value, key) && has((value as Readonly<Record<string, unknown>>)[key], ...rest)
}

/** When an annotation was last written (Unix ms); undefined where there is no record of it. */
export function writtenAt(object: KubeObject, annotation: string): number | undefined {
  const times = managedFieldsOf(object)
    .filter((entry) => ownsAnnotation(entry, annotation))
    .flatMap(({ time }) => (typeof time === 'string' ? [Date.parse(time)] : []))
    .filter((time) => !Number.isNaN(time))
  return times.length === 0 ? undefined : Math.max(...times)
}

/** The record of these annotations alone, for a cache that keeps nothing else of who owns what. */
export function writingsOf(object: KubeObject, annotations: readonly string[]): readonly ManagedFields[] {
  const present = annotations.filter((annotation) => object.metadata.annotations?.[annotation] !== undefined)
  if (present.length === 0) return []
  return managedFieldsOf(object).flatMap(({ manager, operation, time, ...entry }): ManagedFields[] => {
    const owned = present.filter((annotation) => ownsAnnotation(entry, annotation))
    if (owned.length === 0 || time === undefined) return []
    const fields = Object.fromEntries(owned.map((annotation) => [`f:${annotation}`, {}]))
    return [{ ...(manager === undefined ? {} : { manager }), ...(operation === undefined ? {} : { operation }), time, fieldsV1: { 'f:metadata': { 'f:annotations': fields } } }]
  })
}
