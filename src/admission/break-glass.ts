import { writtenAt } from '#api/managed-fields.ts'
import { ANNOTATION_BREAK_GLASS } from '#api/names.ts'
import type { KubeObject } from '#api/objects.ts'
import { annotationOf } from '#admission/target.ts'

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
