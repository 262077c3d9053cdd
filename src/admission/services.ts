import type { Canary } from '#api/canary.ts'
import { apexName } from '#api/defaults.ts'
import { FLAGGER_API_VERSION, LABEL_MANAGED_BY, LABEL_ROLE, LABEL_TARGET, MANAGED_BY } from '#api/names.ts'
import type { KubeObject, ObjectReader } from '#api/objects.ts'
import { isRecord, type JsonRecord } from '#admission/json.ts'
import { type Patch, ensureObject, set } from '#admission/json-patch.ts'
import type { AdmissionRequest } from '#admission/review.ts'
import { isExcluded, labelOf } from '#admission/target.ts'
import { promoteInWords } from '#admission/words.ts'

/** What the agent adds to the selector of the Service that callers know. */
const OWN_KEYS = [LABEL_ROLE, LABEL_TARGET] as const

export type ServiceContext = { readonly agentUsers: readonly string[]; readonly objects: ObjectReader }

export type Kept = { readonly patch: Patch; readonly warnings: readonly string[] }
const NOTHING: Kept = { patch: [], warnings: [] }

/**
 * A Service of the user's is applied as it stands in Git, where nothing says who serves. Stored like that it would select the canary's
 * pods too, for as long as the agent needs to see it, and each apply would look like a change. So what the agent added stays; whoever
 * writes something else in its place hears of it. Pure.
 */
export function keepServing(request: AdmissionRequest, { agentUsers, objects }: ServiceContext): Kept {
  const { object, oldObject, operation, name, namespace, user } = request
  if (operation !== 'UPDATE' || !object || !oldObject || isExcluded(namespace) || agentUsers.includes(user.username)) return NOTHING
  if (labelOf(oldObject, LABEL_MANAGED_BY) === MANAGED_BY) return NOTHING
  const canary = canaryOf(oldObject, namespace, objects)
  const [before, after] = [selectorOf(oldObject), selectorOf(object)]
  if (canary === undefined || before === undefined || after === undefined) return NOTHING
  const lost = OWN_KEYS.flatMap((key) => (typeof before[key] === 'string' && before[key] !== after[key] ? [{ key, value: before[key] }] : []))
  if (lost.length === 0) return NOTHING
  const written = lost.filter(({ key }) => after[key] !== undefined)
  return {
    patch: [...ensureObject(object, 'spec', 'selector'), ...lost.map(({ key, value }) => set(value, 'spec', 'selector', key))],
    warnings: written.map(({ key, value }) => `CanaryGate: service/${name} keeps ${key}: ${value}, which says who serves; to send requests to the canary: ${promoteInWords(`canary/${canary.metadata.name}`, namespace)}`),
  }
}

/** The Canary whose apex it is. */
const canaryOf = ({ metadata }: KubeObject, namespace: string, objects: ObjectReader): KubeObject | undefined =>
  objects.list(FLAGGER_API_VERSION, 'Canary', namespace).find((canary) =>
    canary.metadata.deletionTimestamp === undefined && apexName(canary as Canary) === metadata.name)

/** Undefined for what the API server will refuse: nothing can be added below it. */
function selectorOf({ spec = {} }: KubeObject): JsonRecord | undefined {
  const selector = isRecord(spec) ? spec['selector'] ?? {} : undefined
  return isRecord(selector) ? selector : undefined
}
