import type { Canary } from '#api/canary.ts'
import { apexName } from '#api/defaults.ts'
import { canaryName, primaryName } from '#api/names.ts'
import type { KubeObject, ObjectReader } from '#api/objects.ts'
import { placeOf, routeMetadata, routePort } from '#traffic/canary-route.ts'
import type { Entry } from '#traffic/entries.ts'

/**
 * Traefik mirrors in an object of its own, a TraefikService `<s>-mirror` that answers from the primary and sends the canary copies. While it is on, an entry that
 * leads to the primary keeps its place at weight 0 behind one for `<s>-mirror` that has its weight: so nothing has to be remembered.
 */
export const mirrorName = (canary: Canary): string => `${apexName(canary)}-mirror`

export function mirrorService(canary: Canary, apiVersion: string, objects: ObjectReader): KubeObject {
  const port = routePort(canary, objects)
  const service = (name: string) => ({ name, kind: 'Service', ...placeOf(canary), port })
  const apex = apexName(canary)
  return {
    apiVersion,
    kind: 'TraefikService',
    metadata: { ...routeMetadata(canary, false), name: mirrorName(canary) },
    spec: {
      mirroring: { ...service(primaryName(apex)), mirrors: [{ ...service(canaryName(apex)), percent: canary.spec.analysis.mirrorWeight ?? 100 }] },
    },
  }
}

export const isMirrorEntry = (canary: Canary, { name, kind }: Entry): boolean => kind === 'TraefikService' && name === mirrorName(canary)

export const isMirrored = (canary: Canary, entries: readonly Entry[]): boolean => entries.some((entry) => isMirrorEntry(canary, entry))

/** `leads`: whether the requests of an entry go to the primary. */
export function mirrored(canary: Canary, entries: readonly Entry[], leads: (entry: Entry) => boolean): readonly Entry[] {
  return entries.flatMap((entry) => {
    if (!leads(entry) || entry.weight === 0) return [entry]
    const { weight } = entry
    return [{ kind: 'TraefikService', name: mirrorName(canary), ...placeOf(canary), ...(weight === undefined ? {} : { weight }) }, { ...entry, weight: 0 }]
  })
}

/** The list as it was before it was mirrored. */
export function unmirrored(canary: Canary, entries: readonly Entry[]): readonly Entry[] {
  return entries.flatMap((entry, index) => {
    if (isMirrorEntry(canary, entry)) return []
    const before = entries[index - 1]
    if (!before || !isMirrorEntry(canary, before)) return [entry]
    const { weight: _, ...own } = entry
    return [before.weight === undefined ? own : { ...own, weight: before.weight }]
  })
}
