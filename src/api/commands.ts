import { ANNOTATION_FLAGGER_PROMOTE, COMMANDS, commandAnnotation } from '#api/names.ts'

/** Annotations that are commands, on a Canary or its target. */
export const COMMAND_ANNOTATIONS: readonly string[] = [...COMMANDS.map(commandAnnotation), ANNOTATION_FLAGGER_PROMOTE]

/** Beside a command: who gave it. Written by the webhook; the API server itself refuses any other name than the writer's. */
export const authorAnnotation = (command: string): string => `${command}-by`
/** The author's groups, one a line: roles are mostly bound to groups. */
export const groupsAnnotation = (command: string): string => `${command}-groups`
export const GROUP_SEPARATOR = '\n'

export type Actor = { readonly username: string; readonly groups: readonly string[] }
