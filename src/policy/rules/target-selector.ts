import { isDeepStrictEqual } from 'node:util'
import type { Workload } from '#api/objects.ts'
import type { Rule } from '#policy/rule.ts'

/**
 * Flagger needs one of the labels app, name, app.kubernetes.io/name in the selector, to rewrite it for the primary. Here the user's labels
 * stay and the role is added, so any selector will do, as long as it is the target's alone.
 */
export const targetSelector: Rule = {
  id: 'target-selector',
  default: 'deny',
  why: 'Two workloads with one selector count each other\'s pods: the canary of one would serve, and be judged, as the other.',
  covers: ['10.15'],
  check(canary, { cluster }) {
    const target = cluster?.target
    const namespace = canary.metadata.namespace
    if (!cluster || !target || !namespace) return []
    const { name } = canary.spec.targetRef
    const selector = target.spec.selector
    const field = 'spec.targetRef.name'
    if (selector === undefined) return [{ field, message: `${name} has no spec.selector, so the API server refuses it`, fix: 'give it one, with a label of its own, such as app' }]
    if (Object.keys(selector.matchLabels ?? {}).length === 0 && (selector.matchExpressions?.length ?? 0) === 0) {
      return [{ field, message: `${name} selects every pod of the namespace`, fix: 'give its spec.selector a label of its own, such as app' }]
    }
    const own: readonly string[] = [name, `${name}-primary`, `${name}-canary`]
    const rivals = [...cluster.objects.list('apps/v1', 'Deployment', namespace), ...cluster.objects.list('apps/v1', 'DaemonSet', namespace)]
      .filter((one) => !own.includes(one.metadata.name) && isDeepStrictEqual((one as Workload).spec?.selector, selector))
    return rivals.map((rival) => ({ field, message: `${name} has the selector of ${rival.kind} ${rival.metadata.name}`, fix: 'give each workload a label of its own' }))
  },
}
