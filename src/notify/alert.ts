/** What is told to people, before any provider gives it a form. Pure. Read this first. */

import type { Canary, CanarySpec, CanaryStatus } from '#api/canary.ts'
import { DEFAULT_PROGRESS_DEADLINE_SECONDS } from '#api/defaults.ts'

export const SEVERITIES = ['info', 'warn', 'error'] as const
export type Severity = (typeof SEVERITIES)[number]

export type Field = { readonly name: string; readonly value: string }

export type Alert = {
  readonly canary: { readonly name: string; readonly namespace: string }
  readonly severity: Severity
  /** CamelCase, as in the event. */
  readonly reason: string
  readonly message: string
  /** What the message keeps to itself, for receivers that do not have to get Flagger's bytes. */
  readonly detail?: string
  readonly cluster?: string
  readonly fields: readonly Field[]
  readonly revision: string
  /** Unix ms. */
  readonly at: number
}

/** The part of a decision's news that an alert is made of. */
export type NewsItem = {
  readonly reason: string
  readonly message: string
  readonly severity?: Severity
  /** With the decision that is told; the Canary's own is of before. */
  readonly status?: CanaryStatus
}

export type AlertContext = {
  /** Unix ms. */
  readonly at: number
  /** Name of this cluster, told with every alert when given. */
  readonly cluster?: string
}

type Text = (canary: Canary, item: NewsItem) => string

/** By the event's reason, so that each is one that a rollout gives. Flagger's words where it has an alert for the occasion; the event's own elsewhere. */
const TEXTS: Readonly<Record<string, Text>> = {
  CanaryInitialized: ({ spec }) => `New ${spec.targetRef.kind} detected, initialization completed.`,
  CanaryStarted: () => 'New revision detected, progressing canary analysis.',
  CanarySucceeded: ({ spec, status }) => {
    if (spec.skipAnalysis) return 'Canary analysis was skipped, promotion finished.'
    const { bypass } = status?.gate ?? {}
    return bypass === undefined ? 'Canary analysis completed successfully, promotion finished.' : `Canary was promoted without an analysis to its end (${bypass}), promotion finished.`
  },
  CanaryAwaitingApproval: () => 'Canary is waiting for approval.',
  CanaryAwaitingPromotion: () => 'Canary promotion is waiting for approval.',
  CanaryIncreaseHeld: () => 'Canary traffic increase is waiting for approval.',
  CanaryRollbackRequested: () => 'Rolling back manual webhook invoked',
  CanaryTerminating: () => 'Canary is being deleted in mid-run: the stable revision serves on.',
  CanaryPromotionFailed: (_canary, { message }) => message.replace(/^Promotion of \S+ failed/, 'Promotion failed'),
  CanaryThresholdReached: ({ spec }) => `Failed checks threshold reached ${Math.max(1, spec.analysis.threshold ?? 1)}`,
}

/** Occasions at which Flagger says how the analysis is set up. */
const WITH_SETTINGS: readonly string[] = ['CanaryInitialized', 'CanaryStarted']

/** Occasions that Flagger tells by a number alone: the last failed check is the reason in the status. */
const WITH_DETAIL: readonly string[] = ['CanaryThresholdReached']

/** The shortest limit of a receiver: Slack cuts the text of an attachment there, and a mail's reader stops. */
const MAX_MESSAGE_CHARS = 2_000
const cut = (text: string): string => (text.length > MAX_MESSAGE_CHARS ? `${text.slice(0, MAX_MESSAGE_CHARS - 3)}...` : text)

/** The alert for a piece of news; undefined when nobody is to be alerted to it. */
export function alertOf(canary: Canary, item: NewsItem, { at, cluster }: AlertContext): Alert | undefined {
  if (item.severity === undefined) return undefined
  const { metadata } = canary
  const { lastAppliedSpec = '', gate } = item.status ?? canary.status ?? {}
  const detail = WITH_DETAIL.includes(item.reason) ? gate?.reason : undefined
  return {
    canary: { name: metadata.name, namespace: metadata.namespace ?? '' },
    severity: item.severity,
    reason: item.reason,
    message: cut(TEXTS[item.reason]?.(canary, item) ?? item.message),
    ...(detail === undefined ? {} : { detail: cut(detail) }),
    ...(cluster ? { cluster } : {}),
    fields: [...(cluster ? [{ name: 'Cluster', value: cluster }] : []), ...(WITH_SETTINGS.includes(item.reason) ? settingsOf(canary) : [])],
    revision: lastAppliedSpec,
    at,
  }
}

function settingsOf({ metadata, spec }: Canary): Field[] {
  return [
    { name: 'Target', value: `${spec.targetRef.kind}/${spec.targetRef.name}.${metadata.namespace ?? ''}` },
    { name: 'Failed checks threshold', value: String(Math.max(1, spec.analysis.threshold ?? 1)) },
    { name: 'Progress deadline', value: `${spec.progressDeadlineSeconds ?? DEFAULT_PROGRESS_DEADLINE_SECONDS}s` },
    { name: 'Traffic routing', value: routingOf(spec) },
  ]
}

function routingOf({ analysis, gate }: CanarySpec): string {
  const { stepWeight = 0, stepWeights = [], maxWeight = 0, match = [] } = analysis
  const weights = gate?.steps?.map(({ weight }) => weight) ?? stepWeights
  if (gate?.steps === undefined && stepWeight > 0) return `Weight step: ${stepWeight} max: ${maxWeight}`
  if (weights.length > 0) return `Weight steps: ${weights.join(',')} max: ${maxWeight}`
  return match.length > 0 ? 'A/B Testing' : 'Blue/Green'
}

/** `name.namespace`: whose alert it is. */
export const authorOf = ({ canary }: Pick<Alert, 'canary'>): string => `${canary.name}.${canary.namespace}`
