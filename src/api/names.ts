/** Names of labels, annotations and derived objects: the words that other people's tools see. */

export const GATE_GROUP = 'canarygate.dev'
export const FLAGGER_GROUP = 'flagger.app'
export const FLAGGER_API_VERSION = 'flagger.app/v1beta1'

/** Field manager of everything that the agent applies. */
export const FIELD_MANAGER = 'canarygate'

/** On a namespace: `enabled` gates every Deployment in it. */
export const LABEL_GATE = 'canarygate.dev/gate'
export const GATE_ENABLED = 'enabled'

/** On pods, their workloads' selectors and the Services' selectors: `primary`, `canary` or `baseline`. */
export const LABEL_ROLE = 'canarygate.dev/role'
/** On pods of all roles: the target's name. The apex selects it while both roles serve behind one Service. */
export const LABEL_TARGET = 'canarygate.dev/target'
/** On primary and canary workloads and on snapshots: the revision they hold. An annotation on pods would restart them. */
export const LABEL_REVISION = 'canarygate.dev/revision'
/** On the baseline's pods: the revision of the canary that they stand beside. With another one they are made anew. */
export const ANNOTATION_BESIDE = 'canarygate.dev/beside'
/** On copies of ConfigMaps and Secrets: the original's name, and the checksum of the content. */
export const ANNOTATION_CONFIG = 'canarygate.dev/config'
export const ANNOTATION_CHECKSUM = 'canarygate.dev/checksum'
/** On everything that the agent makes. */
export const LABEL_MANAGED_BY = 'app.kubernetes.io/managed-by'
export const MANAGED_BY = 'canarygate'

/** Annotations on the target. */
export const ANNOTATION_REVISION = 'canarygate.dev/revision'
/** The replicas its owner asks for. Present means: adopted, `spec.replicas` is held at 0. */
export const ANNOTATION_REPLICAS = 'canarygate.dev/replicas'
/** `pending`, `passed`, or `failed: <reason>`. */
export const ANNOTATION_GATE = 'canarygate.dev/gate'
export const ANNOTATION_REQUESTED_BY = 'canarygate.dev/requested-by'
/** Revision of the template that served when a change was first held; set only until the target is adopted. */
export const ANNOTATION_STABLE = 'canarygate.dev/stable-revision'
/** `disabled` on a Deployment leaves it alone in a gated namespace. */
export const ANNOTATION_OPT_OUT = 'canarygate.dev/gate-target'

/** On everything that the agent makes and routes or Services go by: Flux is told to leave it alone, as Flagger does. */
export const UNRECONCILED = {
  'kustomize.toolkit.fluxcd.io/reconcile': 'disabled',
  'helm.toolkit.fluxcd.io/driftDetection': 'disabled',
} as const

/** All annotations that the webhook writes on a target and keeps against a client's `replace`. */
export const OWNED_TARGET_ANNOTATIONS = [
  ANNOTATION_REVISION,
  ANNOTATION_REPLICAS,
  ANNOTATION_GATE,
  ANNOTATION_REQUESTED_BY,
  ANNOTATION_STABLE,
] as const

/** One-shot commands, as annotations on the Canary or on its target. */
export const COMMANDS = ['promote', 'abort', 'pause', 'resume', 'retry', 'skip-step', 'restart'] as const
export type Command = (typeof COMMANDS)[number]
export const commandAnnotation = (command: Command): string => `${GATE_GROUP}/${command}`
/** The manual promotion that Flagger's guides show. */
export const ANNOTATION_FLAGGER_PROMOTE = 'flagger.app/promote'

/** `kubectl rollout restart` writes this into the pod template; such a change alone is no new revision. */
export const ANNOTATION_RESTARTED_AT = 'kubectl.kubernetes.io/restartedAt'
export const ANNOTATION_LAST_APPLIED = 'kubectl.kubernetes.io/last-applied-configuration'

/** Node label that no node has: what "zero replicas" means to a DaemonSet. Flagger's key. */
export const SCALE_TO_ZERO = 'flagger.app/scale-to-zero'

export const FINALIZER = 'finalizer.flagger.app'

/** On a generated object, with a reason as its value: lets its next edits pass. The agent may still repair what they change. */
export const ANNOTATION_BREAK_GLASS = 'canarygate.dev/break-glass'

/** The arms of a run. */
export type Role = 'primary' | 'canary'
/** What the agent makes workloads for: the arms, and fresh pods of the stable revision to compare with. */
export const WORKLOAD_ROLES = ['primary', 'canary', 'baseline'] as const
export type WorkloadRole = (typeof WORKLOAD_ROLES)[number]

export const primaryName = (name: string): string => `${name}-primary`
export const canaryName = (name: string): string => `${name}-canary`
export const baselineName = (name: string): string => `${name}-baseline`
export const roleName = (name: string, role: WorkloadRole): string => `${name}-${role}`
/** On a route of the user's whose entries for this apex are ours at the moment; at rest it is gone. */
export const splitMark = (apex: string): string => `${SPLIT_MARK_PREFIX}${apex}`
export const isSplitMark = (annotation: string): boolean => annotation.startsWith(SPLIT_MARK_PREFIX)
const SPLIT_MARK_PREFIX = `${GATE_GROUP}/split.`

/** Name of the immutable snapshot (ControllerRevision) of an admitted template. */
export const snapshotName = (target: string, revision: string): string => `${target}-${revision}`

/** Longest name that still leaves room for "-primary" in a Service (a DNS label: 63 bytes). */
export const MAX_TARGET_NAME_BYTES = 63 - '-primary'.length
/** The same where there is a baseline, too. */
export const MAX_BASELINE_TARGET_NAME_BYTES = 63 - '-baseline'.length

/** Namespaces that are never gated, whatever their labels say. CanaryGate's own comes in addition. */
export const EXCLUDED_NAMESPACES: readonly string[] = ['kube-system', 'kube-node-lease', 'kube-public']
