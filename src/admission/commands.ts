import { authorAnnotation, COMMAND_ANNOTATIONS, GROUP_SEPARATOR, groupsAnnotation, type Actor } from '#api/commands.ts'
import type { KubeObject } from '#api/objects.ts'
import { type Patch, setAnnotations } from '#admission/json-patch.ts'
import type { AdmissionRequest } from '#admission/review.ts'
import { annotationOf } from '#admission/target.ts'

/**
 * Who gave each command: the user of the request that brought or changed it, and nobody else. A second pass finds nothing left to do.
 * With the webhook away, a ValidatingAdmissionPolicy refuses other names, and what is unsigned is nobody's.
 */
export function authorsOf(object: KubeObject, old: KubeObject | undefined, user: Actor): Readonly<Record<string, string | undefined>> {
  const wanted: Record<string, string | undefined> = {}
  for (const command of COMMAND_ANNOTATIONS) {
    const [author, groups] = [authorAnnotation(command), groupsAnnotation(command)]
    const value = annotationOf(object, command)
    const kept = (key: string): string | undefined => (value === undefined || old === undefined ? undefined : annotationOf(old, key))
    const isNew = value !== undefined && value !== (old && annotationOf(old, command))
    wanted[author] = isNew ? user.username : kept(author)
    wanted[groups] = isNew ? user.groups.join(GROUP_SEPARATOR) : kept(groups)
  }
  return wanted
}

/** The commands of a Canary, signed. */
export function signCommands({ object, oldObject, operation, user, subResource }: AdmissionRequest, agentUsers: readonly string[]): Patch {
  if (object === undefined || subResource !== '' || agentUsers.includes(user.username)) return []
  if (operation !== 'CREATE' && operation !== 'UPDATE') return []
  return setAnnotations(object, authorsOf(object, oldObject, user))
}
