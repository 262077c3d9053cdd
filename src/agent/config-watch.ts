import type { Canary } from '#api/canary.ts'
import { LABEL_TARGET } from '#api/names.ts'
import { objectKey, type KubeObject, type Workload } from '#api/objects.ts'
import type { KubeClient } from '#kube/client.ts'
import type { After } from '#kube/clock.ts'
import type { Log } from '#kube/log.ts'
import { createReflector, type Reflector } from '#kube/reflector.ts'
import { configRefs, configsSeen, copyIn, factsOf, type ConfigCopy, type ConfigFacts, type ConfigKind, type ConfigLook, type ConfigRef, type ConfigsSeen } from '#workload/configs.ts'

/**
 * The ConfigMaps and Secrets that targets refer to. Followed only in namespaces where some target refers to any, and only as checksums: the
 * content is dropped as it arrives. Secrets may be read only where somebody has granted it; elsewhere they count as not tracked.
 */
export type ConfigWatch = {
  /** Follows what the Canary's target refers to. Undefined until it is known what there is: the Canary is woken then. */
  follow(canary: Canary, target: Workload): ConfigsSeen | undefined
  /** What there is of any config in the Canary's namespace, as far as its kind is followed. */
  look(canary: Canary): ConfigLook
  /** Kinds that are referred to in a namespace and may not be read there. */
  unreadable(canary: Canary): readonly ConfigKind[]
  /** The copies that the agent has made for a target. */
  copies(namespace: string, target: string): readonly ConfigCopy[]
  forget(canaryKey: string): void
  stop(): Promise<void>
}

export type ConfigWatchOptions = {
  readonly client: KubeClient
  readonly wake: (canaryKey: string) => void
  /** Canaries of a target. */
  readonly canariesOf: (namespace: string, target: string) => readonly string[]
  readonly log: Log
  readonly now: () => number
  readonly random: () => number
  readonly after?: After
}

/** Types of Secrets that are never tracked, and of which Helm's are many and big. */
const FIELD_SELECTORS: Partial<Record<ConfigKind, string>> = {
  Secret: ['helm.sh/release.v1', 'kubernetes.io/service-account-token', 'kubernetes.io/dockerconfigjson'].map((type) => `type!=${type}`).join(','),
}
/** A namespace whose Secrets may not be read is asked again this seldom (ms). */
const UNREADABLE_RETRY_MS = 600_000

/** What is kept: enough to tell a change, and to know our own copies. */
type Kept = KubeObject & ConfigFacts & { readonly copy: ConfigCopy | undefined }
type Following = { readonly namespace: string; readonly refs: readonly ConfigRef[]; readonly of: string }

export function createConfigWatch({ client, wake, canariesOf, log, now, random, after }: ConfigWatchOptions): ConfigWatch {
  const reflectors = new Map<string, Reflector<Kept>>()
  const followed = new Map<string, Following>()
  const stopping = new Set<Promise<void>>()
  const idOf = (kind: ConfigKind, namespace: string): string => `${kind}/${namespace}`

  const followersOf = (namespace: string, kind: ConfigKind, name?: string): readonly string[] =>
    [...followed].filter(([, following]) => following.namespace === namespace &&
      following.refs.some((ref) => ref.kind === kind && (name === undefined || ref.name === name))).map(([key]) => key)

  function start(kind: ConfigKind, namespace: string): Reflector<Kept> {
    const fieldSelector = FIELD_SELECTORS[kind]
    const reflector = createReflector<Kept>({
      client, log, now, random, ...(after ? { after } : {}), apiVersion: 'v1', kind, namespace, ...(fieldSelector ? { fieldSelector } : {}),
      transform: kept, mayBeForbidden: true, unservedRetryMs: UNREADABLE_RETRY_MS,
      indexes: { target: ({ metadata, copy }) => (copy ? [metadata.labels?.[LABEL_TARGET] ?? ''] : []) },
      onSynced: () => { for (const key of followersOf(namespace, kind)) wake(key) },
      onChange(_, object, old) {
        if (old && old !== object && old.checksum === object.checksum && old.isTracked === object.isTracked) return
        const concerned = object.copy ? canariesOf(namespace, object.metadata.labels?.[LABEL_TARGET] ?? '') : followersOf(namespace, kind, object.metadata.name)
        for (const key of concerned) wake(key)
      },
    })
    reflectors.set(idOf(kind, namespace), reflector)
    reflector.start()
    return reflector
  }

  /** Namespaces come and go: what nobody refers to any more is not followed, once the copies are gone, too. */
  function settle(namespace: string): void {
    for (const kind of ['ConfigMap', 'Secret'] as const) {
      const id = idOf(kind, namespace)
      const reflector = reflectors.get(id)
      if (!reflector || followersOf(namespace, kind).length > 0 || reflector.list().some(({ copy }) => copy)) continue
      reflectors.delete(id)
      const stopped = reflector.stop().finally(() => stopping.delete(stopped))
      stopping.add(stopped)
    }
  }

  function lookIn(namespace: string): ConfigLook {
    return ({ kind, name }) => {
      const reflector = reflectors.get(idOf(kind, namespace))
      return reflector?.isServed() ? reflector.get(`${namespace}/${name}`) : 'unreadable'
    }
  }

  return {
    look: ({ metadata, spec }) => (spec.gate?.configTracking === false ? () => 'unreadable' : lookIn(metadata.namespace ?? '')),
    follow(canary, target) {
      const { namespace = '' } = canary.metadata
      const key = objectKey(canary.metadata)
      const before = followed.get(key)
      const of = `${target.metadata.uid}/${target.metadata.generation}`
      const isOff = canary.spec.gate?.configTracking === false
      const refs = isOff ? [] : before?.of === of ? before.refs : configRefs(target.spec.template)
      if (refs.length > 0) followed.set(key, { namespace, refs, of })
      else followed.delete(key)
      if (before && before.refs !== refs) settle(namespace)
      const kinds = new Set(refs.map(({ kind }) => kind))
      const sources = [...kinds].map((kind) => reflectors.get(idOf(kind, namespace)) ?? start(kind, namespace))
      return sources.every((reflector) => reflector.hasSynced()) ? configsSeen(refs, lookIn(namespace)) : undefined
    },
    unreadable(canary) {
      const following = followed.get(objectKey(canary.metadata))
      const kinds = new Set(following?.refs.map(({ kind }) => kind))
      return [...kinds].filter((kind) => reflectors.get(idOf(kind, following?.namespace ?? ''))?.isServed() === false)
    },
    copies: (namespace, target) => (['ConfigMap', 'Secret'] as const).flatMap((kind) =>
      (reflectors.get(idOf(kind, namespace))?.byIndex('target', target) ?? []).flatMap(({ copy }) => copy ?? [])),
    forget(key) {
      const following = followed.get(key)
      followed.delete(key)
      if (following) settle(following.namespace)
    },
    async stop() {
      await Promise.all([...[...reflectors.values()].map((reflector) => reflector.stop()), ...stopping])
    },
  }
}

function kept(config: KubeObject): Kept {
  const { name, namespace, uid, resourceVersion, labels } = config.metadata
  const copy = copyIn(config)
  return {
    apiVersion: config.apiVersion, kind: config.kind,
    metadata: {
      name, ...(namespace === undefined ? {} : { namespace }), ...(uid === undefined ? {} : { uid }), ...(resourceVersion === undefined ? {} : { resourceVersion }),
      ...(copy && labels ? { labels } : {}),
    },
    ...factsOf(config), copy,
  }
}
