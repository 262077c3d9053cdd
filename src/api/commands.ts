import { ANNOTATION_BREAK_GLASS, ANNOTATION_FLAGGER_PROMOTE, COMMANDS, commandAnnotation, type Command } from '#api/names.ts'

/** Annotations that are commands, on a Canary or its target. */
export const COMMAND_ANNOTATIONS: readonly string[] = [...COMMANDS.map(commandAnnotation), ANNOTATION_FLAGGER_PROMOTE]
/** Annotations that count for a while only: when they were written matters. */
export const EXPIRING_ANNOTATIONS: readonly string[] = [...COMMAND_ANNOTATIONS, ANNOTATION_BREAK_GLASS]

/** The command of an annotation. */
export const commandOf = (annotation: string): Command | undefined =>
  (annotation === ANNOTATION_FLAGGER_PROMOTE ? 'promote' : COMMANDS.find((command) => commandAnnotation(command) === annotation))
/** What the record says about why. Flagger's way leaves no room for it. */
export const reasonOf = (annotation: string, value: string): string => (annotation === ANNOTATION_FLAGGER_PROMOTE ? annotation : value)

/** Beside a command: who gave it. Written by the webhook; the API server itself refuses any other name than the writer's. */
export const authorAnnotation = (command: string): string => `${command}-by`
/** The author's groups, one a line: roles are mostly bound to groups. */
export const groupsAnnotation = (command: string): string => `${command}-groups`
export const GROUP_SEPARATOR = '\n'
/** When it was given (ISO 8601). */
export const timeAnnotation = (command: string): string => `${command}-at`
/** A command's annotation with all that stands beside it. */
export const signed = (command: string) => ({ command, author: authorAnnotation(command), groups: groupsAnnotation(command), time: timeAnnotation(command) })

/** How long after it was given a command is obeyed, unless a policy says less: long enough for an agent that moves to another node, too short to be forgotten. */
export const COMMAND_AGE_MS = 3_600_000

export type Actor = { readonly username: string; readonly groups: readonly string[] }
