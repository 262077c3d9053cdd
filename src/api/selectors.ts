import { LABEL_MANAGED_BY, LABEL_ROLE, LABEL_TARGET, MANAGED_BY, primaryName, type WorkloadRole } from '#api/names.ts'
import type { KubeObject, ObjectMeta, OwnerReference, Service, Workload } from '#api/objects.ts'

/** Whose pods a Service selects: written and read back by the same rules. */

export type Labels = Readonly<Record<string, string>>
/** `target`: the user's own pods; `both`: primary and canary together, for routers that split by pod count. */
export type Serving = 'target' | 'primary' | 'canary' | 'both'

/** What selectors are made of, as the cluster has it now. */
export type SelectorSources = {
  readonly apex?: Service | undefined
  readonly target: Workload
  /** The live primary: one that an earlier Flagger made has a selector of its own, and selectors are immutable. */
  readonly primary?: Workload | undefined
}

/** Labels that the target's pods are selected by; its name alone when it selects by expressions only, which Services cannot. */
const ownLabels = (target: Workload): Labels => {
  const labels = target.spec.selector.matchLabels ?? {}
  return Object.keys(labels).length > 0 ? labels : { [LABEL_TARGET]: target.metadata.name }
}

/** The selector as its owner wrote it: our keys dropped, and values that Flagger suffixed put back. */
export function baseSelector(apex: Service | undefined, target: Workload): Labels {
  const { [LABEL_ROLE]: _, [LABEL_TARGET]: __, ...own } = apex?.spec.selector ?? {}
  if (Object.keys(own).length === 0) return target.spec.selector.matchLabels ?? {}
  const podLabels = labelsOf(target)
  return Object.fromEntries(Object.entries(own).map(([key, value]) => {
    const original = podLabels[key]
    return [key, original !== undefined && value === primaryName(original) ? original : value]
  }))
}

/** The labels of a primary that an earlier Flagger made; undefined when the primary is ours or not there. */
export function flaggerPrimaryLabels(primary: Workload | undefined): Labels | undefined {
  const labels = primary?.spec.selector.matchLabels
  return labels && labels[LABEL_ROLE] === undefined ? labels : undefined
}

/** The apex's whole selector: it is one atomic map to the API server. */
export function selectorFor(serving: Serving, { apex, target, primary }: SelectorSources): Labels {
  const base = baseSelector(apex, target)
  const foreign = flaggerPrimaryLabels(primary)
  const either = { [LABEL_TARGET]: target.metadata.name }
  const known = Object.keys(base).length > 0 ? base : either
  switch (serving) {
    case 'target': return base
    case 'primary': return foreign ?? { ...known, [LABEL_ROLE]: 'primary' }
    case 'canary': return { ...known, [LABEL_ROLE]: 'canary' }
    // Pods of a Flagger-made primary lack the user's own label value, so only our label joins both.
    case 'both': return foreign ? either : { ...base, ...either }
    default: return serving satisfies never
  }
}

/** Selector of `<s>-primary`, `<s>-canary` and `<s>-baseline`. */
export function roleSelector(role: WorkloadRole, { target, primary }: SelectorSources): Labels {
  const foreign = role === 'primary' ? flaggerPrimaryLabels(primary) : undefined
  return foreign ?? { ...ownLabels(target), [LABEL_ROLE]: role }
}

/** Whose pods the apex selects now. `foreign`: none of those that we know. */
export function servingOf(apex: Service | undefined, target: Workload | undefined): Serving | 'foreign' | 'missing' {
  if (!apex) return 'missing'
  const selector = apex.spec.selector ?? {}
  const role = selector[LABEL_ROLE]
  if (role !== undefined) return role === 'primary' || role === 'canary' ? role : 'foreign'
  if (!target || Object.keys(selector).length === 0) return 'foreign'
  if (selector[LABEL_TARGET] !== undefined) return selector[LABEL_TARGET] === target.metadata.name ? 'both' : 'foreign'
  const podLabels = labelsOf(target)
  const isOf = (suffix: (value: string) => string): boolean => Object.entries(selector).every(([key, value]) => {
    const original = podLabels[key]
    return original !== undefined && (value === original || value === suffix(original))
  })
  if (isOf((value) => value)) return 'target'
  return isOf(primaryName) ? 'primary' : 'foreign'
}

const labelsOf = (target: Workload): Labels => ({ ...target.spec.template.metadata?.labels, ...target.spec.selector.matchLabels })

/** Made by the agent, or by an earlier Flagger for this Canary: then it is rendered whole. Anything else is the user's. */
export const isOwn = (object: KubeObject, owner: { readonly metadata: ObjectMeta }): boolean =>
  object.metadata.labels?.[LABEL_MANAGED_BY] === MANAGED_BY ||
  (object.metadata.ownerReferences ?? []).some((reference) => reference.controller === true && reference.uid === owner.metadata.uid)

/** The reference that makes an object go with its Canary. */
export const ownedBy = (canary: KubeObject): OwnerReference => ({
  apiVersion: canary.apiVersion,
  kind: canary.kind,
  name: canary.metadata.name,
  uid: canary.metadata.uid ?? '',
  controller: true,
  blockOwnerDeletion: true,
})

/**
 * The apex with another selector, to be server-side applied. Of a Service of the user's only the selector is given, so that nothing else
 * becomes ours; the uid keeps a deleted one from being made anew. One of our own is given whole: what we left out would be removed.
 * An apex that serves the target outlives the Canary, or its callers would lose it.
 */
export function withSelector(apex: Service, selector: Labels, serving: Serving, canary: KubeObject): Service {
  const { name, namespace, uid, labels, annotations } = apex.metadata
  const place = { name, ...(namespace === undefined ? {} : { namespace }), ...(uid === undefined ? {} : { uid }) }
  if (!isOwn(apex, canary)) return { apiVersion: 'v1', kind: 'Service', metadata: place, spec: { selector } }
  const { ports = [], type, clusterIP, trafficDistribution } = apex.spec
  return {
    apiVersion: 'v1',
    kind: 'Service',
    metadata: {
      ...place,
      ...(labels ? { labels } : {}),
      ...(annotations ? { annotations } : {}),
      ownerReferences: serving === 'target' ? [] : [ownedBy(canary)],
    },
    spec: {
      selector,
      ports,
      ...(type === undefined ? {} : { type }),
      ...(clusterIP === 'None' ? { clusterIP } : {}),
      ...(trafficDistribution === undefined ? {} : { trafficDistribution }),
    },
  }
}
