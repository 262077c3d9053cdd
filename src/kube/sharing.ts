/**
 * Much of what a cluster holds is said many times: a target, its primary and its canary have one pod spec, and ten thousand Services one list of ports. What is
 * equal is kept once. Nothing is left out, so no reader can miss anything; and as objects are never changed in place, none can tell.
 */
export type Sharing = <T extends object>(object: T) => T

/** Parts to compare with: those that all have, and those met last, as lists come in the order of names and what belongs together has names alike. */
const MOST_REMEMBERED = 512
/** Below `metadata`, `spec` and `status`; the spec of a pod template lies deepest. */
const PART_DEPTHS = { first: 2, last: 3 } as const
/** JSON.parse itself keeps shorter texts once, and longer ones are nearly all different. */
const TEXT_LENGTHS = { least: 11, most: 200 } as const

export function createSharing(): Sharing {
  const texts = createRecent<string>(MOST_REMEMBERED)
  const parts = createRecent<unknown>(MOST_REMEMBERED)

  function shared(value: unknown, depth: number): unknown {
    if (typeof value === 'string') return value.length < TEXT_LENGTHS.least || value.length > TEXT_LENGTHS.most ? value : texts(value, () => value)
    if (typeof value !== 'object' || value === null || depth > PART_DEPTHS.last) return value
    return depth < PART_DEPTHS.first ? withSharedFields(value, depth) : parts(JSON.stringify(value), () => withSharedFields(value, depth))
  }

  const withSharedFields = (value: object, depth: number): object => (Array.isArray(value)
    ? value.map((item) => shared(item, depth + 1))
    : Object.fromEntries(Object.entries(value).map(([key, field]) => [key, shared(field, depth + 1)])))

  return <T extends object>(object: T) => withSharedFields(object, 0) as T
}

/** What was made for a key, or is made now. Forgets what was not asked for lately: it holds at most twice so many, and at least those asked for last. */
function createRecent<V>(most: number): (key: string, make: () => V) => V {
  let recent = new Map<string, V>()
  let earlier = new Map<string, V>()
  return (key, make) => {
    const known = recent.get(key)
    if (known !== undefined) return known
    const value = earlier.get(key) ?? make()
    if (recent.size >= most) {
      earlier = recent
      recent = new Map()
    }
    recent.set(key, value)
    return value
  }
}
