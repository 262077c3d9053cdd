import type { Canary } from '#api/canary.ts'
import { apexName } from '#api/defaults.ts'
import { baselineName, canaryName, LABEL_ROLE, LABEL_TARGET, primaryName } from '#api/names.ts'
import { countsOf, type KubeObject, type ObjectReader, type Service, type Workload } from '#api/objects.ts'
import { ALL_TO_PRIMARY, routesTo } from '#api/routes.ts'
import { selectorFor, servingOf, withSelector, type Serving } from '#api/selectors.ts'
import { isApplied } from '#traffic/applied.ts'
import { placeOf } from '#traffic/canary-route.ts'
import type { TrafficProvider } from '#traffic/provider.ts'

/**
 * No router: one Service, and its requests fall on whatever pods it selects. Weights are pod counts, so the weight in force is the share of ready
 * pods; all or nothing is exact. Connections that are kept open stay where they are.
 */
export const kubernetes: TrafficProvider = {
  name: 'kubernetes',
  supports: { weights: true, mirror: false, match: false, sessionAffinity: false, services: false },
  watches: [{ apiVersion: 'v1', kind: 'Service' }, { apiVersion: 'apps/v1', kind: 'Deployment' }, { apiVersion: 'apps/v1', kind: 'DaemonSet' }],
  // kube-proxy writes its rules at most once a second by default, and the endpoints controller batches before it.
  settleMs: 2_000,
  read(canary, objects) {
    const { apex, target, primary } = partsOf(canary, objects)
    const serving = servingOf(apex, target)
    if (serving === 'primary') return ALL_TO_PRIMARY
    if (serving === 'canary') return routesTo(100)
    if (serving !== 'both') return undefined
    const readyOf = (workload: Workload | undefined): number => (workload ? countsOf(workload).readyReplicas : 0)
    const { name } = canary.spec.targetRef
    const baseline = workloadIn(canary, baselineName(name), objects)
    // One without the role is somebody's workload that happens to be called so.
    const baselinePods = baseline?.metadata.labels?.[LABEL_ROLE] === 'baseline' ? readyOf(baseline) : 0
    const [primaryPods, canaryPods] = [readyOf(primary), readyOf(workloadIn(canary, canaryName(name), objects))]
    const all = primaryPods + baselinePods + canaryPods
    return all === 0 ? undefined : routesTo(shareOf(primaryPods + baselinePods, canaryPods), Math.round((100 * baselinePods) / all))
  },
  obstacle(canary, objects) {
    const { apex, target } = partsOf(canary, objects)
    const serving = servingOf(apex, target)
    if (serving === 'missing') return `there is no Service ${apexName(canary)}`
    return serving === 'foreign' ? `Service ${apexName(canary)} selects ${JSON.stringify(apex?.spec.selector ?? {})}, which are neither the primary's pods nor the canary's` : undefined
  },
  render: (canary, routes, objects) => renderServing(canary, routes.canary <= 0 ? 'primary' : routes.canary >= 100 ? 'canary' : 'both', objects),
  release: (canary, objects) => renderServing(canary, 'target', objects),
}

/** Percent of requests that `canaryPods` get, rounded but never to all or nothing while both have pods. */
function shareOf(primaryPods: number, canaryPods: number): number {
  const share = Math.round((100 * canaryPods) / (primaryPods + canaryPods))
  return primaryPods === 0 || canaryPods === 0 ? share : Math.min(99, Math.max(1, share))
}

function renderServing(canary: Canary, serving: Serving, objects: ObjectReader): readonly KubeObject[] {
  const { apex, target, primary } = partsOf(canary, objects)
  // Without an apex or a target there is nothing whose selector could change: the Services are made first.
  if (!apex || !target) return []
  const wanted = withSelector(apex, selectorFor(serving, { apex, target, primary }), serving, canary)
  return isApplied(apex, wanted) ? [] : [wanted]
}

function partsOf(canary: Canary, objects: ObjectReader) {
  const { name } = canary.spec.targetRef
  const apex = objects.get({ apiVersion: 'v1', kind: 'Service', ...placeOf(canary), name: apexName(canary) }) as Service | undefined
  const primary = workloadIn(canary, primaryName(name), objects)
  return { apex, target: workloadIn(canary, name, objects) ?? (primary && afterPrimary(primary, name)), primary }
}

/** A target that was deleted, as far as its Service selects by it: a canary that was rolled back for that must lose its requests nevertheless. */
function afterPrimary(primary: Workload, name: string): Workload {
  const { [LABEL_ROLE]: _, [LABEL_TARGET]: __, ...matchLabels } = primary.spec.selector.matchLabels ?? {}
  return { ...primary, metadata: { ...primary.metadata, name }, spec: { ...primary.spec, selector: { matchLabels } } }
}

const workloadIn = (canary: Canary, name: string, objects: ObjectReader): Workload | undefined =>
  objects.get({ apiVersion: 'apps/v1', kind: canary.spec.targetRef.kind, ...placeOf(canary), name }) as Workload | undefined
