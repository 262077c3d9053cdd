import { objectKey, type KubeObject } from '#api/objects.ts'
import { NAMESPACE, type World } from './world.ts'

export const GATEWAY = 'gateway.networking.k8s.io/v1'

/** A route of the owner's. */
export const HTTP_ROUTE: KubeObject = {
  apiVersion: GATEWAY, kind: 'HTTPRoute', metadata: { name: 'cart', namespace: NAMESPACE },
  spec: { parentRefs: [{ group: 'gateway.networking.k8s.io', kind: 'Gateway', name: 'edge' }], rules: [{ matches: [{ path: { type: 'PathPrefix', value: '/' } }], backendRefs: [{ group: '', kind: 'Service', name: 'cart', port: 80, weight: 1 }] }] },
}

/** A Gateway's controller: it takes every route as it is, at once or after a while, or refuses it until it is told to take it. */
export function controller(world: World, first?: string, afterMs = 0): { accept(): void } {
  let refusal = first
  const soon = (run: () => void): void => { if (afterMs > 0) world.clock.after(afterMs, run); else queueMicrotask(run) }
  const answer = (route: KubeObject): void => {
    const { parentRefs = [] } = route['spec'] as { readonly parentRefs?: readonly unknown[] }
    const accepted = refusal === undefined ? { status: 'True', reason: 'Accepted' } : { status: 'False', reason: refusal }
    const parents = parentRefs.map((parentRef) => ({ parentRef, conditions: [{ type: 'Accepted', ...accepted, observedGeneration: route.metadata.generation }] }))
    if (JSON.stringify((route['status'] as { readonly parents?: unknown } | undefined)?.parents) === JSON.stringify(parents)) return
    soon(() => world.fake.edit({ apiVersion: GATEWAY, kind: 'HTTPRoute', namespace: NAMESPACE, name: route.metadata.name }, (live) => ({ ...live, status: { parents } })))
  }
  world.fake.onChange((object) => { if (object.kind === 'HTTPRoute' && world.fake.object(GATEWAY, 'HTTPRoute', objectKey(object.metadata))) answer(object) })
  const answerAll = (): void => { for (const route of world.fake.objects(GATEWAY, 'HTTPRoute')) answer(route) }
  answerAll()
  return { accept() { refusal = undefined; answerAll() } }
}

type Modifier = { readonly responseHeaderModifier?: { readonly add?: readonly { readonly name: string; readonly value: string }[] } }
type Rule = {
  readonly matches?: readonly { readonly headers?: readonly { readonly name: string; readonly value: string }[] }[]
  readonly filters?: readonly Modifier[]
  readonly backendRefs: readonly { readonly name: string; readonly weight?: number; readonly filters?: readonly Modifier[] }[]
}

export const rulesOf = (found: KubeObject | undefined): readonly Rule[] => ((found?.['spec'] ?? { rules: [] }) as { readonly rules: readonly Rule[] }).rules

/**
 * What a Gateway makes of a request by an HTTPRoute: of the rules that match its cookie the one with most headers, by the order of rules; a backend by
 * weight, `draw` being in [0, 1); and the cookies that the rule's and the backend's filters add to the answer.
 */
export function route(found: KubeObject | undefined, cookie: string, draw: number): { readonly backend: string; readonly setCookie: readonly string[] } {
  const headersOf = ({ matches = [] }: Rule) => matches[0]?.headers ?? []
  const rule = rulesOf(found).filter((each) => headersOf(each).every(({ value }) => new RegExp(value).test(cookie))).toSorted((a, b) => headersOf(b).length - headersOf(a).length)[0]
  if (!rule) throw new Error('404: no rule matches')
  const total = rule.backendRefs.reduce((sum, { weight = 1 }) => sum + weight, 0)
  let left = draw * total
  const backend = rule.backendRefs.find(({ weight = 1 }) => (left -= weight) < 0)
  if (!backend) throw new Error('500: no backend has weight')
  const added = [...(rule.filters ?? []), ...(backend.filters ?? [])].flatMap(({ responseHeaderModifier }) => responseHeaderModifier?.add ?? [])
  return { backend: backend.name, setCookie: added.filter(({ name }) => name === 'Set-Cookie').map(({ value }) => value) }
}
