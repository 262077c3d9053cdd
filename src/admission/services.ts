import type { Canary } from '#api/canary.ts'
import { apexName } from '#api/defaults.ts'
import { FLAGGER_API_VERSION, LABEL_MANAGED_BY, LABEL_ROLE, LABEL_TARGET, MANAGED_BY } from '#api/names.ts'
import type { KubeObject, ObjectReader } from '#api/objects.ts'
import { isRecord, type JsonRecord } from '#admission/json.ts'
import { type Patch, ensureObject, set } from '#admission/json-patch.ts'
import type { AdmissionRequest } from '#admission/review.ts'
import { isExcluded, labelOf } from '#admission/target.ts'

/** What the agent adds to the selector of the Service that callers know. */
const OWN_KEYS = [LABEL_ROLE, LABEL_TARGET] as const

export type ServiceContext = { readonly agentUsers: readonly string[]; readonly objects: ObjectReader }

/**
 * A Service of the user's is applied as it stands in Git, where nothing says who serves. Stored like that it would select the canary's
 * pods too, for as long as the agent needs to see it, and each apply would look like a change. So what the agent added stays. Pure.
 */
export function keepServing(request: AdmissionRequest, { agentUsers, objects }: ServiceContext): Patch {
  const { object, oldObject, operation, namespace, user } = request
  if (operation !== 'UPDATE' || !object || !oldObject || isExcluded(namespace) || agentUsers.includes(user.username)) return []
  if (labelOf(oldObject, LABEL_MANAGED_BY) === MANAGED_BY || !isApex(oldObject, namespace, objects)) return []
  const [before, after] = [selectorOf(oldObject), selectorOf(object)]
  if (before === undefined || after === undefined) return []
  const lost = OWN_KEYS.flatMap((key) => (typeof before[key] === 'string' && before[key] !== after[key] ? [set(before[key], 'spec', 'selector', key)] : []))
  return lost.length === 0 ? [] : [...ensureObject(object, 'spec', 'selector'), ...lost]
}

const isApex = ({ metadata }: KubeObject, namespace: string, objects: ObjectReader): boolean =>
  objects.list(FLAGGER_API_VERSION, 'Canary', namespace).some((canary) =>
    canary.metadata.deletionTimestamp === undefined && apexName(canary as Canary) === metadata.name)

/** Undefined for what the API server will refuse: nothing can be added below it. */
function selectorOf({ spec = {} }: KubeObject): JsonRecord | undefined {
  const selector = isRecord(spec) ? spec['selector'] ?? {} : undefined
  return isRecord(selector) ? selector : undefined
}
