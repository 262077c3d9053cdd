import { KubeError } from '#kube/error.ts'
import { fieldName, fieldsOf, managedFields, overlay, ownedAfterWrite, pathOf, without, withoutEmpty, type FieldSet } from './fields.ts'
import { DEFAULT_KINDS, kindKey, type ServedKind } from './kinds.ts'
import { copy, isDict, isEqual, type Dict, type Meta, type Stored } from './values.ts'

/** One change, as a watch tells it. `old` is absent for ADDED. */
export type Change = { readonly version: number; readonly type: 'ADDED' | 'MODIFIED' | 'DELETED'; readonly object: Stored; readonly old: Stored | undefined }
export type WriteFacts = { readonly manager: string; readonly operation: 'Update' | 'Apply'; readonly subresource: string | undefined; readonly dryRun?: boolean }

const fault = (status: number, reason: string, message: string): KubeError => new KubeError({ status, reason, message })
export const keyOf = (namespace: string | undefined, name: string): string => (namespace ? `${namespace}/${name}` : name)

/** What an API server does with objects, on plain maps: versions, generations, ownership, finalizers, garbage collection. */
export type Db = ReturnType<typeof createDb>

export function createDb(now: () => number) {
  const kinds = new Map<string, ServedKind>(DEFAULT_KINDS.map((kind) => [kindKey(kind.apiVersion, kind.kind), kind]))
  const tables = new Map<string, Map<string, Stored>>()
  const owned = new Map<string, ReadonlyMap<string, FieldSet>>()
  const history: Change[] = []
  const listeners = new Set<(change: Change) => void>()
  let version = 1_000
  let oldest = 0
  let uids = 0

  const table = (kind: ServedKind): Map<string, Stored> => {
    const key = kindKey(kind.apiVersion, kind.kind)
    const found = tables.get(key) ?? new Map<string, Stored>()
    tables.set(key, found)
    return found
  }

  function kindOf(apiVersion: string, kind: string): ServedKind {
    const found = kinds.get(kindKey(apiVersion, kind))
    if (!found) throw fault(404, 'NotFound', `the server could not find the requested resource (${apiVersion} ${kind})`)
    return found
  }

  function find(kind: ServedKind, namespace: string | undefined, name: string): Stored {
    const found = table(kind).get(keyOf(kind.namespaced ? namespace : undefined, name))
    if (!found) throw fault(404, 'NotFound', `${kind.plural} "${name}" not found`)
    return found
  }

  function tell(type: Change['type'], object: Stored, old: Stored | undefined): void {
    const change = { version, type, object, old }
    history.push(change)
    for (const listener of listeners) listener(change)
  }

  /** Stores a new state, unless nothing changed: then nobody is told and the version stays. */
  function commit(kind: ServedKind, before: Stored | undefined, wanted: Stored, facts: WriteFacts, ownership?: ReadonlyMap<string, FieldSet>): Stored {
    const asked = wanted.metadata.managedFields
    const isReassigned = before !== undefined && asked !== undefined && facts.operation === 'Update' && !isEqual(asked, before.metadata.managedFields)
    const after = admitted(kind, before, wanted, facts.subresource)
    if (before && !isReassigned && isEqual(withoutNoise(before), withoutNoise(after)) && (!ownership || isEqual(namesOf(ownership), namesOf(owned.get(before.metadata.uid))))) return before
    const writer = `${facts.manager}/${facts.operation}`
    const written = ownership ?? ownedAfterWrite(owned.get(after.metadata.uid) ?? new Map(), writer, before, after, kind.isBuiltIn)
    const next = isReassigned ? reassigned(written, asked as readonly ManagedEntry[]) : written
    after.metadata.managedFields = managedFields(next, kind.apiVersion)
    if (facts.dryRun) return after
    version += 1
    after.metadata.resourceVersion = String(version)
    owned.set(after.metadata.uid, next)
    const key = keyOf(after.metadata.namespace, after.metadata.name)
    if (before && after.metadata.deletionTimestamp && !after.metadata.finalizers?.length) {
      table(kind).delete(key)
      tell('DELETED', after, before)
      collectGarbage(after.metadata.uid)
      return after
    }
    table(kind).set(key, after)
    tell(before ? 'MODIFIED' : 'ADDED', after, before)
    return after
  }

  /** What a write may not change is put back; what the server fills in is filled in. */
  function admitted(kind: ServedKind, before: Stored | undefined, wanted: Stored, subresource: string | undefined): Stored {
    const { name, namespace } = wanted.metadata
    if (!before) {
      uids += 1
      const metadata: Meta = {
        ...wanted.metadata, name, uid: `uid-${uids}`, resourceVersion: '', creationTimestamp: new Date(now()).toISOString().replace(/\.\d+Z/, 'Z'),
        ...(kind.hasGeneration ? { generation: 1 } : {}),
      }
      if (kind.namespaced) metadata.namespace = namespace ?? 'default'
      delete metadata.deletionTimestamp
      const { status, ...fields } = wanted
      const created = { ...fields, ...(kind.hasStatus || status === undefined ? {} : { status }), metadata }
      return validated(kind, undefined, withDefaults(kind, created))
    }
    const { uid, creationTimestamp, deletionTimestamp, generation } = before.metadata
    if (subresource === 'status') return { ...before, metadata: { ...before.metadata }, status: wanted['status'] }
    const metadata: Meta = { ...wanted.metadata, name: before.metadata.name, uid, creationTimestamp, resourceVersion: before.metadata.resourceVersion }
    if (before.metadata.namespace) metadata.namespace = before.metadata.namespace
    if (deletionTimestamp) metadata.deletionTimestamp = deletionTimestamp
    else delete metadata.deletionTimestamp
    const after: Stored = { ...wanted, apiVersion: before.apiVersion, kind: before.kind, metadata }
    if (kind.hasStatus) {
      if (before['status'] === undefined) delete after['status']
      else after['status'] = before['status']
    }
    if (generation !== undefined) metadata.generation = generation + (isNewGeneration(kind, before, after) ? 1 : 0)
    return validated(kind, before, withDefaults(kind, after))
  }

  function create(kind: ServedKind, object: Dict, facts: WriteFacts): Stored {
    const wanted = copy(object) as Stored
    const generateName = wanted.metadata['generateName']
    if (!wanted.metadata.name && typeof generateName === 'string') wanted.metadata.name = `${generateName}${(version + 1).toString(36).padStart(5, 'x')}`
    if (!wanted.metadata.name) throw fault(422, 'Invalid', 'metadata.name: Required value: name or generateName is required')
    if (wanted.metadata.resourceVersion) throw fault(400, 'BadRequest', 'resourceVersion should not be set on objects to be created')
    if (table(kind).has(keyOf(kind.namespaced ? (wanted.metadata.namespace ?? 'default') : undefined, wanted.metadata.name)))
      throw fault(409, 'AlreadyExists', `${kind.plural} "${wanted.metadata.name}" already exists`)
    return commit(kind, undefined, wanted, facts)
  }

  function replace(kind: ServedKind, object: Dict, facts: WriteFacts): Stored {
    const wanted = copy(object) as Stored
    const before = find(kind, wanted.metadata.namespace, wanted.metadata.name)
    const { resourceVersion, uid } = wanted.metadata
    if (!resourceVersion && (!kind.isBuiltIn || kind.kind === 'Lease'))
      throw fault(422, 'Invalid', 'metadata.resourceVersion: Invalid value: 0x0: must be specified for an update')
    if ((resourceVersion && resourceVersion !== before.metadata.resourceVersion) || (uid && uid !== before.metadata.uid))
      throw fault(409, 'Conflict', `Operation cannot be fulfilled on ${kind.plural} "${before.metadata.name}": the object has been modified; please apply your changes to the latest version and try again`)
    return commit(kind, before, wanted, facts)
  }

  /** `change` makes the new state out of a copy of the old one. */
  function modify(kind: ServedKind, namespace: string | undefined, name: string, facts: WriteFacts, change: (before: Stored) => unknown): Stored {
    const before = find(kind, namespace, name)
    const wanted = change(copy(before)) as Stored
    // A version inside a patch is a precondition, as in a replace.
    if (wanted.metadata.resourceVersion && wanted.metadata.resourceVersion !== before.metadata.resourceVersion)
      throw fault(409, 'Conflict', `Operation cannot be fulfilled on ${kind.plural} "${name}": the object has been modified`)
    return commit(kind, before, wanted, facts)
  }

  function apply(kind: ServedKind, object: Dict, facts: WriteFacts & { readonly force: boolean }): Stored {
    const applied = copy(object) as Stored
    const { name } = applied.metadata
    const namespace = kind.namespaced ? (applied.metadata.namespace ?? 'default') : undefined
    const before = table(kind).get(keyOf(namespace, name))
    if (before && applied.metadata.resourceVersion && applied.metadata.resourceVersion !== before.metadata.resourceVersion)
      throw fault(409, 'Conflict', `Operation cannot be fulfilled on ${kind.plural} "${name}": the object has been modified`)
    const writer = `${facts.manager}/Apply`
    const fields = fieldsOf(applied, kind.isBuiltIn)
    const relevant = [...fields.keys()].filter((field) => (pathOf(field)[0] === 'status') === (facts.subresource === 'status'))
    const wanted = new Set(kind.hasStatus ? relevant : fields.keys())
    if (!before) return commit(kind, undefined, applied, { ...facts, operation: 'Apply' }, new Map([[writer, wanted]]))

    const live = fieldsOf(before, kind.isBuiltIn)
    const others = new Map([...(owned.get(before.metadata.uid) ?? [])].filter(([manager]) => manager !== writer))
    const mine = owned.get(before.metadata.uid)?.get(writer) ?? new Set<string>()
    const disputed = [...wanted].filter((field) => !(live.has(field) && isEqual(live.get(field), fields.get(field))))
    const conflicts = [...others].flatMap(([manager, theirs]) => disputed.filter((field) => theirs.has(field)).map((field) => ({ manager, field })))
    if (conflicts.length > 0 && !facts.force)
      throw new KubeError({
        status: 409, reason: 'Conflict', message: `Apply failed with ${conflicts.length} conflict(s)`,
        causes: conflicts.map(({ manager, field }) => ({ reason: 'FieldManagerConflict', message: `conflict with "${manager.split('/')[0]}"`, field: fieldName(field) })),
      })
    let merged = overlay(before, applied, kind.isBuiltIn)
    const left = new Map([...others].map(([manager, theirs]) => [manager, new Set([...theirs].filter((field) => !disputed.includes(field)))]))
    for (const field of mine) {
      const isOwnedByOthers = [...left.values()].some((theirs) => theirs.has(field))
      if (!wanted.has(field) && !isOwnedByOthers) merged = without(merged, pathOf(field))
    }
    const result = merged as Stored
    result.metadata.resourceVersion = before.metadata.resourceVersion
    return commit(kind, before, result, facts, withoutEmpty(new Map([...left, [writer, wanted]])))
  }

  function remove(kind: ServedKind, namespace: string | undefined, name: string, options: { readonly uid?: string; readonly resourceVersion?: string; readonly orphan?: boolean } = {}): Stored {
    const before = find(kind, namespace, name)
    if ((options.uid && options.uid !== before.metadata.uid) || (options.resourceVersion && options.resourceVersion !== before.metadata.resourceVersion))
      throw fault(409, 'Conflict', `Precondition failed: ${kind.plural} "${name}"`)
    if (options.orphan) dropOwner(before.metadata.uid)
    const { metadata } = before
    if (metadata.deletionTimestamp) return before
    version += 1
    const after: Stored = { ...before, metadata: { ...metadata, resourceVersion: String(version) } }
    if (metadata.finalizers?.length) {
      after.metadata.deletionTimestamp = new Date(now()).toISOString()
      if (metadata.generation) after.metadata.generation = metadata.generation + 1
      table(kind).set(keyOf(metadata.namespace, name), after)
      tell('MODIFIED', after, before)
      return after
    }
    table(kind).delete(keyOf(metadata.namespace, name))
    tell('DELETED', after, before)
    collectGarbage(metadata.uid)
    return after
  }

  function dependants(uid: string): { readonly kind: ServedKind; readonly object: Stored }[] {
    return [...kinds.values()].flatMap((kind) =>
      [...table(kind).values()].filter((object) => object.metadata.ownerReferences?.some((owner) => owner.uid === uid)).map((object) => ({ kind, object })))
  }

  function dropOwner(uid: string): void {
    for (const { kind, object } of dependants(uid)) {
      const ownerReferences = object.metadata.ownerReferences?.filter((owner) => owner.uid !== uid) ?? []
      commit(kind, object, { ...object, metadata: { ...object.metadata, ownerReferences } }, { manager: 'gc', operation: 'Update', subresource: undefined })
    }
  }

  /** At once, where a real cluster takes a moment. */
  function collectGarbage(uid: string): void {
    for (const { kind, object } of dependants(uid)) {
      const hasOther = object.metadata.ownerReferences?.some((owner) => owner.uid !== uid && isAlive(owner.uid))
      if (!hasOther) remove(kind, object.metadata.namespace, object.metadata.name)
    }
  }

  const isAlive = (uid: string): boolean => [...tables.values()].some((objects) => [...objects.values()].some(({ metadata }) => metadata.uid === uid))

  return {
    kinds, kindOf, find, create, replace, modify, apply, remove,
    all: (kind: ServedKind): Stored[] => [...table(kind)].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, object]) => object),
    version: () => version,
    /** Changes after `from`, or undefined when some of them are forgotten. */
    since: (from: number): readonly Change[] | undefined => (from < oldest ? undefined : history.filter((change) => change.version > from)),
    /** Compaction: every version before the present one is too old now. */
    forgetHistory: (): void => {
      version += 1
      oldest = version
      history.length = 0
    },
    listen: (listener: (change: Change) => void): (() => void) => {
      listeners.add(listener)
      return () => void listeners.delete(listener)
    },
  }
}

