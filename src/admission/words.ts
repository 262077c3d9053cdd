import type { Canary, CanarySpec } from '#api/canary.ts'
import type { Workload } from '#api/objects.ts'
import { ANNOTATION_OPT_OUT, commandAnnotation } from '#api/names.ts'
import { planInWords } from '#rollout/plan.ts'

/** What the warnings say. One line of at most 256 characters each: the part that matters comes first. */

const DIGEST_HEX_DIGITS = 12
/** Leaves room for the plan in one warning. */
const MAX_CHANGE_CHARS = 70

/** `deployment/cart`, as kubectl prints it. */
export const nameOf = (kind: string, name: string): string => `${kind.toLowerCase()}/${name}`

/** What a person would call the change: the images that differ, or the workload when none does. */
export function changeInWords(old: Workload, next: Workload, name: string): string {
  const images: string[] = []
  for (const { name: container, image } of next.spec.template.spec.containers) {
    if (typeof image === 'string' && image !== imageIn(old, container)) images.push(shortImage(image))
  }
  const words = images.join(', ')
  if (images.length > 0 && words.length <= MAX_CHANGE_CHARS) return words
  if (images.length > 1) return `${images.length} new images of ${name}`
  return images.length === 1 ? `the new image of ${name}` : `the change of ${name}`
}

const imageIn = (workload: Workload, container: string): unknown => workload.spec.template.spec.containers.find(({ name }) => name === container)?.image

/** `registry.example.com/shop/cart:2.4@sha256:0123...` as `cart:2.4`; a digest stays, cut, when there is no tag. */
function shortImage(image: string): string {
  const last = image.slice(image.lastIndexOf('/') + 1)
  const at = last.indexOf('@')
  if (at < 0) return last
  const tagged = last.slice(0, at)
  return tagged.includes(':') ? tagged : last.slice(0, at + '@sha256:'.length + DIGEST_HEX_DIGITS)
}

const plans = new WeakMap<CanarySpec, string>()

/** The plan of a spec; put in words once, since specs come from a cache and each change of their targets is told it. */
export function plannedInWords(spec: CanarySpec): string {
  const words = plans.get(spec) ?? planInWords(spec)
  plans.set(spec, words)
  return words
}

/** Where the plan comes from: the user's own Canary, or the policy that gates the namespace. */
export const originInWords = (canary: Canary | undefined, policyName: string): string =>
  canary && canary.spec.gate?.generated !== true ? `(canary "${canary.metadata.name}")` : `(policy "${policyName}")`

export const retryInWords = (canary: Canary, namespace: string): string =>
  `kubectl -n ${namespace} annotate canary/${canary.metadata.name} ${commandAnnotation('retry')}=true`

/** `object`: the Canary, or its target. */
export const promoteInWords = (object: string, namespace: string): string =>
  `kubectl -n ${namespace} annotate ${object} ${commandAnnotation('promote')}="<why>"`

export const optOutInWords = (namespace: string, name: string): string =>
  `kubectl -n ${namespace} annotate ${name} ${ANNOTATION_OPT_OUT}=disabled`
