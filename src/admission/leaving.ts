import type { Canary } from '#api/canary.ts'
import { commandAnnotation, FLAGGER_API_VERSION, GATE_ENABLED, LABEL_GATE } from '#api/names.ts'
import type { ObjectReader } from '#api/objects.ts'
import { RUNNING_PHASES } from '#admission/canaries.ts'
import { GATE_API_VERSION } from '#policy/annotations.ts'
import type { Verdict } from '#admission/guards.ts'
import type { AdmissionRequest } from '#admission/review.ts'
import { labelOf } from '#admission/target.ts'

/** Of Canaries that are named in a warning. */
const MAX_NAMED = 3

/**
 * Taking a namespace out while canaries run there, and taking definitions away: neither is refused, since both may be meant, but
 * what happens then, and the way that ends well, are said. Pure.
 */
export function warnLeaving({ operation, resource, name, object, oldObject }: AdmissionRequest, objects: ObjectReader): Verdict {
  if (resource === 'namespaces' && operation === 'UPDATE') {
    const isLeft = oldObject && object && labelOf(oldObject, LABEL_GATE) === GATE_ENABLED && labelOf(object, LABEL_GATE) !== GATE_ENABLED
    return isLeft ? warned(optedOut(name, canariesIn(objects, name))) : NOTHING
  }
  if (resource === 'customresourcedefinitions' && operation === 'DELETE') {
    return warned(name === CANARIES ? undefinedSoon(canariesIn(objects, '')) : goneWith(name, objects))
  }
  return NOTHING
}

const CANARIES = 'canaries.flagger.app'
/** What else goes with its definition at once, and what is then. */
const LOST: Readonly<Record<string, { readonly apiVersion: string; readonly kind: string; readonly loss: string }>> = {
  'metrictemplates.flagger.app': { apiVersion: FLAGGER_API_VERSION, kind: 'MetricTemplate', loss: 'checks that use them hold every run' },
  'alertproviders.flagger.app': { apiVersion: FLAGGER_API_VERSION, kind: 'AlertProvider', loss: 'nobody is alerted' },
  'clustercanarypolicies.canarygate.dev': { apiVersion: GATE_API_VERSION, kind: 'ClusterCanaryPolicy', loss: 'what they gate, freeze, limit and demand of commands is open' },
  'canarypolicies.canarygate.dev': { apiVersion: GATE_API_VERSION, kind: 'CanaryPolicy', loss: 'what they freeze, limit and demand of commands is open' },
}
const NOTHING: Verdict = { findings: [], warnings: [] }
const warned = (warning: string | undefined): Verdict => (warning === undefined ? NOTHING : { findings: [], warnings: [`CanaryGate: ${warning}`] })
const canariesIn = (objects: ObjectReader, namespace: string): readonly Canary[] => objects.list(FLAGGER_API_VERSION, 'Canary', namespace) as readonly Canary[]

function optedOut(namespace: string, canaries: readonly Canary[]): string | undefined {
  const running = canaries.filter(({ status }) => RUNNING_PHASES.has(status?.phase ?? ''))
  if (running.length === 0) return undefined
  return `${named(running)} ${running.length === 1 ? 'runs' : 'run'} on to a verdict; changes without a Canary roll out at once from now on. To end a run first: kubectl -n ${namespace} annotate canary NAME ${commandAnnotation('abort')}="<why>"`
}

function undefinedSoon(canaries: readonly Canary[]): string | undefined {
  if (canaries.length === 0) return undefined
  return `${named(canaries)} ${canaries.length === 1 ? 'is' : 'are'} there, and what serves is theirs: kubectl delete canaries --all -A first, while CanaryGate runs, or this waits for it (docs/operations.md)`
}

function goneWith(definition: string, objects: ObjectReader): string | undefined {
  const lost = Object.hasOwn(LOST, definition) ? LOST[definition] : undefined
  const count = lost ? objects.list(lost.apiVersion, lost.kind, '').length : 0
  if (!lost || count === 0) return undefined
  return `${count} ${lost.kind} object${count === 1 ? ' goes' : 's go'} with it: ${lost.loss}. To keep them: kubectl get ${definition} -A -o yaml > ${lost.kind.toLowerCase()}.yaml first`
}

function named(canaries: readonly Canary[]): string {
  const names = canaries.slice(0, MAX_NAMED).map(({ metadata }) => `${metadata.namespace ?? ''}/${metadata.name}`)
  const more = canaries.length - names.length
  return `${canaries.length === 1 ? 'canary' : 'canaries'} ${names.join(', ')}${more > 0 ? ` and ${more} more` : ''}`
}
