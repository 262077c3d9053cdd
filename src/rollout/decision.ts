import type { CanarySpec, CanaryStatus, HookType, Phase } from '#api/canary.ts'
import type { CheckedMetric } from '#api/measurement.ts'
import type { Actor } from '#api/commands.ts'
import type { Command, WorkloadRole } from '#api/names.ts'
import type { Routes } from '#api/routes.ts'
import type { Traffic } from '#judge/power.ts'

/** What the agent saw when it last looked: facts out of caches, nothing decided. */
export type Seen = {
  readonly name: string
  readonly namespace: string
  readonly spec: CanarySpec
  /** The Canary is being deleted. */
  readonly deleting: boolean
  readonly hasFinalizer: boolean
  readonly commands: readonly CommandSeen[]
  readonly target: TargetSeen | undefined
  /** The target's own pods are all ready: asked only when it is to serve again. */
  readonly targetReady: boolean
  /** Revision whose pods serve now, while the target is not adopted yet. */
  readonly stableRevision: string | undefined
  readonly primary: WorkloadSeen | undefined
  readonly canary: WorkloadSeen | undefined
  /** Fresh pods of the stable revision beside the canary. */
  readonly baseline?: BaselineSeen | undefined
  /** In force at the router; undefined while there are none or it cannot be told. */
  readonly routes: Routes | undefined
  /** What this agent asked the router for last, where the status that says so could not be saved. */
  readonly unsavedRoutes?: Routes | undefined
  /** What is known to keep requests from following the routes, in words. */
  readonly obstacle?: string | undefined
  /** Ready addresses behind each role's Service. */
  readonly endpoints: { readonly primary: number; readonly canary: number; readonly baseline?: number }
  /** Whose pods the apex Service selects. */
  readonly apex: 'target' | 'primary' | 'canary' | 'both' | 'foreign' | 'missing'
  readonly provider: ProviderSeen
  /** Autoscalers of the roles are there. */
  readonly hasScalers?: boolean
  /** The answers to what `wanted` asked for in this turn. */
  readonly check: Check | undefined
  /** Answers of the hooks asked for in this turn (see `wantedHooks`); undefined: nobody here can ask hooks, and none counts. */
  readonly hooks?: readonly HookAnswer[] | undefined
  /** The judge's word on the canary against the primary; undefined while nobody watches. */
  readonly judgement: JudgementSeen | undefined
  /** Present while a policy lets no run start. */
  readonly startHeld?: HoldSeen | undefined
  /** Present while a policy lets the weight of a run not rise. */
  readonly runHeld?: HoldSeen | undefined
}

/** Why a policy lets nothing start, or no weight rise, and until when (Unix ms) where that is known. */
export type HoldSeen = {
  readonly reason: string
  readonly until?: number
  /** It waits for the end of other runs, in the order in which they asked. */
  readonly queued?: boolean
}

export type JudgementSeen = {
  readonly mode: 'warn' | 'enforce'
  readonly verdict: 'Worse' | 'NoData' | 'BothBad' | 'Suspect' | 'Good' | 'Undecided'
  readonly words: string
  /** What another agent needs to go on from here. */
  readonly record?: { readonly state: string; readonly memory: string }
  /** Why this analysis cannot tell a regression that matters, as far as is known by now. */
  readonly tooShort?: string | undefined
  /** Of the last seconds, once there were enough of them. */
  readonly traffic?: Traffic | undefined
}

/** A hook to be called; `phase` goes into its payload. */
export type HookCall = { readonly name: string; readonly type: HookType; readonly phase: Phase }
/** `ok`: it answered 200 to 202. `message`: why not, in the receiver's own words where it has any. */
export type HookAnswer = { readonly name: string; readonly type: HookType; readonly ok: boolean; readonly message: string }

export type CommandSeen = {
  readonly command: Command
  readonly reason: string
  readonly by: string
  /** Its author, where the webhook has signed it. */
  readonly actor?: Actor
  /** Unix ms; absent where nothing says it. */
  readonly givenAt?: number
  /** What allows it, for the record. */
  readonly rule?: string
  /** Why it is not to be obeyed: its author may not give it. */
  readonly refused?: string
}

