import { objectKey, type KubeObject } from '#api/objects.ts'

/** Objects by key, and by whatever the indexes say. */
export type Store<T extends KubeObject> = {
  get(key: string): T | undefined
  /** All, or those of one namespace. */
  list(namespace?: string): readonly T[]
  byIndex(name: string, value: string): readonly T[]
  keys(): Iterable<string>
  set(object: T): void
  remove(key: string): void
}

type Values<T> = (object: T) => readonly string[]
/** Most values belong to one object: a set for each would take more memory than what it finds. */
type Index<T> = { readonly values: Values<T>; readonly keys: Map<string, string | Set<string>> }

export function createStore<T extends KubeObject>(indexes: Readonly<Record<string, Values<T>>>): Store<T> {
  const objects = new Map<string, T>()
  const newIndex = (values: Values<T>): Index<T> => ({ values, keys: new Map() })
  const byNamespace = newIndex((object) => [object.metadata.namespace ?? ''])
  const named = new Map(Object.entries(indexes).map(([name, values]) => [name, newIndex(values)]))
  const all = [byNamespace, ...named.values()]

  function found({ keys }: Index<T>, value: string): readonly T[] {
    const known = keys.get(value)
    return (typeof known === 'string' ? [known] : [...(known ?? [])]).flatMap((key) => objects.get(key) ?? [])
  }

  function enter({ keys }: Index<T>, value: string, key: string): void {
    const known = keys.get(value)
    if (known === undefined) keys.set(value, key)
    else if (typeof known !== 'string') known.add(key)
    else if (known !== key) keys.set(value, new Set([known, key]))
  }

  function leave({ keys }: Index<T>, value: string, key: string): void {
    const known = keys.get(value)
    if (known === key) keys.delete(value)
    else if (typeof known === 'object' && known.delete(key) && known.size === 0) keys.delete(value)
  }

  function remove(key: string): void {
    const object = objects.get(key)
    if (!object) return
    objects.delete(key)
    for (const index of all) for (const value of index.values(object)) leave(index, value, key)
  }
  return {
    get: (key) => objects.get(key),
    list: (namespace) => (namespace === undefined ? [...objects.values()] : found(byNamespace, namespace)),
    byIndex: (name, value) => {
      const index = named.get(name)
      if (!index) throw new Error(`no index is called ${name}`)
      return found(index, value)
    },
    keys: () => objects.keys(),
    set: (object) => {
      const key = objectKey(object.metadata)
      remove(key)
      objects.set(key, object)
      for (const index of all) for (const value of index.values(object)) enter(index, value, key)
    },
    remove,
  }
}