type ManagedEntry = { readonly manager?: string; readonly operation?: string; readonly fieldsV1?: Dict }

/** Whoever is left out of the `managedFields` of a write owns nothing any more; who is left in without `f:spec`, nothing of the spec. */
function reassigned(ownership: ReadonlyMap<string, FieldSet>, asked: readonly ManagedEntry[]): ReadonlyMap<string, FieldSet> {
  return withoutEmpty(new Map([...ownership].map(([writer, fields]) => {
    const entry = asked.find(({ manager, operation }) => `${manager}/${operation}` === writer)
    return [writer, new Set([...fields].filter((field) => entry?.fieldsV1?.[`f:${pathOf(field)[0]}`] !== undefined))]
  })))
}

const namesOf = (ownership: ReadonlyMap<string, FieldSet> | undefined): Dict =>
  Object.fromEntries([...(ownership ?? [])].map(([manager, fields]) => [manager, [...fields].sort()]))

function withoutNoise({ metadata: { managedFields: _, resourceVersion: __, ...metadata }, ...object }: Stored): Dict {
  return { ...object, metadata }
}

/** Deployments count changes of annotations too. */
function isNewGeneration(kind: ServedKind, before: Stored, after: Stored): boolean {
  const counted = ({ metadata, status: _, ...rest }: Stored): Dict => ({ ...rest, annotations: kind.kind === 'Deployment' ? (metadata.annotations ?? {}) : {} })
  return !isEqual(counted(before), counted(after))
}

function withDefaults(kind: ServedKind, object: Stored): Stored {
  if (kind.kind !== 'Deployment' || !isDict(object['spec']) || object['spec']['replicas'] !== undefined) return object
  return { ...object, spec: { replicas: 1, ...object['spec'] } }
}

type Selecting = { readonly selector?: { readonly matchLabels?: Dict }; readonly template?: { readonly metadata?: { readonly labels?: Dict } } }

function validated(kind: ServedKind, before: Stored | undefined, after: Stored): Stored {
  if (kind.kind !== 'Deployment' && kind.kind !== 'DaemonSet') return after
  const spec = after['spec'] as Selecting
  if (before && !isEqual((before['spec'] as Selecting).selector, spec.selector)) throw fault(422, 'Invalid', 'spec.selector: Invalid value: field is immutable')
  const labels = spec.template?.metadata?.labels ?? {}
  if (Object.entries(spec.selector?.matchLabels ?? {}).some(([key, value]) => labels[key] !== value))
    throw fault(422, 'Invalid', 'spec.template.metadata.labels: Invalid value: `selector` does not match template `labels`')
  return after
}