export type TargetSeen = {
  readonly revision: string
  /** Checksums of the ConfigMaps and Secrets that are part of it, for `status.trackedConfigs`. */
  readonly configs?: Readonly<Record<string, string>>
  readonly image: string
  /** `kubectl rollout restart`'s mark. */
  readonly restartedAt: string | undefined
  /** What the owner asks for: the recorded count once adopted, `spec.replicas` before. */
  readonly wantedReplicas: number
  readonly adopted: boolean
  /** `spec.replicas` as it stands; anything but 0 on an adopted target came through `scale`. */
  readonly replicas: number
  /** Pods of the target's own that still run. */
  readonly runningReplicas: number
  readonly paused: boolean
  /** Paused by the webhook to hold a change until adoption is done. */
  readonly held: boolean
  readonly gate: string | undefined
  readonly requestedBy: string | undefined
  /** An autoscaler owns the replica counts: what is wanted is what the primary has. */
  readonly scaled: boolean
}

export type Readiness = { readonly ready: true } | { readonly ready: false; readonly retriable: boolean; readonly reason: string }

export type WorkloadSeen = {
  /** False: it was there before its Canary, which is to own it. */
  readonly isOwned?: boolean
  readonly revision: string | undefined
  readonly replicas: number
  readonly readyReplicas: number
  readonly runningReplicas: number
  readonly readiness: Readiness
  readonly restartedAt: string | undefined
}

/** `beside`: the canary's revision that they were made for. */
export type BaselineSeen = WorkloadSeen & { readonly beside: string | undefined }

export type ProviderSeen = {
  readonly name: string
  /** Milliseconds between "the object says so" and "requests go there". */
  readonly settleMs: number
  /** Weights are replica ratios: the canary's size follows its weight. */
  readonly weightsByReplicas: boolean
  /** Cookies keep clients on their arm, where the Canary asks for it. */
  readonly keepsSessions?: boolean
}

/** One round of checks. */
export type Check = { readonly metrics: readonly CheckedMetric[] }

/** The wanted end of something, never a change: applied twice it does the same. In order; a failure stops the rest until the next turn. */
export type Effect =
  | { readonly kind: 'addFinalizer' }
  | { readonly kind: 'removeFinalizer' }
  /** The template of this revision is stored before anything runs it. */
  | { readonly kind: 'snapshot'; readonly revision: string }
  /** The role Services, and the apex for routers that send requests to it. */
  | { readonly kind: 'services' }
  | { readonly kind: 'deploy'; readonly role: WorkloadRole; readonly revision: string; readonly replicas: number; readonly restartedAt?: string | undefined; readonly beside?: string }
  | { readonly kind: 'scale'; readonly role: WorkloadRole; readonly replicas: number }
  /** `spec.replicas` to 0, the wanted count recorded beside it. */
  | { readonly kind: 'holdTarget'; readonly replicas: number }
  /** The role's autoscalers as the user's own has it; that one is kept from the target while it is held, and the canary's at rest. */
  | { readonly kind: 'scalers'; readonly target: 'held' | 'free'; readonly canary: 'running' | 'resting' }
  | { readonly kind: 'unpauseTarget' }
  | { readonly kind: 'markGate'; readonly gate: string; readonly revision: string }
  | { readonly kind: 'setRoutes'; readonly routes: Routes }
  | { readonly kind: 'apex'; readonly serving: 'target' | 'primary' }
  /** The target serves by itself again, from this revision. */
  | { readonly kind: 'releaseTarget'; readonly revision: string; readonly replicas: number }
  | { readonly kind: 'releaseRoutes' }
  /** Our annotations leave the target: it is an ordinary Deployment again. */
  | { readonly kind: 'forgetTarget' }
  | { readonly kind: 'consume'; readonly commands: readonly Command[] }
  | { readonly kind: 'prune'; readonly keep: readonly string[] }

export type News = {
  /** The event's reason: one per kind of event, so that none is folded away. */
  readonly reason: string
  readonly type: 'Normal' | 'Warning'
  /** Flagger's text where Flagger has one. */
  readonly message: string
  /** Alerts go out for news with a severity. */
  readonly severity?: 'info' | 'warn' | 'error'
  /** The status that it speaks of: the decision's, unless the decision goes beyond it, as the last failed check is told before the rollback that it brings. */
  readonly status?: CanaryStatus
}

export type Decision = {
  readonly status: CanaryStatus
  readonly effects: readonly Effect[]
  readonly news: readonly News[]
  /** When to look again without being woken (Unix ms); undefined: only when something changes. */
  readonly wakeAt: number | undefined
  /** Hooks whose answers this decision waits for: with them, the same step decides further. */
  readonly asks?: readonly HookCall[]
}

export type PhaseStep = (status: CanaryStatus, seen: Seen, now: number) => Decision
