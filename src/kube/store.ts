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
type Index<T> = { readonly values: Values<T>; readonly keys: Map<string, Set<string>> }

export function createStore<T extends KubeObject>(indexes: Readonly<Record<string, Values<T>>>): Store<T> {
  const objects = new Map<string, T>()
  const newIndex = (values: Values<T>): Index<T> => ({ values, keys: new Map() })
  const byNamespace = newIndex((object) => [object.metadata.namespace ?? ''])
  const named = new Map(Object.entries(indexes).map(([name, values]) => [name, newIndex(values)]))
  const all = [byNamespace, ...named.values()]

  const found = (index: Index<T>, value: string): readonly T[] =>
    [...(index.keys.get(value) ?? [])].flatMap((key) => objects.get(key) ?? [])

  function remove(key: string): void {
    const object = objects.get(key)
    if (!object) return
    objects.delete(key)
    for (const index of all)
      for (const value of index.values(object)) {
        const keys = index.keys.get(value)
        keys?.delete(key)
        if (keys?.size === 0) index.keys.delete(value)
      }
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
      for (const index of all)
        for (const value of index.values(object)) {
          const keys = index.keys.get(value)
          if (keys) keys.add(key)
          else index.keys.set(value, new Set([key]))
        }
    },
    remove,
  }
}
