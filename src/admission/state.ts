import type { Canary, CanarySpec } from '#api/canary.ts'
import type { KubeObject, ObjectReader, Workload } from '#api/objects.ts'
import type { ReportedFinding, RuleContext } from '#policy/rule.ts'
import type { User } from '#admission/review.ts'

/** What the hooks know of the cluster: from caches alone, so that no answer waits for a call. */
export type AdmissionState = {
  /** Have all caches been filled once? Until then the server is not ready. */
  synced(): boolean
  /** The Canary whose `targetRef` is this workload. */
  canaryFor(namespace: string, kind: string, name: string): Canary | undefined
  /** Is this Deployment a target without a Canary, by its namespace's label or by a policy? */
  isGated(workload: KubeObject): boolean
  /** What auto-gating would write into a Canary there, and the policy which says so. */
  defaultsFor(namespace: string): { readonly spec: CanarySpec; readonly policyName: string }
  readonly objects: ObjectReader
  /** What rules may look at beside the object itself; `old` is filled in from the review. */
  ruleContext(namespace: string, canary?: Canary): Omit<RuleContext, 'old'>
}

/** A change of a target's template that asks for another revision. */
export type RevisionChange = {
  readonly target: Workload
  readonly old: Workload
  readonly revision: string
  readonly canary: Canary | undefined
  readonly user: User
}

/** The judgement of the rules, handed in: every function answers with all findings, none when there is nothing to say. */
export type AdmissionRules = {
  canary(canary: Canary, context: RuleContext, user: User): readonly ReportedFinding[]
  /** MetricTemplate, AlertProvider and the policies, told apart by their kind. */
  object(object: KubeObject, context: RuleContext, user: User): readonly ReportedFinding[]
  /** May this change be made now: freeze windows, known-bad revisions, missing approvals? */
  change(change: RevisionChange): readonly ReportedFinding[]
}
