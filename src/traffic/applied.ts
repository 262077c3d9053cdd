import { canonicalJson } from '#api/canonical-json.ts'

/** Identity and preconditions: never a difference worth a write. */
const PRECONDITIONS: readonly string[] = ['uid', 'resourceVersion', 'name', 'namespace']

/** Maps that server-side apply replaces whole: a key too many is a difference. */
const ATOMIC_MAPS: readonly string[] = ['selector']

/**
 * Whether a live object already says all that `wanted` says. Fields that only the live one has are somebody else's, so maps may hold more;
 * lists are atomic in the objects that routers read, so they must be equal. Owners are compared by uid.
 */
export function isApplied(live: unknown, wanted: unknown): boolean {
  if (Array.isArray(wanted)) return canonicalJson(live ?? []) === canonicalJson(wanted)
  if (typeof wanted !== 'object' || wanted === null) return live === wanted
  const fields = (live ?? {}) as Readonly<Record<string, unknown>>
  return Object.entries(wanted).every(([key, value]) => {
    if (value === undefined) return true
    if (key === 'metadata') return isMetadataApplied(fields[key], value)
    if (ATOMIC_MAPS.includes(key)) return canonicalJson(fields[key] ?? {}) === canonicalJson(value)
    return isApplied(fields[key], value)
  })
}

function isMetadataApplied(live: unknown, wanted: unknown): boolean {
  const fields = (live ?? {}) as Readonly<Record<string, unknown>>
  return Object.entries(wanted as Readonly<Record<string, unknown>>).every(([key, value]) => {
    if (PRECONDITIONS.includes(key)) return true
    if (key === 'ownerReferences') return uids(fields[key]) === uids(value)
    return isApplied(fields[key], value)
  })
}

const uids = (owners: unknown): string => JSON.stringify(((owners ?? []) as readonly { readonly uid?: string }[]).map(({ uid }) => uid).toSorted())
