import { isBaselineAsked } from '#api/baseline.ts'
import type { Canary } from '#api/canary.ts'
import { apexName } from '#api/defaults.ts'
import { isSplitMark, LABEL_MANAGED_BY, MANAGED_BY, splitMark, UNRECONCILED } from '#api/names.ts'
import type { KubeObject, ObjectMeta, ObjectReader, Service, Workload } from '#api/objects.ts'
import { readRoutes, routesTo, type Routes } from '#api/routes.ts'
import { ownedBy, servingOf } from '#api/selectors.ts'

/** What all routers' objects have in common. */

export const placeOf = ({ metadata: { namespace } }: Pick<Canary, 'metadata'>): { readonly namespace?: string } =>
  (namespace === undefined ? {} : { namespace })

/** An A/B test: requests are chosen by `match`, for a number of iterations. */
export const isTest = ({ spec: { analysis } }: Canary): boolean => (analysis.iterations ?? 0) > 0 && (analysis.match?.length ?? 0) > 0

/** It asks for a baseline, or did when its routes were last asked for. */
export const mayHaveBaseline = ({ spec, status }: Canary): boolean => isBaselineAsked(spec) || (readRoutes(status?.gate?.routesFor)?.baseline ?? 0) > 0

/** Metadata of a route object of our own. One that is to outlive the Canary has no owner. */
export function routeMetadata(canary: Canary, outlives: boolean): ObjectMeta {
  const { labels, annotations } = canary.spec.service?.apex ?? {}
  return {
    name: apexName(canary),
    ...placeOf(canary),
    labels: { ...labels, [LABEL_MANAGED_BY]: MANAGED_BY },
    annotations: { ...annotations, ...UNRECONCILED },
    ownerReferences: outlives ? [] : [ownedBy(canary)],
  }
}

/** What our mark on a route of the user's says: its entries are ours now, or rules of ours stand beside its own. */
export type Mark = 'weights' | 'match' | 'sticky'
const MARKS: readonly string[] = ['weights', 'match', 'sticky'] satisfies readonly Mark[]

export function markOf(object: KubeObject, apex: string): Mark | undefined {
  const mark = object.metadata.annotations?.[splitMark(apex)]
  return mark !== undefined && MARKS.includes(mark) ? (mark as Mark) : undefined
}

/**
 * Metadata of a route of the user's that is patched in place: our marks and nothing else of theirs. With the version that was read, since its lists
 * are replaced whole: an edit made meanwhile makes the write fail and be decided anew, and a deleted object is not made again.
 */
export function patchedMetadata(object: KubeObject, apex: string, mark: Mark | undefined): ObjectMeta {
  const { name, namespace, uid, resourceVersion, annotations } = object.metadata
  // The marks of other Canaries on the same route were applied by us as well: left out, they would be removed.
  const others = Object.entries(annotations ?? {}).filter(([key]) => isSplitMark(key) && key !== splitMark(apex))
  const marks = Object.fromEntries(mark === undefined ? others : [...others, [splitMark(apex), mark]])
  return {
    name,
    ...(namespace === undefined ? {} : { namespace }),
    ...(uid === undefined ? {} : { uid }),
    ...(resourceVersion === undefined ? {} : { resourceVersion }),
    ...(Object.keys(marks).length > 0 ? { annotations: marks } : {}),
  }
}

/** The canary's part of requests that go to the apex Service; undefined while it serves neither role alone. */
export function apexShare(canary: Canary, objects: ObjectReader): number | undefined {
  const { kind, name } = canary.spec.targetRef
  const apex = objects.get({ apiVersion: 'v1', kind: 'Service', ...placeOf(canary), name: apexName(canary) }) as Service | undefined
  const target = objects.get({ apiVersion: 'apps/v1', kind, ...placeOf(canary), name }) as Workload | undefined
  const serving = servingOf(apex, target)
  return serving === 'primary' ? 0 : serving === 'canary' ? 100 : undefined
}

/** One answer out of several routes: routes that disagree are in no known state. `baselines`: the baseline's part in each. */
export function agreedRoutes(shares: readonly (number | undefined)[], mirror: boolean, baselines: readonly number[]): Routes | undefined {
  const [[first], [baseline = 0]] = [shares, baselines]
  if (first === undefined || shares.some((share) => share === undefined || Math.round(share) !== Math.round(first))) return undefined
  if (baselines.some((share) => Math.round(share) !== Math.round(baseline))) return undefined
  return { ...routesTo(Math.round(first), Math.round(baseline)), mirror }
}

/** Port that routers send to: the Canary's, else the first of the apex. */
export function routePort(canary: Canary, objects: ObjectReader): number {
  const apex = objects.get({ apiVersion: 'v1', kind: 'Service', ...placeOf(canary), name: apexName(canary) }) as Service | undefined
  return canary.spec.service?.port ?? apex?.spec.ports?.[0]?.port ?? DEFAULT_PORT
}
const DEFAULT_PORT = 80
