import type { KubeObject } from '#api/objects.ts'
import { isRecord } from '#admission/json.ts'
import { annotationOf } from '#admission/target.ts'

/** On a generated object, with a reason as its value: lets its next edits pass. The agent may still repair what they change. */
export const ANNOTATION_BREAK_GLASS = 'canarygate.dev/break-glass'

/** Long enough to mend something by hand, too short to be forgotten. */
const OPEN_MS = 3_600_000
const OPEN_IN_WORDS = '1h'

export type BreakGlass =
  | { readonly kind: 'intact' }
  | { readonly kind: 'broken'; readonly reason: string }
  /** Broken too long ago to still count. */
  | { readonly kind: 'over'; readonly message: string }

/** Whether somebody has broken the glass of this object, as it is asked to be stored. `now` in Unix ms. */
export function breakGlassOf(object: KubeObject, now: number): BreakGlass {
  const reason = (annotationOf(object, ANNOTATION_BREAK_GLASS) ?? '').trim()
  if (reason === '') return { kind: 'intact' }
  const since = writtenAt(object, ANNOTATION_BREAK_GLASS)
  if (since === undefined || now - since < OPEN_MS) return { kind: 'broken', reason }
  return { kind: 'over', message: `break-glass ("${reason}") was over ${OPEN_IN_WORDS} after ${new Date(since).toISOString()}` }
}

/** When an annotation was last written, by the API server's own record, which nobody can forge (Unix ms); undefined where it has none. */
function writtenAt({ metadata }: KubeObject, annotation: string): number | undefined {
  const entries: unknown = 'managedFields' in metadata ? metadata.managedFields : undefined
  const times = (Array.isArray(entries) ? entries.filter(isRecord) : [])
    .filter(({ fieldsV1 }) => has(fieldsV1, 'f:metadata', 'f:annotations', `f:${annotation}`))
    .flatMap(({ time }) => (typeof time === 'string' ? [Date.parse(time)] : []))
    .filter((time) => !Number.isNaN(time))
  return times.length === 0 ? undefined : Math.max(...times)
}

function has(value: unknown, ...path: readonly string[]): boolean {
  const [key, ...rest] = path
  if (key === undefined) return true
  return isRecord(value) && Object.hasOwn(value, key) && has(value[key], ...rest)
}
