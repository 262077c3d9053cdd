import type { CanaryStatus, CanaryWebhook, HookType, Phase } from '#api/canary.ts'
import type { Decision, HookAnswer, HookCall, News, Seen } from '#rollout/decision.ts'
import { canaryOf, normal, warning } from '#rollout/status.ts'

/** The hooks of one type in list order, by Flagger's rules: the first failure ends the list. */
export type Consulted =
  | { readonly kind: 'passed'; readonly news: readonly News[] }
  | { readonly kind: 'failed'; readonly hook: CanaryWebhook; readonly message: string; readonly news: readonly News[] }
  /** Not answered yet: nothing is decided without it. */
  | { readonly kind: 'pending'; readonly asks: readonly HookCall[] }

/** An entry without a type is a `rollout` hook. */
export const hooksOf = (seen: Pick<Seen, 'spec'>, type: HookType): readonly CanaryWebhook[] =>
  (seen.spec.analysis.webhooks ?? []).filter((hook) => (hook.type || 'rollout') === type)

/** Where nobody can ask hooks, there are none. */
const askable = (seen: Seen, type: HookType): readonly CanaryWebhook[] => (seen.hooks === undefined ? [] : hooksOf(seen, type))

/** Each hook with its answer, if there is one yet. Answers come in list order, and two hooks may have one name: the place tells them apart. */
function asked(seen: Seen, type: HookType): readonly { readonly hook: CanaryWebhook; readonly answer: HookAnswer | undefined }[] {
  const answers = (seen.hooks ?? []).filter((answer) => answer.type === type)
  return askable(seen, type).map((hook, place) => ({ hook, answer: answers[place]?.name === hook.name ? answers[place] : undefined }))
}

export function consult(seen: Seen, type: HookType, phase: Phase): Consulted {
  const news: News[] = []
  for (const { hook, answer } of asked(seen, type)) {
    if (!answer) return { kind: 'pending', asks: [{ name: hook.name, type, phase }] }
    if (!answer.ok) return { kind: 'failed', hook, message: answer.message, news }
    // A `rollout` hook that passes is no news.
    if (type !== 'rollout') news.push(normal('HookPassed', `${PASSED[type]} check ${hook.name} passed`))
  }
  return { kind: 'passed', news }
}

const PASSED: Readonly<Record<Exclude<HookType, 'rollout'>, string>> = {
  'pre-rollout': 'Pre-rollout', 'confirm-rollout': 'Confirm-rollout', 'confirm-traffic-increase': 'Confirm-traffic-increase',
  'confirm-promotion': 'Confirm-promotion', 'post-rollout': 'Post-rollout', rollback: 'Rollback', event: 'Event',
}

/** A gate that is closed alerts, unless it is muted. */
export const closedGate = (reason: string, message: string, hook: CanaryWebhook): News => warning(reason, message, hook.muteAlert ? undefined : 'warn')

/** `rollback` hooks are inverted: success means "roll back". */
export type RollbackSignal =
  | { readonly kind: 'none'; readonly news: readonly News[] }
  | { readonly kind: 'rollBack'; readonly news: readonly News[] }
  | { readonly kind: 'pending'; readonly asks: readonly HookCall[] }

export function consultRollback(seen: Seen, phase: Phase): RollbackSignal {
  const news: News[] = []
  for (const { hook: { name }, answer } of asked(seen, 'rollback')) {
    if (!answer) return { kind: 'pending', asks: [{ name, type: 'rollback', phase }] }
    if (answer.ok) return { kind: 'rollBack', news: [...news, warning('HookRollback', `Rollback check ${name} passed`)] }
    news.push(normal('HookNotSignaling', `Rollback hook ${name} not signaling a rollback`))
  }
  return { kind: 'none', news }
}

export const hasHooks = (seen: Seen, type: HookType): boolean => askable(seen, type).length > 0

/** Each of them told of this status, and not of the one that comes of them. */
export const toldOf = (status: CanaryStatus, news: readonly News[]): readonly News[] => news.map((item) => ({ ...item, status }))

/** Puts what hooks said before the news of a decision. */
export const told = (decision: Decision, news: readonly News[]): Decision => (news.length === 0 ? decision : { ...decision, news: [...news, ...decision.news] })

/** `post-rollout` hooks decide nothing: their failure is told, and ends the list. */
export function tellPostRollout(seen: Seen, phase: 'Succeeded' | 'Failed'): { readonly asks: readonly HookCall[] } | { readonly news: readonly News[] } {
  const consulted = consult(seen, 'post-rollout', phase)
  if (consulted.kind === 'pending') return { asks: consulted.asks }
  if (consulted.kind === 'passed') return { news: consulted.news }
  return { news: [...consulted.news, warning('HookFailed', `Post-rollout hook ${consulted.hook.name} failed ${consulted.message}`)] }
}

/** `Halt <canary> advancement <what> <hook> failed <err>`. */
export const hookFailed = (seen: Seen, what: string, hook: CanaryWebhook, message: string): News =>
  warning('HookFailed', `Halt ${canaryOf(seen)} advancement ${what} ${hook.name} failed ${message}`)
