/** JSON that a fake API server may change, since it made the copy. */
export type Dict = { [key: string]: unknown }
export type Meta = {
  name: string
  namespace?: string
  uid: string
  resourceVersion: string
  generation?: number
  creationTimestamp: string
  deletionTimestamp?: string
  labels?: Record<string, string>
  annotations?: Record<string, string>
  finalizers?: string[]
  ownerReferences?: { uid: string; kind: string; name: string; controller?: boolean }[]
  managedFields?: unknown
  [field: string]: unknown
}
export type Stored = { apiVersion: string; kind: string; metadata: Meta; [field: string]: unknown }

export const isDict = (value: unknown): value is Dict => typeof value === 'object' && value !== null && !Array.isArray(value)
/** As through JSON, without the text: fields that are undefined go. */
export const copy = <T>(value: T): T => copied(value) as T

function copied(value: unknown): unknown {
  if (typeof value !== 'object' || value === null) return value
  if (Array.isArray(value)) return value.map((item) => (item === undefined ? null : copied(item)))
  const result: Dict = {}
  for (const [key, child] of Object.entries(value)) if (child !== undefined) result[key] = copied(child)
  return result
}

export function isEqual(a: unknown, b: unknown): boolean {
  if (a === b) return true
  if (Array.isArray(a) && Array.isArray(b)) return a.length === b.length && a.every((item, at) => isEqual(item, b[at]))
  if (!isDict(a) || !isDict(b)) return false
  const keys = new Set([...Object.keys(a), ...Object.keys(b)])
  return [...keys].every((key) => isEqual(a[key], b[key]))
}

/** Lists whose items are known by a key, in built-in kinds: these merge item by item, all others are replaced as a whole. */
const LIST_KEYS: Readonly<Record<string, readonly string[]>> = {
  containers: ['name'], initContainers: ['name'], ephemeralContainers: ['name'], env: ['name'], volumes: ['name'],
  volumeMounts: ['mountPath'], imagePullSecrets: ['name'], conditions: ['type'], ownerReferences: ['uid'], webhooks: ['name'],
}

/** The key of an item of the list called `field`, or undefined when such lists are atomic. */
export function itemKey(field: string, item: unknown): string | undefined {
  if (!isDict(item)) return undefined
  if (field === 'ports') {
    const port = item['containerPort'] ?? item['port']
    return port === undefined ? undefined : JSON.stringify({ port, protocol: item['protocol'] ?? 'TCP' })
  }
  const keys = LIST_KEYS[field]
  return keys && keys.every((key) => item[key] !== undefined) ? JSON.stringify(Object.fromEntries(keys.map((key) => [key, item[key]]))) : undefined
}

export const isKeyedList = (field: string, list: unknown): list is Dict[] =>
  Array.isArray(list) && list.length > 0 && list.every((item) => itemKey(field, item) !== undefined)
