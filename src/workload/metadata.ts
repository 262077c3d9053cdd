import { ANNOTATION_LAST_APPLIED, GATE_GROUP, LABEL_MANAGED_BY, MANAGED_BY } from '#api/names.ts'

type Labels = Readonly<Record<string, string>>

/**
 * Marks by which deployment tools know their own objects: a copy that carried them would be pruned as "no longer in Git",
 * reported as drift, or taken into a release.
 */
const OWNERSHIP_PREFIXES = [
  'argocd.argoproj.io/', 'meta.helm.sh/', 'helm.sh/', 'kapp.k14s.io/', 'objectset.rio.cattle.io/', 'config.k8s.io/', 'config.kubernetes.io/',
  'kubernetes.io/change-cause', 'deployment.kubernetes.io/', 'deprecated.daemonset.template.generation', `${GATE_GROUP}/`, ANNOTATION_LAST_APPLIED,
]

const isOwnershipMark = (key: string): boolean =>
  key.includes('toolkit.fluxcd.io') || OWNERSHIP_PREFIXES.some((prefix) => key.startsWith(prefix))

/**
 * The user's labels or annotations for an object of ours. `app.kubernetes.io/instance` stays, since dashboards use it: Argo CD, which tracks
 * by it, leaves objects with an owner alone, and all of ours have one.
 */
export const withoutOwnershipMarks = (labels: Labels | undefined): Labels =>
  Object.fromEntries(Object.entries(labels ?? {}).filter(([key]) => !isOwnershipMark(key)))

export const MANAGED_LABELS: Labels = { [LABEL_MANAGED_BY]: MANAGED_BY }

export const inNamespace = (namespace: string | undefined): { readonly namespace?: string } => (namespace === undefined ? {} : { namespace })
