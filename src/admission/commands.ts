import type { Canary } from '#api/canary.ts'
import { COMMAND_ANNOTATIONS, commandOf, GROUP_SEPARATOR, reasonOf, signed, timeAnnotation, type Actor } from '#api/commands.ts'
import { managedFieldsOf, ownsAnnotation } from '#api/managed-fields.ts'
import { ANNOTATION_LAST_APPLIED } from '#api/names.ts'
import type { KubeObject } from '#api/objects.ts'
import { isRecord } from '#admission/json.ts'
import { type Patch, setAnnotations } from '#admission/json-patch.ts'
import type { AdmissionRequest } from '#admission/review.ts'
import { annotationOf } from '#admission/target.ts'

export type Signing = {
  readonly user: Actor
  /** Unix ms. */
  readonly now: number
  /** Has the record of what was commanded before. */
  readonly canary: KubeObject | undefined
}

const SIGNED = COMMAND_ANNOTATIONS.map(signed)
const SIGNED_NAMES: ReadonlySet<string> = new Set(SIGNED.flatMap((names) => Object.values(names)))
const UNSIGNED: Readonly<Record<string, string | undefined>> = {}

/** Between two passes of one request, by two servers whose clocks differ a little: within it, a time is taken for our own. */
const SAME_REQUEST_MS = 10_000

/**
 * Who gave each command, and when: the user and the time of the request that brought or changed it, and nobody else. A second pass finds nothing
 * left to do. With the webhook away, a ValidatingAdmissionPolicy refuses other names, and what is unsigned is nobody's.
 */
export function signaturesOf(object: KubeObject, old: KubeObject | undefined, signing: Signing): Readonly<Record<string, string | undefined>> {
  const { user } = signing
  const { annotations }: { readonly annotations?: unknown } = object.metadata
  // Hardly any change brings a command, and every admitted change comes by here.
  if (!isRecord(annotations) || !Object.keys(annotations).some((name) => SIGNED_NAMES.has(name))) return UNSIGNED
  const wanted: Record<string, string | undefined> = {}
  for (const { command, author, groups, time } of SIGNED) {
    const value = annotationOf(object, command)
    const kept = (key: string): string | undefined => (value === undefined || old === undefined ? undefined : annotationOf(old, key))
    const isNew = value !== undefined && value !== (old && annotationOf(old, command))
    wanted[author] = isNew ? user.username : kept(author)
    wanted[groups] = isNew ? user.groups.join(GROUP_SEPARATOR) : kept(groups)
    wanted[time] = isNew ? givenAt(object, command, value, signing) : kept(time)
  }
  return wanted
}

/** A manifest brings its commands with every apply, also those that were taken away long ago: they were given when it brought them first. */
function givenAt(object: KubeObject, command: string, value: string, { user, now, canary }: Signing): string {
  const first = isFromManifest(object, command) ? firstOnRecord(canary, command, value, user) : undefined
  if (first !== undefined) return first
  const stamp = annotationOf(object, timeAnnotation(command))
  return stamp !== undefined && Math.abs(Date.parse(stamp) - now) <= SAME_REQUEST_MS ? stamp : new Date(now).toISOString()
}

function isFromManifest(object: KubeObject, command: string): boolean {
  if (managedFieldsOf(object).some((entry) => entry.operation === 'Apply' && ownsAnnotation(entry, command))) return true
  const applied = annotationOf(object, ANNOTATION_LAST_APPLIED)
  return applied !== undefined && applied.includes(JSON.stringify(command))
}

function firstOnRecord(canary: KubeObject | undefined, command: string, value: string, { username }: Actor): string | undefined {
  const status = canary?.['status']
  const gate = isRecord(status) ? status['gate'] : undefined
  const audit = isRecord(gate) && Array.isArray(gate['audit']) ? (gate['audit'] as NonNullable<NonNullable<NonNullable<Canary['status']>['gate']>['audit']>) : []
  return audit.find((entry) => isRecord(entry) && entry.command === commandOf(command) && entry.by === username && entry.reason === reasonOf(command, value) && typeof entry.at === 'string')?.at
}

/** The commands of a Canary, signed. */
export function signCommands({ object, oldObject, operation, user, subResource }: AdmissionRequest, agentUsers: readonly string[], now: number): Patch {
  if (object === undefined || subResource !== '' || agentUsers.includes(user.username)) return []
  if (operation !== 'CREATE' && operation !== 'UPDATE') return []
  return setAnnotations(object, signaturesOf(object, oldObject, { user, now, canary: oldObject }))
}
